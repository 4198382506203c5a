"""Settings: frozen pydantic models that refuse wrong values in words.

A field is a ``setting``: its default, its meaning with unit or range and source, its limits. A
field of another settings class is a group, such as ``rib`` of a chapter, and a parameter in it has
a dotted name, ``rib.iterations``; ``nested`` and ``merged`` turn such names into groups.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

SHARED = ("variant", "seed", "precision")  # where a chapter has them, its groups have the same
# Limits in words that a reader of settings uses; others are pydantic's.
_WORDS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "too_short": "a list of at least {min_length}",
}


class SettingsError(ValueError):
    """A setting that is unknown, of the wrong type or out of range.

    Attributes:
        faults: (path of the setting, what is wrong with it), if single settings are to blame.
    """

    faults: tuple[tuple[tuple[str | int, ...], str], ...] = ()

    @property
    def paths(self) -> list[str]:
        """Dotted names of the settings to blame."""
        return [".".join(map(str, path)) for path, _ in self.faults]


def setting(default: Any, meaning: str, *, identity: bool = True, **limits: Any) -> Any:
    """A field of ``Settings``.

    Args:
        default: the value when nothing is said.
        meaning: one line for a reader, with unit or range, and source.
        identity: False for what does not change the result (a folder, a device) and so stays
            out of the settings' hash.
        limits: pydantic's, such as ``ge``, ``gt``, ``le``; choices are a field's ``Literal`` type.
    """
    extra = {"identity": identity}
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


class Settings(BaseModel):
    """Base of all settings; every field is a ``setting`` or a group of them.

    Raises:
        SettingsError: one line for each setting that is unknown, with the nearest known one, of
            the wrong type, or out of its limits.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refusal(type(self), error) from None

    @field_validator("*", mode="before")
    @classmethod
    def _prepared(cls, value: Any, info: ValidationInfo) -> Any:
        if _group_class(cls, info.field_name):
            return _in_group(value, info.data, cls.preset(info.field_name, info.data))
        return tuple(value) if isinstance(value, list) else value  # as JSON and papermill have it

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]):
        """What a group of parameters is where nothing is given.

        Args:
            group: the field's name.
            given: the fields that stand before it, as far as they are right.
        """
        return _group_class(cls, group)()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]):
        """Settings from a mapping, such as a result's."""
        return cls(**{str(name): value for name, value in values.items()})

    def replace(self, **changes: Any):
        """The same with changes, checked like any other settings; a group is replaced as a whole.

        To change one field of a group: ``chapter.replace(rib=chapter.rib.replace(margin=30.0))``.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**values, **changes})

    def as_dict(self) -> dict[str, Any]:
        """Fields and values, ready for JSON (which has lists for tuples).

        Groups are in full, but for what is the same as here: ``variant``, ``seed``, ``precision``.
        """
        shared = type(self).model_fields.keys() & SHARED
        values: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Settings):
                value = {key: one for key, one in value.as_dict().items() if key not in shared}
            values[name] = list(value) if isinstance(value, tuple) else value
        return values

    def identity(self) -> dict[str, Any]:
        """The fields that change the result, with their values; groups as in ``as_dict``."""
        return self.identity_of(self.as_dict())

    @classmethod
    def identity_of(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What of these values, as ``as_dict`` gives them, changes the result."""
        result = {}
        for name, field in cls.model_fields.items():
            if name in values and field.json_schema_extra["identity"]:
                group = _group_class(cls, name)
                result[name] = group.identity_of(values[name]) if group else values[name]
        return result

    def hash(self) -> str:
        """12 hexadecimal digits that change with every setting that changes the result."""
        text = json.dumps([type(self).__name__, self.identity()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names by group: ``{"rib.margin": 30}`` is ``{"rib": {"margin": 30}}``.

    What is a group already stays one, so both forms may stand side by side.

    Raises:
        SettingsError: one name is a value and a group.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        for part in reversed(str(name).split(".")):
            value = {part: value}
        ((first, inner),) = value.items()
        if first in result and isinstance(result[first], Mapping) != isinstance(inner, Mapping):
            raise SettingsError(f"{first} is given as a value and as a group of parameters")
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


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names, ``rib.margin``: the inverse of ``nested``."""
    result = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= {f"{name}.{key}": inner for key, inner in flat(value).items()}
        else:
            result[name] = value
    return result


def refuse_unknown(names: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raise SettingsError for the first of ``names`` that is not ``known``, with the nearest."""
    known = list(known)
    for name in names:
        if name not in known:
            raise SettingsError(_unknown(name, known, owner))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In words, the entries of ``here`` that are others ``there``; empty if there are none."""
    there = flat(there)
    return "; ".join(
        f"{name} is {there.get(name)!r} there, {value!r} here"
        for name, value in flat(here).items()
        if there.get(name) != value
    )


def name_and_value(text: str) -> tuple[str, Any]:
    """A command-line parameter ``NAME=VALUE``.

    A value is as Python writes it: 3, 1e-3, True, [1, 2]; anything else is text.

    Raises:
        SettingsError: there is no ``=``.
    """
    name, separator, value = text.partition("=")
    if not separator:
        raise SettingsError(f"{text!r} is not of the form NAME=VALUE")
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, {"true": True, "false": False, "null": None}.get(value.lower(), value)
    return name, list(read) if isinstance(read, tuple) else read  # 1, 2 without brackets


def _in_group(given: Any, chapter: Mapping[str, Any], preset: Settings) -> dict[str, Any]:
    """All values of a group: what is given, what it shares with its chapter, and its preset's.

    ``given`` may be settings, of which is taken what is not shared.
    """
    shared = {k: chapter[k] for k in SHARED if k in chapter and k in type(preset).model_fields}
    if isinstance(given, Settings):
        given = {name: value for name, value in given.as_dict().items() if name not in shared}
    if not isinstance(given, Mapping):
        raise SettingsError(
            f"{given!r} is no mapping of parameters to values; {{}} leaves all as they are"
        )
    for name in given:
        if name in shared:
            raise SettingsError(f"{name} is the chapter's own parameter; give it there, not here")
    return {**preset.as_dict(), **given, **shared}


def _group_class(kind: type[Settings], name: str) -> type[Settings] | None:
    """The class of a field that is a group; None for one that is not."""
    annotation = kind.model_fields[name].annotation
    is_group = isinstance(annotation, type) and issubclass(annotation, Settings)
    return annotation if is_group else None


def _unknown(name: str, known: Iterable[str], owner: str) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{owner} has no parameter {name!r}; {hint}It knows: {', '.join(known)}"


def _refusal(kind: type[Settings], error: ValidationError) -> SettingsError:
    """pydantic's errors, one line each: path, value, what is allowed, the field's meaning."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for one in error.errors(include_url=False):
        path, cause = one["loc"], one.get("ctx", {}).get("error")
        if isinstance(cause, SettingsError) and cause.faults:  # of a group, itself in words
            faults += [((*path, *inner), text) for inner, text in cause.faults]
        elif one["type"] == "value_error":
            faults.append((path, f": {cause}"))
        elif one["type"] == "extra_forbidden":
            faults.append((path, f": {_unknown(str(path[0]), kind.model_fields, kind.__name__)}"))
        else:
            field = kind.model_fields[path[0]]
            words = _WORDS.get(one["type"], "").format(**one.get("ctx", {}))
            allowed = words or one["msg"].removeprefix("Input should be ")
            if type(None) in typing.get_args(field.annotation):
                allowed += ", or None"
            text = f" = {one['input']!r}: it must be {allowed} ({field.description})"
            faults.append((path, text))
    paths = {path for path, _ in faults}  # a list with a bad item may also be called too short
    faults = [one for one in faults if not any(p[:-1] == one[0] != p for p in paths)]
    lines = (f"{'.'.join(map(str, path))}{text}".removeprefix(": ") for path, text in faults)
    refusal = SettingsError("\n".join(lines))
    refusal.faults = tuple(faults)
    return refusal
