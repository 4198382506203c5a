"""Labels of images: stored, read from annotations, and compared with masks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray
from torch import Tensor

from ribnb.core.files import read_text, write_whole
from ribnb.core.voc import CLASS_NAMES, IGNORED, ImageSet
from ribnb.data.views import Part

LABELS_NAME = "labels.npz"  # in the VOC2012 folder
LOOKED_AT = 20  # masks at the start of a run


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
            for item in _annotation(path).findall("{*}object"):  # not parts of one
                name = item.findtext("{*}name", "").strip()
                if name not in class_names:
                    known = f"{', '.join(class_names)}; classes.txt may name others"
                    raise ValueError(f"unknown class {name!r}; known: {known}")
                labels[row, class_names.index(name)] = 1
        except FileNotFoundError:
            raise FileNotFoundError(
                f"image {image_id} has no annotation: there is no file {path}; "
                'labels_from="masks" takes the labels from the masks (of a chapter '
                "-p data.labels_from=masks, of ribnb maps --labels-from masks), and "
                "ribnb.data.write_labels makes labels.npz of a table"
            ) from None
        except (ElementTree.ParseError, ValueError) as error:
            raise ValueError(
                f"the annotation of image {image_id} cannot be read: {path}: {error}"
            ) from error
    return labels


def _annotation(path: Path) -> ElementTree.Element:
    """A parsed XML file; Python knows more encodings than the parser does."""
    data = path.read_bytes()
    declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.:-]+)", data)
    try:
        text = data.decode(declared[1].decode()) if declared else read_text(path)
    except LookupError:  # such as utf8mb4
        text = read_text(path)
    root = ElementTree.fromstring(text.removeprefix("\ufeff"))
    if not re.fullmatch(r"({.*})?annotation", root.tag):
        raise ValueError(f"it is no annotation of VOC's: it begins with <{root.tag}>")
    return root


# Labels and masks -------------------------------------------------------------------------


def pixels_of(mask: UInt8[ndarray, "H W"]) -> Int[ndarray, "256"]:
    """How many pixels of a mask have each value."""
    return np.bincount(mask.ravel(), minlength=256)


def disagreement(
    labels: Bool[ndarray, "N C"], pixels: Int[ndarray, "N 256"], class_names: Sequence[str]
) -> tuple[str, bool]:
    """What looks wrong about the masks of labelled images, with a table; empty if nothing does.

    And whether it is hopeless: none of three masks or more shows what its labels say.
    """
    shown = pixels[:, 1 : len(class_names) + 1] > 0
    labelled, showing = labels.sum(axis=0), shown.sum(axis=0)
    apart = int((shown != labels).any(axis=1).sum())
    if not shown.any() and pixels[:, IGNORED].any():
        fault = (
            f"none of {len(pixels)} masks shows a class: they hold nothing but 0 and {IGNORED}, "
            f"and {IGNORED} is ignored. If it is the object, write its class there, such as 1"
        )
    elif apart > len(pixels) / 2:
        fault = f"{apart} of {len(pixels)} masks show other classes than their image's labels"
    elif ((labelled > 2) & (showing == 0)).any():
        fault = "there are labels that no mask shows"
    else:
        return "", False
    rows = zip(class_names, labelled, showing, pixels.sum(axis=0)[1:], strict=False)
    lines = [f"{fault}. Images by label and by mask, pixels:"]
    lines += [f"  {name}: {a}, {b}, {c:,}" for name, a, b, c in rows if a or b]
    text = "\n".join([*lines, f"  ignored ({IGNORED}): -, -, {pixels[:, IGNORED].sum():,}"])
    return text, len(pixels) > 2 and not bool((shown & labels).any())


def look_at_masks(images: ImageSet) -> tuple[str, bool | None]:
    """What looks wrong about a few masks, spread over the images; empty if nothing does.

    And whether they are of no use: ``disagreement`` is hopeless, or none can be read. None says
    that no image has a mask.
    """
    spread = sorted({index * len(images) // LOOKED_AT for index in range(LOOKED_AT)})
    pixels, why = {}, ""
    for index in [*spread, *range(len(images))]:
        if index not in spread and (pixels or why):
            break  # the others are tried only as long as there are none
        try:
            pixels[index] = pixels_of(images.mask(index))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            why = why or f"no mask can be read to score by: {error}"
    if not pixels:
        return why or f"none of the {len(images)} images has a mask", bool(why) or None
    labels, counts = images.labels[[*pixels]].numpy() > 0, np.stack([*pixels.values()])
    return disagreement(labels, counts, images.class_names)


class Unmasked(Part):
    """All images of a set that has no masks, with masks that ignore each pixel."""

    def __init__(self, images: ImageSet) -> None:
        super().__init__(images, range(len(images)))

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """255, ignored, wherever the image is."""
        width, height = self.image(index).size
        return np.full((height, width), IGNORED, np.uint8)


def scorable(images: ImageSet, needed: bool = False) -> ImageSet:
    """The images; those of a set without any mask have masks that ignore all, which is said.

    Raises:
        ValueError: masks of no use, see ``look_at_masks``, or none, though they are ``needed``.
    """
    text, useless = look_at_masks(images)
    if useless:
        raise ValueError(text)
    if useless is None and needed:
        raise ValueError(
            f"{text}, and this chapter chooses and scores by masks. Without them make maps "
            "(voc_rib), and masks of these with ribnb.masks.seed_masks, crf_masks, irn_masks"
        )
    if useless is None:
        text, images = f"{text}: maps are made, and nothing is scored", Unmasked(images)
    if text:
        warnings.warn(text, stacklevel=3)
    return images
