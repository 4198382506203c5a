"""Settings of the chapter ``ablations``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ribnb.book_files import book_folder
from ribnb.settings import Settings, SettingsError, setting

PUBLISHED = Path("ablations") / "cpu"  # below the book's folder of results


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
        if self.results and not Path(self.results).is_dir():
            raise SettingsError(
                f"results = {self.results!r} is no folder; name that of a batch, such as "
                "'runs/ablations', or leave it out"
            )

    @property
    def folder(self) -> Path:
        """Where the results lie; without any, it need not be there."""
        return Path(self.results) if self.results else book_folder("results") / PUBLISHED

    @property
    def place(self) -> str:
        """The folder in words that are the same on every machine."""
        return self.results or (Path("book") / "results" / PUBLISHED).as_posix()
