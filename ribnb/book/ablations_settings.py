"""Moved to ``reading``."""

from ribnb.book.reading import COMMAND, PUBLISH, AblationsSettings

__all__ = ["COMMAND", "PUBLISH", "AblationsSettings"]
