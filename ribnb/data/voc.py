"""Anything in the layout of PASCAL VOC 2012: its lists, classes, images and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.core.files import write_whole
from ribnb.core.voc import CLASS_NAMES, IGNORED, read_mask

MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
LISTS = Path("ImageSets") / "Segmentation"
LABELS_NAME = "labels.npz"  # in the VOC2012 folder
_SUFFIXES = {".jpg", ".jpeg", ".png"}

Read = TypeVar("Read")


def voc_folder(root: str | Path) -> Path:
    """The VOC2012 folder at or below ``root``.

    Raises:
        FileNotFoundError: there is none.
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
    ids: list[str] = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        named = {_stem(word) for word in line.split()}
        if len(named) > 1:
            raise ValueError(f"a line of {path} names {len(named)} images: {line.strip()!r}")
        ids.extend(named)
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice or not ids:
        fault = f"{len(twice)} ids more than once, such as {twice[0]}" if twice else "no image id"
        raise ValueError(f"{path} holds {fault}")
    return ids


def _stem(word: str) -> str:
    """``"/JPEGImages/2007_000032.jpg"`` -> ``"2007_000032"``; an id stays as it is."""
    name = Path(word).name
    return Path(name).stem if Path(name).suffix.lower() in _SUFFIXES else name


def class_names_of(folder: Path) -> tuple[str, ...]:
    """The lines of the folder's ``classes.txt``, which only other data sets have; else VOC's."""
    path = folder / "classes.txt"
    if not path.is_file():
        return CLASS_NAMES
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not 1 <= len(set(names)) == len(names) < IGNORED:
        raise ValueError(
            f"{path} must hold 1 to {IGNORED - 1} different class names, one a line and without "
            "background"
        )
    return names


