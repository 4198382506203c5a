"""Parameters as plain mappings: dotted names, and values that a parser should leave as written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names by group: ``{"rib.margin": 30}`` is ``{"rib": {"margin": 30}}``.

    What is a group already stays one, so both forms may stand side by side.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        for part in reversed(str(name).split(".")):
            value = {part: value}
        result = merged(result, value)
    return result


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters over parameters: the last value counts, and in a group each field by itself."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
            result[name] = merged(result[name], value) if both else value
    return result


def flat(values: Mapping[str, Any], lists: bool = False) -> dict[str, Any]:
    """Values by dotted names, ``rib.margin``: the inverse of ``nested``.

    ``lists`` names the entries of a list too, by their index from 0.
    """
    result = {}
    for name, value in values.items():
        if lists and isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            result |= {f"{name}.{key}": inner for key, inner in flat(value, lists).items()}
        else:
            result[name] = value
    return result


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In words, the entries of ``here`` that are others ``there``; empty if there are none."""
    there = flat(there)
    return "; ".join(
        f"{name} is {there.get(name)!r} there, {value!r} here"
        for name, value in flat(here).items()
        if there.get(name) != value
    )


class WrittenFloat(float):
    """A number with its ``text`` as it was written, such as 1.10, in case that is a name."""


def as_written(value: Any, text: str) -> Any:
    """What a parser made of a text, as long as ``as_text`` can undo it; else the text."""
    if isinstance(value, float) and "_" not in text:
        value = WrittenFloat(value)
        value.text = text
    elif type(value) in (float, int, complex) and not re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        return text  # such as 010 or 2012_05
    return value


def as_text(value: Any) -> Any:
    """Numbers and truth values as they were written, and ``~`` as the home folder."""
    if isinstance(value, tuple):
        return tuple(map(as_text, value))
    if isinstance(value, bool | int | float):
        return getattr(value, "text", str(value).lower())
    return os.path.expanduser(value) if isinstance(value, str) else value
