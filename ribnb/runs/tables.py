"""Tables of results: one row a result, or means over seeds; as a frame, CSV, LaTeX or Markdown.

A setting is named ``settings.x`` in a table, so that none hides a field of the result:
``threshold`` is the one that was chosen, ``settings.rib.threshold`` that of GNDRP.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ribnb.core.parameters import as_text, flat
from ribnb.core.settings import Settings, SettingsError
from ribnb.runs.results import ORIGIN, SCORED

if TYPE_CHECKING:
    import pandas as pd

Result = Mapping[str, Any]
FIELDS = ("chapter", "seed", *SCORED, "threshold", "settings_hash", *ORIGIN, "path")


def results_table(
    results: Iterable[Result],
    by: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    mean: bool = False,
    chapters: Mapping[str, type[Settings]] | None = None,
) -> pd.DataFrame:
    """One row a result, or one a group of seeds: chapter, what ``by`` names, metrics, origin.

    Nested metrics get dotted names, list entries their index from 0: ``hgr.background.5``. A
    metric that is named as a field of the result is shown as ``metrics.NAME``.

    Args:
        results: from ``load_results`` or ``find_results``.
        by: what to show of each: settings as ``settings.rib.iterations``, or fields of the result,
            such as ``split``, ``device`` and ``threshold``. A result without such a setting has
            an empty cell.
        metrics: those to show, each with all that is below it; None shows all.
        mean: average over the seeds of each chapter and value of ``by``. Beside the mean
            ``NAME`` stands ``NAME.std``, the sample standard deviation over seeds (NaN for one
            result), and at the end ``n`` results and their ``seeds``. A metric that not all of a
            group have is NaN.
        chapters: chapter -> the class of its settings, which says what may differ within a mean
            beside the seed, such as the device. For other chapters nothing may.

    Raises:
        KeyError: a setting or a metric that no result has.
        ValueError: results to average that differ in a setting which changes the result, or in
            what they were scored on; two results of one seed whose metrics differ, times aside.
    """
    import pandas as pd  # takes a second

    results = list(results)
    rows = [fields_of(result) for result in results]
    numbers = _numbers(results, metrics)
    _refuse_unknown(by, rows)
    first = list(dict.fromkeys(["chapter", *([] if mean else ["seed"]), *by]))
    last = [] if mean else [name for name in (*ORIGIN, "path") if name not in first]
    names = list(dict.fromkeys(name for number in numbers for name in number))
    both = [row | number for row, number in zip(rows, numbers, strict=True)]
    frame = pd.DataFrame(both, columns=[*first, *names, *last], dtype=object).infer_objects()
    # or 2 beside an empty cell would be 2.0
    whole = [name for name in first if {type(row.get(name)) for row in rows} == {int, type(None)}]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    if not mean:
        return frame
    means = []
    for places in frame.groupby(first, dropna=False).indices.values():
        key = {name: frame[name].iloc[places[0]] for name in first}
        members = [rows[place] for place in places]
        _refuse_mixed(members, _free(results[places[0]], chapters or {}))
        means.append(key | _mean(members, frame.iloc[places][names].astype(float)))
    return pd.DataFrame(means)


def format_table(frame: pd.DataFrame, kind: str, digits: int | None = None) -> str:
    """A ``results_table`` as ``csv``, ``latex`` (needs the package booktabs) or ``markdown``.

    Metrics are rounded to so many decimals, or not at all; settings and fields never are.
    """
    if digits is not None:
        floats = [
            name
            for name in frame.select_dtypes("floating")
            if name not in FIELDS and not name.startswith("settings.")
        ]
        frame = frame.round(dict.fromkeys(floats, digits))
    if kind == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    text = frame.astype(object).where(frame.notna(), "").map(str)
    if kind == "latex":
        return text.to_latex(index=False, escape=True)
    return markdown(text) + "\n"


def markdown(frame: pd.DataFrame) -> str:
    """A Markdown table of a frame's texts, without its index."""
    texts = frame.astype(str).replace(r"\|", r"\|", regex=True)
    return texts.to_markdown(index=False, disable_numparse=True)


def select(results: Iterable[Result], where: Mapping[str, Any]) -> list[Result]:
    """Those results that have these values; names as in ``by`` of ``results_table``.

    Raises:
        KeyError: a name that no result has.
    """
    results = list(results)
    rows = [fields_of(result) for result in results]
    _refuse_unknown(where, rows)
    wanted = {name: (_cell(value), as_text(value)) for name, value in where.items()}
    return [
        result
        for result, row in zip(results, rows, strict=True)
        if all(row.get(name) in values for name, values in wanted.items())
    ]


