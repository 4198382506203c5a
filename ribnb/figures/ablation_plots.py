"""The figures of the ablations: one setting's curve, two as a heat map, switches, cost.

Frames are tidy: one row a run, a column for each setting and each metric, and ``seed`` if there
are several. What has no result (NaN, or no row) is never drawn as a number, and is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from ribnb.figures.label_places import place_labels
from ribnb.figures.map_plots import METHOD_STYLES
from ribnb.figures.plot_frames import (
    add_legend,
    along,
    baseline_of,
    checked,
    drawable,
    gaps_in_words,
    line_name,
    line_styles,
    name_of,
    seeds_in_words,
    word_of,
    words_of,
)
from ribnb.figures.style import styled_figure

BLUE = METHOD_STYLES[3][0]
LOOKS = (METHOD_STYLES[3], METHOD_STYLES[4])  # in the range of thresholds, and with any
RANGES = ("0.20 to 0.49, ", "any threshold, ")  # before what a mark means


@styled_figure
def curves(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str | None,
    title: str,
    baseline: str | None = None,
    log: bool = False,
) -> Figure:
    """A line for each value of ``by``: the mean over seeds, ± std as a band, the seeds as dots.

    Args:
        frame: one row a run.
        x: column along the axis; anything but numbers is spread evenly, as it comes.
        y: column of the metric; a NaN leaves a gap.
        by: column with a line for each value; None: one line.
        title: what to see.
        baseline: column of the baseline's metric, dashed.
        log: a logarithmic x-axis.

    Raises:
        ValueError: an empty frame; no such column; no number at all; two runs of one point and
            seed; log with numbers not above 0.
    """
    keys = [x, *([by] if by else [])]
    runs = drawable(frame, y, keys, baseline)
    figure, axis = plt.subplots(figsize=(6.6, 4))
    places = runs[f"{x} at"] = along(axis, runs[x], log)
    if by is None:
        groups = {name_of(y): runs}
    else:
        groups = {word: runs[runs[by].map(word_of) == word] for word in words_of(runs[by])}
        named = not pd.api.types.is_string_dtype(runs[by].dropna())
        groups = {line_name(by, word, named): group for word, group in groups.items()}
    for (label, group), (color, marker, dashes) in zip(groups.items(), line_styles(), strict=False):
        at = group.groupby(f"{x} at")[y]
        mean, std = at.mean(), at.std()
        axis.fill_between(mean.index, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)
        axis.plot(group[f"{x} at"], group[y], ".", color=color, alpha=0.5, markersize=4)
        axis.plot(
            mean.index, mean, dashes, marker=marker, color=color, markersize=5, label=label
        )  # fmt: skip
    if baseline:
        line = baseline_of(runs, baseline, places)
        axis.plot(line.index, line, "--", color="#444444", label=name_of(baseline), zorder=1)
    axis.set(xlabel=name_of(x), ylabel=name_of(y), title=title)
    axis.margins(y=0.1)
    note = [
        seeds_in_words(runs, "line: mean, band: ± std over {} seeds, dots: seeds"),
        gaps_in_words(runs[y]),
    ]
    add_legend(figure, *axis.get_legend_handles_labels(), note)
    return figure


@styled_figure
def heat_map(frame: pd.DataFrame, x: str, y: str, value: str, title: str) -> Figure:
    """A cell for each pair of settings: the mean over seeds as colour and number, ± std.

    Cells without a result are hatched; those with fewer seeds than others say how many.

    Args:
        frame: one row a run.
        x: column of the setting to the right.
        y: column of the setting upwards.
        value: column of the metric.
        title: what to see.

    Raises:
        ValueError: see ``curves``.
    """
    runs = drawable(frame, value, [x, y])
    columns, rows = words_of(runs[x]), words_of(runs[y])
    cells = runs.groupby([runs[y].map(word_of), runs[x].map(word_of)])[value]
    tables = [table.unstack().reindex(rows, columns=columns).to_numpy(float) for table in (
        cells.mean(), cells.std(), cells.count()
    )]  # fmt: skip
    mean, std, count = tables
    count = np.nan_to_num(count)  # a pair without a row at all
    size = 0.82 * len(columns) + 2.2, 0.62 * len(rows) + 1.5
    figure, axis = plt.subplots(figsize=(max(4.6, size[0]), max(2.8, size[1])))
    shown = axis.imshow(np.ma.masked_invalid(mean), cmap="cividis", origin="lower", aspect="auto")
    for row, column in product(range(len(rows)), range(len(columns))):
        if np.isnan(mean[row, column]):
            corner = column - 0.5, row - 0.5
            axis.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="////", ec="#999999", lw=0))
            continue
        words = f"{mean[row, column]:.1f}"
        if not np.isnan(std[row, column]):
            words += f"\n±{std[row, column]:.1f}"
        if count[row, column] < count.max():
            words += f" ({count[row, column]:.0f})"
        dark = np.dot(shown.to_rgba(mean[row, column])[:3], (0.30, 0.59, 0.11)) < 0.5
        ink = "white" if dark else "black"
        axis.text(column, row, words, ha="center", va="center", color=ink, fontsize=8.5)
    tilt = 30 if max(map(len, columns)) > 9 else 0
    axis.set_xticks(range(len(columns)), columns, rotation=tilt, ha="right" if tilt else "center")
    axis.set_yticks(range(len(rows)), [textwrap.fill(row, 24) for row in rows])
    axis.set(xlabel=name_of(x), ylabel=name_of(y), title=title)
    axis.grid(False)
    figure.colorbar(shown, ax=axis, label=name_of(value))
    note, patch = [seeds_in_words(runs, "mean ± std over {} seeds")], {}
    if np.isnan(mean).any():
        missing = f"no result ({np.isnan(mean).sum()} of {mean.size} cells)"
        patch[missing] = Patch(fc="none", hatch="////", ec="#999999", lw=0)
    if (count[count > 0] < count.max()).any():
        note.append("in brackets: of so many seeds only")
    add_legend(figure, patch.values(), patch, note)
    return figure


@styled_figure
def differences(
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    title: str,
    others: pd.DataFrame | Iterable[Mapping[str, Any]] | None = None,
) -> Figure:
    """A row for each switch: its difference, the interval over images, each seed as a dot.

    Full marks have an interval without 0.

    Args:
        rows: ``label``, ``difference``, ``low``, ``high`` in points and the list ``by_seed``, such
            as ``{"label": ..., **difference.as_dict()}``; NaN or None where there is no result.
        title: what to see.
        others: the same rows with any threshold, drawn below each in another colour and form.

    Raises:
        ValueError: no row, or nothing but NaN; a row that lacks one of these.
    """
    wanted = ["label", "difference", "low", "high", "by_seed"]
    tracks = [checked(pd.DataFrame(one), wanted) for one in (rows, others) if one is not None]
    numbers = [one[["difference", "low", "high"]].astype(float) for one in tracks]
    if all(one["difference"].isna().all() for one in numbers):
        raise ValueError("no row has a difference: there is nothing to draw yet; run the batch")
    if any(one["label"].tolist() != tracks[0]["label"].tolist() for one in tracks):
        raise ValueError("the others must be of the same rows in the same order")
    labels = [textwrap.fill(str(label), 38) for label in tracks[0]["label"]]
    each = 0.1 + 0.14 * len(tracks)
    height = sum(each + 0.16 * (1 + label.count("\n")) for label in labels) + 1.5
    figure, axis = plt.subplots(figsize=(7, max(2.6, height)))
    axis.axvline(0, color="#444444", linewidth=1, zorder=1)
    starts = (0.0,) if len(tracks) == 1 else (-0.22, 0.18)
    for track, of, start, look in zip(tracks, numbers, starts, LOOKS, strict=False):
        pairs = zip(of.itertuples(index=False), track["by_seed"], strict=True)
        for place, (found, seeds) in enumerate(pairs):
            _difference(axis, place + start, found, seeds, look, 0.27 / len(tracks))
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.45, -0.55)  # the first row on top
    axis.set(xlabel="difference of seed mIoU (points)", title=title)
    axis.grid(False, axis="y")
    axis.margins(x=0.08)
    names = ("",) if len(tracks) == 1 else RANGES
    for (color, marker), name in zip(LOOKS, names, strict=False):
        style = {"marker": marker, "color": color, "linewidth": 2}
        axis.plot([], [], label=f"{name}interval without 0", **style)
        axis.plot([], [], label="interval with 0", mfc="white", **style)
    axis.plot([], [], ".", label="a seed", color="#555555")
    add_legend(figure, *axis.get_legend_handles_labels())
    return figure


def _difference(axis: Axes, place: float, found: Any, seeds: Any, look: Any, below: float) -> None:
    """One difference with its interval, and its seeds that much below it."""
    color, marker = look
    if np.isnan(found.difference):
        axis.annotate("no result", (0, place), (4, 0), textcoords="offset points",
                      va="center", fontsize=8, color="#666666")  # fmt: skip
        return
    clear = found.low > 0 or found.high < 0
    axis.hlines(place, found.low, found.high, color=color, linewidth=2, zorder=2)
    axis.plot(found.difference, place, marker, color=color, mfc=color if clear else "white",
              markersize=7, zorder=3)  # fmt: skip
    dots = [] if seeds is None or np.isscalar(seeds) else list(seeds)
    axis.plot(dots, [place + below] * len(dots), ".", color="#555555", markersize=5, zorder=3)


@styled_figure
def cost_and_quality(
    frame: pd.DataFrame,
    cost: str,
    value: str,
    label: str,
    title: str,
    baseline: str | None = None,
    log: bool = False,
) -> Figure:
    """A point for each setting: what it costs and what it gives, means with ± std over seeds.

    The dotted line joins the best that each cost buys: nothing left of a point on it is better.

    Args:
        frame: one row a run.
        cost: column of the cost; less is better.
        value: column of the metric; more is better.
        label: column with the settings' names.
        title: what to see.
        baseline: column of the baseline's metric, a dashed line at its mean.
        log: a logarithmic cost axis.

    Raises:
        ValueError: see ``curves``.
    """
    runs = drawable(frame, value, [label], baseline)
    checked(runs, [cost])
    found = runs.dropna(subset=[cost, value])
    if found.empty:
        raise ValueError(f"no run has both {cost} and {value}: there is nothing to draw yet")
    if log and not (found[cost] > 0).all():
        raise ValueError(f"a logarithmic axis needs {cost} above 0; got {found[cost].min()}")
    points = found.groupby(found[label].map(word_of), sort=False)[[cost, value]]
    mean, std = points.mean(), points.std()
    figure, axis = plt.subplots(figsize=(7, 4.6))
    if log:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
    best = mean.sort_values(cost)
    best = best[best[value] > best[value].cummax().shift(fill_value=-np.inf)]
    steps = np.stack([np.repeat(best[cost], 2)[1:], np.repeat(best[value], 2)[:-1]], axis=1)
    axis.plot(*steps.T, ":", color=BLUE, zorder=1, label="best at that cost or less")
    axis.errorbar(mean[cost], mean[value], std[value].to_numpy(), std[cost].to_numpy(), "o",
                  color=BLUE, ecolor="#88B5D3", elinewidth=1, label="_points")  # fmt: skip
    if baseline:
        height = baseline_of(runs, baseline, pd.Series(0, runs.index)).iloc[0]
        axis.axhline(height, ls="--", color="#444444", label=name_of(baseline), zorder=1)
    axis.set(xlabel=name_of(cost), ylabel=name_of(value), title=title)
    axis.margins(x=0.18, y=0.15)
    left_out = [word for word in words_of(runs[label]) if word not in mean.index]
    note = [seeds_in_words(runs, "mean ± std over {} seeds")]
    note += [f"no result: {', '.join(left_out)}"] if left_out else []
    add_legend(figure, *axis.get_legend_handles_labels(), note)
    figure.draw_without_rendering()  # settles the layout, into which the labels are fitted
    figure.set_layout_engine("none")
    lines = [steps]
    for place, half in enumerate(std.fillna(0).to_numpy()):
        lines += [mean.iloc[[place] * 2] + np.outer([-1, 1], half * one) for one in np.eye(2)]
    if baseline:
        lines.append(np.stack([axis.get_xlim(), [height] * 2], axis=1))
    place_labels(axis, mean, lines)
    return figure
