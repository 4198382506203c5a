"""Settings of the chapter ``scoreboard``."""

from __future__ import annotations

from ribnb.book.reading_settings import ReadingSettings


class ScoreboardSettings(ReadingSettings):
    """Parameters of ``scoreboard``: where the results lie."""
