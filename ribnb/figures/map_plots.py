"""The figures about maps: scenes, CAMs, GNDRP, what the steps of RIB do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from numpy.typing import ArrayLike
from PIL import Image

from ribnb.core.palette import voc_palette
from ribnb.figures.style import bare, coarse, legend_below, styled_figure

# Okabe and Ito's colours again; the part names are the data set's.
PART_COLORS = {"head": "#0072B2", "body": "#D55E00", "background": "#7F7F7F"}
METHOD_STYLES = [
    ("#7F7F7F", "^"),
    ("#CC79A7", "v"),
    ("#009E73", "o"),
    ("#0072B2", "s"),
    ("#D55E00", "D"),
]


def voc_colormap() -> ListedColormap:
    """VOC's 256 mask colours: black is background, cream (255) is ignored."""
    return ListedColormap(voc_palette() / 255)


@styled_figure
def scenes_with_masks(
    images: Sequence[Image.Image],
    masks: Sequence[UInt8[ndarray, "H W"]],
    parts: Sequence[UInt8[ndarray, "H W"]],
    titles: Sequence[str],
) -> Figure:
    """Three rows: the scenes, their masks in VOC's colours, their heads and bodies."""
    width = max(1.4 * len(images), 5.4)  # that of the title
    figure, axes = plt.subplots(3, len(images), figsize=(width, 4.7), squeeze=False)
    palette = ListedColormap(["white", PART_COLORS["head"], PART_COLORS["body"]])
    for column, image in enumerate(images):
        axes[0, column].imshow(coarse(np.asarray(image) / 255))
        axes[0, column].set_title(titles[column], fontsize=9)
        axes[1, column].imshow(masks[column], cmap=voc_colormap(), vmin=0, vmax=255)
        axes[2, column].imshow(parts[column], cmap=palette, vmin=0, vmax=2)
    for axis, label in zip(axes[:, 0], ("image", "mask", "parts"), strict=True):
        axis.set_ylabel(label)
    bare(axes)
    _part_legend(figure, ("head", "body"))
    figure.suptitle("Scenes: the head names the class, the body only goes with it")
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
    rows, width = len(images), len(columns) + 2
    figure, axes = plt.subplots(
        rows, width, figsize=(0.92 * width + 0.3, 0.92 * rows + 0.7), squeeze=False
    )
    for row, image in enumerate(images):
        axes[row, 0].imshow(coarse(np.asarray(image) / 255))
        axes[row, 0].set_ylabel(row_labels[row], fontsize=8)
        for column, maps in enumerate(columns.values(), start=1):
            _overlay(axes[row, column], image, maps[row], truths[row], cut)
        axes[row, -1].imshow(truths[row], cmap="gray", vmin=0, vmax=1)
    for axis, name in zip(axes[0], ("image", *columns, "truth"), strict=True):
        axis.set_title(name, fontsize=9)
    bare(axes)
    figure.suptitle(title)
    return figure


@styled_figure
def map_frame(
    image: Image.Image,
    maps: Mapping[str, Float[ndarray, "H W"]],
    truth: Bool[ndarray, "H W"],
    captions: Sequence[str],
) -> Figure:
    """One frame of the animation: maps laid over the image, a caption under each."""
    figure, axes = plt.subplots(1, len(maps), figsize=(2.3 * len(maps), 2.8), squeeze=False)
    for axis, (title, one), caption in zip(axes[0], maps.items(), captions, strict=True):
        _overlay(axis, image, one, truth)
        axis.set_title(title)
        axis.set_xlabel(caption, fontsize=9)
    bare(axes)
    return figure


