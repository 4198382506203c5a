"""The figures of the ablations: one setting's curve, two as a heat map, switches, cost.

Frames are tidy: one row a run, a column for each setting and each metric, and ``seed`` if there
are several. What has no result (NaN, or no row) is never drawn as a number, and is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ribnb.figures.style import BLUE, METHODS, legend_below, looks, styled_figure

NAMES = {  # column -> how a reader knows it
    "iterations": "RIB steps K",
    "learning_rate": "step size λ",
    "margin": "margin m",
    "threshold": "τ of GNDRP",
    "batch_size": "batch size B",
    "seed_miou": "seed mIoU (%)",
    "cam_seed_miou": "CAM",
    "seconds_per_image": "seconds an image",
}
DASHED = {"color": METHODS["CAM"].color, "linestyle": "--", "zorder": 1}  # the baseline


@styled_figure
def setting_curves(
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
        y: column of the metric; a point without any number has no mark.
        by: column with a line for each value; None: one line.
        title: what to see.
        baseline: column of the baseline's metric, dashed.
        log: a logarithmic x-axis.

    Raises:
        ValueError: two runs of one point and seed.
    """
    import seaborn as sns  # takes a second

    runs = _drawable(frame, y, [x, *([by] if by else [])])
    number = pd.api.types.is_numeric_dtype(runs[x]) and not pd.api.types.is_bool_dtype(runs[x])
    runs[x] = runs[x] if number else runs[x].map(_in_words)
    groups = runs[by].map(_in_words) if by else pd.Series(name_of(y), runs.index)
    if by and not pd.api.types.is_string_dtype(runs[by].dropna()):
        groups = name_of(by) + " = " + groups  # a number or yes and no needs its name
    known = looks(dict.fromkeys(groups)) if by else {name_of(y): METHODS["RIB with GNDRP"]}
    figure, axis = plt.subplots(figsize=(6.6, 4))
    if log:
        axis.set_xscale("log")
    for name, group in runs.groupby(groups, sort=False):
        look = known[name]
        drawn = {"x": x, "y": y, "ax": axis, "color": look.color, "legend": False}
        sns.lineplot(group, errorbar="sd", marker=look.marker, markeredgewidth=0, label=name,
                     err_kws={"alpha": 0.15, "linewidth": 0}, **drawn)  # fmt: skip
        sns.scatterplot(group, alpha=0.5, s=14, linewidth=0, **drawn)
    if baseline:
        sns.lineplot(runs, x=x, y=baseline, errorbar=None, ax=axis, label=name_of(baseline),
                     legend=False, **DASHED)  # fmt: skip
    if number:
        _number_ticks(axis, runs[x], log)
    axis.set(xlabel=name_of(x), ylabel=name_of(y), title=title)
    axis.margins(y=0.1)
    note = _seeds_in_words(runs, "line: mean, band: ± std over {} seeds, dots: seeds")
    gaps = runs[y].isna().sum()
    note += f"; {gaps} of {len(runs)} runs have no result" if gaps else ""
    legend_below(figure, axis, note)
    return figure


