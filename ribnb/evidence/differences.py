"""The paired difference of two settings over several seeds, and the verdict on it by one rule.

mIoU is a ratio of sums over images, so there is no value of each image to take a t-test of.
Instead the images are drawn anew, with replacement, the same for both sides, and each side's mIoU
is taken of its summed matrices, at the threshold it has on all images. The spread says what the
choice of images leaves open; how nets differ, the seeds say, one by one. With three seeds all signs
are the same in one case of four by mere chance, so neither alone is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.scores.iou import MARGIN, mean_iou

HIGHER, LOWER, SAME, UNDECIDED = "higher", "lower", "no difference", "undecided"
LEAST_SEEDS = 3
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
        low: lower end of the 95 % interval of that mean over resampled images.
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
        if self.seeds < LEAST_SEEDS:
            return UNDECIDED
        if min(lows) >= -MARGIN and max(highs) <= MARGIN:
            return SAME
        return HIGHER if min(lows) > 0 else LOWER if max(highs) < 0 else UNDECIDED

    @property
    def interval(self) -> str:
        """The difference with its interval, such as ``"+1.20 [+0.31, +2.05]"``."""
        return f"{signed(self.difference)} [{signed(self.low)}, {signed(self.high)}]"


def signed(value: float) -> str:
    """Points with sign and two decimals, never ``-0.00``."""
    return f"{round(value, 2) + 0.0:+.2f}"


def paired_difference(
    seeds: Sequence[Sequence[Int[ndarray, "N C+1 C+1"]]],
    rng: np.random.Generator,
    resamples: int = 1000,
    weights: Sequence[float] = (1, -1),
) -> Difference:
    """mIoU of the first side minus that of the second, averaged over seeds, on the same draws.

    Seeds with images of their own (scenes) are drawn from independently. If all seeds have the
    same images (VOC), one draw serves all of them: else the interval would be too narrow.

    Args:
        seeds: for each seed the confusion matrices of every side, one an image and the same
            images in the same order; rows are the truth.
        rng: where the draws come from.
        resamples: how many draws.
        weights: of each side's mIoU, where more than two are summed.

    Returns:
        The weighted sum with its 95 % percentile interval, in percentage points.

    Raises:
        ValueError: other images or truths on the sides, or a single image, which leaves nothing to
            draw from.
    """
    truths = []
    for place, sides in enumerate(seeds):
        truth, *others = (np.sum(matrices, axis=2) for matrices in sides)
        if len(truth) < 2 or not all(np.array_equal(truth, other) for other in others):
            raise ValueError(
                f"seed {place} (from 0): compare scores of the same images, at least 2, on the "
                "same masks in the same order"
            )
        truths.append(truth)
    shared = all(np.array_equal(truth, truths[0]) for truth in truths)
    draws, values = np.empty(0), []
    for place, (truth, sides) in enumerate(zip(truths, seeds, strict=True)):
        if not (place and shared):
            number = len(truth)
            drawn = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
            draws = np.concatenate([np.ones((1, number)), drawn])  # first, every image once
        mious = [mean_iou(np.tensordot(draws, matrices, axes=1)) for matrices in sides]
        values.append(sum(weight * miou for weight, miou in zip(weights, mious, strict=True)))
    by_seed = tuple(float(of_seed[0]) for of_seed in values)
    resampled = np.mean([of_seed[1:] for of_seed in values], axis=0)
    # a draw may consist of images that are ignored altogether; it has no mIoU
    low, high = np.nanquantile(resampled, [0.025, 0.975]).tolist()
    return Difference(float(np.mean(by_seed)), low, high, by_seed, len(seeds))
