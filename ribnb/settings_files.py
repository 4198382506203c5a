"""Files of parameters: YAML of ``name: value``, with a section for what one chapter alone gets.

    dataset: voc
    voc_rib:
      split: train_aug

Every chapter gets ``dataset``, and the chapter ``voc_rib`` also ``split``. A section ``batch``
is for a batch of chapters, see ``ribnb.batch``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ribnb.settings import refuse_unknown

BATCH = "batch"  # name of the section that is for no chapter


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """What a file of parameters holds, sections included.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not YAML, or no mapping of names.
    """
    import yaml  # comes with papermill

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of parameters {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{path} must be a mapping of parameter names to values")
    return values


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
