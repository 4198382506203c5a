"""Anything in the layout of PASCAL VOC 2012: its lists, labels, images and masks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.data.voc_folder import CLASS_NAMES, IGNORED, class_names_of, read_split, voc_folder
from ribnb.data.voc_labels import annotated_labels, image_labels, mask_labels

__all__ = [
    "CLASS_NAMES",
    "VOCImages",
    "image_labels",
    "read_split",
]

MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
LABEL_SOURCES = ("annotations", "masks")
# What Pillow raises for files that are damaged in one way or another.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class VOCImages:
    """The images of one split of a folder in VOC 2012's layout, by index, read when asked for.

    Args:
        root: the VOC2012 folder (it holds JPEGImages), or one that holds VOCdevkit/VOC2012.
        split: see ``read_split``.
        masks: the folder of the masks. None takes for each image the first of SegmentationClass
            and SegmentationClassAug that has its mask.
        labels_from: ``"annotations"``, which means ``labels.npz`` where that file has all these
            images, else the XML files; or ``"masks"``, for a folder without annotations: the
            classes that have a pixel.

    Attributes:
        root: the VOC2012 folder.
        ids: the images' names, such as ``"2007_000032"``.
        class_names: C names, without background: the lines of ``classes.txt`` if the folder
            has that file, else ``CLASS_NAMES``.
        labels: (N, C) uint8, 1 = present, read when first asked for.

    Raises:
        FileNotFoundError: no such folder or split.
        ValueError: a list or a ``classes.txt`` that is damaged, an unknown ``labels_from``.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Path,
        masks: str | None = None,
        labels_from: str = "annotations",
    ) -> None:
        if labels_from not in LABEL_SOURCES:
            raise ValueError(
                f"labels_from = {labels_from!r}: it must be {' or '.join(map(repr, LABEL_SOURCES))}"
            )
        self.root = voc_folder(root)
        self.split, self.masks, self.labels_from = str(split), masks, labels_from
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
        return _open(self.image_path(index), f"image {self.ids[index]}", "RGB")

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth of an image: 0 background, class_id + 1, 255 ignored.

        Raises:
            OSError: the mask or its image is missing or cannot be read; names image and file.
            ValueError: colours in place of class indices, an index without a class, or another
                size than the image's.
        """
        image_id, path = self.ids[index], self.mask_path(index)
        mask = _indices(path, f"the mask of image {image_id}")
        values = np.bincount(mask.ravel()).nonzero()[0].tolist()
        wrong = [value for value in values if len(self.class_names) < value != IGNORED]
        if wrong:
            raise ValueError(
                f"the mask of image {image_id} holds {wrong[:5]}, but there are "
                f"{len(self.class_names)} classes ({path}); it must hold 0 (background), "
                f"1 ... {len(self.class_names)} or {IGNORED}"
            )
        image_path = self.image_path(index)
        width, height = _size(image_path, f"image {image_id}")
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask of image {image_id} is {mask.shape[1]} x {mask.shape[0]} pixels, the "
                f"image {width} x {height} ({path}; {image_path}); one of them is of another image "
                "or was resized"
            )
        return mask

    def parts(self, index: int) -> UInt8[ndarray, "H W"]:
        """Parts of the objects of an image, which only scenes have: 0 none, 1 head, 2 body.

        Raises:
            OSError: the file is missing or cannot be read; names the image and the file.
        """
        image_id = self.ids[index]
        path = self.root / "SegmentationPart" / f"{image_id}.png"
        if not path.is_file():
            raise FileNotFoundError(
                f"image {image_id} has no part mask: there is no file {path}; scenes have "
                "them, VOC has not"
            )
        return _indices(path, f"the part mask of image {image_id}")

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
        folders = MASK_FOLDERS if self.masks is None else (self.masks,)
        paths = [self.root / folder / f"{image_id}.png" for folder in folders]
        for path in paths:
            if path.is_file():
                return path
        others = sorted(folder.name for folder in self.root.glob("SegmentationClass*"))
        raise FileNotFoundError(
            f"image {image_id} has no mask: there is no file {' or '.join(map(str, paths))}. "
            f"Folders of masks here: {', '.join(others) or 'none'}; choose another with masks=..."
        )


def _open(path: Path, name: str, mode: str | None = None) -> Image.Image:
    """An image read to its end, converted to a mode if one is given."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.convert(mode) if mode else image.copy()
    except _UNREADABLE as error:
        raise OSError(f"{name} cannot be read: {path}: {error}") from error


def _size(path: Path, name: str) -> tuple[int, int]:
    """(width, height) from the file's header: decoding it would take longer than the mask."""
    try:
        with Image.open(path) as image:
            return image.size
    except _UNREADABLE as error:
        raise OSError(f"{name} cannot be read: {path}: {error}") from error


def _indices(path: Path, name: str) -> UInt8[ndarray, "H W"]:
    """Palette indices or greys of a PNG; ValueError for another mode, such as colours."""
    image = _open(path, name)
    if image.mode not in ("P", "L"):
        raise ValueError(
            f"{name} must be a PNG with a palette or of 8-bit greys, whose values are indices; "
            f"{path} is of mode {image.mode}. If it shows VOC's colours, the original mask is "
            "the one before they were painted in"
        )
    return np.array(image)
