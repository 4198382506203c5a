"""Settings of the chapter ``ablations``, and where its results come from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ribnb.book.reading_settings import ReadingSettings
from ribnb.core.settings import setting

PUBLISHED = Path("ablations") / "cpu"  # below the book's folder of results
COMMAND = "make ablations"
PUBLISH = f"python -m ribnb.runs.publish runs/ablations book/results/{PUBLISHED.as_posix()}"


class AblationsSettings(ReadingSettings):
    """Parameters of ``ablations``, which runs nothing: it reads the results of a batch."""

    below: ClassVar[Path] = PUBLISHED

    seed: int = setting(0, "of the images that are drawn anew", ge=0)
    resamples: int = setting(1000, "how often images are drawn anew", ge=1)
