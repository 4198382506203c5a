"""Figures of numbers: curves, and comparisons over nets, images and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy import ndarray
from numpy.typing import ArrayLike
from torch import Tensor

from ribnb.figures.style import BLUE, REGION_NAMES, legend_below, looks, styled_figure, whole_ticks
from ribnb.scores.iou import SeedScore

Lines = Mapping[str, tuple[ArrayLike, ArrayLike]]  # name -> its x, and y or rows of y
MANY = 10  # rows of values: they are images, not nets

# Curves -----------------------------------------------------------------------------------------


@styled_figure
def curves(
    lines: Lines, xlabel: str, ylabel: str, title: str, marked: Mapping[str, float] | None = None
) -> Figure:
    """A line for each name; with several nets or images the mean over them, and a band.

    It goes from least to most; for more than ``MANY`` it holds the middle half of them.

    Args:
        lines: name -> ((S,) or (nets, S) places, (S,) or (nets, S) values).
        marked: words -> a place that gets a dotted line.
    """
    figure, axes = _panels({title: lines}, xlabel, (6, 3.3))
    for words, place in (marked or {}).items():
        axes[0, 0].axvline(place, color="black", linewidth=0.8, linestyle=":")
        axes[0, 0].text(place, axes[0, 0].get_ylim()[0], f" {words}", fontsize=9, va="bottom")
    axes[0, 0].set_ylabel(ylabel)
    legend_below(figure, axes[0, 0])
    return figure


@styled_figure
def hgr_curves(
    panels: Mapping[str, Mapping[str, ArrayLike]],
    xlabel: str,
    title: str = "",
    places: ArrayLike | None = None,
    marked: float | None = None,
) -> Figure:
    """The high gradient ratio of each region, as in Figures 1(c) and 2; four panels make a square.

    Lines are means over nets or images, bands as those of ``curves``.

    Args:
        panels: panel's title -> region -> (S,) or (nets or images, S) ratios.
        places: (S,); 0, 1, ... if not given.
        marked: a place that gets a dotted line.
    """
    rows = 2 if len(panels) == 4 else 1
    size = max(2.4 * len(panels) / rows, 4.5), 2.4 * rows + 0.8
    lines = {
        panel: {
            region: (range(np.shape(values)[-1]) if places is None else places, values)
            for region, values in ratios.items()
        }
        for panel, ratios in panels.items()
    }
    figure, axes = _panels(lines, xlabel, size, rows, sharex=True, sharey=True)
    for axis in axes.flat if marked is not None else ():
        axis.axvline(marked, color="black", linewidth=0.8, linestyle=":")
    plt.setp(axes[:, 0], ylabel="HGR", ylim=(-0.03, 1.05))
    figure.suptitle(title)
    legend_below(figure, axes[0, 0])
    return figure


@styled_figure
def training_curves(losses: Sequence[float], precisions: Sequence[float]) -> Figure:
    """Mean loss of each epoch, and mAP in [0, 1] after each, shown in %."""
    shown = {"The loss falls": losses, "Precision on other images": 100 * np.asarray(precisions)}
    panels = {title: {"L_BCE": (np.arange(len(y)) + 1, y)} for title, y in shown.items()}
    figure, axes = _panels(panels, "epoch", (7, 2.8))
    axes[0, 0].set(ylabel="mean loss L_BCE", ylim=(0, None))
    axes[0, 1].set(ylabel="mAP (%)", ylim=(0, 102))
    return figure


@styled_figure
def loss_and_gradient(
    logits: ArrayLike, losses: Mapping[str, ArrayLike], gradients: Mapping[str, ArrayLike]
) -> Figure:
    """Losses of a present class and their derivatives by its logit, all (N,), against its logit."""
    shown = {"The loss": losses, "Its gradient: what moves the weights": gradients}
    panels = {
        title: {name: (logits, y) for name, y in each.items()} for title, each in shown.items()
    }
    figure, axes = _panels(panels, "logit $y$ of a present class", (7.4, 3.2))
    axes[0, 0].set_ylabel("loss")
    axes[0, 1].set_ylabel("d loss / d $y$")
    legend_below(figure, axes[0, 0])
    return figure


def _panels(
    panels: Mapping[str, Lines],
    xlabel: str,
    size: tuple[float, float],
    rows: int = 1,
    **shared: bool,
) -> tuple[Figure, ndarray]:
    """Lines under each title; few points get marks, whole numbers whole ticks."""
    figure, axes = plt.subplots(rows, len(panels) // rows, figsize=size, squeeze=False, **shared)
    for axis, (title, lines) in zip(axes.flat, panels.items(), strict=True):
        for (name, (x, y)), look in zip(lines.items(), looks(lines).values(), strict=True):
            places, values = (np.atleast_2d(np.asarray(each, float)) for each in (x, y))
            places = places.mean(axis=0)
            if len(values) > 1:
                ends = (0, 1) if len(values) <= MANY else (0.25, 0.75)
                low, high = np.quantile(values, ends, axis=0)
                axis.fill_between(places, low, high, color=look.color, alpha=0.2, linewidth=0)
            axis.plot(
                places, values.mean(axis=0), color=look.color, linewidth=1.5,
                marker=look.marker if len(places) <= 60 else None,
                markersize=4 if len(places) <= 20 else 2.5, label=REGION_NAMES.get(name, name),
            )  # fmt: skip
            whole_ticks(axis, places)
        axis.set_title(title)
    plt.setp(axes[-1], xlabel=xlabel)
    return figure, axes


@styled_figure
def threshold_sweep(
    scores: Mapping[str, SeedScore], title: str, ylabel: str = "seed mIoU (%)"
) -> Figure:
    """mIoU of each kind of maps against the background threshold; the best is marked."""
    figure, axis = plt.subplots(figsize=(5.6, 3.2))
    for (name, score), look in zip(scores.items(), looks(scores).values(), strict=True):
        axis.plot(score.thresholds, score.miou, color=look.color, linewidth=2, label=name)
        best = score.best_threshold, score.best_miou
        axis.plot(*best, look.marker, color=look.color, markersize=8)
        axis.annotate(f"{best[1]:.1f}", best, (5, 5), textcoords="offset points", color=look.color)
    axis.set(xlabel="background threshold", ylabel=ylabel, title=title)
    axis.margins(y=0.15)
    legend_below(figure, axis)
    return figure


# Comparisons ------------------------------------------------------------------------------------


@styled_figure
def scores_of_methods(scores: Mapping[str, ArrayLike], ylabel: str, title: str) -> Figure:
    """A column for each method or part: a dot a net, a bar for their mean; nets are joined.

    ``scores`` are (nets,) for each, in the same order of nets everywhere; else ValueError.
    """
    figure, axis = plt.subplots(figsize=(1.1 * len(scores) + 1.8, 3.2))
    values = np.array([np.atleast_1d(one) for one in scores.values()], dtype=float)
    places = np.arange(len(scores))
    axis.plot(places, values, color="#BBBBBB", linewidth=1, zorder=1)
    for place, nets, look in zip(places, values, looks(scores).values(), strict=True):
        axis.plot(np.full(nets.shape, place), nets, look.marker, color=look.color, zorder=2)
        axis.hlines(nets.mean(), place - 0.22, place + 0.22, color=look.color, lw=3, zorder=3)
    axis.set_xticks(places, list(scores), fontsize=9)
    axis.set(ylabel=ylabel, title=title, xlim=(-0.5, len(scores) - 0.5))
    return figure


@styled_figure
def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    ylabel: str,
    title: str,
    errors: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Bars side by side: one group a class or part, one colour a method.

    ``groups`` is method -> group -> value; ``errors`` the same, half-lengths of the error bars.
    """
    frame = pd.DataFrame(groups)
    figure, axis = plt.subplots(figsize=(max(4.5, 0.75 * len(frame) + 1.5), 3.2))
    tilted = len(frame) > 4 and max(map(len, frame.index)) > 3
    frame.plot.bar(
        ax=axis, width=0.8, color=[look.color for look in looks(groups).values()], legend=False,
        rot=25 if tilted else 0, yerr=pd.DataFrame(errors) if errors else None,
        error_kw={"linewidth": 1},
    )  # fmt: skip
    axis.set(ylabel=ylabel, title=title)
    axis.grid(False, axis="x")
    legend_below(figure, axis)
    return figure