def _number_ticks(axis: plt.Axes, values: pd.Series, log: bool) -> None:
    values = np.unique(values)
    if log and len(values) <= 8:
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.xaxis.set_minor_locator(NullLocator())
    elif not log and np.issubdtype(values.dtype, np.integer):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


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
        ValueError: see ``setting_curves``.
    """
    import seaborn as sns  # takes a second

    runs = _drawable(frame, value, [x, y])
    table = runs.pivot_table(value, y, x, ["mean", "std", "count"], dropna=False)
    mean, std, count = (table[name] for name in ("mean", "std", "count"))
    most, words = count.max(axis=None), mean.map("{:.1f}".format)
    words += std.map(lambda one: "" if np.isnan(one) else f"\n±{one:.1f}")
    words += count.map(lambda one: f" ({one:.0f})" if one < most else "")
    size = max(4.6, 0.82 * mean.shape[1] + 2.2), max(2.8, 0.62 * mean.shape[0] + 1.5)
    figure, axis = plt.subplots(figsize=size)
    ends = np.nan_to_num([mean.min(axis=None), mean.max(axis=None)])
    sns.heatmap(mean, annot=words, fmt="", cmap="cividis", ax=axis, annot_kws={"size": 8.5},
                vmin=ends[0], vmax=ends[1], cbar_kws={"label": name_of(value)})  # fmt: skip
    axis.invert_yaxis()
    axis.grid(False)
    axis.set_yticks(axis.get_yticks(), [_in_words(one) for one in mean.index], rotation=0)
    axis.set_xticks(axis.get_xticks(), [_in_words(one) for one in mean.columns], rotation=0)
    axis.set(xlabel=name_of(x), ylabel=name_of(y), title=title)
    note = _seeds_in_words(runs, "mean ± std over {} seeds")
    if mean.isna().any(axis=None):
        hatched = {"hatch": "////", "facecolor": "white", "edgecolor": "#999999", "linewidth": 0}
        axis.patch.set(**hatched)  # shows where there is no cell
        missing = f"no result ({mean.isna().sum().sum()} of {mean.size} cells)"
        axis.add_patch(Rectangle((0, 0), 0, 0, label=missing, **hatched))
    if (count[count > 0] < most).any(axis=None):
        note += "; in brackets: of so many seeds only"
    legend_below(figure, axis, note)
    return figure


@styled_figure
def differences(rows: Iterable[Mapping[str, Any]], title: str) -> Figure:
    """A row for each switch: its difference, the interval over images, each seed as a dot.

    Full marks have an interval without 0.

    Args:
        rows: ``label``, and ``difference``, ``low``, ``high`` in points and the list ``by_seed``,
            unless there is no result.
        title: what to see.
    """
    frame = pd.DataFrame(list(rows), columns=["label", "difference", "low", "high", "by_seed"])
    labels = [textwrap.fill(str(label), 38) for label in frame["label"]]
    height = sum(0.4 + 0.16 * label.count("\n") for label in labels) + 1.5
    figure, axis = plt.subplots(figsize=(7, max(2.6, height)))
    axis.axvline(0, color="#444444", linewidth=1, zorder=1)
    found = frame.dropna(subset="difference").astype(
        dict.fromkeys(("difference", "low", "high"), float)
    )
    clear = (found["low"] > 0) | (found["high"] < 0)
    for full, label in ((True, "interval without 0"), (False, "interval with 0")):
        shown = found[clear == full]
        mean = shown["difference"]
        axis.errorbar(
            mean, shown.index, fmt="s", color=BLUE, mfc=BLUE if full else "white", markersize=7,
            xerr=[mean - shown["low"], shown["high"] - mean], linewidth=2, label=label,
        )  # fmt: skip
    seeds = found.explode("by_seed")
    axis.plot(seeds["by_seed"], seeds.index + 0.27, ".", color="#555555", ms=5, label="a seed")
    for place in frame.index[frame["difference"].isna()]:
        axis.annotate("no result", (0, place), (4, 0), textcoords="offset points", va="center",
                      fontsize=8, color="#666666")  # fmt: skip
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.45, -0.55)  # the first row on top
    axis.set(xlabel="difference of seed mIoU (points)", title=title)
    axis.grid(False, axis="y")
    axis.margins(x=0.08)
    legend_below(figure, axis)
    return figure


@styled_figure
def cost_and_quality(
    frame: pd.DataFrame, cost: str, value: str, label: str, title: str, log: bool = False
) -> Figure:
    """A point for each setting: what it costs and what it gives, means with ± std over seeds.

    The dotted line joins the best that each cost buys: nothing left of a point on it is better.

    Args:
        frame: one row a run.
        cost: column of the cost; less is better.
        value: column of the metric; more is better.
        label: column with the settings' names.
        title: what to see.
        log: a logarithmic cost axis.

    Raises:
        ValueError: see ``setting_curves``.
    """
    runs = _drawable(frame, value, [label])
    points = runs.groupby(label, sort=False)[[cost, value]].agg(["mean", "std"])
    mean = points.xs("mean", axis=1, level=1).dropna().sort_values(cost)
    std = points.xs("std", axis=1, level=1).loc[mean.index].fillna(0)
    figure, axis = plt.subplots(figsize=(7.2, 4.4))
    if log:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
    best = mean[mean[value] > mean[value].cummax().shift(fill_value=-np.inf)]
    axis.step(best[cost], best[value], ":", where="post", color=BLUE, zorder=1,
              label="best at that cost or less")  # fmt: skip
    for name, look in looks(mean.index).items():
        axis.errorbar(*mean.loc[name], std.loc[name, value], std.loc[name, cost], fmt=look.marker,
                      color=look.color, elinewidth=1, label=name)  # fmt: skip
    axis.set(xlabel=name_of(cost), ylabel=name_of(value), title=title)
    note = _seeds_in_words(runs, "from the cheapest; mean ± std over {} seeds")
    left_out = [name for name in points.index if name not in mean.index]
    note += f"; no result: {', '.join(left_out)}" if left_out else ""
    legend_below(figure, axis, note)
    return figure


def name_of(column: str) -> str:
    """How a reader knows a column of a frame."""
    return NAMES.get(column, column.replace("_", " "))


def _drawable(frame: pd.DataFrame, value: str, keys: list[str]) -> pd.DataFrame:
    """A copy of the frame that can be drawn; ValueError says why it cannot."""
    if "seed" in frame:
        known = frame[frame[value].notna()]
        words = known[keys].map(_in_words).assign(seed=known["seed"])
        for _, twice in words[words.duplicated()].iterrows():
            point = ", ".join(f"{key} = {word}" for key, word in twice.items())
            raise ValueError(
                f"two runs have {point}: they differ in another setting, or one is there twice; "
                "choose the runs of one setting first"
            )
    return frame.copy()


def _in_words(value: Any) -> str:
    """A setting's value for a reader; also makes lists comparable."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, value))
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seeds_in_words(runs: pd.DataFrame, words: str) -> str:
    if "seed" not in runs:
        return words.replace("{} seeds", "runs").replace("seeds", "runs")
    number = runs["seed"].nunique()
    return "one seed: no spread" if number == 1 else words.format(number)
