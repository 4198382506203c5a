"""Handwritten 2s and 8s, from a dependency's data or from MNIST's files."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from ribnb.data.download import download_file

Source = Literal["embedded", "mnist"]
SOURCES = get_args(Source)
SPLITS = ("train", "test")
CLASS_NAMES = ("2", "8")

# MNIST's files by split, with the SHA-256 of the archives that the addresses below serve.
MNIST_FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    },
}
MNIST_ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


@dataclass(frozen=True)
class Handwriting:
    """Grey images of single digits.

    Attributes:
        images: (N, h, w) uint8, ink bright on black.
        labels: (N,) index into ``CLASS_NAMES``.
    """

    images: UInt8[ndarray, "N h w"]
    labels: Int[ndarray, " N"]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, keep: ndarray) -> Handwriting:
        """The digits that a mask or an index array picks."""
        return Handwriting(self.images[keep], self.labels[keep])


def load_handwriting(
    source: str = "embedded", split: str = "train", data_root: str | Path = "data"
) -> Handwriting:
    """All 2s and 8s of one split of a source. No digit is in both splits.

    Args:
        source: ``"embedded"``: the UCI optical digits that scikit-learn ships, 8 x 8 pixels of
            real handwriting; every fourth is held out for ``test``. ``"mnist"``: MNIST's files
            below ``data_root/MNIST/raw``, gzipped or not. With one of MNIST's own splits on
            disk, every fourth digit of it is held out; with both, they are what they are called.
        split: ``"train"`` or ``"test"``.
        data_root: where ``MNIST/raw`` lies.

    Raises:
        ValueError: an unknown source or split, or a file that is not what it should be.
        FileNotFoundError: neither of MNIST's splits is there.
    """
    if source not in SOURCES:
        raise ValueError(f"digits must be one of {', '.join(SOURCES)}; got {source!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    if source == "embedded":
        return _hold_out(_two_and_eight(*_embedded()), split)
    raw = Path(data_root) / "MNIST" / "raw"
    present = {name: paths for name in SPLITS if (paths := _mnist_paths(raw, name))}
    if not present:
        raise FileNotFoundError(
            f"no MNIST in {raw}: neither t10k-images-idx3-ubyte nor train-images-idx3-ubyte with "
            "its labels, with or without .gz. Get it with "
            f"'python data_scripts/get_mnist.py {data_root}' or set download = True"
        )
    if len(present) == len(SPLITS):
        return _read_mnist(*present[split])
    return _hold_out(_read_mnist(*next(iter(present.values()))), split)


def download_mnist(data_root: str | Path, split: str = "test") -> list[Path]:
    """Fetch one of MNIST's splits into ``data_root/MNIST/raw``, unless it is there already.

    Raises:
        OSError: no address answers; the message says what to fetch by hand and where to put it.
    """
    raw = Path(data_root) / "MNIST" / "raw"
    return _mnist_paths(raw, split) or [
        download_file([base + name for base in MNIST_ADDRESSES], raw / name, sha256)
        for name, sha256 in MNIST_FILES[split].items()
    ]


def has_mnist(data_root: str | Path) -> bool:
    """Whether one of MNIST's splits, at least, lies in ``data_root/MNIST/raw``."""
    return any(_mnist_paths(Path(data_root) / "MNIST" / "raw", split) for split in SPLITS)


def read_idx(path: Path) -> UInt8[ndarray, "..."]:
    """The array in an idx file of unsigned bytes, gzipped or not.

    Raises:
        ValueError: not such a file, or not of the size that its header announces.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":  # of a file that is cut off, what is left of it
            data = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data)
    except (zlib.error, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}. Delete it and get it again") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an idx file of bytes: it starts with {data[:4].hex()!r}")
    rank = data[3]
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", data[4:header]) if len(data) >= header else ()
    expected = header + math.prod(shape)
    if not shape or len(data) != expected:
        raise ValueError(
            f"{path} is damaged: its header announces {expected} bytes (shape {shape}), it holds "
            f"{len(data)}. Delete it and get it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _embedded() -> tuple[ndarray, ndarray]:
    from sklearn.datasets import load_digits  # slow to import, needed only here

    digits = load_digits()
    return (digits.images / digits.images.max() * 255).astype(np.uint8), digits.target


def _mnist_paths(raw: Path, split: str) -> list[Path]:
    """Paths of a split's images and labels, or an empty list if one is missing."""
    names = MNIST_FILES[split]
    found = [
        next((path for path in (raw / name[:-3], raw / name) if path.is_file()), None)
        for name in names
    ]
    return found if all(found) else []


def _read_mnist(images_path: Path, labels_path: Path) -> Handwriting:
    images, digits = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or digits.shape != images.shape[:1]:
        raise ValueError(
            f"{images_path} holds an array of shape {images.shape} and {labels_path} one of "
            f"{digits.shape}; images are (N, height, width), with one label each"
        )
    return _two_and_eight(images, digits)


def _two_and_eight(images: ndarray, digits: ndarray) -> Handwriting:
    wanted = np.isin(digits, [int(name) for name in CLASS_NAMES])
    return Handwriting(images[wanted], (digits[wanted] == int(CLASS_NAMES[1])).astype(np.int64))


def _hold_out(handwriting: Handwriting, split: str) -> Handwriting:
    held_out = np.arange(len(handwriting)) % 4 == 3
    return handwriting.select(held_out if split == "test" else ~held_out)
