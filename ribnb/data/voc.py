"""Anything in the layout of PASCAL VOC 2012: its lists, classes, images and masks."""

from __future__ import annotations

import glob
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import ExifTags, Image, ImageOps
from pydantic import field_validator
from torch import Tensor

from ribnb.core.files import read_text
from ribnb.core.settings import Settings, setting
from ribnb.core.voc import CLASS_NAMES, IGNORED, read_mask
from ribnb.data.labels import LABELS_NAME, disagreement, image_labels, pixels_of, read_labels
from ribnb.data.photos import orientation, upright_rgb, upright_size

MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
LISTS = Path("ImageSets") / "Segmentation"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
IMAGE_SUFFIXES = (*_SUFFIXES, *map(str.upper, _SUFFIXES))
MASK_SUFFIXES = (".png", ".PNG")
_PATHS = re.compile(r"\S.*?\.(?:jpe?g|png|bmp|tiff?|webp)(?=\s|$)", re.IGNORECASE)
_FLAGS = ("1", "0", "-1")  # of ImageSets/Main: present, difficult, absent
# What tools write among the classes that is none: a mask has 0 for it.
_NO_CLASSES = {"background", "bg", "ignore", "ignored", "void", "unlabeled", "unlabelled"}

Read = TypeVar("Read")


