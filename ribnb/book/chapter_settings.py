"""The settings of a chapter by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ribnb.book.chapters import CHAPTERS
from ribnb.core.settings import Settings, refuse_unknown

WHERE = CHAPTERS


def settings_class(chapter: str) -> type[Settings]:
    """The class of a chapter's settings; SettingsError names the nearest of an unknown one."""
    refuse_unknown([chapter], CHAPTERS, "the book (for a chapter with parameters)")
    return CHAPTERS[chapter]


def chapter_settings(chapter: str, parameters: Mapping[str, Any]) -> Settings:
    """A chapter's settings with some parameters given."""
    return settings_class(chapter).from_mapping(parameters)
