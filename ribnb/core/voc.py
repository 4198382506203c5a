"""What a set of images is, and what it keeps of PASCAL VOC 2012: classes, colours, mask files."""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import digest, write_whole

if TYPE_CHECKING:
    from torch import Tensor

CLASS_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
LIST_COUNTS = {"train": 1464, "val": 1449, "trainval": 2913, "train_aug": 10_582}  # images
IGNORED = 255  # a mask's value where there is no truth, and which counts nowhere


class ImageSet(Protocol):
    """Images with their labels, such as ``VOCImages`` and ``SceneImages``."""

    ids: list[str]
    class_names: tuple[str, ...]
    labels: UInt8[Tensor, "N C"]

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image: ...


def images_digest(images: ImageSet) -> str:
    """12 hexadecimal digits of the ids and labels of an image set."""
    return digest([list(images.ids), images.labels.tolist()])


def image_set_digest(images: ImageSet, labels: bool = True) -> str:
    """12 hexadecimal digits that tell what a net learned from, with its labels or without.

    They are of ids and classes and, with the labels, of those and of the first image's size. The
    pixels stay out: JPEG decoders differ by machine.
    """
    named = [list(images.ids), list(images.class_names)]
    if not labels:
        return digest(named)
    text = json.dumps([*named, images.image(0).size])
    present = images.labels.numpy().astype(np.uint8).tobytes()
    return hashlib.sha256(text.encode() + present).hexdigest()[:12]


@lru_cache(1)
def voc_palette() -> UInt8[ndarray, "256 3"]:
    """VOC's colours: the bits of an index, dealt out to red, green and blue in turn."""
    index, places = np.arange(256)[:, None], np.arange(3)
    bits = (index >> (3 * places + channel) & 1 for channel in range(3))
    palette = np.stack([(bit << (7 - places)).sum(axis=1) for bit in bits], axis=1).astype(np.uint8)
    palette.setflags(write=False)  # it is everybody's
    return palette


def write_mask(path: str | Path, mask: UInt8[ndarray, "H W"]) -> None:
    """A mask as a PNG with VOC's palette, whole or not there; an OSError has its name."""
    image = Image.fromarray(mask)
    image.putpalette(voc_palette().tobytes())
    write_whole(path, lambda file: image.save(file, "PNG"))


def read_mask(path: str | Path, num_classes: int | None = None) -> UInt8[ndarray, "H W"]:
    """A mask: 0 background, class_id + 1, 255 ignored.

    A grey of any depth and an entry of a palette are the mask's value. Colours count where they
    are VOC's: of a file without palette, and of a palette that has them in another order, or the
    greys of a mask, as image programs leave it, which a warning says.

    Args:
        path: a PNG.
        num_classes: C; None lets every value pass.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole or no mask, or it holds a class that is none of these.
    """
    mode, mask, palette, spread = read_image(path, "mask")
    known = True
    if coloured := mode in ("RGB", "RGBA"):
        flat = mask[..., :3].reshape(-1, 3)
        palette, places = np.unique(flat, axis=0, return_inverse=True)
        mask = places.reshape(mask.shape[:2])
    if coloured or mode == "P":
        used = np.bincount(mask.ravel()).nonzero()[0]
        colours = palette[used]
        classes = _classes_of(colours, num_classes)
        known = (classes >= 0).all()
        if not coloured:  # a palette's 255 in another colour is still what is ignored
            known &= len({*classes}) == len(used) and (classes == used)[used == IGNORED].all()
        if not known and (colours == colours[:, :1]).all():
            greys, own = colours[:, 0], {*colours[:, 0].tolist()}
            valid = {*range((num_classes or len(CLASS_NAMES)) + 1), IGNORED}
            # a palette of nothing but what is used was made of a mask of greys
            made = len(own) == len(used) == used[-1] + 1 and not palette[len(used) :].any()
            if coloured or (made and own <= valid and own - {0, IGNORED}):
                known, classes = True, greys
        if coloured and not known:
            other = tuple(colours[classes < 0][0].tolist())
            raise ValueError(
                f"{path} is no mask: it is of mode {mode}, and its colours, such as {other}, are "
                "not VOC's; save each pixel's class as a grey, 0 for background"
            )
        if known and (classes != used).any():
            if not coloured:
                warnings.warn(
                    "masks whose palette has VOC's colours, or greys, in another order are read "
                    f"by these, such as {path}",
                    stacklevel=2,
                )
            table = np.zeros(len(palette), np.uint8)
            table[used] = classes
            mask = table[mask]
    elif mask.ndim != 2 or not ((mask >= 0) & (mask <= IGNORED * spread) & (mask % 1 == 0)).all():
        raise ValueError(f"{path} is no mask: it is of mode {mode}, and not of greys up to 255")
    mask = (mask // spread if spread > 1 else mask).astype(np.uint8, copy=False)
    if num_classes is not None:
        values = np.bincount(mask.ravel()).nonzero()[0].tolist()
        if wrong := [value for value in values if num_classes < value != IGNORED]:
            raise ValueError(
                f"the mask {path} holds {wrong[:5]}, but there are {num_classes} classes; it must "
                f"hold 0 (background), 1 ... {num_classes} or {IGNORED}"
                + ("" if known else ", or have VOC's colours in its palette")
            )
    return mask


def _classes_of(colours: UInt8[ndarray, "n 3"], num_classes: int | None) -> Int[ndarray, " n"]:
    """The mask's values that colours stand for in VOC, -1 for one that is none's."""
    known = [*range((num_classes or len(CLASS_NAMES)) + 1), IGNORED]
    value_of = dict(zip(map(tuple, voc_palette()[known].tolist()), known, strict=True))
    return np.array([value_of.get(tuple(colour), -1) for colour in colours.tolist()])


def read_image(path: str | Path, what: str) -> tuple[str, ndarray, UInt8[ndarray, "256 3"], int]:
    """An image file that is whole; errors as of ``read_mask``.

    Returns:
        Pillow's mode; the values; the palette, black where there is none; what Pillow has
        multiplied greys of 2 or 4 bits with, to reach 255.
    """
    try:
        with Image.open(path) as image:
            image.verify()  # the checksums, at which loading does not look
        with Image.open(path) as image:
            spread = {"L;2": 85, "L;4": 17}.get(image.tile[0].args if image.tile else "", 1)
            values, palette = np.array(image), np.zeros(768, np.uint8)
            colours = image.getpalette() or []
            palette[: len(colours)] = colours
            return image.mode, values, palette.reshape(256, 3), spread
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {what} {path}") from None
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} is not a whole {what} ({error})") from error
