"""Settings of the chapter ``scoreboard``."""

from __future__ import annotations

from dataclasses import dataclass

from ribnb.book.reading_settings import ReadingSettings


@dataclass(frozen=True)
class ScoreboardSettings(ReadingSettings):
    """Parameters of ``scoreboard``: where the results lie."""
