"""The figures about digits. Each function returns a Figure and leaves no pyplot state behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from torch import Tensor

from ribnb.figures.style import legend_below, styled_figure

# Okabe and Ito's colours, told apart by colour-blind readers; markers tell them apart in grey.
COLORS = {"discriminative": "#0072B2", "non_discriminative": "#D55E00", "background": "#7F7F7F"}
MARKERS = {"discriminative": "o", "non_discriminative": "s", "background": "^"}
NAMES = {
    "discriminative": "$R_D$ (digit)",
    "non_discriminative": "$R_{ND}$ (small shape)",
    "background": "$R_{BG}$ (background)",
}
SHORT_NAMES = {
    "discriminative": "$R_D$",
    "non_discriminative": "$R_{ND}$",
    "background": "$R_{BG}$",
}
OUTLINES = {"discriminative": "#56B4E9", "non_discriminative": "#D55E00"}  # on dark pictures
LOSS_COLORS = ("#009E73", "#CC79A7")


@styled_figure
def digit_scenes(
    images: Float[Tensor, "B 1 H W"], regions: Mapping[str, Bool[Tensor, "B H W"]]
) -> Figure:
    """Scenes in a row, the outlines of R_D and R_ND drawn on them."""
    figure, axes = plt.subplots(1, len(images), figsize=(1.25 * len(images), 1.75))
    for index, axis in enumerate(np.atleast_1d(axes)):
        axis.imshow(images[index, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        _outline(axis, {name: masks[index] for name, masks in regions.items()}, linewidth=1.4)
    figure.suptitle("The digit decides; the small shape only goes with it")
    _region_legend(figure)
    return figure


@styled_figure
def loss_curves(histories: Sequence[Sequence[float]]) -> Figure:
    """Mean training loss of each epoch, one line a seed."""
    figure, axis = plt.subplots(figsize=(5.5, 2.8))
    greens = plt.get_cmap("Greens")(np.linspace(0.45, 0.95, len(histories)))
    for seed, (history, color) in enumerate(zip(histories, greens, strict=True)):
        epochs = range(1, len(history) + 1)
        axis.plot(epochs, history, color=color, marker=".", label=f"seed {seed}")
    axis.set(
        xlabel="epoch",
        ylabel="mean $L_{BCE}$ per image and class",
        title="Every net learns to tell 2 from 8",
        ylim=(0, None),
    )
    axis.legend()
    return figure


@styled_figure
def gradient_map_rows(
    images: Float[Tensor, "B 1 H W"],
    maps: Float[Tensor, "L B H W"],
    regions: Mapping[str, Bool[Tensor, "B H W"]],
) -> Figure:
    """One row an image: the image, then |G_1| ... |G_L|, each divided by its own maximum."""
    layers, rows = maps.shape[:2]
    figure, axes = plt.subplots(
        rows, layers + 1, figsize=(1.1 * (layers + 1), 1.1 * rows + 0.6), squeeze=False
    )
    for row in range(rows):
        axes[row, 0].imshow(images[row, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        for layer in range(layers):
            picture = axes[row, layer + 1].imshow(
                _normalised(maps[layer, row]), cmap="magma", vmin=0, vmax=1
            )
        for axis in axes[row]:
            _outline(axis, {name: masks[row] for name, masks in regions.items()})
    figure.suptitle("The last map lets the shape go")
    axes[0, 0].set_title("image")
    for layer in range(layers):
        axes[0, layer + 1].set_title(f"$|G_{layer + 1}|$")
    _region_legend(figure)
    figure.colorbar(picture, ax=axes, fraction=0.02, label="of the map's maximum")
    return figure


@styled_figure
def hgr_by_layer(panels: Mapping[str, Mapping[str, ArrayLike]], threshold: float) -> Figure:
    """Figure 1(c): HGR of each region per layer; line = mean over seeds, band = min to max.

    Args:
        panels: panel title -> region -> (seeds, L) ratios.
        threshold: of the HGR, for the axis.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(max(3 * len(panels), 4.5), 3.3), sharey=True, squeeze=False
    )
    for axis, (title, ratios) in zip(axes[0], panels.items(), strict=True):
        layers = range(1, np.asarray(next(iter(ratios.values()))).shape[1] + 1)
        for name, values in ratios.items():
            _band(axis, layers, np.asarray(values), name)
        axis.set(title=title, xlabel="gradient map", ylim=(-0.03, 1.05))
        axis.set_xticks(list(layers), [f"$G_{layer}$" for layer in layers])
    axes[0, 0].set_ylabel(f"HGR (share above {threshold:g})")
    legend_below(figure, axes[0, 0])
    return figure


