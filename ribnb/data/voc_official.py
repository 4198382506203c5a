"""What VOC 2012 and SBD hold: where they lie, their lists, and how many of each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ribnb.core.files import whole_file
from ribnb.data.voc_folder import read_split

# How many the official data have: images by list, files by folder.
LIST_COUNTS = {"train": 1464, "val": 1449, "trainval": 2913, "train_aug": 10_582}
FOLDER_COUNTS = {
    "JPEGImages": 17_125,
    "Annotations": 17_125,
    "SegmentationClass": 2913,
    "SegmentationClassAug": 12_031,  # train_aug and val
}
SBD_FOLDER = "SBD"
_LISTS = Path("ImageSets") / "Segmentation"
_NEEDED = ("JPEGImages", "Annotations", _LISTS / "train.txt", _LISTS / "val.txt")


def find_voc(root: str | Path) -> Path | None:
    """VOC's own folder, ``ROOT/VOCdevkit/VOC2012`` or ROOT itself; None if it is not there.

    Raises:
        FileNotFoundError: there is one, but without its images, annotations or lists.
    """
    root = Path(root)
    voc = root if (root / "JPEGImages").is_dir() else root / "VOCdevkit" / "VOC2012"
    if not voc.is_dir() or not any(voc.iterdir()):
        return None
    if lacking := parts_lacking(voc):
        raise FileNotFoundError(
            f"{voc} is there, but without {', '.join(lacking)}: it was not unpacked to its end. "
            "Move it away and run this again, or put there what is missing"
        )
    return voc


def parts_lacking(voc: Path) -> list[str]:
    """Folders and lists that VOC's folder should have and has not."""
    return [str(name) for name in _NEEDED if not (voc / name).exists()]


def find_sbd(root: str | Path) -> Path | None:
    """The folder of SBD's ``cls``, ``train.txt`` and ``val.txt`` in ROOT; None if not there."""
    places = (Path(root) / SBD_FOLDER, Path(root) / "benchmark_RELEASE" / "dataset")
    return next((place for place in places if is_sbd(place)), None)


def is_sbd(folder: Path) -> bool:
    """Whether a folder holds SBD's masks of classes and both of its lists."""
    return (folder / "cls").is_dir() and all(
        (folder / f"{name}.txt").is_file() for name in ("train", "val")
    )


def train_aug_ids(train: Iterable[str], val: Iterable[str], sbd: Iterable[str]) -> list[str]:
    """The augmented training list: VOC's train and SBD, less VOC's val, sorted.

    Args:
        train: VOC's train.
        val: VOC's val, which is left out.
        sbd: SBD's train and val.
    """
    return sorted({*train, *sbd} - set(val))


def write_train_aug(voc: Path, sbd: Path) -> list[str]:
    """Write ``train_aug.txt`` among VOC's lists; see ``train_aug_ids``.

    Returns:
        Its ids.

    Raises:
        OSError, ValueError: a list that is not there, or damaged.
    """
    theirs = [name for part in ("train", "val") for name in read_split(voc, sbd / f"{part}.txt")]
    ids = train_aug_ids(read_split(voc, "train"), read_split(voc, "val"), theirs)
    with whole_file(voc / _LISTS / "train_aug.txt") as temporary:
        temporary.write_text("".join(f"{name}\n" for name in ids), encoding="utf-8", newline="\n")
    return ids


def has_list(voc: Path, name: str) -> bool:
    """Whether VOC's folder has a list of that name."""
    return (voc / _LISTS / f"{name}.txt").is_file()


def names_in(folder: Path, suffix: str) -> set[str]:
    """Names, without suffix, of the files of a kind in a folder; none if it does not exist."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {
            entry.name[: -len(suffix)]
            for entry in entries
            if entry.name.endswith(suffix) and not entry.name.startswith(".")
        }
