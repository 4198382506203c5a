"""Tables of results: one row a result, or means over seeds; as a frame, CSV, LaTeX or Markdown."""

from __future__ import annotations

import argparse
import csv
import difflib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import pandas as pd

from ribnb.core.settings import name_and_value
from ribnb.core.whole_files import whole_file
from ribnb.runs.result_files import ORIGIN, RESULT, find_results, stale
from ribnb.runs.result_means import BESIDE, Result, beside, cell, mean_rows, path_of

FORMATS = ("csv", "latex", "markdown", "json")
MEASURED = ("device", "git_commit")  # what a run found goes before the setting of that name
FIELDS = (*MEASURED, *BESIDE, "chapter", "seed", "threshold", "settings_hash", "images")


def results_table(
    results: Iterable[Result],
    by: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    mean: bool = False,
) -> pd.DataFrame:
    """One row a result, or one a group of seeds: chapter, what ``by`` names, metrics, origin.

    Nested metrics get dotted names, list entries their index from 0: ``hgr.background.5``.

    Args:
        results: from ``load_results`` or ``find_results``.
        by: settings to show; also ``split``, ``post_processing``, ``threshold_choice``,
            ``threshold``, ``settings_hash``, and ``device`` for what it was measured on.
        metrics: those to show, each with all that is below it; None shows all.
        mean: average over the seeds of each chapter and value of ``by``. Beside the mean
            ``NAME`` stands ``NAME.std``, the sample standard deviation over seeds (NaN for one
            result), and at the end ``n`` results and their ``seeds``. A metric that not all of a
            group have is NaN.

    Raises:
        KeyError: a name that a result's settings do not have, or a metric that no result has.
        ValueError: results to average that differ in a setting which changes the result, or in
            what they were scored on; two results of one seed whose metrics differ, times aside.
    """
    results = list(results)
    keys = [{name: cell(_look_up(result, name)) for name in by} for result in results]
    numbers = _numbers(results, metrics)
    if mean:
        rows = mean_rows(results, keys, numbers)
    else:
        rows = [_row(*one) for one in zip(results, keys, numbers, strict=True)]
    frame = pd.DataFrame(rows)
    for name in {"seed", *by} & set(frame.columns):
        known = [row[name] for row in rows if row[name] is not None]
        if len(known) < len(rows) and all(type(value) is int for value in known):
            frame[name] = frame[name].astype("Int64")  # or 2 beside None would be 2.0
    return frame


def long_table(
    results: Iterable[Result], by: Sequence[str] = (), metrics: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row a result and metric: chapter, seed, what ``by`` names, metric, value, path.

    Arguments and errors are those of ``results_table``. What a result does not have is no row.
    """
    results = list(results)
    frame = results_table(results, by, metrics)
    ends = {*ORIGIN, "path"} - set(by)
    ids = [name for name in ("chapter", "seed", *by) if name in frame]
    names = [name for name in frame if name not in ends and name not in ids]
    if not results:
        return pd.DataFrame(columns=[*ids, "metric", "value", "path"])
    long = frame.melt(list(dict.fromkeys([*ids, "path"])), names, "metric", "value")
    return long.dropna(subset="value")[[*ids, "metric", "value", "path"]].reset_index(drop=True)


def format_table(
    frame: pd.DataFrame, kind: str, digits: int | None = None, exact: Iterable[str] = ()
) -> str:
    """A table as text, ending in a line break.

    Args:
        frame: without an index that means something.
        kind: ``csv``, ``json`` (a list of rows), ``latex`` (needs the package booktabs) or
            ``markdown`` (written with tabulate); special characters are escaped.
        digits: decimals of numbers that are not whole; None rounds nothing.
        exact: columns that are not rounded, such as settings.

    Raises:
        ValueError: another kind, or negative digits.
        ImportError: Markdown without tabulate; says how to install it.
    """
    if kind not in FORMATS or (digits or 0) < 0:
        raise ValueError(
            f"kind = {kind!r}, digits = {digits}: kind must be one of {', '.join(FORMATS)}, and "
            "digits at least 0, or None"
        )
    exact = set(exact)
    if kind in ("csv", "json"):
        decimals = {name: digits for name in frame.select_dtypes("floating") if name not in exact}
        frame = frame if digits is None else frame.round(decimals)
        if kind == "csv":
            return frame.to_csv(index=False, lineterminator="\n")
        plain = frame.astype(object).where(frame.notna(), None)
        return json.dumps(plain.to_dict("records"), indent=1, ensure_ascii=False) + "\n"
    right = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    text = pd.DataFrame(
        {
            name: [_text(value, None if name in exact else digits) for value in frame[name]]
            for name in frame
        }
    )
    if kind == "latex":
        columns = "".join("r" if one else "l" for one in right)
        return text.to_latex(index=False, escape=True, column_format=columns)
    text = text.map(_in_markdown).rename(columns=_in_markdown)
    try:
        return (
            text.to_markdown(
                index=False,
                tablefmt="pipe",
                disable_numparse=True,
                colalign=["right" if one else "left" for one in right] if len(text) else None,
            )
            + "\n"
        )
    except ImportError as error:
        raise ImportError("Markdown needs tabulate: pip install tabulate") from error


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Metrics of any depth by dotted names; list entries by their index from 0."""
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {name: value}
    return {
        dotted: leaf
        for key, inner in items
        for dotted, leaf in flat(inner, f"{name}.{key}" if name else str(key)).items()
    }


def _row(result: Result, key: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    start = {"chapter": result["chapter"], "seed": cell(result["seed"]), **key}
    end = {name: cell(result.get(name)) for name in (*ORIGIN, "path") if name not in key}
    return {**start, **beside({**start, **end}, numbers), **end}


def _look_up(result: Result, name: str) -> Any:
    if name in result["settings"] and name not in MEASURED:
        return result["settings"][name]
    if name in FIELDS:
        return result.get(name)
    known = list(dict.fromkeys([*result["settings"], *FIELDS]))
    raise KeyError(f"{path_of(result)} has no setting {name!r}{_nearest(name, known)}")


def _numbers(results: Sequence[Result], wanted: Sequence[str] | None) -> list[dict[str, Any]]:
    """Of each result, the metrics that are wanted, in the order they are wanted in."""
    found = [flat(result["metrics"]) for result in results]
    if wanted is None:
        return found
    known = list(dict.fromkeys(name for one in found for name in one))
    chosen = []
    for name in wanted:
        below = [one for one in known if one == name or one.startswith(f"{name}.")]
        if not below and results:
            raise KeyError(f"no result has a metric {name!r}{_nearest(name, known)}")
        chosen += below
    return [{name: one[name] for name in chosen if name in one} for one in found]


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"


def _text(value: Any, digits: int | None) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value)}" if digits is None else f"{value:.{digits}f}"
    return str(value)