@styled_figure
def hgr_by_threshold(
    thresholds: ArrayLike, ratios: Mapping[str, Mapping[str, ArrayLike]]
) -> Figure:
    """HGR against its threshold, one panel a gradient map.

    Args:
        thresholds: (T,).
        ratios: panel title -> region -> (T,) ratios.
    """
    figure, axes = plt.subplots(1, len(ratios), figsize=(2.3 * len(ratios), 2.8), sharey=True)
    axes = np.atleast_1d(axes)
    for axis, (title, by_region) in zip(axes, ratios.items(), strict=True):
        for name, values in by_region.items():
            axis.plot(thresholds, values, color=COLORS[name], label=SHORT_NAMES[name])
        axis.axvline(0.3, color="black", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="threshold")
    axes[0].set_ylabel("HGR")
    axes[-1].legend()
    return figure


@styled_figure
def loss_and_gradient(
    logits: ArrayLike, losses: Mapping[str, ArrayLike], gradients: Mapping[str, ArrayLike]
) -> Figure:
    """Losses of a present class and their gradients, against its logit.

    Args:
        logits: (N,).
        losses: name -> (N,).
        gradients: name -> (N,) derivative with respect to the logit.
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 3))
    titles = ("The loss", "Its gradient: what moves the weights")
    for axis, curves, title in zip(axes, (losses, gradients), titles, strict=True):
        for (name, values), color in zip(curves.items(), LOSS_COLORS, strict=True):
            axis.plot(np.asarray(logits), np.asarray(values), color=color, linewidth=2, label=name)
        axis.set(title=title, xlabel="logit $y$ of a present class")
    axes[0].set_ylabel("loss")
    axes[1].set_ylabel("d loss / d $y$")
    axes[0].legend(loc="upper right")
    return figure


@styled_figure
def hgr_by_step(
    panels: Mapping[str, Mapping[str, ArrayLike]], threshold: float, title: str
) -> Figure:
    """Figure 2: HGR of G_6 per RIB step; line = mean over images, band = middle half of them.

    Args:
        panels: panel title -> region -> (images, K + 1) ratios.
        threshold: of the HGR, for the axis.
        title: of the whole figure, what to see.
    """
    columns = 2 if len(panels) == 4 else len(panels)
    rows = len(panels) // columns
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.3 * columns, 2.4 * rows + 0.6), sharex=True, sharey=True
    )
    axes = np.atleast_2d(axes)
    for axis, (panel, ratios) in zip(axes.flat, panels.items(), strict=True):
        for name, values in ratios.items():
            array = np.asarray(values)
            _band(axis, range(array.shape[1]), array, name, short=True, quantiles=(0.25, 0.75))
        axis.set(title=panel, ylim=(-0.03, 1.03))
    for axis in axes[-1]:
        axis.set_xlabel("step $k$")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    for axis in axes[:, 0]:
        axis.set_ylabel(f"HGR of $G_6$ (above {threshold:g})")
    legend_below(figure, axes[0, 0])
    figure.suptitle(title)
    return figure


@styled_figure
def adaptation_frame(
    maps: Mapping[str, Float[Tensor, "H W"]],
    regions: Mapping[str, Bool[Tensor, "H W"]],
    scale: float,
    captions: Sequence[str],
) -> Figure:
    """One frame of the animation: maps side by side on one scale, a caption under each."""
    figure, axes = plt.subplots(1, len(maps), figsize=(2.6 * len(maps), 3.1))
    axes = np.atleast_1d(axes)
    for axis, (title, one), caption in zip(axes, maps.items(), captions, strict=True):
        axis.imshow(one.abs().numpy() / scale, cmap="magma", vmin=0, vmax=1)
        _outline(axis, regions)
        axis.set_title(title)
        axis.set_xlabel(caption, fontsize=9)
    return figure


def _normalised(gradient_map: Float[Tensor, "H W"]) -> Float[np.ndarray, "H W"]:
    magnitude = gradient_map.abs()
    return (magnitude / magnitude.max().clamp_min(1e-12)).numpy()


def _band(
    axis: Axes,
    steps: Sequence[int],
    values: np.ndarray,
    name: str,
    short: bool = False,
    quantiles: tuple[float, float] = (0, 1),
) -> None:
    low, high = np.quantile(values, quantiles, axis=0)
    axis.fill_between(steps, low, high, color=COLORS[name], alpha=0.2, linewidth=0)
    axis.plot(
        steps,
        values.mean(axis=0),
        color=COLORS[name],
        marker=MARKERS[name],
        markersize=4,
        label=(SHORT_NAMES if short else NAMES)[name],
    )


def _outline(axis: Axes, regions: Mapping[str, Bool[Tensor, "H W"]], linewidth: float = 0.8):
    for name in OUTLINES:
        if regions[name].any():
            axis.contour(regions[name].numpy(), [0.5], colors=OUTLINES[name], linewidths=linewidth)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def _region_legend(figure: Figure) -> None:
    handles = [
        plt.Line2D([], [], color=color, label=NAMES[name]) for name, color in OUTLINES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