@styled_figure
def by_part(values: Mapping[str, ArrayLike], ylabel: str, title: str) -> Figure:
    """A bar for each part: the mean over nets; a dot for each net.

    Args:
        values: ``"head"``, ``"body"`` or ``"background"`` -> (nets,).
        ylabel: what is measured, with its unit.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(4.5, 2.9))
    for place, (name, one) in enumerate(values.items()):
        one = np.atleast_1d(one)
        axis.bar(place, one.mean(), color=PART_COLORS[name], alpha=0.7, width=0.6)
        axis.plot(np.full(one.shape, place), one, "o", color="black", markersize=4)
    axis.set_xticks(range(len(values)), list(values))
    axis.set(ylabel=ylabel, title=title)
    axis.grid(False, axis="x")
    return figure


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
    figure, axes = plt.subplots(1, 2 + len(kept), figsize=(1.75 * (2 + len(kept)), 2.2))
    panels = [("feature", features, "Greys", None), ("CAM", cam, "magma", None)]
    panels += [(name, features, "Greys", mask) for name, mask in kept.items()]
    for axis, (title, grid, colors, mask) in zip(axes, panels, strict=True):
        shown = grid if mask is None else np.ma.masked_array(grid, ~mask)
        axis.imshow(shown, cmap=colors, vmin=0, vmax=1.6 * grid.max())
        for (row, column), value in np.ndenumerate(grid):
            if mask is None or mask[row, column]:
                dark = colors == "magma" and value < 0.9 * grid.max()
                axis.text(
                    column, row, f"{value:g}", ha="center", va="center", fontsize=9,
                    color="white" if dark else "black",
                )  # fmt: skip
        axis.set_title(title, fontsize=9)
    bare(axes)
    return figure


@styled_figure
def kept_share(
    thresholds: ArrayLike, shares: Mapping[str, ArrayLike], marked: float, title: str
) -> Figure:
    """Which share of each part's positions GNDRP keeps, against its threshold tau.

    Args:
        thresholds: (T,).
        shares: part -> (T,) in [0, 1].
        marked: the tau in use.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(5, 3))
    for name, values in shares.items():
        axis.plot(thresholds, values, color=PART_COLORS[name], linewidth=2, label=name)
    axis.axvline(marked, color="black", linewidth=0.8, linestyle=":")
    axis.text(marked, 0.02, f" $\\tau$ = {marked:g}", fontsize=9)
    axis.set(xlabel="threshold $\\tau$", ylabel="share of pixels kept", title=title)
    axis.legend(loc="lower right")
    return figure


@styled_figure
def scores_of_methods(scores: Mapping[str, ArrayLike], ylabel: str, title: str) -> Figure:
    """A dot for each net and a bar for their mean, one column a method; nets are joined.

    Args:
        scores: method -> (nets,).
        ylabel: what is measured, with its unit.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(6.2, 3.2))
    values = np.array([np.atleast_1d(one) for one in scores.values()])
    places = np.arange(len(scores))
    for net in values.T:
        axis.plot(places, net, color="#BBBBBB", linewidth=1, zorder=1)
    for place, net, (color, marker) in zip(places, values, cycle(METHOD_STYLES), strict=False):
        axis.plot(np.full(net.shape, place), net, marker, color=color, zorder=2)
        axis.hlines(net.mean(), place - 0.22, place + 0.22, color=color, linewidth=3, zorder=3)
    axis.set_xticks(places, list(scores), fontsize=9)
    axis.set(ylabel=ylabel, title=title, xlim=(-0.5, len(scores) - 0.5))
    return figure


@styled_figure
def curves(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]], xlabel: str, ylabel: str, title: str
) -> Figure:
    """Score against step or logit: a line for the mean over nets, a band from least to most.

    Args:
        lines: name -> ((S,) or (nets, S) places, (nets, S) values).
        xlabel: what the places are, with unit.
        ylabel: what the values are, with unit.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(6, 3.3))
    for (name, (places, values)), (color, marker) in zip(
        lines.items(), cycle(METHOD_STYLES[1:]), strict=False
    ):
        values, places = np.atleast_2d(values), np.asarray(places, float)
        where = places if places.ndim == 1 else places.mean(axis=0)
        axis.fill_between(where, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
        axis.plot(where, values.mean(0), color=color, marker=marker, markersize=4, label=name)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    legend_below(figure, axis)
    return figure


@styled_figure
def tradeoffs(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]], xlabel: str, ylabel: str, title: str
) -> Figure:
    """One score against another as a threshold moves, a line for each method.

    Args:
        lines: method -> ((T,), (T,)) the two scores at each threshold.
        xlabel: the first score, with its unit.
        ylabel: the second score, with its unit.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(6, 3.6))
    for (name, (x, y)), (color, marker) in zip(lines.items(), cycle(METHOD_STYLES), strict=False):
        axis.plot(x, y, color=color, marker=marker, markersize=3, linewidth=1.2, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    legend_below(figure, axis)
    return figure


@styled_figure
def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    ylabel: str,
    title: str,
    errors: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Bars side by side: one group a class or part, one colour a method.

    Args:
        groups: method -> group -> value.
        ylabel: what is measured, with its unit.
        title: what to see.
        errors: the same, half-lengths of the error bars.
    """
    names = list(next(iter(groups.values())))
    figure, axis = plt.subplots(figsize=(max(4.5, 0.75 * len(names) + 1.5), 3.2))
    width = 0.8 / len(groups)
    styles = METHOD_STYLES if len(groups) > 2 else [METHOD_STYLES[0], METHOD_STYLES[3]]
    for place, ((method, values), (color, _)) in enumerate(
        zip(groups.items(), cycle(styles), strict=False)
    ):
        offset = (place - (len(groups) - 1) / 2) * width
        heights = [values[name] for name in names]
        spread = [errors[method][name] for name in names] if errors else None
        axis.bar(
            np.arange(len(names)) + offset, heights, width, color=color, label=method,
            yerr=spread, error_kw={"linewidth": 1},
        )  # fmt: skip
    axis.set_xticks(range(len(names)), names, rotation=0 if len(names) < 5 else 25)
    axis.set(ylabel=ylabel, title=title)
    axis.grid(False, axis="x")
    legend_below(figure, axis, columns=len(groups))
    return figure


