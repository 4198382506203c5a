"""Masks on disk: one PNG an image, whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import write_whole
from ribnb.core.palette import voc_palette


def write_mask_file(path: str | Path, mask: UInt8[ndarray, "H W"]) -> None:
    """A mask as a PNG with VOC's palette, whole or not there.

    Raises:
        ValueError: no (H, W) of uint8.
        OSError: the file cannot be written; its name is in the message.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError(f"a mask must be (H, W) of uint8; got {mask.shape} of {mask.dtype}")
    image = Image.fromarray(mask)
    image.putpalette(voc_palette().tobytes())
    write_whole(path, lambda file: image.save(file, "PNG"))


def read_mask_file(path: str | Path, num_classes: int | None = None) -> UInt8[ndarray, "H W"]:
    """A mask: 0 background, class_id + 1, 255 ignored.

    Args:
        path: a PNG with a palette, or of greys, whose values are the mask's.
        num_classes: C; None lets every value pass.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole or no mask, or it holds a class that is none of these.
    """
    try:
        with Image.open(path) as image:
            image.verify()  # the checksums, at which loading does not look
        with Image.open(path) as image:
            image.load()
            mode, mask = image.mode, np.array(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no mask {path}") from None
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} is not a whole mask ({error})") from error
    if mode not in ("P", "L"):
        raise ValueError(f"{path} is no mask: it is of mode {mode}, not of a palette or 8-bit grey")
    if num_classes is not None:
        wrong = [value for value in np.unique(mask).tolist() if num_classes < value != 255]
        if wrong:
            raise ValueError(
                f"the mask {path} holds {wrong[:5]}, but there are {num_classes} classes; it must "
                f"hold 0 (background), 1 ... {num_classes} or 255"
            )
    return mask
