"""Settings: frozen pydantic models that refuse wrong values in words, and files of parameters.

A field of another settings class is a group, such as ``rib`` of a chapter, and a parameter in it
has a dotted name, ``rib.iterations``; ``nested`` and ``merged`` turn such names into groups.

A file of parameters is YAML of ``name: value``, with sections for single chapters:

    dataset: voc
    rib: {iterations: 5}
    chapters:
      voc_rib: {split: train_aug}

Every chapter gets ``dataset``, every one with a group ``rib`` that one, and the chapter
``voc_rib`` also ``split``. A section ``batch`` is for a batch of chapters.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.constructor import SafeConstructor

from ribnb.core.files import digest, read_text
from ribnb.core.parameters import as_text, as_written, merged, nested

SHARED = ("variant", "seed", "precision")  # where a chapter has them, its groups have the same
BATCH = "batch"  # the section of a file that is for no chapter
SECTIONS = "chapters"  # the section of those that are for single chapters


class SettingsError(ValueError):
    """A setting that is unknown, of the wrong type or out of range.

    Attributes:
        faults: dotted name of a setting -> what is wrong, if single settings are to blame.
    """

    def __init__(self, message: str, faults: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.faults = faults or {}


@contextmanager
def said_of(where: Any) -> Iterator[None]:
    """A SettingsError in here gets this before each of its lines: a file, or a section of it."""
    try:
        yield
    except SettingsError as error:
        lines = str(error).splitlines()
        raise SettingsError("\n".join(f"{where}: {line}" for line in lines)) from None


def setting(default: Any, meaning: str, *, identity: bool | None = True, **limits: Any) -> Any:
    """A field of ``Settings``: default, meaning with unit or range and source, pydantic's limits.

    ``identity`` is False for what does not change the result (a folder, a device) and so stays out
    of the settings' hash; None for what came later, and stays out of it where it is the default.
    """
    return Field(default, description=meaning, json_schema_extra={"identity": identity}, **limits)


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
        value = tuple(value) if isinstance(value, list) else value  # as JSON and papermill have it
        return as_text(value) if _is_text(cls.model_fields[info.field_name].annotation) else value

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]):
        """What a group is where nothing is given, by the fields before it that are right."""
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
            kept = field.json_schema_extra["identity"]
            default = [*field.default] if isinstance(field.default, tuple) else field.default
            if name in values and (values[name] != default if kept is None else kept):
                group = _group_class(cls, name)
                result[name] = group.identity_of(values[name]) if group else values[name]
        return result

    def hash(self) -> str:
        """12 hexadecimal digits that change with every setting that changes the result."""
        return digest([type(self).__name__, self.identity()])


# Names and values -------------------------------------------------------------------------


def _is_text(annotation: Any) -> bool:
    """Whether a field holds a text, or texts in a row."""
    return annotation is str or any(map(_is_text, get_args(annotation)))


def refuse_unknown(names: Iterable[str], known: Iterable[str], owner: str) -> None:
    """Raise SettingsError for the first of ``names`` that is not ``known``, with the nearest."""
    known = list(known)
    for name in names:
        if name not in known:
            raise SettingsError(_unknown(name, known, owner))


def _in_group(given: Any, chapter: Mapping[str, Any], preset: Settings) -> dict[str, Any]:
    """All values of a group: what is given, what it shares with its chapter, and its preset's.

    ``given`` may be settings, of which is taken what is not shared.
    """
    shared = {k: chapter[k] for k in SHARED if k in chapter and k in type(preset).model_fields}
    if isinstance(given, Settings):
        given = {name: value for name, value in given.as_dict().items() if name not in shared}
    for name in as_mapping(given):
        if name in shared:
            raise SettingsError(f"{name} is the chapter's own parameter; give it there, not here")
    return {**preset.as_dict(), **as_mapping(given), **shared}


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A group or a section of a file, empty for none; a SettingsError for what is no mapping."""
    if not isinstance(value or {}, Mapping):
        raise SettingsError(f"{value!r} is no mapping of parameters to values")
    return value or {}


