"""The figures about digits: scenes, gradient maps, and the high gradient ratio of regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from numpy.typing import ArrayLike
from torch import Tensor

from ribnb.figures.animation import play_steps
from ribnb.figures.lines import draw_line
from ribnb.figures.pictures import captioned, outline_legend, picture_grid
from ribnb.figures.style import REGIONS, legend_below, styled_figure

NAMES = {
    "discriminative": "$R_D$ (digit)",
    "non_discriminative": "$R_{ND}$ (small shape)",
    "background": "$R_{BG}$ (background)",
}
OUTLINED = ("discriminative", "non_discriminative")
Regions = Mapping[str, Bool[Tensor, "B H W"]]
Ratios = Mapping[str, Mapping[str, ArrayLike]]  # panel's title -> region -> ratios


@styled_figure
def digit_scenes(images: Float[Tensor, "B 1 H W"], regions: Regions) -> Figure:
    """Scenes in a row, the outlines of R_D and R_ND drawn on them."""
    row = [
        partial(_outlined, picture=image[0], regions=_of(regions, i), color="gray", width=1.4)
        for i, image in enumerate(images)
    ]
    side = max(1.25, 5.1 / len(images))  # as wide as the title
    title = "The digit decides; the small shape only goes with it"
    figure, _ = picture_grid([row], side, title)
    _region_legend(figure)
    return figure


@styled_figure
def gradient_map_rows(
    images: Float[Tensor, "B 1 H W"], maps: Float[Tensor, "L B H W"], regions: Regions
) -> Figure:
    """One row an image: the image, then |G_1| ... |G_L|, each divided by its own maximum."""
    share = maps.abs() / maps.abs().amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    rows = [
        [
            partial(_outlined, picture=picture, regions=_of(regions, i), color=color)
            for picture, color in [(image[0], "gray"), *((one, "magma") for one in share[:, i])]
        ]
        for i, image in enumerate(images)
    ]
    columns = ["image", *(f"$|G_{layer}|$" for layer in range(1, len(maps) + 1))]
    figure, axes = picture_grid(rows, 1.1, "The last map lets the shape go", columns)
    _region_legend(figure)
    figure.colorbar(axes[0, -1].images[0], ax=axes, fraction=0.02, label="of the map's maximum")
    return figure


def gradient_player(
    maps: Mapping[str, Float[Tensor, "K+1 H W"]],
    regions: Mapping[str, Bool[Tensor, "H W"]],
    ratio: Callable[[Float[Tensor, "H W"]], float],
) -> HTML:
    """An animation of gradient maps in units of the first one's maximum, with the shape's HGR.

    Args:
        maps: loss -> the map at k = 0, 1, ..., K; all begin with the same one.
        regions: where digit and shape are.
        ratio: a map's HGR of the shape.
    """
    scale = next(iter(maps.values()))[0].abs().max()

    def draw(titled: Mapping[str, Float[Tensor, "H W"]], captions: Sequence[str]) -> Figure:
        shares = (one.abs() / scale for one in titled.values())
        row = [partial(_outlined, picture=one, regions=regions) for one in shares]
        return captioned(row, 2.5, titled, captions)

    return play_steps(maps, draw, ratio, "HGR of the shape")


@styled_figure
def hgr_by_layer(panels: Ratios, threshold: float) -> Figure:
    """Figure 1(c): HGR of each region per layer; line = mean over seeds, band = min to max.

    Args:
        panels: panel title -> region -> (seeds, L) ratios.
        threshold: of the HGR, for the axis.
    """
    width = max(3 * len(panels), 4.5)
    figure, axes = plt.subplots(1, len(panels), figsize=(width, 3.3), sharey=True, squeeze=False)
    for axis, (title, ratios) in zip(axes[0], panels.items(), strict=True):
        layers = np.arange(1, np.asarray(next(iter(ratios.values()))).shape[1] + 1)
        _draw_ratios(axis, layers, ratios)
        axis.set(title=title, xlabel="gradient map")
        axis.set_xticks(layers, [f"$G_{layer}$" for layer in layers])
    return _finished(figure, axes, f"HGR (share above {threshold:g})")


@styled_figure
def hgr_by_threshold(thresholds: ArrayLike, ratios: Ratios, marked: float) -> Figure:
    """HGR against its threshold, one panel a gradient map.

    Args:
        thresholds: (T,).
        ratios: panel title -> region -> (T,) ratios.
        marked: the threshold in use.
    """
    figure, axes = plt.subplots(
        1, len(ratios), figsize=(2.3 * len(ratios), 3.1), sharey=True, squeeze=False
    )
    for axis, (title, by_region) in zip(axes[0], ratios.items(), strict=True):
        _draw_ratios(axis, np.asarray(thresholds), by_region)
        axis.axvline(marked, color="black", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="threshold")
    figure.suptitle("In $G_5$ the shape lies above the digit, in $G_6$ below it")
    return _finished(figure, axes, "HGR")


@styled_figure
def hgr_by_step(panels: Ratios, threshold: float, title: str) -> Figure:
    """Figure 2: HGR of G_6 per RIB step; line = mean over images, band = middle half of them.

    Args:
        panels: panel title -> region -> (images, K + 1) ratios.
        threshold: of the HGR, for the axis.
        title: of the whole figure, what to see.
    """
    columns = 2 if len(panels) == 4 else len(panels)
    rows = len(panels) // columns
    size = (2.3 * columns, 2.4 * rows + 0.6)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for axis, (panel, ratios) in zip(axes.flat, panels.items(), strict=True):
        steps = np.arange(np.asarray(next(iter(ratios.values()))).shape[1])
        _draw_ratios(axis, steps, ratios, quantiles=(0.25, 0.75))
        axis.set_title(panel)
    for axis in axes[-1]:
        axis.set_xlabel("step $k$")
    figure.suptitle(title)
    return _finished(figure, axes, f"HGR of $G_6$ (above {threshold:g})")


def _draw_ratios(axis: Axes, places: ndarray, ratios: Mapping[str, ArrayLike], **named) -> None:
    for region, values in ratios.items():
        draw_line(axis, places, values, REGIONS[region], NAMES[region], **named)


def _finished(figure: Figure, axes: ndarray, ylabel: str) -> Figure:
    """Ratios lie in [0, 1]; the first panel of each row says what they are."""
    for axis in axes[:, 0]:
        axis.set(ylabel=ylabel, ylim=(-0.03, 1.05))
    legend_below(figure, axes[0, 0])
    return figure


def _of(regions: Regions, index: int) -> dict[str, Bool[Tensor, "H W"]]:
    return {name: masks[index] for name, masks in regions.items()}


def _outlined(
    axis: Axes,
    picture: Float[Tensor, "H W"],
    regions: Mapping[str, Bool[Tensor, "H W"]],
    color: str = "magma",
    width: float = 0.8,
) -> None:
    axis.imshow(picture.numpy(), cmap=color, vmin=0, vmax=1)
    for name in OUTLINED:
        if regions[name].any():
            look = REGIONS[name]
            axis.contour(regions[name].numpy(), [0.5], colors=look.color, linewidths=width)


def _region_legend(figure: Figure) -> None:
    outline_legend(figure, {NAMES[name]: REGIONS[name].color for name in OUTLINED})
