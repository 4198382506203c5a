"""Settings of the chapter ``paper_and_code``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from ribnb.book.ablations_settings import PUBLISHED
from ribnb.book.reading_settings import ReadingSettings
from ribnb.core.settings import setting
from ribnb.nets.scene_nets import TRAINED


class PaperAndCodeSettings(ReadingSettings):
    """Parameters of the chapter ``paper_and_code``, which reads results and trains nothing."""

    below: ClassVar[Path] = PUBLISHED

    seed: Literal[TRAINED] = setting(
        TRAINED[0], "of the net and scenes looked at, and of the draws"
    )
    resamples: int = setting(1000, "draws of images behind each interval", ge=1)
