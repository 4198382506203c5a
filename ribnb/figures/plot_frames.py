"""What frames of runs hold, checked and in words, for figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from ribnb.figures.map_plots import METHOD_STYLES

NAMES = {  # column -> how a reader knows it
    "iterations": "RIB steps K",
    "learning_rate": "step size λ",
    "margin": "margin m",
    "threshold": "τ of GNDRP",
    "batch_size": "batch size B",
    "seed_miou": "seed mIoU (%)",
    "cam_seed_miou": "CAM",
    "wide_seed_miou": "seed mIoU, any threshold (%)",
    "wide_cam_seed_miou": "CAM, any threshold",
    "seconds_per_image": "seconds an image",
}
# Okabe and Ito's; grey is the baseline's
LINES = [METHOD_STYLES[place] for place in (3, 4, 2, 1)] + [("#E69F00", "^"), ("#56B4E9", "P")]


def checked(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    if frame.empty:
        raise ValueError("there is no row to draw: run the batch first, or choose other results")
    missing = [column for column in columns if column not in frame]
    if missing:
        known = ", ".join(map(str, frame.columns))
        raise ValueError(f"the frame has no column {missing[0]!r}; it has {known}")
    return frame


def drawable(frame: pd.DataFrame, value: str, keys: list[str], baseline: str | None = None):
    """A copy of the frame that can be drawn; ValueError says why it cannot."""
    runs = checked(frame, [*keys, value, *([baseline] if baseline else [])]).copy()
    if not pd.api.types.is_numeric_dtype(runs[value]):
        raise ValueError(f"the column {value!r} must hold numbers; it is {runs[value].dtype}")
    if runs[value].isna().all():
        raise ValueError(f"no run has a {value}: there is nothing to draw yet; run the batch")
    words = runs[keys].map(word_of)
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


def name_of(column: str) -> str:
    return NAMES.get(column, column.replace("_", " "))


def line_name(by: str, word: str, named: bool) -> str:
    """A line's name: a number or yes and no need the setting's before them, words do not."""
    return textwrap.fill(f"{name_of(by)} = {word}" if named else word, 60)


def word_of(value: Any) -> str:
    """A setting's value for a reader; also makes lists comparable."""
    if isinstance(value, list | tuple):
        return ", ".join(map(word_of, value))
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def words_of(column: pd.Series) -> list[str]:
    """The column's values, each once; numbers in their order, others as they come."""
    values = column.sort_values() if is_number(column) else column
    return list(dict.fromkeys(map(word_of, values)))


def is_number(column: pd.Series) -> bool:
    kind = pd.api.types
    return kind.is_numeric_dtype(column) and not kind.is_bool_dtype(column)


def along(axis: Axes, column: pd.Series, log: bool) -> pd.Series:
    """Where the values are along the x-axis, which gets its ticks."""
    if is_number(column) and not column.isna().any():
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
    words = words_of(column)
    axis.set_xticks(range(len(words)), [textwrap.fill(word, 14) for word in words])
    return column.map(word_of).map({word: place for place, word in enumerate(words)}).astype(float)


def line_styles() -> Iterator[tuple[str, str, str]]:
    """Colour, marker and dashes; the dashes change once the colours are used up."""
    return ((*line, dashes) for dashes in cycle(("-", "-.", ":")) for line in LINES)


def baseline_of(runs: pd.DataFrame, baseline: str, places: pd.Series) -> pd.Series:
    """The baseline's mean over seeds along x; one height if the settings do not touch it."""
    seed = runs["seed"] if "seed" in runs else pd.Series(0, runs.index)
    of_seed = runs[baseline].groupby(seed)
    if "seed" in runs and ((of_seed.max() - of_seed.min()).fillna(0) < 1e-6).all():
        ends = [places.min(), places.max()]
        return pd.Series(of_seed.mean().mean(), ends)
    return runs[baseline].groupby(places).mean()


def seeds_in_words(runs: pd.DataFrame, words: str) -> str:
    if "seed" not in runs:
        return words.replace("{} seeds", "runs").replace("seeds", "runs")
    number = runs["seed"].nunique()
    return "one seed: no spread" if number == 1 else words.format(number)


def gaps_in_words(column: pd.Series) -> str:
    gaps = column.isna().sum()
    return f"{gaps} of {len(column)} runs have no result" if gaps else ""


def add_legend(
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
