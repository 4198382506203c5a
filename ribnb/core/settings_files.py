"""Files of parameters: YAML of ``name: value``, with a section for what one chapter alone gets.

    dataset: voc
    voc_rib:
      split: train_aug

Every chapter gets ``dataset``, and the chapter ``voc_rib`` also ``split``. A section ``batch``
is for a batch of chapters, see ``ribnb.runs.batch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ribnb.core.settings import SettingsError, refuse_unknown

if TYPE_CHECKING:
    from ribnb.core.yaml_lines import Lines

BATCH = "batch"  # name of the section that is for no chapter


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """What a file of parameters holds, sections included; see ``settings_and_lines``."""
    return settings_and_lines(path)[0]


def settings_and_lines(path: str | Path) -> tuple[dict[str, Any], Lines]:
    """What a file of parameters holds, and where.

    Raises:
        FileNotFoundError: there is no such file.
        SettingsError: it is not YAML, or no mapping of names; with its line.
    """
    from ribnb.core.yaml_lines import read_with_lines  # YAML comes with papermill

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of parameters {path}")
    values, lines = read_with_lines(path)
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must be a mapping of parameter names to values")
    return values, lines


def for_chapter(values: Mapping[str, Any], chapter: str, chapters: Iterable[str]) -> dict[str, Any]:
    """The parameters of one chapter: those of all, and over them those of its section.

    Args:
        values: what ``read_settings_file`` gave.
        chapter: its name, such as ``"voc_rib"``.
        chapters: the names that a section may have.

    Raises:
        SettingsError: a section for a chapter that does not exist; names the nearest.
    """
    sections = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    refuse_unknown(sections, [*chapters, BATCH], "the book (for a section of parameters)")
    common = {name: value for name, value in values.items() if name not in sections}
    return {**common, **sections.get(chapter, {})}
