"""Figures of curves: something over steps, thresholds, logits or epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ribnb.figures.style import BLUE, Look, legend_below, looks, styled_figure
from ribnb.scores.iou import SeedScore

Lines = Mapping[str, tuple[ArrayLike, ArrayLike]]  # name -> its x, and y or rows of y


@styled_figure
def curves(
    lines: Lines, xlabel: str, ylabel: str, title: str, marked: Mapping[str, float] | None = None
) -> Figure:
    """A line for each name; with several nets the mean over them, a band from least to most.

    Args:
        lines: name -> ((S,) or (nets, S) places, (S,) or (nets, S) values).
        xlabel: what the places are, with unit.
        ylabel: what the values are, with unit.
        title: what to see.
        marked: words -> a place that gets a dotted line.
    """
    figure, axis = plt.subplots(figsize=(6, 3.3))
    for (name, (places, values)), look in zip(lines.items(), looks(lines).values(), strict=True):
        draw_line(axis, places, values, look, name)
    for words, place in (marked or {}).items():
        axis.axvline(place, color="black", linewidth=0.8, linestyle=":")
        axis.text(place, axis.get_ylim()[0], f" {words}", fontsize=9, va="bottom")
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    legend_below(figure, axis)
    return figure


def draw_line(
    axis: Axes,
    places: ArrayLike,
    values: ArrayLike,
    look: Look,
    label: str,
    quantiles: tuple[float, float] = (0, 1),
) -> None:
    """The mean over rows of values and a band between two of their quantiles.

    Few points get marks; an axis of whole numbers gets whole ticks.
    """
    values, places = np.atleast_2d(np.asarray(values, float)), np.asarray(places, float)
    places = places.mean(axis=0) if places.ndim == 2 else places
    if len(values) > 1:
        low, high = np.quantile(values, quantiles, axis=0)
        axis.fill_between(places, low, high, color=look.color, alpha=0.2, linewidth=0)
    few = len(places) <= 60
    axis.plot(
        places, values.mean(axis=0), color=look.color, marker=look.marker if few else None,
        markersize=4 if len(places) <= 20 else 2.5, linewidth=1.5, label=label,
    )  # fmt: skip
    if np.array_equal(places, places.round()):
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


@styled_figure
def threshold_sweep(
    scores: Mapping[str, SeedScore], title: str, ylabel: str = "seed mIoU (%)"
) -> Figure:
    """mIoU against the background threshold; the best of each is marked.

    Args:
        scores: name of the maps -> their scores.
        title: what to see.
        ylabel: whose mIoU it is.
    """
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


@styled_figure
def training_curves(losses: Sequence[float], precisions: Sequence[float]) -> Figure:
    """Mean loss of each epoch, and mAP in % after each.

    Args:
        losses: one an epoch.
        precisions: mAP in [0, 1], one an epoch.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    for axis, values in ((left, losses), (right, 100 * np.asarray(precisions))):
        draw_line(axis, np.arange(1, len(values) + 1), values, Look(BLUE, "o"), "")
        axis.set_xlabel("epoch")
    left.set(ylabel="mean loss L_BCE", title="The loss falls", ylim=(0, None))
    right.set(ylabel="mAP (%)", title="Precision on other images", ylim=(0, 102))
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
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.2))
    titles = ("The loss", "Its gradient: what moves the weights")
    for axis, lines, title in zip(axes, (losses, gradients), titles, strict=True):
        for (name, values), look in zip(lines.items(), looks(lines).values(), strict=True):
            axis.plot(np.asarray(logits), np.asarray(values), color=look.color, lw=2, label=name)
        axis.set(title=title, xlabel="logit $y$ of a present class")
    axes[0].set_ylabel("loss")
    axes[1].set_ylabel("d loss / d $y$")
    legend_below(figure, axes[0])
    return figure
