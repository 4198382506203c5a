"""Figures that compare: methods over nets, classes and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike
from torch import Tensor

from ribnb.figures.style import BLUE, legend_below, looks, styled_figure


@styled_figure
def scores_of_methods(scores: Mapping[str, ArrayLike], ylabel: str, title: str) -> Figure:
    """A column for each method or part: a dot a net, a bar for their mean; nets are joined.

    Args:
        scores: method or part -> (nets,), in the same order of nets everywhere.
        ylabel: what is measured, with its unit.
        title: what to see.

    Raises:
        ValueError: not as many nets everywhere.
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

    Args:
        groups: method -> group -> value.
        ylabel: what is measured, with its unit.
        title: what to see.
        errors: the same, half-lengths of the error bars.
    """
    names = list(next(iter(groups.values())))
    figure, axis = plt.subplots(figsize=(max(4.5, 0.75 * len(names) + 1.5), 3.2))
    width, places = 0.8 / len(groups), np.arange(len(names)) - 0.4
    for column, (method, look) in enumerate(looks(groups).items()):
        axis.bar(
            places + column * width, [groups[method][name] for name in names], width,
            align="edge", color=look.color, label=method, error_kw={"linewidth": 1},
            yerr=[errors[method][name] for name in names] if errors else None,
        )  # fmt: skip
    tilted = len(names) > 4 and max(map(len, names)) > 3
    axis.set_xticks(range(len(names)), names, rotation=25 if tilted else 0)
    axis.set(ylabel=ylabel, title=title)
    axis.grid(False, axis="x")
    legend_below(figure, axis)
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
    reach = max(1.0, *(np.abs(values).max() for values in changes.values()))
    bins = np.linspace(-reach, reach, 32)  # 0 is the middle of a bin
    for axis, (name, look) in zip(axes[0], looks(changes).items(), strict=True):
        values = np.asarray(changes[name])
        axis.hist(values, bins, color=look.color, alpha=0.8)
        axis.axvline(0, color="black", linewidth=0.8)
        words = f"{name}: {(values > 0).mean():.0%} better, {(values < 0).mean():.0%} worse"
        axis.set_title(words, fontsize=9)
        axis.set_xlabel(xlabel)
    axes[0, 0].set_ylabel("images")
    figure.suptitle(title)
    return figure


@styled_figure
def iou_by_class(scores: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """A row for each class: one mark for each kind of maps, joined.

    Args:
        scores: name of the maps -> class name -> IoU in %; classes with NaN are left out.
        title: what to see.
    """
    first = next(iter(scores.values()))
    names = [name for name in first if all(np.isfinite(one[name]) for one in scores.values())]
    figure, axis = plt.subplots(figsize=(6, max(2.4, 0.26 * len(names) + 1.1)))
    values = np.array([[one[name] for name in names] for one in scores.values()])
    axis.hlines(names, values.min(axis=0), values.max(axis=0), color="#BBBBBB", linewidth=2)
    for row, (name, look) in zip(values, looks(scores).items(), strict=True):
        axis.plot(row, names, look.marker, color=look.color, label=name)
    axis.margins(y=0.06)
    axis.invert_yaxis()
    axis.set(xlabel="IoU (%)", title=title)
    legend_below(figure, axis)
    return figure


@styled_figure
def class_statistics(labels: UInt8[Tensor, "N C"], class_names: Sequence[str]) -> Figure:
    """Left how many images show each class, right which classes are seen together.

    Args:
        labels: 1 where a class is in the image.
        class_names: C names.
    """
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
