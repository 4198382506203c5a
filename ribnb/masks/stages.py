"""A stage that makes a mask of every image of a split: resumable, one file an image."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.mask_files import read_mask_file, write_mask_file
from ribnb.core.parallel import run_jobs
from ribnb.core.progress import progress
from ribnb.core.settings import differences
from ribnb.core.whole_files import whole_file

RECORD = "masks.json"
_CHUNK = 8  # images that a process takes at a time
# What may go wrong with one image, and leaves the others alone.
_FAILURES = (OSError, ValueError, RuntimeError, ArithmeticError, MemoryError)


@dataclass
class MasksReport:
    """What became of the images of a split in one stage.

    Attributes:
        folder: where the masks are.
        written: ids of the images whose masks were made now.
        kept: how many images had masks already.
        failed: id -> why it has no mask.
        seconds: for all that was done now.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [
            f"{len(self.written)} masks in {self.seconds:.0f} s, {self.kept} were there; "
            f"failed {len(self.failed)}"
        ]
        return "\n".join(lines + [f"failed: {name}: {why}" for name, why in self.failed.items()])


class MaskFolder:
    """Masks of one kind: ``<id>.png`` with VOC's palette, and ``masks.json``, how they were made.

    Args:
        folder: is made if it does not exist.
        record: all that decides the masks, ready for JSON; kept in ``masks.json``.

    Raises:
        ValueError: the folder holds masks that were made otherwise; what differs is named.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path, record: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        here = json.loads(json.dumps(record))  # lists for tuples, as it will be read back
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / RECORD
        others = any(self.folder.glob("*.png"))
        if path.exists():
            there = read_masks_record(self.folder)
            if there != here:
                different = (
                    differences(_flat(there, here), _flat(here, there)) or "it has other entries"
                )
                raise ValueError(
                    f"{self.folder} holds masks that were made otherwise ({different}). Choose "
                    "another output_dir, or move that one away"
                )
        elif others:
            raise ValueError(
                f"{self.folder} holds masks, but no {RECORD} that says how they were made. Choose "
                "another output_dir, or move that one away"
            )
        else:
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(here, indent=1) + "\n", encoding="utf-8")

    def path(self, image_id: str) -> Path:
        """The file of an image's mask."""
        return self.folder / f"{image_id}.png"

    def has(self, image_id: str) -> bool:
        """Whether a whole mask is there."""
        try:
            read_mask_file(self.path(image_id))
        except (OSError, ValueError):
            return False
        return True

    def write(self, image_id: str, mask: UInt8[ndarray, "H W"]) -> None:
        """Write a mask; the file appears under its name only when it is whole.

        Raises:
            OSError: the file cannot be written; its name is in the message.
        """
        write_mask_file(self.path(image_id), mask)

    def read(self, image_id: str) -> UInt8[ndarray, "H W"]:
        """See ``read_mask_file``."""
        return read_mask_file(self.path(image_id))


def _flat(record: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """``{"settings": {"rate": 1}}`` as ``{"settings.rate": 1}``, so that what differs is short.

    What the other record does not hold as a dictionary too ("no CRF") stays whole.
    """
    flat = {}
    for name, value in record.items():
        beside = other.get(name)
        if value and isinstance(value, dict) and isinstance(beside, dict):
            flat |= {f"{name}.{inner}": one for inner, one in _flat(value, beside).items()}
        else:
            flat[name] = value
    return flat


def read_masks_record(folder: str | Path) -> dict[str, Any]:
    """How a folder's masks were made, as ``MaskFolder`` recorded it.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: it is damaged.
    """
    path = Path(folder) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no {RECORD}: it is no folder of masks") from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); move {folder} away") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is no record of masks; move {folder} away")
    return record


def make_masks(
    make: Callable[[str], UInt8[ndarray, "H W"]],
    ids: Sequence[str],
    folder: MaskFolder,
    what: str,
    workers: int = 1,
) -> MasksReport:
    """Make the masks that are not there yet, image by image, in one process or several.

    An image that fails is named in the report, and the rest goes on. A call that was stopped goes
    on where it was when it is repeated.

    Args:
        make: image id -> mask; one that can be pickled, if there are several workers.
        ids: of the images.
        folder: where the masks go.
        what: stands in front of the progress bar.
        workers: processes.

    Raises:
        ValueError: less than one worker.
        OSError: a mask cannot be written.
    """
    start, report = time.perf_counter(), MasksReport(folder.folder)
    missing = [name for name in ids if not folder.has(name)]
    report.kept = len(ids) - len(missing)
    results: Iterable[tuple[str, str]] = run_jobs(
        partial(_make_one, make, folder), missing, workers, _CHUNK
    )
    for name, why in progress(results, what, total=len(ids), done=report.kept):
        if why:
            report.failed[name] = why
        else:
            report.written.append(name)
    report.seconds = time.perf_counter() - start
    return report


def _make_one(make: Callable[[str], ndarray], folder: MaskFolder, name: str) -> tuple[str, str]:
    """The image's id, and why it failed, if it did."""
    try:
        mask = make(name)
    except _FAILURES as error:
        return name, str(error) or type(error).__name__
    folder.write(name, mask)
    return name, ""