def _in_markdown(text: str) -> str:
    for character, instead in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        text = text.replace(character, instead)
    return text


# The command ------------------------------------------------------------------------------


def _names(text: str) -> list[str]:
    """Names between commas; one that has a comma stands in double quotes."""
    return [name for name in next(csv.reader([text], skipinitialspace=True), []) if name]


def _chosen(folder: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The results to show; what is left out is named on stderr."""
    results, problems = find_results(folder)
    for path, reason in problems.items():
        print(f"left out: {path} {reason}", file=sys.stderr)
    kept = []
    for result in results:
        reason = "" if given.stale else stale(result)
        if reason:
            print(f"left out: {result['path']} {reason}, or keep it with --stale", file=sys.stderr)
        else:
            kept.append(result)
    for name, value in given.where:
        known = [*dict.fromkeys(one for result in kept for one in (*result["settings"], *FIELDS))]
        if kept and name not in known:
            raise KeyError(f"no result has a setting {name!r}{_nearest(name, known)}")
        kept = [
            result
            for result in kept
            if name in (*result["settings"], *FIELDS) and _look_up(result, name) == value
        ]
    return kept


def main(words: Sequence[str] | None = None) -> int:
    """Print the results below a folder as a table, or write it to a file.

    Returns 1 where there is no result, 2 for a table that is refused.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.run table", description=(main.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--by", type=_names, default=[], help="settings to show: iterations,margin")
    parser.add_argument("--metrics", type=_names, help="metrics to show, default: all")
    parser.add_argument(
        "--where", type=name_and_value, action="append", default=[], metavar="NAME=VALUE",
        help="only results with this setting, such as chapter=voc_rib; may be given several times",
    )  # fmt: skip
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--mean", action="store_true", help="mean and deviation over seeds")
    shape.add_argument("--long", action="store_true", help="one row a result and metric")
    parser.add_argument("--stale", action="store_true", help="keep results of older settings")
    parser.add_argument("--format", choices=FORMATS, default="csv")
    parser.add_argument("--digits", type=int, help="decimals of metrics, default: all")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: print the table")
    given = parser.parse_args(words)
    results: list[dict[str, Any]] = []
    try:
        results = _chosen(given.folder, given)
        if not results:
            print(f"no {RESULT} to show below {given.folder}", file=sys.stderr)
            return 1
        if given.long:
            frame = long_table(results, given.by, given.metrics)
        else:
            frame = results_table(results, given.by, given.metrics, given.mean)
        text = format_table(frame, given.format, given.digits, exact=given.by)
        if not given.output:
            print(text, end="")
            return 0
        output = Path(given.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except KeyError as error:
        chapters = sorted({result["chapter"] for result in results})
        one = "; --where chapter=NAME shows one chapter" if len(chapters) > 1 else ""
        print(f"{error.args[0]}{one}", file=sys.stderr)
        return 2
    except (ImportError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(output)
    return 0
