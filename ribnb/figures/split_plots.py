"""The figures about a whole split: its classes, its classifier, its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.figures.map_plots import METHOD_STYLES, voc_colormap
from ribnb.figures.style import bare, coarse, legend_below, styled_figure
from ribnb.scores.iou import SeedScore

BLUE = METHOD_STYLES[3][0]
STOPS = {"margin": "#009E73", "flood": "#D55E00", "none": "#BBBBBB"}


@styled_figure
def class_statistics(labels: UInt8[Tensor, "N C"], class_names: Sequence[str]) -> Figure:
    """Left how many images show each class, right which classes are seen together.

    Args:
        labels: 1 where a class is in the image.
        class_names: C names.
    """
    present = labels.numpy().astype(float)
    counts = present.sum(axis=0)
    together = present.T @ present / np.maximum(counts, 1)[:, None]
    np.fill_diagonal(together, np.nan)
    height = max(2.6, 0.24 * len(class_names) + 0.9)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, height))
    places = np.arange(len(class_names))
    left.barh(places, counts, color=BLUE, height=0.7)
    for place, count in zip(places, counts, strict=True):
        left.text(count, place, f" {count:.0f}", va="center", fontsize=8)
    left.set_yticks(places, class_names)
    left.set(xlabel="images", title="How often a class occurs", xlim=(0, 1.14 * counts.max()))
    left.invert_yaxis()
    left.grid(False, axis="y")
    highest = max(0.1, np.nan_to_num(together).max())
    shown = right.imshow(together, cmap="Blues", vmin=0, vmax=highest)
    right.set_xticks(places, class_names, rotation=90)
    right.set_yticks(places, class_names)
    right.set(title="Share of a row's images with the column")
    right.grid(False)
    figure.colorbar(shown, ax=right, shrink=0.8, format=PercentFormatter(1, decimals=0))
    return figure


@styled_figure
def images_with_masks(
    images: Sequence[Image.Image], masks: Sequence[UInt8[ndarray, "H W"]], titles: Sequence[str]
) -> Figure:
    """Two rows: images, and their masks in VOC's colours; black is background, cream ignored."""
    figure, axes = plt.subplots(2, len(images), figsize=(1.75 * len(images), 3.9), squeeze=False)
    for column, image in enumerate(images):
        axes[0, column].imshow(coarse(np.asarray(image) / 255))
        axes[0, column].set_title(titles[column], fontsize=9)
        axes[1, column].imshow(masks[column], cmap=voc_colormap(), vmin=0, vmax=255)
    bare(axes)
    figure.suptitle("What is to be found, and what the classifier is never shown")
    return figure


@styled_figure
def training_curves(losses: Sequence[float], precisions: Sequence[float]) -> Figure:
    """Mean loss of each epoch, and mAP in % after each.

    Args:
        losses: one an epoch.
        precisions: mAP in [0, 1], one an epoch.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    left.plot(range(1, len(losses) + 1), losses, "o-", color=BLUE)
    left.set(xlabel="epoch", ylabel="mean loss L_BCE", title="The loss falls", ylim=(0, None))
    percent = 100 * np.asarray(precisions)
    right.plot(range(1, len(percent) + 1), percent, "s-", color=BLUE)
    right.set(xlabel="epoch", ylabel="mAP (%)", title="Precision on other images", ylim=(0, 102))
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    return figure


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
    styles = cycle((METHOD_STYLES[0], METHOD_STYLES[3], METHOD_STYLES[4]))
    for (name, score), (color, marker) in zip(scores.items(), styles, strict=False):
        axis.plot(score.thresholds, score.miou, color=color, linewidth=2, label=name)
        best = score.best_threshold, score.best_miou
        axis.plot(*best, marker, color=color, markersize=8)
        axis.annotate(f"{best[1]:.1f}", best, (5, 5), textcoords="offset points", color=color)
    axis.set(xlabel="background threshold", ylabel=ylabel, title=title)
    axis.margins(y=0.15)
    legend_below(figure, axis)
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
    places = np.arange(len(names))
    axis.hlines(places, values.min(axis=0), values.max(axis=0), color="#BBBBBB", linewidth=2)
    styles = cycle(METHOD_STYLES[place] for place in (0, 3, 4, 2, 1))
    for (name, row), (color, marker) in zip(zip(scores, values, strict=True), styles, strict=False):
        axis.plot(row, places, marker, color=color, label=name)
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    axis.set(xlabel="IoU (%)", title=title)
    legend_below(figure, axis)
    return figure


@styled_figure
def stops_by_step(stops: Mapping[str, Sequence[int]], title: str) -> Figure:
    """How many images were stopped at each step, and by which rule.

    Args:
        stops: ``"margin"`` and ``"flood"`` -> the step of each image stopped so; ``"none"`` ->
            the last step of the others.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(5.6, 2.8))
    last = max((step for steps in stops.values() for step in steps), default=0)
    bottom = np.zeros(last + 1)
    for name, color in STOPS.items():
        counts = np.bincount(np.asarray(stops.get(name, []), int), minlength=last + 1)
        label = "ran to its end" if name == "none" else f"stopped by {name}"
        axis.bar(range(last + 1), counts, bottom=bottom, color=color, label=label)
        bottom = bottom + counts
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="last step k whose map counts", ylabel="images", title=title)
    axis.grid(False, axis="x")
    legend_below(figure, axis)
    return figure
