"""YAML with the line of every name and value, so that a refusal can say where.

Read is what YAML 1.2 calls its core schema, and less than PyYAML's ``safe_load`` reads: numbers
may be written ``8e-6``; only ``true`` and ``false`` are truth values, so that ``no`` and ``off``
stay text; names are text; and ``010``, ``1:30``, ``1_000`` and dates are text too, of which
nobody has to guess the value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ribnb.core.settings import SettingsError

Place = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_INT = r"[-+]?(?:0|[1-9][0-9]*)"
_FLOAT = (
    r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_READ = {
    "null": lambda text: None,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": int,
    "float": lambda text: float(re.sub(r"^([-+]?)\.(?=[a-z])", r"\1", text.lower())),
    "str": str,
}


@dataclass(frozen=True)
class Lines:
    """Where the entries of a file stand; lines count from 1.

    A place is what one would index with: ``("grid", "pooling", 0)``. One that is not in the file
    stands where the nearest does that it would be in.
    """

    names: Mapping[Place, int]
    values: Mapping[Place, int]

    def at(self, *place: str | int) -> int:
        """Line where an entry begins: of its name in a mapping, of the item in a list."""
        return self._line(self.names, place)

    def value(self, *place: str | int) -> int:
        """Line where an entry's value begins."""
        return self._line(self.values, place)

    @staticmethod
    def _line(lines: Mapping[Place, int], place: Place) -> int:
        while place not in lines:  # () always is
            place = place[:-1]
        return lines[place]


def read_with_lines(path: str | Path) -> tuple[Any, Lines]:
    """What a YAML file holds, as mappings, lists, text, numbers, True, False and None.

    Raises:
        SettingsError: with ``FILE:LINE: what``, for a file that cannot be read or is not YAML; a
            name that is twice in one mapping, or is not text; an anchor's second use; a tag of
            another type.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    names: dict[Place, int] = {(): 1}
    values: dict[Place, int] = {(): 1}
    try:
        text = content.decode("utf-8-sig")
        node = yaml.compose(text, Loader=_Loader)
        value = None if node is None else _value(node, (), names, values)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: not text in UTF-8; save it as such") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(f"{path}:{line}: not YAML: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        raise SettingsError(f"{path}:{mark.line + 1}: not YAML: {what}") from error
    except RecursionError:
        raise SettingsError(f"{path}:1: not read: too many brackets within brackets") from None
    except _Refused as error:
        raise SettingsError(f"{path}:{error}") from None
    return value, Lines(names, values)


class _Refused(Exception):
    def __init__(self, mark: yaml.Mark, what: str) -> None:
        super().__init__(f"{mark.line + 1}: {what}")


class _Loader(yaml.SafeLoader):
    """Finds types by rules of its own, which leaves PyYAML's loaders as they are."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        # Two places would share one value and its line, and a few lines could hold billions.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise _Refused(event.start_mark, f"*{event.anchor}: write out what it stands for")
        return super().compose_node(parent, index)


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"^(?:{_pattern})$"), _first)


def _value(node: yaml.Node, place: Place, names: dict, values: dict) -> Any:
    """A node's value; its lines, and those of all within, into ``names`` and ``values``."""
    values[place] = node.start_mark.line + 1
    names.setdefault(place, values[place])  # a mapping's entry has that of its name
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        found: dict[str, Any] = {}
        for key, inner in node.value:
            name = _name(key)
            here = (*place, name)
            if name in found:
                raise _Refused(
                    key.start_mark,
                    f"{name!r} stands here a second time, first in line {names[here]}; YAML "
                    "would take the last. Leave one",
                )
            names[here] = key.start_mark.line + 1
            found[name] = _value(inner, here, names, values)
        return found
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [_value(inner, (*place, i), names, values) for i, inner in enumerate(node.value)]
    kind = node.tag.removeprefix(_TAG)
    if not isinstance(node, yaml.ScalarNode) or kind not in _READ:
        raise _Refused(node.start_mark, f"a value of the type {node.tag}; write it without a tag")
    try:
        return _READ[kind](node.value)
    except (ValueError, KeyError):
        raise _Refused(node.start_mark, f"{node.value[:40]!r} is no {kind}") from None


def _name(key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise _Refused(key.start_mark, "a list or a mapping as a name; names are text")
    if key.tag != _TAG + "str":
        raise _Refused(key.start_mark, f"the name {key.value!r} is not text; put it in quotes")
    return key.value
