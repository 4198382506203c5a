"""The figures of the ablations: one setting's curve, two as a heat map, switches, cost.

Frames are tidy: one row a run, a column for each setting and each metric, and ``seed`` if there
are several. What has no result (NaN, or no row) is never drawn as a number, and is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, pairwise, product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy import ndarray

from ribnb.map_plots import METHOD_STYLES
from ribnb.plot_style import styled_figure

BLUE = METHOD_STYLES[3][0]
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
# Okabe and Ito's; grey is the baseline's
LINES = [METHOD_STYLES[place] for place in (3, 4, 2, 1)] + [("#E69F00", "^"), ("#56B4E9", "P")]
FAR = np.array([5, 12, 24, 40, 60, 84])  # of a label from its point, in points
SIDES = [(1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)]


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
    runs = _runs(frame, y, keys, baseline)
    figure, axis = plt.subplots(figsize=(6.6, 4))
    places = runs[f"{x} at"] = _along(axis, runs[x], log)
    if by is None:
        groups = {_name(y): runs}
    else:
        groups = {word: runs[runs[by].map(_word) == word] for word in _words(runs[by])}
        named = not pd.api.types.is_string_dtype(runs[by].dropna())
        groups = {_line(by, word, named): group for word, group in groups.items()}
    for (label, group), (color, marker, dashes) in zip(groups.items(), _styles(), strict=False):
        at = group.groupby(f"{x} at")[y]
        mean, std = at.mean(), at.std()
        axis.fill_between(mean.index, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)
        axis.plot(group[f"{x} at"], group[y], ".", color=color, alpha=0.5, markersize=4)
        axis.plot(
            mean.index, mean, dashes, marker=marker, color=color, markersize=5, label=label
        )  # fmt: skip
    if baseline:
        line = _baseline(runs, baseline, places)
        axis.plot(line.index, line, "--", color="#444444", label=_name(baseline), zorder=1)
    axis.set(xlabel=_name(x), ylabel=_name(y), title=title)
    axis.margins(y=0.1)
    note = [_seeds(runs, "line: mean, band: ± std over {} seeds, dots: seeds"), _gaps(runs[y])]
    _legend(figure, *axis.get_legend_handles_labels(), note)
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
    runs = _runs(frame, value, [x, y])
    columns, rows = _words(runs[x]), _words(runs[y])
    cells = runs.groupby([runs[y].map(_word), runs[x].map(_word)])[value]
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
    axis.set(xlabel=_name(x), ylabel=_name(y), title=title)
    axis.grid(False)
    figure.colorbar(shown, ax=axis, label=_name(value))
    note, patch = [_seeds(runs, "mean ± std over {} seeds")], {}
    if np.isnan(mean).any():
        missing = f"no result ({np.isnan(mean).sum()} of {mean.size} cells)"
        patch[missing] = Patch(fc="none", hatch="////", ec="#999999", lw=0)
    if (count[count > 0] < count.max()).any():
        note.append("in brackets: of so many seeds only")
    _legend(figure, patch.values(), patch, note)
    return figure


@styled_figure
def differences(rows: pd.DataFrame | Iterable[Mapping[str, Any]], title: str) -> Figure:
    """A row for each switch: its difference, the interval over images, each seed as a dot.

    Full marks have an interval without 0.

    Args:
        rows: ``label``, ``difference``, ``low``, ``high`` in points and the list ``by_seed``, such
            as ``{"label": ..., **difference.as_dict()}``; NaN or None where there is no result.
        title: what to see.

    Raises:
        ValueError: no row, or nothing but NaN; a row that lacks one of these.
    """
    frame = _checked(pd.DataFrame(rows), ["label", "difference", "low", "high", "by_seed"])
    numbers = frame[["difference", "low", "high"]].astype(float)
    if numbers["difference"].isna().all():
        raise ValueError("no row has a difference: there is nothing to draw yet; run the batch")
    labels = [textwrap.fill(str(label), 38) for label in frame["label"]]
    height = sum(0.24 + 0.16 * (1 + label.count("\n")) for label in labels) + 1.5
    figure, axis = plt.subplots(figsize=(7, max(2.6, height)))
    axis.axvline(0, color="#444444", linewidth=1, zorder=1)
    places = np.arange(len(frame))
    for place, found, seeds in zip(
        places, numbers.itertuples(index=False), frame["by_seed"], strict=True
    ):
        if np.isnan(found.difference):
            axis.annotate("no result", (0, place), (4, 0), textcoords="offset points",
                          va="center", fontsize=8, color="#666666")  # fmt: skip
            continue
        clear = found.low > 0 or found.high < 0
        axis.hlines(place, found.low, found.high, color=BLUE, linewidth=2, zorder=2)
        axis.plot(found.difference, place, "s", color=BLUE, mfc=BLUE if clear else "white",
                  markersize=7, zorder=3)  # fmt: skip
        dots = [] if seeds is None or np.isscalar(seeds) else list(seeds)
        axis.plot(dots, [place + 0.27] * len(dots), ".", color="#555555", markersize=5, zorder=3)
    axis.set_yticks(places, labels)
    axis.set_ylim(len(frame) - 0.45, -0.55)  # the first row on top
    axis.set(xlabel="difference of seed mIoU (points)", title=title)
    axis.grid(False, axis="y")
    axis.margins(x=0.08)
    for label, style in {
        "interval without 0": {"marker": "s", "color": BLUE, "linewidth": 2},
        "interval with 0": {"marker": "s", "color": BLUE, "linewidth": 2, "mfc": "white"},
        "a seed": {"marker": ".", "color": "#555555", "linewidth": 0},
    }.items():
        axis.plot([], [], label=label, **style)
    _legend(figure, *axis.get_legend_handles_labels())
    return figure


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
    runs = _runs(frame, value, [label], baseline)
    _checked(runs, [cost])
    found = runs.dropna(subset=[cost, value])
    if found.empty:
        raise ValueError(f"no run has both {cost} and {value}: there is nothing to draw yet")
    if log and not (found[cost] > 0).all():
        raise ValueError(f"a logarithmic axis needs {cost} above 0; got {found[cost].min()}")
    points = found.groupby(found[label].map(_word), sort=False)[[cost, value]]
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
        height = _baseline(runs, baseline, pd.Series(0, runs.index)).iloc[0]
        axis.axhline(height, ls="--", color="#444444", label=_name(baseline), zorder=1)
    axis.set(xlabel=_name(cost), ylabel=_name(value), title=title)
    axis.margins(x=0.18, y=0.15)
    left_out = [word for word in _words(runs[label]) if word not in mean.index]
    note = [_seeds(runs, "mean ± std over {} seeds")]
    note += [f"no result: {', '.join(left_out)}"] if left_out else []
    _legend(figure, *axis.get_legend_handles_labels(), note)
    figure.draw_without_rendering()  # settles the layout, into which the labels are fitted
    figure.set_layout_engine("none")
    lines = [steps]
    for place, half in enumerate(std.fillna(0).to_numpy()):
        lines += [mean.iloc[[place] * 2] + np.outer([-1, 1], half * one) for one in np.eye(2)]
    if baseline:
        lines.append(np.stack([axis.get_xlim(), [height] * 2], axis=1))
    _place_labels(axis, mean, lines)
    return figure


# Labels that keep apart --------------------------------------------------------------------


def _place_labels(axis: Axes, points: pd.DataFrame, lines: Sequence[Float[ndarray, "n 2"]]) -> None:
    """Write each point's name where it covers no other name, no mark and no line.

    Args:
        axis: with its final limits and layout.
        points: (n, 2) x and y; the index has the names.
        lines: upright and level lines through such points.
    """
    pixels = axis.figure.dpi / 72
    at, frame = axis.transData.transform(points), axis.get_window_extent().extents
    # boxes are left, lower, right, upper; a name keeps so far from others' marks
    solid = np.hstack([at - 5 * pixels, at + 5 * pixels])
    ends = [pair for line in lines for pair in pairwise(axis.transData.transform(line))]
    thin = np.array([[*np.min(pair, 0) - pixels, *np.max(pair, 0) + pixels] for pair in ends])
    far, sides = np.repeat(FAR * pixels, len(SIDES)), np.tile(SIDES, (len(FAR), 1))
    for place in np.argsort(at[:, 0]):
        note = axis.annotate(
            textwrap.fill(points.index[place], 20), points.iloc[place], (0, 0), fontsize=8,
            textcoords="offset points", ha="center", va="center", in_layout=False,
            arrowprops={"arrowstyle": "-", "color": "#AAAAAA", "lw": 0.7, "shrinkB": 3},
        )  # fmt: skip
        size = Text.get_window_extent(note).size  # without the line to the point
        centres = at[place] + sides * (far[:, None] + size / 2)
        boxes = np.hstack([centres - size / 2, centres + size / 2])
        leaders = [_leader(at[place], centre) for centre in centres]
        others = np.delete(solid, place, axis=0)  # its own mark is where it belongs
        crossed = [_shared(leader, others).sum() for leader in leaders]
        outside = np.prod(size) - _shared(boxes, frame[None])
        # what makes it unreadable weighs most, then lines beneath, then the way to the point
        unreadable = _shared(boxes, others) + outside + crossed
        best = np.argmin(10 * unreadable + 4 * _shared(boxes, thin) + 2 * far)
        note.set_position((centres[best] - at[place]) / pixels)
        solid = np.vstack([solid, boxes[best], leaders[best]])


def _leader(point: Float[ndarray, "2"], centre: Float[ndarray, "2"]) -> Float[ndarray, "8 4"]:
    """The line from a point towards its text's centre, as small boxes."""
    places = point + np.linspace(0.1, 0.8, 8)[:, None] * (centre - point)
    return np.hstack([places - 1.5, places + 1.5])


