"""Digit scenes: the toy images of the paper's Figure 1, with their three regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ribnb.data.handwriting import SPLITS, load_handwriting

REGIONS = ("discriminative", "non_discriminative", "background")

_GAP = 2  # black pixels that stay between a shape and the digit
_FRAME = 28  # MNIST's image size; the embedded digits are drawn into the same


def _shapes() -> tuple[Bool[ndarray, "h w"], ...]:
    """The small shape of each class: a diamond-like disc for 2, a square for 8."""
    rows, columns = np.mgrid[-3:4, -3:4]
    return np.abs(rows) + np.abs(columns) <= 3, np.ones((5, 5), bool)


SHAPES = _shapes()


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
        digits: ``"embedded"`` or ``"mnist"``, see ``ribnb.data.handwriting.load_handwriting``.
        data_root: where MNIST lies.
        shape_rate: probability that a scene holds a shape; the paper's is 0.1.
        canvas: side length H = W in pixels.

    Raises:
        ValueError: a number of images below 1, a canvas that is too small, a rate outside
            [0, 1], an unknown source or split.
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
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1; got {num_images}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0; got {seed}")
        if canvas < 48:
            raise ValueError(f"canvas must be at least 48 pixels to hold both; got {canvas}")
        if not 0 <= shape_rate <= 1:
            raise ValueError(f"shape_rate must lie in [0, 1]; got {shape_rate}")
        self.handwriting = load_handwriting(digits, split, data_root)
        self.num_images, self.seed, self.split = num_images, seed, split
        self.shape_rate, self.canvas = shape_rate, canvas

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> tuple[Tensor, int, dict[str, Tensor]]:
        if not 0 <= index < self.num_images:
            raise IndexError(f"scene {index} of {self.num_images}")
        generator = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        chosen = generator.integers(len(self.handwriting))
        label = int(self.handwriting.labels[chosen])
        digit = _draw(self.handwriting.images[chosen], generator)
        image, shape = _compose(digit, SHAPES[label], self.shape_rate, self.canvas, generator)
        ink = torch.from_numpy(image > 0)
        shape = torch.from_numpy(shape)
        masks = (ink & ~shape, shape, ~ink)
        tensor = torch.from_numpy(image).float().div(255).unsqueeze(0)
        return tensor, label, dict(zip(REGIONS, masks, strict=True))

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


def _compose(
    digit: UInt8[ndarray, "h w"],
    shape: Bool[ndarray, "s s"],
    shape_rate: float,
    canvas: int,
    generator: np.random.Generator,
) -> tuple[UInt8[ndarray, "H W"], Bool[ndarray, "H W"]]:
    """The scene and the mask of its shape (empty if it has none)."""
    image = np.zeros((canvas, canvas), np.uint8)
    mask = np.zeros((canvas, canvas), bool)
    top, left = (generator.integers(canvas - side + 1) for side in digit.shape)
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    if generator.random() < shape_rate:
        half = len(shape) // 2
        free = ~ndimage.maximum_filter(image > 0, size=len(shape) + 2 * _GAP)
        inside = np.zeros_like(free)
        inside[half : canvas - half, half : canvas - half] = True
        row, column = generator.choice(np.argwhere(free & inside))
        mask[row - half : row + half + 1, column - half : column + half + 1] = shape
        image[mask] = 255
    return image, mask
