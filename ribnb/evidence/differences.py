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
from jaxtyping import Float, Int
from numpy import ndarray

from ribnb.scores.image_scores import ImageScores
from ribnb.scores.iou import share

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
        shared_images: whether all seeds have the same images, and so share each draw.
    """

    difference: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    seeds: int
    shared_images: bool = False

    @property
    def std(self) -> float:
        """Standard deviation over seeds (n - 1 below); NaN for fewer than two."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else math.nan

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

    def __str__(self) -> str:
        seeds = " ".join(signed(value) for value in self.by_seed) or f"mean of {self.seeds}"
        return f"{self.interval}; by seed {seeds}: {self.verdict}"


def signed(value: float) -> str:
    """Points with sign and two decimals, never ``-0.00``."""
    return f"{round(value, 2) + 0.0:+.2f}"


def paired_scores(
    first: Sequence[ImageScores],
    second: Sequence[ImageScores],
    rng: np.random.Generator,
    names: tuple[str, str] = ("seeds", "seeds"),
    resamples: int = 1000,
) -> Difference:
    """``paired_difference`` of scores read from files; images are matched by their ids.

    The order of the images in a file does not matter.

    Args:
        first: of each seed, of the first setting.
        second: of the same seeds in the same order.
        rng: where the draws come from.
        names: which maps of each side; ``("seeds", "cam")`` with one list given twice compares
            RIB with its baseline.
        resamples: how many draws.

    Raises:
        ValueError: other images, classes or truths on the two sides; maps that were not scored;
            see ``paired_difference``.
    """
    sides: tuple[list[ndarray], list[ndarray]] = ([], [])
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        where = f"seed {place} (from 0)"
        if a.class_names != b.class_names:
            raise ValueError(f"{where}: the two sides have other classes")
        if lone := sorted(set(a.ids) ^ set(b.ids)):
            raise ValueError(
                f"{where}: {len(lone)} images are on one side only, such as {lone[0]}; compare "
                "runs over the same images, none of them failed"
            )
        for scores, name, matrices in zip((a, b), names, sides, strict=True):
            if name not in scores.confusions:
                known = ", ".join(scores.confusions)
                raise ValueError(f"{where}: no maps {name!r} were scored, but {known}")
            matrices.append(scores.in_order(sorted(a.ids), name))
    return paired_difference(*sides, rng, resamples)


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
    for place, settings in enumerate(seeds):
        for other in settings[1:]:
            _check_sides(np.asarray(settings[0]), np.asarray(other), f"seed {place} (from 0)")
    truths = [np.asarray(settings[0]).sum(axis=2) for settings in seeds]
    shared = all(np.array_equal(truth, truths[0]) for truth in truths[1:])
    by_seed, resampled = [], []
    drawn = _draws(len(truths[0]), resamples, rng)
    for place, settings in enumerate(seeds):
        if place and not shared:
            drawn = _draws(len(truths[place]), resamples, rng)
        counts = [_counts(np.asarray(matrices)) for matrices in settings]
        draws = np.concatenate([np.ones((1, len(truths[place]))), drawn])
        values = sum(weight * _miou(draws @ of) for weight, of in zip(weights, counts, strict=True))
        by_seed.append(float(values[0]))
        resampled.append(values[1:])
    # a draw may consist of images that are ignored altogether; it has no mIoU
    low, high = np.nanquantile(np.mean(resampled, axis=0), [0.025, 0.975]).tolist()
    mean = float(np.mean(by_seed))
    return Difference(mean, low, high, tuple(by_seed), len(seeds), shared and len(seeds) > 1)


def _draws(number: int, resamples: int, rng: np.random.Generator) -> Float[ndarray, "R N"]:
    """How often each image is drawn."""
    return rng.multinomial(number, np.full(number, 1 / number), size=resamples).astype(float)


def _counts(matrices: Int[ndarray, "N C+1 C+1"]) -> Float[ndarray, "N 2*(C+1)"]:
    """All that IoU needs of each image, and a sum over images keeps: intersections, unions."""
    right = np.diagonal(matrices, axis1=1, axis2=2)
    union = matrices.sum(axis=1) + matrices.sum(axis=2) - right
    return np.concatenate([right, union], axis=1).astype(float)


def _miou(counts: Float[ndarray, "R 2*(C+1)"]) -> Float[ndarray, " R"]:
    """mIoU in % over the classes in truth or prediction, as ``ribnb.scores.iou.mean_iou``."""
    right, union = np.split(counts, 2, axis=1)
    return share(np.nansum(share(right, union), axis=1), (union > 0).sum(axis=1)) / 100


def _check_sides(a: ndarray, b: ndarray, where: str) -> None:
    """Refuse matrices of single images that are not of the same images' truth."""
    if a.ndim != 3 or a.shape[1] != a.shape[2] or a.shape != b.shape or len(a) < 2:
        raise ValueError(
            f"{where}: both sides must be (N, C + 1, C + 1) of the same N >= 2 images; got "
            f"{a.shape} and {b.shape}"
        )
    differs = (a.sum(axis=2) != b.sum(axis=2)).any(axis=1)
    if differs.any():
        raise ValueError(
            f"{where}: the truth of image {differs.argmax()} differs between the two sides; score "
            "both on the same masks in the same order"
        )
    if not a.any():
        raise ValueError(f"{where}: there is no pixel to score, the masks ignore everything")
