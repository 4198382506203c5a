"""The figures about masks: one image through every stage, masks side by side, their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from PIL import Image

from ribnb.figures.map_plots import METHOD_STYLES, voc_colormap
from ribnb.figures.style import bare, coarse, legend_below, styled_figure

KINDS = ("image", "mask", "map", "grey")


@styled_figure
def panels(shown: Mapping[str, tuple[str, Any]], title: str, columns: int = 6) -> Figure:
    """Small pictures in rows, each under its name.

    Args:
        shown: name -> (kind, picture): ``"image"`` a PIL image; ``"mask"`` (H, W) in VOC's
            colours, 255 cream; ``"map"`` (H, W) in [0, 1] in colours of heat; ``"grey"`` (H, W)
            from 0, black, to its maximum, white.
        title: what to see.
        columns: in a row.

    Raises:
        ValueError: another kind, or nothing to show.
    """
    if not shown:
        raise ValueError("there is no picture to show")
    for name, (kind, _) in shown.items():
        if kind not in KINDS:
            raise ValueError(f"{name}: kind must be one of {', '.join(KINDS)}; got {kind!r}")
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.35 * columns, 1.55 * rows + 0.35))
    axes = np.ravel(axes)
    for axis, (name, (kind, picture)) in zip(axes, shown.items(), strict=False):
        axis.set_title(name, fontsize=9)
        if kind == "image":
            axis.imshow(coarse(np.asarray(picture) / 255))
        elif kind == "mask":
            axis.imshow(picture, cmap=voc_colormap(), vmin=0, vmax=255)
        elif kind == "map":
            axis.imshow(np.round(np.asarray(picture) * 30) / 30, cmap="magma", vmin=0, vmax=1)
        else:
            grey = np.asarray(picture)
            grey = grey / (grey.max() or 1)
            axis.imshow(np.round(grey * 30) / 30, cmap="gray", vmin=0, vmax=1)
    bare(axes)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    figure.suptitle(title)
    return figure


@styled_figure
def mask_grid(
    images: Sequence[Image.Image],
    columns: Mapping[str, Sequence[UInt8[ndarray, "H W"]]],
    row_labels: Sequence[str],
    title: str,
) -> Figure:
    """One row an image: the image, then one mask a column in VOC's colours.

    Args:
        images: the images.
        columns: column title -> a mask for each image; 255 is cream.
        row_labels: a few words for each image.
        title: what to see.

    Raises:
        ValueError: no image; not one label and one mask a column for each image.
    """
    rows, width = len(images), len(columns) + 1
    if not rows:
        raise ValueError("there is no image to show; none has a mask in every column")
    for name, given in {"row_labels": row_labels, **columns}.items():
        if len(given) != rows:
            raise ValueError(f"{name}: there are {len(given)}, but {rows} images")
    figure, axes = plt.subplots(
        rows, width, figsize=(1.15 * width + 0.3, 1.15 * rows + 0.6), squeeze=False
    )
    for row, image in enumerate(images):
        axes[row, 0].imshow(coarse(np.asarray(image) / 255))
        axes[row, 0].set_ylabel(row_labels[row], fontsize=8)
        for column, masks in enumerate(columns.values(), start=1):
            axes[row, column].imshow(masks[row], cmap=voc_colormap(), vmin=0, vmax=255)
    for axis, name in zip(axes[0], ("image", *columns), strict=True):
        axis.set_title(name, fontsize=9)
    bare(axes)
    figure.suptitle(title)
    return figure


@styled_figure
def scores_by_row(
    scores: Mapping[str, Mapping[str, float]], xlabels: Mapping[str, str], title: str
) -> Figure:
    """One panel a score, side by side; in each a dot for every kind of masks.

    Args:
        scores: name of the score -> name of the masks -> value; a masks' name may be missing.
        xlabels: name of the score -> axis label, with its unit.
        title: what to see.
    """
    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    figure, axes = plt.subplots(
        1, len(scores), figsize=(2.7 * len(scores) + 0.9, 0.3 * len(names) + 1.2),
        sharey=True, squeeze=False,
    )  # fmt: skip
    for axis, (score, values) in zip(axes[0], scores.items(), strict=True):
        places = [names.index(name) for name in values]
        axis.plot(list(values.values()), places, "o", color=METHOD_STYLES[3][0], markersize=7)
        for name, value in values.items():
            axis.annotate(
                f"{value:.1f}", (value, names.index(name)), (0, 6),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
        axis.margins(x=0.18)
        axis.set_xlabel(xlabels[score])
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.4, -0.7)
    figure.suptitle(title)
    return figure


@styled_figure
def loss_curves(histories: Mapping[str, Sequence[float]], xlabel: str, title: str) -> Figure:
    """Mean losses of several trainings over time.

    Args:
        histories: name -> a loss for each step or epoch.
        xlabel: what the losses are counted in.
        title: what to see.
    """
    figure, axis = plt.subplots(figsize=(5.2, 3.0))
    for (name, losses), (color, marker) in zip(
        histories.items(), cycle(METHOD_STYLES), strict=False
    ):
        axis.plot(range(1, len(losses) + 1), losses, marker, ls="-", color=color, label=name, ms=4)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel=xlabel, ylabel="loss", title=title)
    legend_below(figure, axis)
    return figure


@styled_figure
def scores_by_net(scores: Mapping[str, Sequence[float]], ylabel: str, title: str) -> Figure:
    """A column for each kind of supervision: a dot a net, joined from column to column.

    Args:
        scores: name -> one value a net, in the same order of nets everywhere.
        ylabel: what is measured, with its unit.
        title: what to see.

    Raises:
        ValueError: not as many nets everywhere.
    """
    counts = {name: len(values) for name, values in scores.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"every column needs the same nets; got {counts}")
    values = np.array(list(scores.values()), dtype=float)
    figure, axis = plt.subplots(figsize=(1.1 * len(scores) + 1.4, 3.2))
    for net, (color, marker) in zip(range(values.shape[1]), cycle(METHOD_STYLES[1:]), strict=False):
        axis.plot(values[:, net], marker, ls="-", lw=1, color=color, label=f"net {net + 1}")
    axis.plot(values.mean(axis=1), "_", color="black", ms=26, label="mean")
    axis.set_xticks(range(len(scores)), list(scores))
    axis.set_xlim(-0.5, len(scores) - 0.5)
    axis.set(ylabel=ylabel, title=title)
    legend_below(figure, axis, columns=4)
    return figure