@styled_figure
def changes_by_image(changes: Mapping[str, ArrayLike], xlabel: str, title: str) -> Figure:
    """A histogram of each method's change against the CAM, image by image.

    Args:
        changes: method -> (images,).
        xlabel: what changes, with its unit.
        title: what to see.
    """
    figure, axes = plt.subplots(
        1, len(changes), figsize=(3.1 * len(changes), 2.8), sharey=True, squeeze=False
    )
    everything = np.concatenate([np.asarray(one) for one in changes.values()])
    reach = max(1.0, np.abs(everything).max())
    bins = np.linspace(-reach, reach, 32)  # 0 is the middle of a bin
    for axis, (name, values), (color, _) in zip(
        axes[0], changes.items(), cycle(METHOD_STYLES[2:]), strict=False
    ):
        values = np.asarray(values)
        axis.hist(values, bins, color=color, alpha=0.8)
        axis.axvline(0, color="black", linewidth=0.8)
        better, worse = (values > 0).mean(), (values < 0).mean()
        axis.set(xlabel=xlabel, title=f"{name}: {better:.0%} better, {worse:.0%} worse")
        axis.title.set_fontsize(9)
    axes[0, 0].set_ylabel("images")
    figure.suptitle(title)
    return figure


def _overlay(
    axis: Axes,
    image: Image.Image,
    one: Float[ndarray, "H W"],
    truth: Bool[ndarray, "H W"],
    cut: float | None = None,
) -> None:
    """The map in colour over the grey image, the truth outlined, and the seed in white."""
    grey = np.asarray(image.convert("L"))[:, :, None] / 255
    colours = plt.get_cmap("magma")(np.clip(one, 0, 1))[:, :, :3]
    axis.imshow(coarse(0.25 * grey + 0.75 * colours))
    if truth.any() and not truth.all():
        axis.contour(truth, [0.5], colors="#56B4E9", linewidths=0.9)
    if cut is not None and one.min() < cut < one.max():
        axis.contour(one, [cut], colors="white", linewidths=0.9)


def _part_legend(figure: Figure, names: Sequence[str]) -> None:
    handles = [
        plt.Line2D([], [], color=PART_COLORS[name], marker="s", linestyle="", label=name)
        for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names))
