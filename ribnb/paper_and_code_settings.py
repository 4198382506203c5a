"""Settings of the chapter ``paper_and_code``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ribnb.ablations_settings import ablations_folder, refuse_no_folder
from ribnb.scene_nets import TRAINED
from ribnb.settings import Settings, setting


@dataclass(frozen=True)
class PaperAndCodeSettings(Settings):
    """Parameters of the chapter ``paper_and_code``, which reads results and trains nothing."""

    # Which results are there does not follow from the folder's name: each has its own digest.
    results: str = setting("", "folder of results; none: those of the book", identity=False)
    seed: int = setting(
        TRAINED[0], "of the net and scenes looked at, and of the draws", choices=TRAINED
    )
    resamples: int = setting(1000, "draws of images behind each interval", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_no_folder(self.results)

    @property
    def folder(self) -> Path:
        """Where the results lie; without any, it need not be there."""
        return ablations_folder(self.results)
