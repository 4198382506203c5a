"""VOC 2012's folder: where it is, its classes, and the images of a split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

CLASS_NAMES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
IGNORED = 255  # a mask's value where there is no truth

_LISTS = Path("ImageSets") / "Segmentation"
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def read_split(root: str | Path, split: str | Path) -> list[str]:
    """The image ids of a split, as strings and in the list's order.

    Args:
        root: see ``VOCImages``.
        split: a list in ImageSets/Segmentation by its name (``"train"``), or the path of a list.
            A line is an id, or paths of an image and its mask; blank lines are skipped.

    Raises:
        FileNotFoundError: no such list; names those that exist.
        ValueError: a list without ids, with one twice, or with lines of another kind.
    """
    folder = voc_folder(root) / _LISTS
    path = folder / f"{split}.txt"
    if not path.is_file():
        path = Path(split)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.txt"))) or "no list at all"
        raise FileNotFoundError(
            f"there is no split {str(split)!r}: {folder} holds {names}, and it is no path of a "
            "list either"
        )
    ids = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        named = {_stem(word) for word in line.split()}
        if len(named) > 1:
            raise ValueError(
                f"line {number} of {path} names {len(named)} images: {line.strip()!r}; it must "
                "be an id, or the paths of one image and its mask"
            )
        ids.extend(named)
    if not ids:
        raise ValueError(f"{path} holds no image id")
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(
            f"{path} holds {len(twice)} ids more than once, such as {twice[0]}; leave one of each"
        )
    return ids


def voc_folder(root: str | Path) -> Path:
    """The VOC2012 folder at or below ``root``.

    Raises:
        FileNotFoundError: neither is one.
    """
    root = Path(root)
    for folder in (root, root / "VOCdevkit" / "VOC2012", root / "VOC2012"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise FileNotFoundError(
        f"{root} is no folder in VOC 2012's layout: it holds neither JPEGImages nor "
        "VOCdevkit/VOC2012/JPEGImages"
    )


def class_names_of(folder: Path) -> tuple[str, ...]:
    """The lines of the folder's ``classes.txt``, which only other data sets have; else VOC's.

    Raises:
        ValueError: the file holds no names, or one twice.
    """
    path = folder / "classes.txt"
    if not path.is_file():
        return CLASS_NAMES
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not 1 <= len(set(names)) == len(names) < IGNORED:
        raise ValueError(
            f"{path} must hold 1 to {IGNORED - 1} different class names, one a line and without "
            f"background; it holds {len(names)}, {len(set(names))} of them different"
        )
    return names


def _stem(word: str) -> str:
    """``"/JPEGImages/2007_000032.jpg"`` -> ``"2007_000032"``; an id stays as it is."""
    name = word.rsplit("/", 1)[-1]
    return Path(name).stem if Path(name).suffix.lower() in _SUFFIXES else name
