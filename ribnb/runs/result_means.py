"""Means of results over seeds; what differs in more than its seed is never averaged."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from ribnb.book.chapter_settings import WHERE, settings_class

BESIDE = ("split", "post_processing", "threshold_choice")  # as telling as a setting
Result = Mapping[str, Any]


def mean_rows(
    results: Sequence[Result], keys: Sequence[dict[str, Any]], numbers: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One row a group: chapter, key, means, deviations, ``n`` and ``seeds``; sorted by the key.

    Args:
        results: of any chapters.
        keys: of each result, what it is grouped by beside its chapter: name -> number or text.
        numbers: of each result, metric -> number.

    Raises:
        ValueError: see ``results_table``.
    """
    groups: dict[str, list[int]] = {}
    for place, (result, key) in enumerate(zip(results, keys, strict=True)):
        groups.setdefault(json.dumps([result["chapter"], key]), []).append(place)
    rows = []
    for places in groups.values():
        members = [results[place] for place in places]
        _refuse_mixed(members)
        of_seed = _of_seeds(members, [numbers[place] for place in places])
        start = {"chapter": members[0]["chapter"], **keys[places[0]]}
        end = {"n": len(of_seed), "seeds": ", ".join(of_seed)}
        rows.append({**start, **beside({**start, **end}, _means(list(of_seed.values()))), **end})
    return sorted(rows, key=lambda row: [_order(row[name]) for name in ("chapter", *keys[0])])


def _means(numbers: Sequence[dict[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for one in numbers for name in one):
        values = [one.get(name, math.nan) for one in numbers]
        whole = not any(math.isnan(value) for value in values)
        found[name] = statistics.fmean(values)
        found[f"{name}.std"] = statistics.stdev(values) if whole and len(values) > 1 else math.nan
    return found


def _refuse_mixed(members: Sequence[Result]) -> None:
    """ValueError for results that are not of one setting, so that their mean means nothing."""
    first, chapter = members[0], members[0]["chapter"]
    fields = dataclasses.fields(settings_class(chapter)) if chapter in WHERE else ()
    free = {"seed", *(field.name for field in fields if not field.metadata["identity"])}
    names = [name for one in members for name in one["settings"] if name not in free]
    different = []
    for name in dict.fromkeys([*names, *BESIDE]):
        values = [
            one["settings"].get(name, "not there") if name in names else one[name]
            for one in members
        ]
        different += [
            (name, values[0], value, other)
            for value, other in zip(values, members, strict=True)
            if value != values[0]
        ][:1]
    if different:
        name, here, there, other = different[0]
        more = ", ".join(one[0] for one in different[1:])
        raise ValueError(
            f"{chapter}: {name} is {here!r} in {path_of(first)}, {there!r} in {path_of(other)}. "
            f"Results that differ in more than their seed are not averaged: put {name} into by"
            + (f"; they also differ in {more}" if more else "")
        )


def _of_seeds(
    members: Sequence[Result], numbers: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Seed -> metrics. A result that is there twice counts once; times are never twice the same."""
    found: dict[str, tuple[Result, dict[str, Any]]] = {}
    for result, own in zip(members, numbers, strict=True):
        there, other = found.setdefault(str(cell(result["seed"])), (result, own))
        for name in dict.fromkeys([*other, *own]):
            timed = name.rpartition(".")[2].startswith("seconds")
            if other.get(name) != own.get(name) and not timed:
                raise ValueError(
                    f"{path_of(there)} and {path_of(result)} are of the same settings and the same "
                    f"seed {result['seed']}, but {name} is {other.get(name)} and {own.get(name)}. "
                    "Only one of them can count: move the other away, or put what tells them "
                    "apart into by"
                )
    return {seed: own for seed, (_, own) in sorted(found.items(), key=lambda one: _order(one[0]))}


def _order(value: Any) -> tuple:
    """Sorts numbers before text, and nothing last; digits as numbers."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    number = isinstance(value, Real)
    return value is None, not number, value if number else 0, "" if number else str(value)


def beside(taken: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics whose names other columns have get a longer one, unless both say the same."""
    return {
        f"metrics.{name}" if name in taken else name: value
        for name, value in numbers.items()
        if name not in taken or taken[name] != value
    }


def path_of(result: Result) -> str:
    """Where it lies, for a message."""
    return result.get("path", "a result without a path")


def cell(value: Any) -> Any:
    """A list, which is nothing to compare or group by, as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value