def _shared(boxes: Float[ndarray, "a 4"], others: Float[ndarray, "b 4"]) -> Float[ndarray, " a"]:
    """The area that each box shares with all others together, in square pixels."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)


# What frames hold --------------------------------------------------------------------------


def _checked(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    if frame.empty:
        raise ValueError("there is no row to draw: run the batch first, or choose other results")
    missing = [column for column in columns if column not in frame]
    if missing:
        known = ", ".join(map(str, frame.columns))
        raise ValueError(f"the frame has no column {missing[0]!r}; it has {known}")
    return frame


def _runs(frame: pd.DataFrame, value: str, keys: list[str], baseline: str | None = None):
    """A copy of the frame that can be drawn; ValueError says why it cannot."""
    runs = _checked(frame, [*keys, value, *([baseline] if baseline else [])]).copy()
    if not pd.api.types.is_numeric_dtype(runs[value]):
        raise ValueError(f"the column {value!r} must hold numbers; it is {runs[value].dtype}")
    if runs[value].isna().all():
        raise ValueError(f"no run has a {value}: there is nothing to draw yet; run the batch")
    words = runs[keys].map(_word)
    if "seed" in runs:
        words["seed"] = runs["seed"]
    twice = words[words.duplicated()]
    if len(twice) and "seed" in runs:
        point = ", ".join(f"{key} = {word}" for key, word in twice.iloc[0].items())
        raise ValueError(
            f"two runs have {point}: they differ in another setting, or one is there twice; "
            "choose the runs of one setting first"
        )
    return runs


def _name(column: str) -> str:
    return NAMES.get(column, column.replace("_", " "))


def _line(by: str, word: str, named: bool) -> str:
    """A line's name: a number or yes and no need the setting's before them, words do not."""
    return textwrap.fill(f"{_name(by)} = {word}" if named else word, 60)


def _word(value: Any) -> str:
    """A setting's value for a reader; also makes lists comparable."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value))
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(column: pd.Series) -> list[str]:
    """The column's values, each once; numbers in their order, others as they come."""
    values = column.sort_values() if _is_number(column) else column
    return list(dict.fromkeys(map(_word, values)))


