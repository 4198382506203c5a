"""Settings of the chapters that read the results of others and leave none."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator

from ribnb.book.scenes import TRAINED
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


PUBLISHED = Path("ablations") / "cpu"  # below the book's folder of results


class AblationsSettings(ReadingSettings):
    """Parameters of ``ablations``, which runs nothing: it reads the results of a batch."""

    below: ClassVar[Path] = PUBLISHED

    seed: int = setting(0, "of the images that are drawn anew", ge=0)
    resamples: int = setting(1000, "how often images are drawn anew", ge=1)


class PaperAndCodeSettings(ReadingSettings):
    """Parameters of the chapter ``paper_and_code``, which reads results and trains nothing."""

    below: ClassVar[Path] = PUBLISHED

    seed: Literal[TRAINED] = setting(
        TRAINED[0], "of the net and scenes looked at, and of the draws"
    )
    resamples: int = setting(1000, "draws of images behind each interval", ge=1)


class ScoreboardSettings(ReadingSettings):
    """Parameters of ``scoreboard``: where the results lie."""
