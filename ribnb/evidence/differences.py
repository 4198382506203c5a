"""The paired difference of two settings over several seeds, and the verdict on it by one rule.

mIoU is a ratio of sums over images, so there is no value of each image to take a t-test of.
Instead the images are drawn anew, with replacement, the same for both sides, and each side's
mIoU is taken of its summed matrices. The spread of the differences says what the choice of images
leaves open. How nets differ is another question: the seeds answer it, one by one. With three seeds
all signs are the same in one case of four by mere chance, so neither alone is enough.

Thresholds stay what they were: each side's oracle on all images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.scores.iou import mean_iou

HIGHER, LOWER, SAME = "higher", "lower", "no difference"
UNDECIDED = "undecided"
LEAST_SEEDS = 3
MARGIN = 1.0  # points of mIoU; what a reader would still call the same
RULE = f"""\
There is {SAME} between two sides if the 95 % interval over images and the difference of every \
seed lie within {MARGIN:g} point on either side of 0. Else the first side is {HIGHER} if all of \
these lie above 0, and {LOWER} if they lie below. Everything else, and anything with fewer than \
{LEAST_SEEDS} seeds, is {UNDECIDED}."""


@dataclass(frozen=True)
class Difference:
    """One side minus another, in percentage points, and the verdict on it.

    Attributes:
        difference: mean over seeds.
        low: lower end of the 95 % interval of that mean over resampled images; NaN without one.
        high: its upper end.
        by_seed: the difference of each seed; empty where only means over seeds were kept.
        seeds: how many there are.
    """

    difference: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    seeds: int

    @property
    def verdict(self) -> str:
        """``HIGHER``, ``LOWER``, ``SAME`` or ``UNDECIDED``, by ``RULE``."""
        lows, highs = (self.low, *self.by_seed), (self.high, *self.by_seed)
        if self.seeds < LEAST_SEEDS or not all(map(math.isfinite, (*lows, *highs))):
            return UNDECIDED
        if min(lows) >= -MARGIN and max(highs) <= MARGIN:
            return SAME
        return HIGHER if min(lows) > 0 else LOWER if max(highs) < 0 else UNDECIDED

    @property
    def interval(self) -> str:
        """The difference with its interval, such as ``"+1.20 [+0.31, +2.05]"``."""
        ends = "no interval" if math.isnan(self.low) else f"{signed(self.low)}, {signed(self.high)}"
        return f"{signed(self.difference)} [{ends}]"


def signed(value: float) -> str:
    """Points with sign and two decimals, never ``-0.00``."""
    return f"{round(value, 2) + 0.0:+.2f}"


def paired_difference(
    first: Sequence[Int[ndarray, "N C+1 C+1"]],
    second: Sequence[Int[ndarray, "N C+1 C+1"]],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Difference:
    """mIoU of the first side minus that of the second, averaged over seeds.

    Seeds with images of their own (scenes) are drawn from independently. If all seeds have the
    same images (VOC), one draw serves all of them: else the interval would be too narrow.

    Args:
        first: one array a seed: each image's confusion matrix, rows are the truth.
        second: those of the same seeds and images in the same order.
        rng: where the draws come from.
        resamples: how many draws.

    Returns:
        The difference with its 95 % percentile interval, in percentage points.

    Raises:
        ValueError: no seed, or another number of them on the two sides; arrays of other shapes or
            images; fewer than 2 images; no pixel.
    """
    return combined_difference(list(zip(first, second, strict=True)), (1, -1), rng, resamples)


def combined_difference(
    seeds: Sequence[Sequence[Int[ndarray, "N C+1 C+1"]]],
    weights: Sequence[float],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Difference:
    """A weighted sum of the mIoU of several settings on the same draws; see ``paired_difference``.

    Args:
        seeds: for each seed the matrices of every setting, of the same images.
        weights: of each setting's mIoU; a difference is ``(1, -1)``.
        rng: where the draws come from.
        resamples: how many draws.

    Raises:
        ValueError: see ``paired_difference``.
    """
    if not seeds:
        raise ValueError("there is no seed to compare")
    truths = [_truth(settings, f"seed {place} (from 0)") for place, settings in enumerate(seeds)]
    shared = all(np.array_equal(truth, truths[0]) for truth in truths[1:])
    draws, values = np.empty(0), []
    for place, settings in enumerate(seeds):
        if not (place and shared):
            number = len(truths[place])
            drawn = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
            draws = np.concatenate([np.ones((1, number)), drawn])  # first, every image once
        mious = [mean_iou(np.tensordot(draws, matrices, axes=1)) for matrices in settings]
        values.append(sum(weight * miou for weight, miou in zip(weights, mious, strict=True)))
    by_seed = tuple(float(of_seed[0]) for of_seed in values)
    resampled = np.mean([of_seed[1:] for of_seed in values], axis=0)
    # a draw may consist of images that are ignored altogether; it has no mIoU
    low, high = np.nanquantile(resampled, [0.025, 0.975]).tolist()
    return Difference(float(np.mean(by_seed)), low, high, by_seed, len(seeds))


def _truth(settings: Sequence[Int[ndarray, "N C+1 C+1"]], where: str) -> Int[ndarray, "N C+1"]:
    """Pixels of each class in each image, which must be the same for every setting."""
    shape, *others = dict.fromkeys(np.shape(matrices) for matrices in settings)
    if others or len(shape) != 3 or shape[1] != shape[2] or shape[0] < 2:
        raise ValueError(
            f"{where}: all sides must be (N, C + 1, C + 1) of the same N >= 2 images; got "
            f"{', '.join(map(str, (shape, *others)))}"
        )
    truth, *rest = (np.sum(matrices, axis=2) for matrices in settings)
    for other in rest:
        differs = (truth != other).any(axis=1)
        if differs.any():
            raise ValueError(
                f"{where}: the truth of image {differs.argmax()} differs between the sides; score "
                "all on the same masks in the same order"
            )
    if not truth.any():
        raise ValueError(f"{where}: there is no pixel to score, the masks ignore everything")
    return truth
