"""Digit scenes: the toy images of the paper's Figure 1, with their three regions.

The handwriting in them is scikit-learn's or MNIST's.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy import ndarray
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ribnb.data.fetch import download_file

REGIONS = ("discriminative", "non_discriminative", "background")
Source = Literal["embedded", "mnist"]
SOURCES = get_args(Source)
SPLITS = ("train", "test")

# fmt: off
# MNIST's files by split, images first, with the SHA-256 that the addresses below serve.
MNIST_FILES = {
    "train": {
        "train-images-idx3-ubyte.gz":
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz":
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    "test": {
        "t10k-images-idx3-ubyte.gz":
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz":
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
}
# fmt: on
MNIST_ADDRESSES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

_GAP = 2  # black pixels that stay between a shape and the digit
_FRAME = 28  # MNIST's image size; the embedded digits are drawn into the same
_ROWS, _COLUMNS = np.mgrid[-3:4, -3:4]
# The small shape of each class: a diamond-like disc for 2, a square for 8.
SHAPES = (np.abs(_ROWS) + np.abs(_COLUMNS) <= 3, np.ones((5, 5), bool))


class DigitScenes(Dataset):
    """A 2 or an 8 at a random place of a black canvas, sometimes with its class's small shape.

    An item is ``(image, label, regions)``: image (1, H, W) float in [0, 1], label 0 (a 2) or 1
    (an 8), regions a dict of bool (H, W) that are disjoint and cover the image:
    ``discriminative`` (R_D) the digit's pixels, ``non_discriminative`` (R_ND) the shape's,
    ``background`` (R_BG) the rest. Item i depends only on the arguments and i.

    Args:
        num_images: how many scenes.
        seed: scenes of another seed are others.
        split: ``"train"`` or ``"test"``; no digit is in both.
        digits: ``"embedded"`` or ``"mnist"``, see ``load_handwriting``.
        data_root: where MNIST lies.
        shape_rate: probability that a scene holds a shape; the paper's is 0.1.
        canvas: side length H = W in pixels, at least 48.

    Raises:
        ValueError: a canvas that is too small, or as of ``load_handwriting``.
        FileNotFoundError: MNIST is not there.

    Lee et al. 2021, Figure 1(a).
    """

    def __init__(
        self,
        num_images: int,
        seed: int = 0,
        split: str = "train",
        digits: str = "embedded",
        data_root: str | Path = "data",
        shape_rate: float = 0.1,
        canvas: int = 56,
    ) -> None:
        if canvas < 48:
            raise ValueError(f"canvas must be at least 48 pixels for digit and shape; got {canvas}")
        self.images, self.labels = load_handwriting(digits, split, data_root)
        self.num_images, self.seed, self.split = num_images, seed, split
        self.shape_rate, self.canvas = shape_rate, canvas

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> tuple[Tensor, int, dict[str, Tensor]]:
        if not 0 <= index < self.num_images:
            raise IndexError(f"scene {index} of {self.num_images}")
        generator = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        chosen = generator.integers(len(self.labels))
        label = int(self.labels[chosen])
        image, shape = self._compose(_draw(self.images[chosen], generator), label, generator)
        ink = torch.from_numpy(image > 0)
        shape = torch.from_numpy(shape)
        masks = (ink & ~shape, shape, ~ink)
        tensor = torch.from_numpy(image).float().div(255).unsqueeze(0)
        return tensor, label, dict(zip(REGIONS, masks, strict=True))

    def _compose(
        self, digit: UInt8[ndarray, "h w"], label: int, generator: np.random.Generator
    ) -> tuple[ndarray, ndarray]:
        """The scene (H, W) uint8 and the mask (H, W) bool of its shape, empty if it has none."""
        canvas, small = self.canvas, SHAPES[label]
        image, mask = np.zeros((canvas, canvas), np.uint8), np.zeros((canvas, canvas), bool)
        top, left = (generator.integers(canvas - side + 1) for side in digit.shape)
        image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
        if generator.random() < self.shape_rate:
            half = len(small) // 2
            free = ~ndimage.maximum_filter(image > 0, size=len(small) + 2 * _GAP)
            inside = np.zeros_like(free)
            inside[half : canvas - half, half : canvas - half] = True
            row, column = generator.choice(np.argwhere(free & inside))
            mask[row - half : row + half + 1, column - half : column + half + 1] = small
            image[mask] = 255
        return image, mask

    def batch(self) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """All scenes at once: images (N, 1, H, W), labels (N,), regions name -> (N, H, W)."""
        return default_collate([self[index] for index in range(len(self))])


def _draw(digit: UInt8[ndarray, "h w"], generator: np.random.Generator) -> UInt8[ndarray, "h w"]:
    """The digit, cropped to its ink. One of 8 x 8 pixels is first drawn at MNIST's size.

    A small digit gets a random rotation, slant and size, since there are few of them; steepening
    its greys makes pen strokes of the blurred enlargement.
    """
    if digit.shape != (_FRAME, _FRAME):
        angle, slant = generator.uniform(-0.2, 0.2), generator.uniform(-0.25, 0.25)
        cosine, sine = np.cos(angle), np.sin(angle)
        pose = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, 0], [slant, 1]])
        to_digit = np.linalg.inv(pose @ np.diag(2.5 * generator.uniform(0.85, 1.1, size=2)))
        padded = np.pad(digit.astype(float) / 255, 2)  # so that the spline ends in black
        centre = (np.array(padded.shape) - 1) / 2 - to_digit @ np.full(2, (_FRAME - 1) / 2)
        drawn = ndimage.affine_transform(padded, to_digit, centre, (_FRAME, _FRAME), order=3)
        digit = (np.clip((drawn - 0.3) / 0.4, 0, 1) * 255).astype(np.uint8)
    rows, columns = np.flatnonzero(digit.any(1)), np.flatnonzero(digit.any(0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def load_handwriting(
    source: str = "embedded", split: str = "train", data_root: str | Path = "data"
) -> tuple[UInt8[ndarray, "N h w"], Int[ndarray, " N"]]:
    """All 2s and 8s of one split of a source. No digit is in both splits.

    ``"embedded"`` are the UCI optical digits that scikit-learn ships, 8 x 8 pixels of real
    handwriting; every fourth is held out for ``test``. ``"mnist"`` are MNIST's files below
    ``data_root/MNIST/raw``, gzipped or not. With one of MNIST's own splits on disk, every fourth
    digit of it is held out; with both, they are what they are called.

    Returns:
        images (N, h, w), ink bright on black; labels (N,), 0 for a 2, 1 for an 8.

    Raises:
        ValueError: an unknown source or split, or a file that is not what it should be.
        FileNotFoundError: neither of MNIST's splits is there.
    """
    if source not in SOURCES or split not in SPLITS:
        raise ValueError(
            f"digits must be one of {', '.join(SOURCES)} and split one of {', '.join(SPLITS)}; got "
            f"{source!r} and {split!r}"
        )
    files = {name: paths for name in SPLITS if (paths := _mnist_files(data_root, name))}
    both = source == "mnist" and len(files) == len(SPLITS)  # what is read is this split alone
    if source == "embedded":
        from sklearn.datasets import load_digits  # slow to import, needed only here

        embedded = load_digits()
        images, digits = embedded.images, embedded.target
        images = (images / images.max() * 255).astype(np.uint8)
    elif files:
        images, digits = map(read_idx, files[split] if both else next(iter(files.values())))
    else:
        raise FileNotFoundError(
            f"no MNIST in {Path(data_root) / 'MNIST' / 'raw'}: get it with "
            f"'python data_scripts/get_mnist.py {data_root}' or set download = True"
        )
    wanted = np.isin(digits, (2, 8))
    images, labels = images[wanted], (digits[wanted] == 8).astype(np.int64)
    held_out = np.arange(len(labels)) % 4 == 3
    chosen = both | (held_out if split == "test" else ~held_out)
    return images[chosen], labels[chosen]


def _mnist_files(data_root: str | Path, split: str) -> list[Path]:
    """Paths of the images and the labels of a split of MNIST, or none if one is missing."""
    raw = Path(data_root) / "MNIST" / "raw"
    paths = [
        next((path for path in (raw / name[:-3], raw / name) if path.is_file()), None)
        for name in MNIST_FILES[split]
    ]
    return paths if all(paths) else []


def download_mnist(data_root: str | Path, split: str = "test") -> list[Path]:
    """Fetch one of MNIST's splits into ``data_root/MNIST/raw``, unless it is there already."""
    raw = Path(data_root) / "MNIST" / "raw"
    return _mnist_files(data_root, split) or [
        download_file([base + name for base in MNIST_ADDRESSES], raw / name, sha256)
        for name, sha256 in MNIST_FILES[split].items()
    ]


def read_idx(path: Path) -> UInt8[ndarray, "..."]:
    """The array in an idx file of unsigned bytes, gzipped or not; else a ValueError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
        if data[:3] != b"\x00\x00\x08":  # two zeros and the type; then the rank and the sizes
            raise ValueError("it is no idx file of bytes")
        shape = np.frombuffer(data, ">u4", data[3], offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} is damaged: {error}. Delete it and get it again") from error
