"""Figures made of pictures: images, masks, maps over their images, and small grids of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.core.voc import voc_palette
from ribnb.figures.style import REGION_NAMES, REGIONS, styled_figure

OUTLINE = "#56B4E9"  # of the truth, on a map
OUTLINED = ("discriminative", "non_discriminative")
WIDTH = 5.1  # of a short row of images: as wide as its title


def grid(
    height: int,
    width: int,
    side: float,
    title: str = "",
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    aspect: float = 1.0,
) -> tuple[Figure, ndarray]:
    """Panels of ``side`` inches without ticks, and their axes (height, width).

    They are square, or ``aspect`` times as high as wide.

    The names of columns stand over the first row, the labels beside the first column.
    """
    size = (side * width + 0.3, side * aspect * height + 0.65)
    figure, axes = plt.subplots(height, width, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
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
    parts: Sequence[UInt8[ndarray, "H W"]] = (),
) -> Figure:
    """A row of images under their titles, one of their masks in VOC's colours, one of their parts.

    Parts are 0 neither, 1 head, 2 body; without them there are two rows.
    """
    names = ("image", "mask", "parts")[: 3 if parts else 2]
    side = max(1.4, WIDTH / len(images))
    figure, axes = grid(len(names), len(images), side, title, titles, names)
    for i, image in enumerate(images):
        axes[0, i].imshow(image)
        _show(axes[1, i], "mask", masks[i])
    if parts:
        colors = ["white", REGIONS["head"].color, REGIONS["body"].color]
        for axis, part in zip(axes[2], parts, strict=True):
            axis.imshow(part, cmap=ListedColormap(colors), vmin=0, vmax=2)
        _legend(figure, ("head", "body"), marker="s", linestyle="")
    return figure


@styled_figure
def map_grid(
    images: Sequence[Image.Image],
    columns: Mapping[str, Sequence[Float[ndarray, "H W"]]],
    truths: Sequence[Bool[ndarray, "H W"]] | None,
    row_labels: Sequence[str],
    title: str,
    cut: float | None = None,
) -> Figure:
    """One row an image: the image, then one map a column laid over it, then the truth.

    Maps are in [0, 1] and of the image's size; truths are where the class is, outlined on the maps,
    or None where nobody knows. White is the outline of what a map has above ``cut``.
    """
    names = ("image", *columns, *(["truth"] if truths else []))
    side, aspect = 0.92 if truths else 6.4 / len(names), images[0].height / images[0].width
    figure, axes = grid(len(images), len(names), side, title, names, row_labels, aspect)
    for row, image, truth, *maps in zip(
        axes, images, truths or [None] * len(images), *columns.values(), strict=True
    ):
        row[0].imshow(image)
        for axis, values in zip(row[1:], maps, strict=False):
            overlay(axis, image, values, truth, cut)
        if truth is not None:
            _show(row[-1], "grey", truth)
    return figure


@styled_figure
def mask_grid(
    images: Sequence[Image.Image],
    columns: Mapping[str, Sequence[UInt8[ndarray, "H W"]]],
    title: str,
) -> Figure:
    """One row an image: the image, then one mask a column in VOC's colours, 255 cream."""
    figure, axes = grid(len(images), 1 + len(columns), 1.15, title, ("image", *columns))
    for row, image, *masks in zip(axes, images, *columns.values(), strict=True):
        row[0].imshow(image)
        for axis, mask in zip(row[1:], masks, strict=True):
            _show(axis, "mask", mask)
    return figure


