"""Settings of the chapter ``ablations``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ribnb.book_files import book_folder
from ribnb.settings import Settings, SettingsError, setting

PUBLISHED = Path("ablations") / "cpu"  # below the book's folder of results


def ablations_folder(results: str) -> Path:
    """The folder of a batch's results; without a name that of the book."""
    return Path(results) if results else book_folder("results") / PUBLISHED


def refuse_no_folder(results: str) -> None:
    """SettingsError for a name of no folder."""
    if results and not Path(results).is_dir():
        raise SettingsError(
            f"results = {results!r} is no folder; name that of a batch, such as 'runs/ablations', "
            "or leave it out"
        )


@dataclass(frozen=True)
class AblationsSettings(Settings):
    """Parameters of ``ablations``, which runs nothing: it reads the results of a batch."""

    results: str = setting(
        "", "folder of a batch's results; none: those of the book", identity=False
    )
    seed: int = setting(0, "of the images that are drawn anew", minimum=0)
    resamples: int = setting(1000, "how often images are drawn anew", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_no_folder(self.results)

    @property
    def folder(self) -> Path:
        """Where the results lie; without any, it need not be there."""
        return ablations_folder(self.results)

    @property
    def place(self) -> str:
        """The folder in words that are the same on every machine."""
        return self.results or (Path("book") / "results" / PUBLISHED).as_posix()
