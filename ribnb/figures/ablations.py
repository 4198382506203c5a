"""The figures of the ablations: one setting's curve, two as a heat map, switches.

Frames are tidy: one row a run, a column for each setting and each metric, and ``seed``; two runs of
one point and seed are a ValueError. What has no result (NaN, or no row) is never drawn as a number,
and is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ribnb.figures.style import BLUE, METHODS, legend_below, looks, styled_figure, whole_ticks
from ribnb.scores.iou import MARGIN

NAMES = {  # column -> how a reader knows it
    "iterations": "RIB steps K",
    "learning_rate": "step size λ",
    "margin": "margin m",
    "threshold": "τ of GNDRP",
    "batch_size": "batch size B",
    "seed_miou": "seed mIoU (%)",
}


@styled_figure
def setting_curves(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str | None,
    title: str,
    baseline: str | None = None,
    log: bool = False,
    panels: str | None = None,
) -> Figure:
    """A line for each value of ``by``: the mean over seeds, ± std as a band, the seeds as dots.

    Args:
        frame: one row a run.
        x: column of numbers along the axis.
        y: column of the metric; a point without any number has no mark.
        by: column of names, with a line for each; None: one line.
        baseline: column of the CAM's metric, dashed.
        log: a logarithmic x-axis.
        panels: column of names, with axes for each that has a number; None: one for all.
    """
    import seaborn as sns  # takes a second

    known = looks(dict.fromkeys(frame[by] if by else ["RIB"]))
    parts = {title: frame}
    if panels:
        kinds = [(kind, runs) for kind, runs in frame.groupby(panels, sort=False)]
        parts = {kind: runs for kind, runs in kinds if runs[y].notna().any()} or dict(kinds[:1])
        frame = pd.concat(parts.values())
    note = _over_seeds(frame, y, [column for column in (panels, x, by) if column])
    size = max(6.6, 3.7 * len(parts)), 4 if len(parts) == 1 else 3.5
    figure, axes = plt.subplots(1, len(parts), figsize=size, squeeze=False)
    for axis, (part, runs_of_all) in zip(axes[0], parts.items(), strict=True):
        if log:
            axis.set_xscale("log")
        lines = runs_of_all[by] if by else pd.Series("RIB", runs_of_all.index)
        for name, runs in runs_of_all.groupby(lines, sort=False):
            drawn = {"x": x, "y": y, "ax": axis, "color": known[name].color, "legend": False}
            sns.lineplot(runs, errorbar="sd", marker=known[name].marker, markeredgewidth=0,
                         label=name, err_kws={"alpha": 0.15, "linewidth": 0}, **drawn)  # fmt: skip
            sns.scatterplot(runs, alpha=0.5, s=14, linewidth=0, **drawn)
        if baseline:
            sns.lineplot(runs_of_all, x=x, y=baseline, errorbar=None, ax=axis, label="CAM",
                         legend=False, color=METHODS["cam"].color, linestyle="--",
                         zorder=1)  # fmt: skip
        values = runs_of_all[x].dropna().unique()
        if log and len(values) <= 8:
            axis.set_xticks(values, [f"{value:.3g}" for value in values])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.tick_params("x", rotation=45 if len(parts) > 1 else 0)
        elif not log:
            whole_ticks(axis, values)
        axis.set(xlabel=_name(x), ylabel=_name(y), title=part)
        axis.margins(y=0.1)
    if panels:
        figure.suptitle(title)
    legend_below(figure, axes[0, 0], f"dots: seeds, line: mean, band: {note}")
    return figure


@styled_figure
def heat_map(frame: pd.DataFrame, x: str, y: str, value: str, title: str) -> Figure:
    """A cell for each pair of settings: the mean over seeds as colour and number, ± std.

    Cells without a result are hatched. ``x``, ``y`` and ``value`` are columns: a setting to the
    right, one upwards, and the metric.
    """
    import seaborn as sns  # takes a second

    note = _over_seeds(frame, value, [x, y])
    table = frame.pivot_table(value, y, x, ["mean", "std"], dropna=False)
    mean, std = table["mean"], table["std"]
    words = mean.map("{:.1f}".format) + std.map("\n±{:.1f}".format).replace("\n±nan", "")
    size = max(4.6, 0.82 * mean.shape[1] + 2.2), max(2.8, 0.62 * mean.shape[0] + 1.5)
    figure, axis = plt.subplots(figsize=size)
    ends = np.nan_to_num([mean.min(axis=None), mean.max(axis=None)])
    sns.heatmap(mean, annot=words, fmt="", cmap="cividis", ax=axis, annot_kws={"size": 8.5},
                vmin=ends[0], vmax=ends[1], cbar_kws={"label": _name(value)})  # fmt: skip
    axis.patch.set(hatch="////", facecolor="white", edgecolor="#999999")  # where there is no cell
    axis.invert_yaxis()
    axis.grid(False)
    axis.tick_params(rotation=0)
    axis.set(xlabel=_name(x), ylabel=_name(y), title=title)
    legend_below(figure, axis, f"mean {note}")
    return figure


@styled_figure
def differences(rows: Iterable[Mapping[str, Any]], title: str) -> Figure:
    """A row for each comparison: its difference, the interval over images, each seed as a dot.

    Full marks have an interval without 0. A row has a ``label``, and ``difference``, ``low``,
    ``high`` in points and the list ``by_seed``, unless there is no result. The zone where a
    reader would see no difference is grey.
    """
    frame = pd.DataFrame(list(rows), columns=["label", "difference", "low", "high", "by_seed"])
    labels = [textwrap.fill(label, 38) for label in frame["label"]]
    height = sum(0.27 + 0.15 * label.count("\n") for label in labels) + 1.5
    figure, axis = plt.subplots(figsize=(7, max(2.6, height)))
    axis.axvline(0, color="#444444", linewidth=1, zorder=1)
    axis.axvspan(-MARGIN, MARGIN, color="#EEEEEE", zorder=0)
    found = frame.dropna(subset="difference")
    clear = (found["low"] > 0) | (found["high"] < 0)
    for full, label in ((True, "interval without 0"), (False, "interval with 0")):
        shown = found[clear == full]
        mean = shown["difference"]
        axis.errorbar(
            mean, shown.index, fmt="s", color=BLUE, mfc=BLUE if full else "white", markersize=7,
            xerr=[mean - shown["low"], shown["high"] - mean], linewidth=2, label=label,
        )  # fmt: skip
    seeds = found.explode("by_seed")
    axis.plot(seeds["by_seed"], seeds.index + 0.27, ".", color="#555555", ms=5, label="a net")
    for place in frame.index[frame["difference"].isna()]:
        axis.text(0, place, " no result", va="center", fontsize=8, color="#666666")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.45, -0.55)  # the first row on top
    axis.set(xlabel="difference of mIoU (points)", title=title)
    axis.grid(False, axis="y")
    axis.margins(x=0.08)
    legend_below(figure, axis)
    return figure


def _name(column: str) -> str:
    """How a reader knows a column of a frame."""
    return NAMES.get(column, column.replace("_", " "))


def _over_seeds(frame: pd.DataFrame, value: str, keys: list[str]) -> str:
    """Small print: over how many seeds, and how many runs have no result.

    Two results of one point and seed are a ValueError: what differs is never averaged.
    """
    runs = frame.dropna(subset=value)[[*keys, "seed"]]
    if runs.duplicated().any():
        point = runs[runs.duplicated()].iloc[0].to_dict()
        raise ValueError(f"two runs have {point}: choose the runs of one setting first")
    gaps = len(frame) - len(runs)
    missing = f"; {gaps} of {len(frame)} runs have no result" if gaps else ""
    return f"± std over {frame.groupby(keys)['seed'].nunique().max()} seeds{missing}"