def names_in(folder: Path, suffix: str) -> set[str]:
    """Names, without suffix, of the files of a kind in a folder; none if it does not exist."""
    paths = folder.glob(f"*{suffix}") if folder.is_dir() else ()
    return {path.name.removesuffix(suffix) for path in paths if not path.name.startswith(".")}


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
        class_names: C names, without background: those in ``classes.txt``, else VOC's.
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
        """Which classes each image shows.

        Raises:
            OSError, ValueError: an annotation or a mask is missing or damaged, and named; or
                ``labels.npz`` is damaged or of other classes.
        """
        if self.labels_from == "masks":
            numbers = range(1, len(self.class_names) + 1)
            rows = [np.isin(numbers, self.mask(index)) for index in range(len(self))]
            return torch.from_numpy(np.array(rows, dtype=np.uint8))
        path = self.root / LABELS_NAME
        if path.is_file():
            stored = read_labels(path)
            if stored.class_names != self.class_names:
                raise ValueError(
                    f"{path} has labels of other classes: {', '.join(stored.class_names)}; delete "
                    "it, or correct classes.txt"
                )
            rows = {image_id: row for row, image_id in enumerate(stored.ids)}
            if rows.keys() >= set(self.ids):
                return stored.labels[[rows[image_id] for image_id in self.ids]]
        return image_labels(self.root, self.ids, self.class_names)

    def image(self, index: int) -> Image.Image:
        """Image in mode RGB, whatever the file holds; a rotation in its EXIF data is ignored.

        Raises:
            OSError: it is missing or cannot be read; names the file, and so the image.
        """
        return self._opened(index, lambda image: image.convert("RGB"))

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth: 0 background, class_id + 1, 255 ignored; of SegmentationClass or else of its Aug.

        Raises:
            OSError: the mask or its image is missing, or the image cannot be read.
            ValueError: a mask that is damaged, of unknown classes, or not of the image's size.
        """
        image_id = self.ids[index]
        paths = [self.root / folder / f"{image_id}.png" for folder in MASK_FOLDERS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"image {image_id} has no mask: there is no file {' or '.join(map(str, paths))}"
            )
        mask = read_mask(path, len(self.class_names))
        width, height = self._opened(index, lambda image: image.size)  # of the header: faster
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask of image {image_id} is {mask.shape[1]} x {mask.shape[0]} pixels, the "
                f"image {width} x {height} ({path})"
            )
        return mask

    def image_path(self, index: int) -> Path:
        """The file of an image; FileNotFoundError names what is missing."""
        image_id = self.ids[index]
        path = self.root / "JPEGImages" / f"{image_id}.jpg"
        if not path.is_file():
            raise FileNotFoundError(f"image {image_id} is missing: there is no file {path}")
        return path

    def _opened(self, index: int, read: Callable[[Image.Image], Read]) -> Read:
        path = self.image_path(index)
        try:
            with Image.open(path) as image:
                return read(image)
        except Exception as error:  # damage makes Pillow raise nearly anything
            raise OSError(f"image {self.ids[index]} cannot be read: {path}: {error}") from error


class StoredLabels(NamedTuple):
    """What a ``labels.npz`` holds: N ids, labels in {0, 1}, C names without background."""

    ids: list[str]
    labels: UInt8[Tensor, "N C"]
    class_names: tuple[str, ...]


def write_labels(
    path: str | Path, ids: Sequence[str], labels: UInt8[Tensor, "N C"], class_names: Sequence[str]
) -> None:
    """Keep labels in one npz of ``ids``, ``labels`` and ``class_names``, without pickle.

    Args:
        path: such as ``VOC2012/labels.npz``; is whole or not there.
        ids: N different image ids.
        labels: (N, C) in {0, 1}.
        class_names: C names, without background.

    Raises:
        ValueError: these do not fit together.
    """
    ids, class_names = (np.array(list(names), dtype=np.str_) for names in (ids, class_names))
    labels = np.asarray(labels)
    _check_labels(ids, labels, class_names)
    arrays = {"ids": ids, "labels": labels.astype(np.uint8), "class_names": class_names}
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def read_labels(path: str | Path) -> StoredLabels:
    """What ``write_labels`` kept.

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, labels, class_names = (file[name] for name in ("ids", "labels", "class_names"))
        _check_labels(ids, labels, class_names)
    except FileNotFoundError:
        raise
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(
            f"{path} is not a whole file of labels ({error}); delete it, and the labels come from "
            "the annotations, or have data_scripts/get_voc.py write it again"
        ) from error
    labels = torch.from_numpy(labels.astype(np.uint8))
    return StoredLabels(ids.tolist(), labels, tuple(class_names.tolist()))


def _check_labels(ids: ndarray, labels: ndarray, class_names: ndarray) -> None:
    shape = (len(set(ids.tolist())), class_names.size)
    fits = labels.shape == shape and ids.size == len(labels)
    if not fits or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels must be 0 or 1, of shape (different ids, classes) = {shape}; got {ids.size} "
            f"ids and {labels.shape} of {labels.dtype}"
        )


def image_labels(
    folder: Path, ids: Sequence[str], class_names: Sequence[str] = CLASS_NAMES
) -> UInt8[Tensor, "N C"]:
    """Which classes each image shows, by its file in Annotations; difficult objects count."""
    labels = torch.zeros(len(ids), len(class_names), dtype=torch.uint8)
    for row, image_id in enumerate(ids):
        path = folder / "Annotations" / f"{image_id}.xml"
        try:
            for item in ElementTree.parse(path).getroot().findall("object"):  # not parts of one
                name = item.findtext("name", "").strip()
                if name not in class_names:
                    raise ValueError(f"unknown class {name!r}; known: {', '.join(class_names)}")
                labels[row, class_names.index(name)] = 1
        except FileNotFoundError:
            raise FileNotFoundError(
                f"image {image_id} has no annotation: there is no file {path}; "
                'VOCImages(..., labels_from="masks") takes the labels from the masks'
            ) from None
        except (ElementTree.ParseError, ValueError) as error:
            raise ValueError(
                f"the annotation of image {image_id} cannot be read: {path}: {error}"
            ) from error
    return labels
