"""A stage that makes a mask of every image of a split: the runner over images, for masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.runner import MASKS, RecordedFolder, Report, over_images, read_record

RECORD = MASKS.record


@dataclass
class MasksReport(Report):
    """What became of the images of a split in one stage."""

    what: str = MASKS.what


class MaskFolder(RecordedFolder):
    """Masks of one kind: ``<id>.png`` with VOC's palette, and ``masks.json``, how they were made.

    Args:
        folder: is made if it does not exist.
        record: all that decides the masks, ready for JSON; kept in ``masks.json``.
    """

    def __init__(self, folder: str | Path, record: Mapping[str, Any]) -> None:
        super().__init__(folder, MASKS, record)


def read_masks_record(folder: str | Path) -> dict[str, Any]:
    """How a folder's masks were made, as ``MaskFolder`` recorded it; see ``read_record``."""
    return read_record(folder, MASKS)


def make_masks(
    make: Callable[[str], UInt8[ndarray, "H W"]],
    ids: Sequence[str],
    folder: MaskFolder,
    what: str,
    workers: int = 1,
) -> Report:
    """Make the masks that are not there yet; see ``over_images``."""
    return over_images(make, ids, folder, label=what, workers=workers)
