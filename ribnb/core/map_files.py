"""Localisation maps on disk: one file an image, whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ribnb.core.whole_files import whole_file

NAMES = ("class_ids", "high_res", "strided")


class Maps(NamedTuple):
    """The localisation maps of one image, as ``maps/<image id>.npz`` holds them.

    Attributes:
        class_ids: (n,) present classes, 0-based; a mask holds class_id + 1.
        high_res: (n, H, W) in [0, 1], each class divided by its maximum.
        strided: (n, ceil(H / 4), ceil(W / 4)).
    """

    class_ids: Int[ndarray, " n"]
    high_res: Float[ndarray, "n H W"]
    strided: Float[ndarray, "n h w"]


def write_maps(path: str | Path, maps: Maps) -> None:
    """Write under a temporary name, then rename: a file that is there is whole.

    Raises:
        OSError: the file cannot be written; its name is in the message.
    """
    try:
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **maps._asdict())
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error


def read_maps(path: str | Path) -> Maps:
    """The maps of one image.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, or holds something else; its name is in the message.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            maps = Maps(**{name: file[name] for name in NAMES})
    except FileNotFoundError:
        raise FileNotFoundError(f"there are no maps at {path}") from None
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} is not a whole map file ({error})") from error
    n, *size = maps.high_res.shape or (0,)
    quarter = (n, *(-(-side // 4) for side in size))
    if len(size) != 2 or maps.class_ids.shape != (n,) or maps.strided.shape != quarter:
        raise ValueError(
            f"{path} is no map file: class_ids of shape {maps.class_ids.shape}, but maps of "
            f"{maps.high_res.shape} and {maps.strided.shape}"
        )
    return maps


def has_maps(path: str | Path) -> bool:
    """Whether a whole map file is there."""
    try:
        read_maps(path)
    except (FileNotFoundError, ValueError):
        return False
    return True
