"""Moved to ``reading``."""

from ribnb.book.reading import ScoreboardSettings

__all__ = ["ScoreboardSettings"]
