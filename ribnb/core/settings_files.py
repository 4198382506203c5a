"""Files of parameters: YAML of ``name: value``, with sections for single chapters.

    dataset: voc
    rib: {iterations: 5}
    chapters:
      voc_rib: {split: train_aug}

Every chapter gets ``dataset``, every one with a group ``rib`` that one, and the chapter
``voc_rib`` also ``split``. A section ``batch`` is for a batch of chapters. Names may be dotted,
``rib.iterations: 5``; see ``ribnb.core.settings.nested``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ribnb.core.settings import Settings, SettingsError, merged, nested, refuse_unknown

BATCH = "batch"  # the section that is for no chapter
SECTIONS = "chapters"  # the section of those that are for single chapters


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """What a YAML file holds: mappings with text for names, and lists, of plain values.

    ``8e-6`` is a number; ``no`` and ``off``, dates, ``010`` and image ids such as ``2007_000032``
    are text.

    Raises:
        FileNotFoundError: there is no such file.
        SettingsError: it is not YAML, or no mapping of names; a name that is twice in one mapping,
            or is not text. With its line.
    """
    from ruamel.yaml import YAML, YAMLError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of parameters {path}")
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _constructor()
    try:
        values = reader.load(path.read_bytes())
    except (YAMLError, ValueError) as error:  # ValueError: no UTF-8
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        what = getattr(error, "problem", error)
        raise SettingsError(f"{path}{line}: not YAML: {what}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must be a mapping of parameter names to values")
    _refuse_names_that_are_no_text(values, path)
    return values


def for_chapter(
    values: Mapping[str, Any], chapter: str, chapters: Mapping[str, type[Settings] | None]
) -> dict[str, Any]:
    """The parameters of one chapter: those of all, and over them those of its section.

    Args:
        values: what ``read_settings_file`` gave.
        chapter: its name, such as ``"voc_rib"``.
        chapters: name -> settings of all chapters: a section must be for one of them, and a group
            is given only to those that have it. One whose settings are None gets all groups.

    Raises:
        SettingsError: a section for a chapter that does not exist, or a group that no chapter has;
            names the nearest.
    """
    sections = values.get(SECTIONS) or {}
    if not isinstance(sections, Mapping):
        raise SettingsError(f"{SECTIONS} must be a mapping of chapters to their parameters")
    refuse_unknown(sections, chapters, f"the book (for a section below {SECTIONS})")
    common = nested({k: v for k, v in values.items() if k not in (BATCH, SECTIONS)})
    groups = [name for name, value in common.items() if isinstance(value, Mapping)]
    kinds = [kind for kind in chapters.values() if kind]
    if len(kinds) == len(chapters):
        known = {name for kind in kinds for name in kind.model_fields}
        hint = f"the book (a chapter's section stands below {SECTIONS})"
        refuse_unknown(groups, sorted(known), hint)
    kind = chapters.get(chapter)
    if kind:
        common = {k: v for k, v in common.items() if k not in groups or k in kind.model_fields}
    return merged(common, nested(sections.get(chapter) or {}))


def _constructor() -> type:
    """ruamel's, for which only a plain decimal number is an int, and a date is text."""
    from ruamel.yaml.constructor import SafeConstructor

    class Constructor(SafeConstructor):
        pass

    def whole_number(constructor: SafeConstructor, node: Any) -> int | str:
        plain = re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", node.value)
        return int(node.value) if plain else node.value

    Constructor.add_constructor("tag:yaml.org,2002:int", whole_number)
    Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    return Constructor


def _refuse_names_that_are_no_text(values: Any, path: Path) -> None:
    if isinstance(values, Mapping):
        for name, value in values.items():
            if not isinstance(name, str):
                raise SettingsError(f"{path}: the name {name!r} is not text; put it in quotes")
            _refuse_names_that_are_no_text(value, path)
    elif isinstance(values, list):
        for value in values:
            _refuse_names_that_are_no_text(value, path)
