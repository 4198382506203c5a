"""Settings: frozen dataclasses that refuse wrong values in words.

A chapter has one cell of parameters; the next cell builds its settings object from them with
``from_notebook``. Unknown names, wrong types and values out of range all raise ``SettingsError``
before anything is computed.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import difflib
import hashlib
import json
import math
import textwrap
import typing
from collections.abc import Iterable, Mapping
from typing import Any


class SettingsError(ValueError):
    """A setting that is unknown, of the wrong type or out of range."""


def setting(
    default: Any,
    meaning: str,
    *,
    choices: tuple | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    identity: bool = True,
) -> Any:
    """A dataclass field with its meaning (unit or range included) and what it allows.

    Args:
        default: the value when nothing is said.
        meaning: one line for a reader.
        choices: the only values allowed.
        minimum: smallest value allowed.
        above: values must be greater than this.
        maximum: largest value allowed.
        identity: False for what does not change the result (a folder, a device) and so stays
            out of the settings' hash.
    """
    limits = {"choices": choices, "minimum": minimum, "above": above, "maximum": maximum}
    metadata = {"meaning": meaning, "identity": identity, **limits}
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """Base of all settings; subclasses are frozen dataclasses whose fields are ``setting``s."""

    def __post_init__(self) -> None:
        types = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            kind, value = types[field.name], getattr(self, field.name)
            options = _options(kind)
            items = [typing.get_args(one)[0] for one in options if typing.get_origin(one) is tuple]
            if items and not (value is None and type(None) in options):
                value = _check_tuple(field, items[0], value)
            elif not items:
                _check(field, options, value)
            if value is not None and float in (*options, *items):
                # 600 and 600.0 are one setting, with one hash
                value = tuple(map(float, value)) if isinstance(value, tuple) else float(value)
            object.__setattr__(self, field.name, value)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]):
        """Settings from a mapping; SettingsError names what is unknown, with the nearest name."""
        refuse_unknown(values, [field.name for field in dataclasses.fields(cls)], cls.__name__)
        return cls(**values)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]):
        """Settings from a chapter's ``globals()``.

        papermill only warns of a parameter that the notebook does not know. It injects its
        parameters as one cell, which this reads back, so that the chapter itself refuses them.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        refuse_unknown(_injected_names(namespace.get("In", ())), known, "this chapter")
        return cls(**{name: namespace[name] for name in known if name in namespace})

    def replace(self, **changes):
        """The same with changes, checked like any other settings."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Field names and values, ready for JSON (which has lists for tuples)."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def identity(self) -> dict[str, Any]:
        """The fields that change the result, with their values."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["identity"]
        }

    def hash(self) -> str:
        """12 hexadecimal digits that change with every setting that changes the result."""
        text = json.dumps([type(self).__name__, self.identity()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def optional(settings: type[Settings], without: Iterable[str] = ()) -> type[Settings]:
    """A base class with the fields of other settings, each of them None where nothing is given.

    For settings that put their own fields beside these and ask a preset for what is not given.

    Args:
        settings: whose fields; meanings and limits come along.
        without: names of fields to leave out.
    """
    fields = [
        (
            field.name,
            field.type if "None" in field.type else f"{field.type} | None",
            dataclasses.field(default=None, metadata=field.metadata),
        )
        for field in dataclasses.fields(settings)
        if field.name not in without
    ]
    # the annotations are text, which is read where the fields come from
    namespace = {"__module__": settings.__module__, "__doc__": f"{settings.__name__}, optional."}
    return dataclasses.make_dataclass(
        f"Optional{settings.__name__}", fields, bases=(Settings,), namespace=namespace, frozen=True
    )


def refuse_unknown(names: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raise SettingsError for the first of ``names`` that is not ``known``, with the nearest."""
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise SettingsError(
                f"{owner} has no parameter {name!r}; {hint}It knows: {', '.join(known)}"
            )


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In words, the entries of ``here`` that are others ``there``; empty if there are none."""
    return "; ".join(
        f"{name} is {there.get(name)!r} there, {value!r} here"
        for name, value in here.items()
        if there.get(name) != value
    )


def in_words(values: Mapping[str, Any], width: int = 76) -> str:
    """``name = value`` after the other, in lines of at most so many characters."""
    # a value is not torn from its name
    pairs = (f"{name} = {value}".replace(" ", "\0") for name, value in values.items())
    return textwrap.fill(", ".join(pairs), width, break_long_words=False).replace("\0", " ")


def _value(text: str) -> Any:
    """A command-line value as Python writes it: 3, 1e-3, True, [1, 2]; anything else is text."""
    try:
        value = ast.literal_eval(text)
        return list(value) if isinstance(value, tuple) else value  # 1, 2 without brackets
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "null": None}.get(text.lower(), text)


def name_and_value(text: str) -> tuple[str, Any]:
    """A command-line parameter ``name=value``, the value as Python writes it."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, _value(value)


def _injected_names(cells: Iterable[str]) -> list[str]:
    """Names that papermill's injected cell assigns; the last such cell run counts."""
    injected = [cell for cell in cells if cell.startswith("# Parameters\n")]
    if not injected:
        return []
    assignments = [node for node in ast.parse(injected[-1]).body if isinstance(node, ast.Assign)]
    return [target.id for node in assignments for target in node.targets]


def _options(kind: Any) -> tuple:
    """The kinds in a union, or the one."""
    return (kind,) if typing.get_origin(kind) is tuple else typing.get_args(kind) or (kind,)


def _check_tuple(field: dataclasses.Field, kind: Any, value: Any) -> tuple:
    """A list, as papermill gives it, or a tuple, whose items are checked one by one."""
    if not isinstance(value, list | tuple) or not value:
        raise SettingsError(
            f"{field.name} = {value!r}; it must be a list of {kind.__name__}, with at least one "
            f"item ({field.metadata['meaning']})"
        )
    for item in value:
        _check(field, (kind,), item)
    return tuple(value)


def _check(field: dataclasses.Field, options: tuple, value: Any) -> None:
    if value is None and type(None) in options:
        return
    if not any(_is(value, option) for option in options):
        names = " or ".join(option.__name__ for option in options).replace("NoneType", "None")
        raise SettingsError(
            f"{field.name} = {value!r} is of type {type(value).__name__}; it must be {names} "
            f"({field.metadata['meaning']})"
        )
    allowed = _allowed(field.metadata, value)
    if allowed:
        raise SettingsError(
            f"{field.name} = {value!r} is not allowed; it must be {allowed} "
            f"({field.metadata['meaning']})"
        )


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # a bool is an int to Python, but not to a reader
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _allowed(limits: Mapping[str, Any], value: Any) -> str:
    """What is allowed, in words, if the value is not; else an empty string."""
    if limits["choices"] is not None and value not in limits["choices"]:
        return "one of " + ", ".join(map(repr, limits["choices"]))
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if limits["above"] is not None and not value > limits["above"]:
        return f"greater than {limits['above']}"
    if limits["minimum"] is not None and value < limits["minimum"]:
        return f"at least {limits['minimum']}"
    if limits["maximum"] is not None and value > limits["maximum"]:
        return f"at most {limits['maximum']}"
    return ""
