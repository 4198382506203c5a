"""Anything in the layout of PASCAL VOC 2012: its lists, classes, images and masks."""

from __future__ import annotations

import os
from collections import Counter
from functools import cached_property
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.core.voc import CLASS_NAMES, IGNORED, read_mask
from ribnb.data.voc_labels import annotated_labels, mask_labels

MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
LISTS = Path("ImageSets") / "Segmentation"
_SUFFIXES = {".jpg", ".jpeg", ".png"}
# What Pillow raises for files that are damaged in one way or another.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


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
    folder = voc_folder(root) / LISTS
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
    if twice := [image_id for image_id, count in Counter(ids).items() if count > 1]:
        raise ValueError(
            f"{path} holds {len(twice)} ids more than once, such as {twice[0]}; leave one of each"
        )
    return ids


def _stem(word: str) -> str:
    """``"/JPEGImages/2007_000032.jpg"`` -> ``"2007_000032"``; an id stays as it is."""
    name = word.rsplit("/", 1)[-1]
    return Path(name).stem if Path(name).suffix.lower() in _SUFFIXES else name


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


def names_in(folder: Path, suffix: str) -> set[str]:
    """Names, without suffix, of the files of a kind in a folder; none if it does not exist."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {
            entry.name.removesuffix(suffix)
            for entry in entries
            if entry.name.endswith(suffix) and not entry.name.startswith(".")
        }


class VOCImages:
    """The images of one split of a folder in VOC 2012's layout, by index, read when asked for.

    Args:
        root: the VOC2012 folder (it holds JPEGImages), or one that holds VOCdevkit/VOC2012.
        split: see ``read_split``.
        labels_from: ``"annotations"``, which means ``labels.npz`` where that file has all these
            images, else the XML files; or ``"masks"``, for a folder without annotations: the
            classes that have a pixel.

    Attributes:
        root: the VOC2012 folder.
        ids: the images' names, such as ``"2007_000032"``.
        class_names: C names, without background: the lines of ``classes.txt`` if the folder
            has that file, else VOC's.
        labels: (N, C) uint8, 1 = present, read when first asked for.

    Raises:
        FileNotFoundError: no such folder or split.
        ValueError: a list or a ``classes.txt`` that is damaged, an unknown ``labels_from``.
    """

    def __init__(
        self, root: str | Path, split: str | Path, labels_from: str = "annotations"
    ) -> None:
        if labels_from not in ("annotations", "masks"):
            raise ValueError(f"labels_from = {labels_from!r}: it must be 'annotations' or 'masks'")
        self.root = voc_folder(root)
        self.split, self.labels_from = str(split), labels_from
        self.ids = read_split(self.root, split)
        self.class_names = class_names_of(self.root)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """Which classes each image shows; see ``image_labels``.

        Raises:
            OSError: an annotation or a mask is missing or cannot be read; names the image.
            ValueError: one that is damaged, or a ``labels.npz`` that is.
        """
        if self.labels_from == "masks":
            return mask_labels(map(self.mask, range(len(self))), len(self.class_names))
        return annotated_labels(self.root, self.ids, self.class_names)

    def image(self, index: int) -> Image.Image:
        """Image in mode RGB, whatever the file holds; a rotation in its EXIF data is ignored.

        Raises:
            OSError: the file is missing or cannot be read; names the image and the file.
        """
        path = self.image_path(index)
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except _UNREADABLE as error:
            raise OSError(f"image {self.ids[index]} cannot be read: {path}: {error}") from error

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth of an image: 0 background, class_id + 1, 255 ignored.

        Of each image it is the one in SegmentationClass or else in SegmentationClassAug.

        Raises:
            OSError: the mask or its image is missing, or the image cannot be read.
            ValueError: a mask that is damaged, holds colours or an index without a class, or is
                of another size than the image. Each names the file, and so the image.
        """
        path, image_path = self.mask_path(index), self.image_path(index)
        mask = read_mask(path, len(self.class_names))
        try:
            with Image.open(image_path) as image:  # the header: to decode it would take longer
                width, height = image.size
        except _UNREADABLE as error:
            raise OSError(
                f"image {self.ids[index]} cannot be read: {image_path}: {error}"
            ) from error
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask of image {self.ids[index]} is {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"the image {width} x {height} ({path}; {image_path}); one of them is of another "
                "image or was resized"
            )
        return mask

    def parts(self, index: int) -> UInt8[ndarray, "H W"]:
        """Parts of the objects of an image, which only scenes have: 0 none, 1 head, 2 body.

        Raises:
            FileNotFoundError: there are none.
            ValueError: the file is damaged.
        """
        return read_mask(self.root / "SegmentationPart" / f"{self.ids[index]}.png")

    def image_path(self, index: int) -> Path:
        """The file of an image; FileNotFoundError names what is missing."""
        image_id = self.ids[index]
        path = self.root / "JPEGImages" / f"{image_id}.jpg"
        if not path.is_file():
            raise FileNotFoundError(f"image {image_id} is missing: there is no file {path}")
        return path

    def mask_path(self, index: int) -> Path:
        """The file of an image's mask; FileNotFoundError names what is missing."""
        image_id = self.ids[index]
        paths = [self.root / folder / f"{image_id}.png" for folder in MASK_FOLDERS]
        for path in paths:
            if path.is_file():
                return path
        raise FileNotFoundError(
            f"image {image_id} has no mask: there is no file {' or '.join(map(str, paths))}"
        )