@styled_figure
def iou_by_class(scores: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """A row for each class: one mark for each kind of maps, joined.

    ``scores`` is name of the maps -> class name -> IoU in %; classes with NaN are left out.
    """
    frame = pd.DataFrame(scores).dropna()
    figure, axis = plt.subplots(figsize=(6, max(2.4, 0.26 * len(frame) + 1.1)))
    ends = frame.min(axis=1), frame.max(axis=1)
    axis.hlines(frame.index, *ends, color="#BBBBBB", linewidth=2)
    for name, look in looks(scores).items():
        axis.plot(frame[name], frame.index, look.marker, color=look.color, label=name)
    axis.margins(y=0.06)
    axis.invert_yaxis()
    axis.set(xlabel="IoU (%)", title=title)
    legend_below(figure, axis)
    return figure


@styled_figure
def class_statistics(labels: UInt8[Tensor, "N C"], class_names: Sequence[str]) -> Figure:
    """Left how many images show each class, right which classes are seen together."""
    import seaborn as sns  # takes a second

    present = labels.numpy().astype(float)
    counts = present.sum(axis=0)
    together = present.T @ present / np.maximum(counts, 1)[:, None]
    height = max(2.6, 0.24 * len(class_names) + 0.9)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, height))
    bars = left.barh(class_names, counts, color=BLUE, height=0.7)
    left.bar_label(bars, fmt="%d", padding=3, fontsize=8)
    left.set(xlabel="images", title="How often a class occurs", xlim=(0, 1.14 * counts.max()))
    left.invert_yaxis()
    left.grid(False, axis="y")
    sns.heatmap(
        together, ax=right, mask=np.eye(len(class_names), dtype=bool), cmap="Blues", vmin=0,
        xticklabels=class_names, yticklabels=class_names, square=True,
        cbar_kws={"shrink": 0.8, "format": PercentFormatter(1, decimals=0)},
    )  # fmt: skip
    right.set_title("Share of a row's images with the column")
    right.grid(False)
    return figure
