"""Settings that all chapters share which read the results of others and leave none."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import model_validator

from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.runs.results import book_folder


class ReadingSettings(Settings):
    """The one parameter: where the results lie.

    It is no part of the settings' hash: each result has a digest of its own.
    """

    below: ClassVar[Path] = Path()  # of the book's results, what is read by default

    results: str = setting("", "folder of results; none: those of the book", identity=False)

    @model_validator(mode="after")
    def _a_folder(self):
        if self.results and not Path(self.results).is_dir():
            raise SettingsError(
                f"results = {self.results!r} is no folder; name one with results of runs, such as "
                "'runs/ablations', or leave it empty for those of the book"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where the results lie; without the parameter, it need not be there."""
        return Path(self.results) if self.results else book_folder("results") / self.below

    @property
    def place(self) -> str:
        """The folder in words that are the same on every machine."""
        return self.results or ("book" / Path("results") / self.below).as_posix()