def voc_folder(root: str | Path) -> Path:
    """The VOC2012 folder at or below ``root``.

    Raises:
        FileNotFoundError: there is none.
    """
    root = Path(root).expanduser()
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
            A line is an id, with spaces if the image's file has some, or paths of an image and
            its mask; blank lines are skipped.

    Raises:
        FileNotFoundError: no such list; names those that exist.
        ValueError: a list without ids, with one twice, or with lines of another kind.
    """
    voc = voc_folder(root)
    folder = voc / LISTS
    path = folder / f"{split}.txt"
    if not path.is_file():
        path = Path(split).expanduser()
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.txt"))) or "no list at all"
        raise FileNotFoundError(
            f"there is no split {str(split)!r}: {folder} holds {names}, and it is no path of a "
            "list either"
        )
    ids: list[str] = []
    for line in filter(str.strip, read_text(path).splitlines()):
        paths = _PATHS.findall(line)
        whole = "".join("".join(paths).split()) == "".join(line.split())
        named = {_stem(word) for word in (paths if whole else [line])}
        if len(named) > 1:
            raise ValueError(f"a line of {path} names {len(named)} images: {line.strip()!r}")
        [name] = named
        if name.split()[1:] and not image_files(voc, name):
            main = "; it looks like a list of ImageSets/Main" if name.split()[-1] in _FLAGS else ""
            raise ValueError(
                f"a line of {path} is {line.strip()!r}, and there is no image of this name with a "
                f"space{main}. Give one id a line"
            )
        ids.append(name)
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice or not ids:
        fault = f"{len(twice)} ids more than once, such as {twice[0]}" if twice else "no image id"
        raise ValueError(f"{path} holds {fault}")
    return ids


def _stem(word: str) -> str:
    """``"/JPEGImages/2007_000032.jpg"`` -> ``"2007_000032"``; an id stays as it is."""
    name = Path(word.strip().replace("\\", "/")).name
    return Path(name).stem if Path(name).suffix.lower() in _SUFFIXES else name


def image_files(voc: Path, image_id: str) -> list[Path]:
    """The files of an image in JPEGImages, a ``.jpg`` first; none if there is none."""
    paths = (voc / "JPEGImages" / f"{image_id}{suffix}" for suffix in IMAGE_SUFFIXES)
    return [path for path in paths if path.is_file()]


def class_names_of(folder: Path) -> tuple[str, ...]:
    """The lines of the folder's ``classes.txt``, which only other data sets have; else VOC's."""
    path = folder / "classes.txt"
    if not path.is_file():
        return CLASS_NAMES
    names = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    for name in names:
        if re.sub("[^a-z]", "", name.lower()) in _NO_CLASSES:
            raise ValueError(
                f"{path} names {name!r}, which is no class: delete that line. The first class is 1 "
                "in the masks, the background 0 and what is to be ignored 255"
            )
    if names and all(re.match(r"\d+[\s:,;]", name) for name in names):
        raise ValueError(f"{path} has numbers before the classes, as in {names[0]!r}; delete them")
    one_line = len(names) == 1 and "," in names[0]
    if one_line or not 1 <= len(set(names)) == len(names) < IGNORED:
        raise ValueError(
            f"{path} must hold 1 to {IGNORED - 1} different class names, one a line and without "
            "background"
        )
    return names


def names_in(folder: Path, *suffixes: str) -> set[str]:
    """Names, without suffix, of the files of a kind in a folder; none if it does not exist."""
    return {path.stem for path in folder.glob("[!.]*") if path.suffix in suffixes}


class VOCImages:
    """The images of one split of a folder in VOC 2012's layout, by index, read when asked for.

    Args:
        root: the VOC2012 folder (it holds JPEGImages), or one that holds VOCdevkit/VOC2012.
        split: see ``read_split``.
        labels_from: ``"annotations"``, which means ``labels.npz`` where that file has all these
            images, else the XML files; or ``"masks"``, for a folder without annotations: the
            classes that have a pixel.
        classes: some of the folder's, in any order; the others are background. None: all.

    Attributes:
        root: the VOC2012 folder.
        ids: the images' names, such as ``"2007_000032"``.
        class_names: C names, without background: ``classes``, else those in ``classes.txt``, else
            VOC's.
        labels: (N, C) uint8, 1 = present, read when first asked for.

    Raises:
        FileNotFoundError: no such folder or split.
        ValueError: a list or a ``classes.txt`` that is damaged, an unknown ``labels_from``, a class
            that the folder does not have.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Path,
        labels_from: str = "annotations",
        classes: Sequence[str] = (),
    ) -> None:
        if labels_from not in ("annotations", "masks"):
            raise ValueError(f"labels_from = {labels_from!r}: it must be 'annotations' or 'masks'")
        self.root = voc_folder(root)
        self.split, self.labels_from = str(split), labels_from
        self.ids = read_split(self.root, split)
        self._all = class_names_of(self.root)
        self.class_names = tuple(classes) or self._all
        if {*self.class_names} - {*self._all} or len({*classes}) < len(classes):
            raise ValueError(
                f"classes = {', '.join(classes)} must be different ones of {', '.join(self._all)}"
            )
        self._places = [self._all.index(name) for name in self.class_names]
        self._values = np.zeros(256, np.uint8)  # of a stored mask -> of this one
        self._values[[place + 1 for place in self._places]] = range(1, len(self._places) + 1)
        self._values[IGNORED] = IGNORED

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """Which classes each image shows.

        Raises:
            OSError, ValueError: an annotation or a mask is missing or damaged, and named; or
                ``labels.npz`` is damaged or of other classes.
        """
        if self.labels_from == "masks":
            pixels = np.stack([pixels_of(self.mask(index)) for index in range(len(self))])
            labels = pixels[:, 1 : len(self.class_names) + 1] > 0
            if not labels.any() and pixels[:, IGNORED].any():
                raise ValueError(disagreement(labels, pixels, self.class_names)[0])
            return torch.from_numpy(labels.astype(np.uint8))
        return self._of_all()[:, self._places]

    def _of_all(self) -> UInt8[Tensor, "N C"]:
        """The labels of all the folder's classes."""
        path = self.root / LABELS_NAME
        if path.is_file():
            stored = read_labels(path)
            if stored.class_names != self._all:
                raise ValueError(
                    f"{path} has labels of other classes: {', '.join(stored.class_names)}; delete "
                    "it, or correct classes.txt"
                )
            rows = {image_id: row for row, image_id in enumerate(stored.ids)}
            if rows.keys() >= set(self.ids):
                return self._corrected(stored.labels[[rows[image_id] for image_id in self.ids]])
        return image_labels(self.root, self.ids, self._all)

    def _corrected(self, stored: UInt8[Tensor, "N C"]) -> UInt8[Tensor, "N C"]:
        """Labels of ``labels.npz``, and over them those of annotations that were changed later."""
        path, labels = self.root / LABELS_NAME, stored.clone()
        xml = [self.root / "Annotations" / f"{image_id}.xml" for image_id in self.ids]
        written = path.stat().st_mtime
        newer = [i for i, x in enumerate(xml) if x.is_file() and x.stat().st_mtime > written]
        labels[newer] = image_labels(self.root, [self.ids[i] for i in newer], self._all)
        if other := [self.ids[i] for i in newer if (labels != stored)[i].any()]:
            warnings.warn(
                f"{path} is older than {len(other)} annotations with other labels, such as of "
                f"{other[0]}; theirs are used. Delete it, and all come from the annotations",
                stacklevel=5,
            )
        return labels

    def image(self, index: int) -> Image.Image:
        """Image in mode RGB and upright, whatever the file holds; see ``upright_rgb``.

        Raises:
            OSError: it is missing or cannot be read; names the file, and so the image.
        """
        return self._opened(index, upright_rgb)

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth: 0 background, class_id + 1, 255 ignored; of SegmentationClass or else of its Aug.

        One of the size of a photo as it is stored, not as EXIF data turn it, is turned with it. (Of
        half a turn, or of a square, sizes tell nothing: such a mask must be upright.)

        Raises:
            OSError: the mask or its image is missing, or the image cannot be read.
            ValueError: a mask that is damaged, of unknown classes, or not of the image's size.
        """
        image_id, folders = self.ids[index], [self.root / folder for folder in MASK_FOLDERS]
        paths = [folder / f"{image_id}{end}" for folder in folders for end in MASK_SUFFIXES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            wanted = " or ".join(map(str, paths[:: len(MASK_SUFFIXES)]))
            raise FileNotFoundError(
                f"image {image_id} has no mask: there is no file {wanted}"
                f"{_in_place(image_id, *folders)}"
            )
        mask = self._values[read_mask(path, len(self._all))]
        turn, (width, height) = self._opened(  # of the header: faster
            index, lambda image: (orientation(image), upright_size(image))
        )
        if turn > 4 and mask.shape == (width, height) != (height, width):
            stored = Image.fromarray(mask)
            stored.getexif()[ExifTags.Base.Orientation] = turn
            return np.array(ImageOps.exif_transpose(stored))
        if mask.shape != (height, width):
            turned = " as its EXIF data turn it" if turn > 4 else ""
            raise ValueError(
                f"the mask of image {image_id} is {mask.shape[1]} x {mask.shape[0]} pixels, the "
                f"image {width} x {height}{turned} ({path})"
            )
        return mask

    def image_path(self, index: int) -> Path:
        """The file of an image; FileNotFoundError names what is missing."""
        image_id, folder = self.ids[index], self.root / "JPEGImages"
        if not (path := folder / f"{image_id}.jpg").is_file():
            path = next(iter(image_files(self.root, image_id)), None)
        if path is None:
            raise FileNotFoundError(
                f"image {image_id} is missing: there is no file {folder / image_id}.jpg"
                f"{_in_place(image_id, folder)}"
            )
        return path

    def _opened(self, index: int, read: Callable[[Image.Image], Read]) -> Read:
        path = self.image_path(index)
        try:
            with Image.open(path) as image:
                return read(image)
        except Exception as error:  # damage makes Pillow raise nearly anything
            raise OSError(f"image {self.ids[index]} cannot be read: {path}: {error}") from error


class DataSettings(Settings):
    """The group ``data`` of a chapter on a whole split: more about the images."""

    labels_from: Literal["annotations", "masks"] = setting("annotations", "the images' labels")
    classes: tuple[str, ...] = setting(
        (), "these alone, the others are background; none: all", identity=None
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _between_commas(cls, value: Any) -> Any:
        return tuple(re.split(", *", value.strip("[ ]"))) if isinstance(value, str) else value


def _in_place(image_id: str, *folders: Path) -> str:
    """What there is in place of an image's file, such as another ending, for a message."""
    files = glob.escape(image_id) + "[!0-9A-Za-z]*"
    found = [path.name for folder in folders for path in sorted(folder.glob(files))]
    return f", but {', '.join(found[:3])}" if found else ""