def _is_number(column: pd.Series) -> bool:
    kind = pd.api.types
    return kind.is_numeric_dtype(column) and not kind.is_bool_dtype(column)


def _along(axis: Axes, column: pd.Series, log: bool) -> pd.Series:
    """Where the values are along the x-axis, which gets its ticks."""
    if _is_number(column) and not column.isna().any():
        values = np.unique(column)
        if log and values[0] <= 0:
            raise ValueError(f"a logarithmic axis needs {column.name} above 0; got {values[0]:g}")
        if log:
            axis.set_xscale("log")
        elif pd.api.types.is_integer_dtype(column):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        if log and len(values) <= 8:
            axis.set_xticks(values, [f"{value:g}" for value in values])
            axis.xaxis.set_minor_locator(NullLocator())
        return column.astype(float)
    if log:
        raise ValueError(f"a logarithmic axis needs numbers; {column.name} holds others too")
    words = _words(column)
    axis.set_xticks(range(len(words)), [textwrap.fill(word, 14) for word in words])
    return column.map(_word).map({word: place for place, word in enumerate(words)}).astype(float)


def _styles() -> Iterator[tuple[str, str, str]]:
    """Colour, marker and dashes; the dashes change once the colours are used up."""
    return ((*line, dashes) for dashes in cycle(("-", "-.", ":")) for line in LINES)


def _baseline(runs: pd.DataFrame, baseline: str, places: pd.Series) -> pd.Series:
    """The baseline's mean over seeds along x; one height if the settings do not touch it."""
    seed = runs["seed"] if "seed" in runs else pd.Series(0, runs.index)
    of_seed = runs[baseline].groupby(seed)
    if "seed" in runs and ((of_seed.max() - of_seed.min()).fillna(0) < 1e-6).all():
        ends = [places.min(), places.max()]
        return pd.Series(of_seed.mean().mean(), ends)
    return runs[baseline].groupby(places).mean()


def _seeds(runs: pd.DataFrame, words: str) -> str:
    if "seed" not in runs:
        return words.replace("{} seeds", "runs").replace("seeds", "runs")
    number = runs["seed"].nunique()
    return "one seed: no spread" if number == 1 else words.format(number)


def _gaps(column: pd.Series) -> str:
    gaps = column.isna().sum()
    return f"{gaps} of {len(column)} runs have no result" if gaps else ""


def _legend(
    figure: Figure, handles: Iterable[Any], labels: Iterable[str], note: Sequence[str] = ()
) -> None:
    """Under the figure, in as many columns as there is room for; small print over it."""
    handles, labels = list(handles), list(labels)
    width = 13 * figure.get_figwidth()  # in letters
    columns = max(1, int(width / (7 + max(map(len, labels), default=0))))
    columns = min(columns, max(1, len(labels)))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * max(0, rows - 1))  # not at the axes' cost
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns,
        title=textwrap.fill("; ".join(filter(None, note)), int(1.2 * width)),
        title_fontproperties={"size": 8},
    )  # fmt: skip