@styled_figure
def panels(shown: Mapping[str, tuple[str, Any]], title: str) -> Figure:
    """Small pictures in rows of up to six, each under its name.

    Args:
        shown: name -> (kind, picture): ``"image"`` a PIL image; ``"mask"`` (H, W) in VOC's
            colours, 255 cream; ``"map"`` (H, W) in [0, 1] in colours of heat; ``"grey"`` (H, W)
            from 0, black, to its maximum, white.
    """
    width = min(6, len(shown))
    figure, axes = grid(-(-len(shown) // width), width, 1.35, title)
    for axis, (name, (kind, picture)) in zip(axes.flat, shown.items(), strict=False):
        _show(axis, kind, picture)
        axis.set_title(name, fontsize=9)
    return figure


@styled_figure
def pooling_by_hand(
    features: Float[ndarray, "h w"],
    cam: Float[ndarray, "h w"],
    kept: Mapping[str, Bool[ndarray, "h w"]],
) -> Figure:
    """Small grids with their numbers: a feature channel, its CAM, and what each pooling keeps."""
    all_of_it = np.ones_like(features, bool)
    shown = [(features, all_of_it, "Greys"), (cam, all_of_it, "magma")]
    shown += [(features, mask, "Greys") for mask in kept.values()]
    title = "What each pooling takes the mean of"
    figure, axes = grid(1, len(shown), 1.7, title, ("feature", "CAM", *kept))
    for axis, (values, mask, colors) in zip(axes[0], shown, strict=True):
        most = values.max()
        axis.imshow(np.ma.masked_array(values, ~mask), cmap=colors, vmin=0, vmax=1.6 * most)
        for row, column in np.argwhere(mask):
            value = values[row, column]
            ink = "white" if colors == "magma" and value < 0.9 * most else "black"
            axis.text(column, row, f"{value:g}", ha="center", va="center", fontsize=9, color=ink)
    return figure


@styled_figure
def digit_scenes(
    images: Float[Tensor, "B 1 H W"], regions: Mapping[str, Bool[Tensor, "B H W"]]
) -> Figure:
    """Scenes in a row, the outlines of R_D and R_ND drawn on them."""
    title = "The digit decides; the small shape only goes with it"
    figure, axes = grid(1, len(images), max(1.25, WIDTH / len(images)), title)
    for i, axis in enumerate(axes[0]):
        outlined(axis, images[i, 0], regions, i, "gray", width=1.4)
    _legend(figure, OUTLINED)
    return figure


@styled_figure
def gradient_map_rows(
    images: Float[Tensor, "B 1 H W"],
    maps: Float[Tensor, "L B H W"],
    regions: Mapping[str, Bool[Tensor, "B H W"]],
) -> Figure:
    """One row an image: the image, then ``|G_1| ... |G_L|``, each divided by its own maximum."""
    share = maps.abs() / maps.abs().amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    columns = ["image", *(f"$|G_{layer}|$" for layer in range(1, len(maps) + 1))]
    figure, axes = grid(len(images), len(columns), 1.1, "The last map lets the shape go", columns)
    for i, row in enumerate(axes):
        outlined(row[0], images[i, 0], regions, i, "gray")
        for axis, one in zip(row[1:], share[:, i], strict=True):
            outlined(axis, one, regions, i)
    _legend(figure, OUTLINED)
    figure.colorbar(axes[0, -1].images[0], ax=axes, fraction=0.02, label="of the map's maximum")
    return figure


def _legend(figure: Figure, names: Sequence[str], **style: Any) -> None:
    """Under the figure, which colour is which region."""
    handles = [
        plt.Line2D([], [], color=REGIONS[name].color, label=REGION_NAMES.get(name, name), **style)
        for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


# What draws a panel ------------------------------------------------------------------------------


def _show(axis: Axes, kind: str, picture: Any) -> None:
    """A picture of one of the kinds of ``panels``."""
    colours = {
        "image": {},
        "mask": {"cmap": ListedColormap(voc_palette() / 255), "vmin": 0, "vmax": 255},
        "map": {"cmap": "magma", "vmin": 0, "vmax": 1},
        "grey": {"cmap": "gray", "vmin": 0},
    }
    axis.imshow(picture, **colours[kind])


def overlay(
    axis: Axes,
    image: Image.Image,
    values: Float[ndarray, "H W"],
    truth: Bool[ndarray, "H W"] | None,
    cut: float | None = None,
) -> None:
    """The map in colour over the grey image, the truth outlined, and the seed in white."""
    grey = np.asarray(image.convert("L"))[:, :, None] / 255
    colours = plt.get_cmap("magma")(np.clip(values, 0, 1))[:, :, :3]
    axis.imshow(0.25 * grey + 0.75 * colours)
    if truth is not None and truth.any() and not truth.all():
        axis.contour(truth, [0.5], colors=OUTLINE, linewidths=0.9)
    if cut is not None and values.min() < cut < values.max():
        axis.contour(values, [cut], colors="white", linewidths=0.9)


def outlined(
    axis: Axes,
    picture: Float[Tensor, "H W"],
    regions: Mapping[str, Bool[Tensor, "*B H W"]],
    i: Any = ...,
    color: str = "magma",
    width: float = 0.8,
) -> None:
    """A picture in [0, 1] with the outlines of R_D and R_ND, those of image ``i`` of several."""
    axis.imshow(picture.numpy(), cmap=color, vmin=0, vmax=1)
    for name in OUTLINED:
        shape = regions[name][i].numpy()
        if shape.any():
            axis.contour(shape, [0.5], colors=REGIONS[name].color, linewidths=width)
