"""A reader's own functions, such as a loss, beside those that a table of the package names.

In settings a function stands as a text, ``mine:my_loss@1f2e3d4c5b6a``, whose digits tell its
source. So it goes to workers and files like any other value, and what was made with another source
is other settings.
"""

from __future__ import annotations

import difflib
import dis
import inspect
import json
import os
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import CodeType
from typing import Any

from ribnb.core.files import digest

_WHOLE = re.compile(r".@[0-9a-f]{12}$")
_SEEN: dict[str, Callable] = {}  # text -> the function, for those that no other process finds


@dataclass(frozen=True)
class Functions:
    """The functions of one kind: those of the package, and a reader's own.

    Attributes:
        kind: such as ``"losses"``; own ones may be entry points of the group ``ribnb.<kind>``.
        known: name -> the package's.
        takes: names of the arguments, for messages.
        others: what else is known where it is looked for, for messages.
    """

    kind: str
    known: Mapping[str, Callable]
    takes: tuple[str, ...]
    others: tuple[str, ...] = ()

    def text(self, value: Any) -> str:
        """What stands in settings for a function.

        ``value`` is a known name, which stays as it is; the name of an entry point;
        ``"module:function"``, of a module that is installed or in the working folder; the function
        itself; or such a text, which is not looked up. ValueError if there is no such function, it
        takes other arguments, or has no source.
        """
        if isinstance(value, str) and (value in self.known or _WHOLE.search(value)):
            return value
        function = self._found(value) if isinstance(value, str) else value
        name = getattr(function, "__qualname__", repr(function))
        if not inspect.isfunction(function) or name.endswith("<lambda>"):
            raise ValueError(f"{name} is no function made with `def`, whose source could be kept")
        try:
            inspect.signature(function).bind(*self.takes)
        except TypeError as error:
            takes = ", ".join(self.takes)
            raise ValueError(f"{name} is called as {name}({takes}), but has {error}") from None
        name = value if isinstance(value, str) else f"{function.__module__}:{name}"
        text = f"{name}@{source_digest(function)}"
        _SEEN[text] = function
        return text

    def of(self, text: str) -> Callable:
        """The function of a text; ValueError if there is none, or one of another source by now."""
        if text not in self.known and text not in _SEEN and self.text(text[:-13]) != text:
            raise ValueError(
                f"the source of {text[:-13]} is not what it was for {text}. Put it back, or make "
                "settings with the new one, and another folder"
            )
        return self.known.get(text) or _SEEN[text]

    def _found(self, name: str) -> Callable:
        group = entry_points(group=f"ribnb.{self.kind}")
        module, colon, attribute = name.partition(":")
        try:
            if name in group.names:
                return group[name].load()
            if colon:
                if os.getcwd() not in sys.path:  # as `python -m` has it
                    sys.path.append(os.getcwd())
                return pkgutil.resolve_name(name)
        except (ImportError, AttributeError, ValueError) as error:
            loaded = sys.modules.get(module)
            there = dir(loaded) if loaded else [each.name for each in pkgutil.iter_modules()]
            hint = nearest(attribute if loaded else module, there)
            if module == "__main__":
                hint = "; what a notebook defines is there only: write it into a file"
            raise ValueError(f"{name!r} cannot be had: {error}{hint}") from error
        known = [*self.known, *sorted(group.names), *self.others]
        raise ValueError(
            f"{name!r} is none of the {self.kind} {', '.join(known)}, and no function of your own, "
            f"which is given as 'module:function'{nearest(name, known)}"
        )


def nearest(name: str, known: list[str]) -> str:
    """A hint for the end of a message; empty where nothing known is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def source_digest(function: Callable) -> str:
    """12 hexadecimal digits of a function's source, and of what of its module it uses.

    That are functions, methods of classes, and plain values such as numbers and texts. ValueError
    if there is no source, or another value is used, such as a tensor, which no source tells.
    """
    parts: dict[str, str] = {}
    _collect(inspect.unwrap(function), parts)
    return digest(parts)


def _collect(function: Callable, parts: dict[str, str]) -> None:
    name = f"{function.__module__}:{function.__qualname__}"
    if name in parts:
        return
    try:
        parts[name] = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise ValueError(f"{name} has no source ({error}): write it into a file") from None
    used = {each: function.__globals__.get(each, len) for each in _globals(function.__code__)}
    used |= inspect.getclosurevars(function).nonlocals
    used |= {"its defaults": [function.__defaults__, function.__kwdefaults__]}
    for key, value in used.items():
        if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
            inner = vars(value).values() if inspect.isclass(value) else [value]
            for each in map(inspect.unwrap, filter(inspect.isfunction, inner)):
                if each.__module__ == function.__module__:
                    _collect(each, parts)
            continue
        try:
            parts[f"{name} {key}"] = json.dumps(value, sort_keys=True)
        except TypeError:
            raise ValueError(
                f"{name} uses {key}, a {type(value).__name__}, which its source does not tell: "
                "make it inside the function"
            ) from None


def _globals(code: CodeType) -> set[str]:
    """Names that a function reads outside of it, its inner functions' too."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    return names.union(*(_globals(each) for each in code.co_consts if inspect.iscode(each)))