def _group_class(kind: type[Settings], name: str) -> type[Settings] | None:
    """The class of a field that is a group; None for one that is not."""
    annotation = kind.model_fields[name].annotation
    is_group = isinstance(annotation, type) and issubclass(annotation, Settings)
    return annotation if is_group else None


def _grouped(kind: type[Settings]) -> list[tuple[str, str]]:
    """The name of every group of a class, with that of each of its fields."""
    groups = {name: _group_class(kind, name) for name in kind.model_fields}
    return [(name, of) for name, group in groups.items() if group for of in group.model_fields]


def _unknown(name: str, known: Iterable[str], owner: str, inner: Iterable[str] = ()) -> str:
    near = difflib.get_close_matches(name, [*known, *inner], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{owner} has no parameter {name!r}; {hint}It knows: {', '.join(known)}"


def _refusal(kind: type[Settings], error: ValidationError) -> SettingsError:
    """pydantic's errors, one line each: path, value, what is allowed, the field's meaning."""
    faults: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        path, cause = ".".join(map(str, fault["loc"])), fault.get("ctx", {}).get("error")
        if isinstance(cause, SettingsError) and cause.faults:  # of a group, itself in words
            faults |= {f"{path}.{inner}".strip("."): text for inner, text in cause.faults.items()}
        elif fault["type"] == "value_error":
            faults[path] = f": {cause}"
        elif fault["type"] == "extra_forbidden":
            inner = [f"{name}.{of}" for name, of in _grouped(kind)]
            faults[path] = f": {_unknown(path, kind.model_fields, kind.__name__, inner)}"
        else:
            allowed = fault["msg"].replace("Input should be", "it must be")
            meaning = kind.model_fields[fault["loc"][0]].description
            faults[path] = f" = {fault['input']!r}: {allowed} ({meaning})"
    lines = (f"{path}{text}".removeprefix(": ") for path, text in faults.items())
    return SettingsError("\n".join(lines), faults)


# Files of parameters ----------------------------------------------------------------------


class _Constructor(SafeConstructor):
    """ruamel's, for which only a plain decimal number is an int, and a date is text."""

    def number(self, node: Any) -> Any:
        kind = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        return as_written(kind(node), node.value)


for _kind in ("int", "float"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_kind}", _Constructor.number)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """What a YAML file holds: a mapping of names, and lists, of plain values.

    ``8e-6`` is a number; ``no`` and ``off``, dates, ``010`` and image ids such as ``2007_000032``
    are text. A file that is not there is a FileNotFoundError, anything but a mapping in YAML a
    SettingsError with the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of parameters {path}")
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    try:
        values = reader.load(read_text(path))
    except (YAMLError, ValueError) as error:  # ValueError: no UTF-8
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        what = getattr(error, "problem", error)
        raise SettingsError(f"{path}{line}: not YAML: {what}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must be a mapping of parameter names to values")
    return values


def for_chapter(
    values: Mapping[str, Any], chapter: str, chapters: Mapping[str, type[Settings] | None]
) -> dict[str, Any]:
    """The parameters of one chapter in a file: those of all, and over them those of its section.

    A section must be for one of the ``chapters``, and a group is given only to those that have it;
    a chapter whose settings are None gets all groups. A section or a group for none of them is a
    SettingsError. In a chapter's section, what one of its groups alone has may stand without it.
    """
    sections = as_mapping(values.get(SECTIONS))
    refuse_unknown(sections, chapters, f"the book (for a section below {SECTIONS})")
    common = nested({k: v for k, v in values.items() if k not in (BATCH, SECTIONS)})
    own = as_mapping(sections.get(chapter))
    if kind := chapters[chapter]:
        groups = [name for name, value in common.items() if isinstance(value, Mapping)]
        known = {name for each in chapters.values() if each for name in each.model_fields}
        owner = f"the book (a chapter's section stands below {SECTIONS})"
        refuse_unknown(groups, sorted(known), owner)
        common = {k: v for k, v in common.items() if k not in groups or k in kind.model_fields}
        within = {name: [group for group, of in _grouped(kind) if of == name] for name in own}
        moved = {k: g[0] for k, g in within.items() if k not in kind.model_fields and len(g) == 1}
        own = {f"{moved[k]}.{k}" if k in moved else k: value for k, value in own.items()}
    return merged(common, nested(own))