def fields_of(result: Result) -> dict[str, Any]:
    """The fields of a result, and its settings as ``settings.x``; lists as text."""
    row = {name: result.get(name) for name in FIELDS}
    row |= flat({"settings": result["settings"]})
    return {name: _cell(value) for name, value in row.items()}


def _refuse_unknown(names: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """KeyError with the nearest for the first of the names that no row has, if there are any."""
    known = list(dict.fromkeys(column for row in rows for column in row))
    for name in names if rows else ():
        if name not in known:
            raise KeyError(f"no result has {name!r}{_nearest(name, known)}")


def _cell(value: Any) -> Any:
    """A list, which is nothing to compare or group by, as text."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _numbers(results: Sequence[Result], wanted: Sequence[str] | None) -> list[dict[str, Any]]:
    """Of each result, the metrics that are wanted, in the order they are wanted in."""
    every = [flat(result["metrics"], lists=True) for result in results]
    chosen = known = list(dict.fromkeys(name for one in every for name in one))
    if wanted is not None:
        chosen = []
        for name in wanted:
            below = [one for one in known if one == name or one.startswith(f"{name}.")]
            if not below and results:
                raise KeyError(f"no result has a metric {name!r}{_nearest(name, known)}")
            chosen += below
    return [
        {f"metrics.{name}" if name in FIELDS else name: one[name] for name in chosen if name in one}
        for one in every
    ]


def _mean(rows: Sequence[Mapping[str, Any]], numbers: pd.DataFrame) -> dict[str, Any]:
    """Mean and deviation of each metric over the seeds of one setting, ``n`` and ``seeds``."""
    numbers.index = [str(row["seed"]) for row in rows]
    times = [name for name in numbers if name.rpartition(".")[2].startswith("seconds")]
    for seed, same in numbers.drop(columns=times).groupby(level=0):
        if different := list(same.columns[same.nunique(dropna=False) > 1]):
            paths = [str(row["path"]) for row in rows if str(row["seed"]) == seed]
            raise ValueError(
                f"{' and '.join(paths)} are of the same settings and seed {seed}, but "
                f"{different[0]} is {' and '.join(map(str, same[different[0]]))}. Only one of them "
                "can count: move the other away, or put what tells them apart into by"
            )
    seeds = sorted(set(numbers.index), key=lambda seed: (not seed.isdecimal(), len(seed), seed))
    values = numbers[~numbers.index.duplicated()].loc[seeds]
    both = {}
    for name in values:
        both[name] = values[name].mean(skipna=False)
        both[f"{name}.std"] = values[name].std(skipna=False)
    return both | {"n": len(seeds), "seeds": ", ".join(seeds)}


def _refuse_mixed(rows: Sequence[Mapping[str, Any]], free: set[str]) -> None:
    """ValueError for results that differ in more than what is free: their mean means nothing."""
    first = rows[0]
    names = dict.fromkeys(name for row in rows for name in row)
    tell = [name for name in names if name in SCORED or name.startswith("settings.")]
    for name, row in itertools.product(tell, rows):
        here, there = (repr(each.get(name, "not there")) for each in (first, row))
        if here != there and name not in free:
            raise ValueError(
                f"{first['chapter']}: {name} is {here} in {first['path']}, {there} in "
                f"{row['path']}. Results that differ in more than their seed are not averaged: "
                f"put {name} into by"
            )


def _free(result: Result, chapters: Mapping[str, type[Settings]]) -> set[str]:
    """Names of settings that may differ within a mean: seeds, and what changes no result."""
    settings = identity = result["settings"]
    if kind := chapters.get(result["chapter"]):
        with suppress(SettingsError):  # of older settings: everything counts
            identity = kind.from_mapping(settings).identity()
    free = flat(settings).keys() - flat(identity).keys()
    return {"settings.seed", *(f"settings.{name}" for name in free)}


def _nearest(name: str, known: Sequence[str]) -> str:
    ends = {one.rpartition(".")[2]: one for one in known} | {one: one for one in known}
    near = difflib.get_close_matches(name, ends, n=1, cutoff=0.6)
    return f"; did you mean {ends[near[0]]!r}?" if near else f"; there are: {', '.join(known)}"
