"""Anything in the layout of PASCAL VOC 2012: its lists, labels, images and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

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

_LISTS = Path("ImageSets") / "Segmentation"
_SUFFIXES = {".jpg", ".jpeg", ".png"}
_IGNORED = 255
# What Pillow raises for files that are damaged in one way or another.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class VOCImages:
    """The images of one split of a folder in VOC 2012's layout, by index, read when asked for.

    Args:
        root: the VOC2012 folder (it holds JPEGImages), or one that holds VOCdevkit/VOC2012.
        split: see ``read_split``.
        masks: the folder of the masks; ``"SegmentationClassAug"`` where the augmented ones lie.

    Attributes:
        root: the VOC2012 folder.
        ids: the images' names, such as ``"2007_000032"``.
        class_names: C names, without background: the lines of ``classes.txt`` if the folder
            has that file, else ``CLASS_NAMES``.
        labels: (N, C) uint8, 1 = present, from Annotations when first asked for.

    Raises:
        FileNotFoundError: no such folder or split.
        ValueError: a list or a ``classes.txt`` that is damaged.
    """

    def __init__(
        self, root: str | Path, split: str | Path, masks: str = "SegmentationClass"
    ) -> None:
        self.root = _voc_folder(root)
        self.split, self.masks = str(split), masks
        self.ids = read_split(self.root, split)
        self.class_names = _class_names(self.root)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """See ``image_labels``."""
        return image_labels(self.root, self.ids, self.class_names)

    def image(self, index: int) -> Image.Image:
        """Image in mode RGB, whatever the file holds; a rotation in its EXIF data is ignored.

        Raises:
            OSError: the file is missing or cannot be read; names the image and the file.
        """
        image_id = self.ids[index]
        path = self.root / "JPEGImages" / f"{image_id}.jpg"
        if not path.is_file():
            raise FileNotFoundError(f"image {image_id} is missing: there is no file {path}")
        return _open(path, f"image {image_id}", "RGB")

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth of an image: 0 background, class_id + 1, 255 ignored.

        Raises:
            OSError: the file is missing or cannot be read; names the image and the file.
            ValueError: colours in place of class indices, or an index without a class.
        """
        image_id = self.ids[index]
        path = self.root / self.masks / f"{image_id}.png"
        if not path.is_file():
            others = sorted(folder.name for folder in self.root.glob("SegmentationClass*"))
            raise FileNotFoundError(
                f"image {image_id} has no mask: there is no file {path}. Folders of masks here: "
                f"{', '.join(others) or 'none'}; choose another with masks=..."
            )
        mask = _indices(path, f"the mask of image {image_id}")
        wrong = np.setdiff1d(mask, [*range(len(self.class_names) + 1), _IGNORED])
        if wrong.size:
            raise ValueError(
                f"the mask of image {image_id} holds {wrong[:5].tolist()}, but there are "
                f"{len(self.class_names)} classes ({path}); it must hold 0 (background), "
                f"1 ... {len(self.class_names)} or {_IGNORED}"
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
    folder = _voc_folder(root) / _LISTS
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


def image_labels(
    root: str | Path, ids: Sequence[str], class_names: Sequence[str] = CLASS_NAMES
) -> UInt8[Tensor, "N C"]:
    """Which classes each image shows, by its file in Annotations.

    Objects marked difficult count; an image without objects has only zeros.

    Args:
        root: see ``VOCImages``.
        ids: N image ids.
        class_names: C names, without background.

    Returns:
        (N, C) 1 = present.

    Raises:
        FileNotFoundError: an image without annotation.
        ValueError: an annotation that cannot be read, or of an unknown class.
    """
    folder = _voc_folder(root) / "Annotations"
    places = {name: place for place, name in enumerate(class_names)}
    labels = torch.zeros(len(ids), len(class_names), dtype=torch.uint8)
    for row, image_id in enumerate(ids):
        for name in _objects(folder / f"{image_id}.xml", image_id):
            if name not in places:
                raise ValueError(
                    f"the annotation of image {image_id} names an unknown class {name!r} "
                    f"({folder / image_id}.xml); known: {', '.join(class_names)}"
                )
            labels[row, places[name]] = 1
    return labels


def _objects(path: Path, image_id: str) -> set[str]:
    """Class names of an annotation's objects; names of their parts lie deeper and stay out."""
    try:
        tree = ElementTree.parse(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"image {image_id} has no annotation: there is no file {path}"
        ) from None
    except ElementTree.ParseError as error:
        raise ValueError(
            f"the annotation of image {image_id} cannot be read: {path}: {error}"
        ) from error
    return {(found.findtext("name") or "").strip() for found in tree.getroot().findall("object")}


def _voc_folder(root: str | Path) -> Path:
    root = Path(root)
    for folder in (root, root / "VOCdevkit" / "VOC2012", root / "VOC2012"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise FileNotFoundError(
        f"{root} is no folder in VOC 2012's layout: it holds neither JPEGImages nor "
        "VOCdevkit/VOC2012/JPEGImages"
    )


def _class_names(root: Path) -> tuple[str, ...]:
    path = root / "classes.txt"
    if not path.is_file():
        return CLASS_NAMES
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not 1 <= len(set(names)) == len(names) < _IGNORED:
        raise ValueError(
            f"{path} must hold 1 to {_IGNORED - 1} different class names, one a line and without "
            f"background; it holds {len(names)}, {len(set(names))} of them different"
        )
    return names


def _stem(word: str) -> str:
    """``"/JPEGImages/2007_000032.jpg"`` -> ``"2007_000032"``; an id stays as it is."""
    name = word.rsplit("/", 1)[-1]
    return Path(name).stem if Path(name).suffix.lower() in _SUFFIXES else name


def _open(path: Path, name: str, mode: str | None = None) -> Image.Image:
    """An image read to its end, converted to a mode if one is given."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.convert(mode) if mode else image.copy()
    except _UNREADABLE as error:
        raise OSError(f"{name} cannot be read: {path}: {error}") from error


def _indices(path: Path, name: str) -> UInt8[ndarray, "H W"]:
    """Palette indices or greys of a PNG; ValueError for another mode, such as colours."""
    image = _open(path, name)
    if image.mode not in ("P", "L"):
        raise ValueError(
            f"{name} must be a PNG with a palette or of 8-bit greys, whose values are indices; "
            f"{path} is of mode {image.mode}"
        )
    return np.array(image)
