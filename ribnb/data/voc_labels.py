"""Which classes each image shows: from labels.npz, from the annotations, or from the masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor

from ribnb.core.files import write_whole
from ribnb.core.voc import CLASS_NAMES, IGNORED

LABELS_NAME = "labels.npz"  # in the VOC2012 folder


class StoredLabels(NamedTuple):
    """What a ``labels.npz`` holds.

    Attributes:
        ids: N image ids.
        labels: (N, C) 1 = present.
        class_names: C names, without background.
    """

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
        OSError: the file cannot be written.
    """
    ids, class_names = (np.array(list(names), dtype=np.str_) for names in (ids, class_names))
    labels = np.asarray(labels)
    if fault := _fault(ids, labels, class_names):
        raise ValueError(f"these labels cannot be kept in {path}: {fault}")
    arrays = {"ids": ids, "labels": labels.astype(np.uint8), "class_names": class_names}
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def read_labels(path: str | Path) -> StoredLabels:
    """What ``write_labels`` kept.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or holds something else; its name is in the message.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, labels, class_names = (file[name] for name in ("ids", "labels", "class_names"))
        fault = _fault(ids, labels, class_names)
    except FileNotFoundError:
        raise FileNotFoundError(f"there are no labels at {path}") from None
    except Exception as error:  # each kind of damage raises a kind of its own
        fault = str(error)
    if fault:
        raise ValueError(
            f"{path} is not a whole file of labels ({fault}); delete it, and the labels come from "
            "the annotations, or have data_scripts/get_voc.py write it again"
        )
    labels = torch.from_numpy(labels.astype(np.uint8))
    return StoredLabels(ids.tolist(), labels, tuple(class_names.tolist()))


def _fault(ids: ndarray, labels: ndarray, class_names: ndarray) -> str:
    """What is wrong with these arrays; "" if nothing is."""
    if ids.dtype.kind != "U" or class_names.dtype.kind != "U":
        return f"ids and class_names must be text; they are {ids.dtype} and {class_names.dtype}"
    if labels.shape != (*ids.shape, *class_names.shape) or labels.ndim != 2:
        return f"labels must be ({ids.size} ids, {class_names.size} classes); got {labels.shape}"
    if labels.dtype.kind not in "biu" or ((labels != 0) & (labels != 1)).any():
        return f"labels must be 0 or 1; they are {labels.dtype}"
    values, counts = np.unique(ids, return_counts=True)
    return f"id {values[counts.argmax()]} is there twice" if (counts > 1).any() else ""


def annotated_labels(
    folder: Path, ids: Sequence[str], class_names: Sequence[str] = CLASS_NAMES
) -> UInt8[Tensor, "N C"]:
    """Labels from ``labels.npz``, if it is there and has all these images, else from the XML files.

    Args, Returns, Raises: see ``image_labels``; also ValueError for a ``labels.npz`` that is
    damaged or of other classes.
    """
    path = folder / LABELS_NAME
    if not path.is_file():
        return image_labels(folder, ids, class_names)
    stored = read_labels(path)
    if stored.class_names != tuple(class_names):
        raise ValueError(
            f"{path} has labels of other classes: {', '.join(stored.class_names)}; those of the "
            f"folder are {', '.join(class_names)}; delete it, or correct classes.txt"
        )
    rows = {image_id: row for row, image_id in enumerate(stored.ids)}
    if not rows.keys() >= set(ids):
        return image_labels(folder, ids, class_names)
    return stored.labels[[rows[image_id] for image_id in ids]]


def image_labels(
    folder: Path, ids: Sequence[str], class_names: Sequence[str] = CLASS_NAMES
) -> UInt8[Tensor, "N C"]:
    """Which classes each image shows, by its file in Annotations.

    Objects marked difficult count; an image without objects has only zeros.

    Args:
        folder: the VOC2012 folder.
        ids: N image ids.
        class_names: C names, without background.

    Returns:
        (N, C) 1 = present.

    Raises:
        FileNotFoundError: an image without annotation.
        ValueError: an annotation that cannot be read, or of an unknown class.
    """
    columns = {name: column for column, name in enumerate(class_names)}
    labels = torch.zeros(len(ids), len(class_names), dtype=torch.uint8)
    for row, image_id in enumerate(ids):
        path = folder / "Annotations" / f"{image_id}.xml"
        for name in _objects(path, image_id):
            if name not in columns:
                raise ValueError(
                    f"the annotation of image {image_id} names an unknown class {name!r} "
                    f"({path}); known: {', '.join(class_names)}"
                )
            labels[row, columns[name]] = 1
    return labels


def _objects(path: Path, image_id: str) -> set[str]:
    """Class names of an annotation's objects; names of their parts lie deeper and stay out."""
    try:
        objects = ElementTree.parse(path).getroot().findall("object")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"image {image_id} has no annotation: there is no file {path}; "
            'VOCImages(..., labels_from="masks") takes the labels from the masks'
        ) from None
    except ElementTree.ParseError as error:
        raise ValueError(
            f"the annotation of image {image_id} cannot be read: {path}: {error}"
        ) from error
    return {(item.findtext("name") or "").strip() for item in objects}


def mask_labels(masks: Iterable[UInt8[ndarray, "H W"]], num_classes: int) -> UInt8[Tensor, "N C"]:
    """Which classes have a pixel in each mask; 0 and 255 are none."""
    rows = []
    for mask in masks:
        counts = np.bincount(mask.ravel(), minlength=IGNORED + 1)
        rows.append(counts[1 : num_classes + 1] > 0)
    return torch.from_numpy(np.array(rows, dtype=np.uint8).reshape(-1, num_classes))
