"""Settings of the chapter ``scoreboard``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ribnb.book_files import book_folder
from ribnb.settings import Settings, SettingsError, setting


@dataclass(frozen=True)
class ScoreboardSettings(Settings):
    """Parameters of ``scoreboard``."""

    results: str = setting("", "folder of results; none: those of the book", identity=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.results and not Path(self.results).is_dir():
            raise SettingsError(
                f"results = {self.results!r} is no folder; name one with results of runs, or leave "
                "it empty for those of the book"
            )

    @property
    def folder(self) -> Path:
        """Where the results lie."""
        return Path(self.results) if self.results else book_folder("results")
