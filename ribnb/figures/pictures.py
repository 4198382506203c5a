"""Figures made of pictures: images, masks, maps over their images, and small grids of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy import ndarray
from PIL import Image

from ribnb.figures.animation import play_steps
from ribnb.figures.style import REGIONS, bare, coarse, styled_figure, voc_colormap

OUTLINE = "#56B4E9"  # of the truth, on a map


def picture_grid(
    rows: Sequence[Sequence[Callable[[Axes], Any]]],
    side: float,
    title: str = "",
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> tuple[Figure, ndarray]:
    """Square panels of ``side`` inches without ticks, and their axes; to be drawn in the style.

    Args:
        rows: for each panel what draws it, given its axis.
        side: of a panel, in inches.
        title: what to see.
        columns: over the first row.
        labels: beside the first column.
    """
    width, height = len(rows[0]), len(rows)
    figure, axes = plt.subplots(
        height, width, figsize=(side * width + 0.3, side * height + 0.65), squeeze=False
    )
    bare(axes)
    for axis, draw in zip(axes.flat, (draw for row in rows for draw in row), strict=True):
        draw(axis)
    for axis, name in zip(axes[0], columns, strict=False):
        axis.set_title(name, fontsize=9)
    for axis, label in zip(axes[:, 0], labels, strict=False):
        axis.set_ylabel(label, fontsize=8)
    figure.suptitle(title)
    return figure, axes


@styled_figure
def images_with_masks(
    images: Sequence[Image.Image],
    masks: Sequence[UInt8[ndarray, "H W"]],
    titles: Sequence[str],
    title: str,
    parts: Sequence[UInt8[ndarray, "H W"]] | None = None,
) -> Figure:
    """A row of images, one of their masks in VOC's colours, and one of heads and bodies.

    Args:
        images: the images.
        masks: 0 background, ``class_id + 1``, 255 ignored.
        titles: a few words for each image.
        title: what to see.
        parts: 0 neither, 1 head, 2 body; without them there are two rows.
    """
    rows = [[partial(_image, picture=image) for image in images]]
    rows.append([partial(_mask, picture=mask) for mask in masks])
    if parts is not None:
        rows.append([partial(_parts, picture=part) for part in parts])
    side = max(1.4, 5.1 / len(images))  # as wide as the title
    figure, _ = picture_grid(rows, side, title, titles, ("image", "mask", "parts"))
    if parts is not None:
        colors = {name: REGIONS[name].color for name in ("head", "body")}
        outline_legend(figure, colors, marker="s", linestyle="")
    return figure


@styled_figure
def map_grid(
    images: Sequence[Image.Image],
    columns: Mapping[str, Sequence[Float[ndarray, "H W"]]],
    truths: Sequence[Bool[ndarray, "H W"]],
    row_labels: Sequence[str],
    title: str,
    cut: float | None = None,
) -> Figure:
    """One row an image: the image, then one map a column laid over it, then the truth.

    Args:
        images: the images.
        columns: column title -> for each image a map in [0, 1] of the image's size.
        truths: where the class is.
        row_labels: a few words for each image.
        title: what to see.
        cut: outline, in white, where a map is above this.
    """
    rows = [
        [
            partial(_image, picture=image),
            *(partial(_overlay, image=image, values=maps[i], truth=truths[i], cut=cut)
              for maps in columns.values()),
            partial(_grey, picture=truths[i]),
        ]
        for i, image in enumerate(images)
    ]  # fmt: skip
    return picture_grid(rows, 0.92, title, ("image", *columns, "truth"), row_labels)[0]


def map_player(
    image: Image.Image,
    maps: Mapping[str, Sequence[Float[ndarray, "H W"]]],
    truth: Bool[ndarray, "H W"],
) -> HTML:
    """An animation of maps laid over their image, step by step, with their mean on the object.

    Args:
        image: the image.
        maps: method -> its map in [0, 1] at k = 0, 1, ...
        truth: where the class is.
    """

    def draw(titled: Mapping[str, Float[ndarray, "H W"]], captions: Sequence[str]) -> Figure:
        row = [partial(_overlay, image=image, values=one, truth=truth) for one in titled.values()]
        return captioned(row, 2.2, titled, captions)

    return play_steps(maps, draw, lambda one: one[truth].mean(), "mean on the object")


@styled_figure
def captioned(
    row: Sequence[Callable[[Axes], Any]],
    side: float,
    titles: Sequence[str],
    captions: Sequence[str],
) -> Figure:
    """A frame of an animation: panels in a row, a title over and a caption under each."""
    figure, axes = picture_grid([row], side, columns=list(titles))
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_xlabel(caption, fontsize=9)
    return figure


@styled_figure
def mask_grid(
    images: Sequence[Image.Image],
    columns: Mapping[str, Sequence[UInt8[ndarray, "H W"]]],
    title: str,
) -> Figure:
    """One row an image: the image, then one mask a column in VOC's colours.

    Args:
        images: the images.
        columns: column title -> a mask for each image; 255 is cream.
        title: what to see.

    Raises:
        ValueError: there is no image; a column has not one mask for each image.
    """
    if not images:
        raise ValueError("there is no image to show; none has a mask in every column")
    by_image = zip(images, *columns.values(), strict=True)
    rows = [
        [partial(_image, picture=image), *(partial(_mask, picture=mask) for mask in masks)]
        for image, *masks in by_image
    ]
    return picture_grid(rows, 1.15, title, ("image", *columns))[0]


@styled_figure
def panels(shown: Mapping[str, tuple[str, Any]], title: str, columns: int = 6) -> Figure:
    """Small pictures in rows, each under its name.

    Args:
        shown: name -> (kind, picture): ``"image"`` a PIL image; ``"mask"`` (H, W) in VOC's
            colours, 255 cream; ``"map"`` (H, W) in [0, 1] in colours of heat; ``"grey"`` (H, W)
            from 0, black, to its maximum, white.
        title: what to see.
        columns: in a row.
    """
    kinds = {"image": _image, "mask": _mask, "map": _heat, "grey": _grey}
    drawings = [partial(_named, name=name, draw=partial(kinds[kind], picture=picture))
                for name, (kind, picture) in shown.items()]  # fmt: skip
    drawings += [Axes.set_axis_off] * (-len(drawings) % columns)
    rows = [drawings[i : i + columns] for i in range(0, len(drawings), columns)]
    return picture_grid(rows, 1.35, title)[0]


@styled_figure
def pooling_by_hand(
    features: Float[ndarray, "h w"],
    cam: Float[ndarray, "h w"],
    kept: Mapping[str, Bool[ndarray, "h w"]],
) -> Figure:
    """Small grids with their numbers: a feature channel, the CAM, and what each pooling keeps.

    Args:
        features: one channel.
        cam: in [0, 1].
        kept: title -> which positions are kept.
    """
    row = [partial(_numbers, grid=features), partial(_numbers, grid=cam, colors="magma")]
    row += [partial(_numbers, grid=features, kept=mask) for mask in kept.values()]
    title = "What each pooling takes the mean of"
    return picture_grid([row], 1.7, title, ("feature", "CAM", *kept))[0]


def outline_legend(figure: Figure, colors: Mapping[str, str], **style: Any) -> None:
    """Under the figure, which colour is what."""
    handles = [plt.Line2D([], [], color=color, label=name, **style)
               for name, color in colors.items()]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


# What draws a panel ------------------------------------------------------------------------------


def _image(axis: Axes, picture: Image.Image) -> None:
    axis.imshow(coarse(np.asarray(picture) / 255))


def _mask(axis: Axes, picture: UInt8[ndarray, "H W"]) -> None:
    axis.imshow(picture, cmap=voc_colormap(), vmin=0, vmax=255)


def _parts(axis: Axes, picture: UInt8[ndarray, "H W"]) -> None:
    palette = ListedColormap(["white", REGIONS["head"].color, REGIONS["body"].color])
    axis.imshow(picture, cmap=palette, vmin=0, vmax=2)


def _heat(axis: Axes, picture: Float[ndarray, "H W"]) -> None:
    axis.imshow(np.round(np.asarray(picture) * 30) / 30, cmap="magma", vmin=0, vmax=1)


def _grey(axis: Axes, picture: ndarray) -> None:
    grey = np.asarray(picture, dtype=float)
    axis.imshow(np.round(grey / (grey.max() or 1) * 30) / 30, cmap="gray", vmin=0, vmax=1)


def _named(axis: Axes, name: str, draw: Callable[[Axes], Any]) -> None:
    axis.set_title(name, fontsize=9)
    draw(axis)


def _overlay(
    axis: Axes,
    image: Image.Image,
    values: Float[ndarray, "H W"],
    truth: Bool[ndarray, "H W"],
    cut: float | None = None,
) -> None:
    """The map in colour over the grey image, the truth outlined, and the seed in white."""
    grey = np.asarray(image.convert("L"))[:, :, None] / 255
    colours = plt.get_cmap("magma")(np.clip(values, 0, 1))[:, :, :3]
    axis.imshow(coarse(0.25 * grey + 0.75 * colours))
    if truth.any() and not truth.all():
        axis.contour(truth, [0.5], colors=OUTLINE, linewidths=0.9)
    if cut is not None and values.min() < cut < values.max():
        axis.contour(values, [cut], colors="white", linewidths=0.9)


def _numbers(
    axis: Axes,
    grid: Float[ndarray, "h w"],
    kept: Bool[ndarray, "h w"] | None = None,
    colors: str = "Greys",
) -> None:
    """A grid with its numbers, without those that are not kept."""
    kept = np.ones_like(grid, bool) if kept is None else kept
    axis.imshow(np.ma.masked_array(grid, ~kept), cmap=colors, vmin=0, vmax=1.6 * grid.max())
    for (row, column), value in np.ndenumerate(grid):
        if kept[row, column]:
            dark = colors == "magma" and value < 0.9 * grid.max()
            ink = "white" if dark else "black"
            axis.text(column, row, f"{value:g}", ha="center", va="center", fontsize=9, color=ink)
