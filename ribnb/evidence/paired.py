"""Two settings compared on the same images and with the same nets, over several seeds.

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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ribnb.scores.image_scores import ImageScores
from ribnb.scores.iou import share


@dataclass(frozen=True)
class PairedDifference:
    """mIoU of one setting minus that of another, in percentage points.

    Attributes:
        difference: mean over seeds.
        low: lower end of the 95 % interval of that mean over resampled images.
        high: its upper end.
        by_seed: the difference of each seed.
        images: how many images each seed has.
        shared_images: whether all seeds have the same images, and so share each draw.
    """

    difference: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    images: tuple[int, ...]
    shared_images: bool

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.by_seed)

    @property
    def std(self) -> float:
        """Standard deviation over seeds (n - 1 below); NaN for one seed."""
        return float(np.std(self.by_seed, ddof=1)) if self.seeds > 1 else math.nan

    @property
    def above(self) -> int:
        """Seeds whose difference is above 0."""
        return sum(value > 0 for value in self.by_seed)

    @property
    def below(self) -> int:
        """Seeds whose difference is below 0."""
        return sum(value < 0 for value in self.by_seed)

    @property
    def same_sign(self) -> int:
        """Seeds whose difference has the sign of the mean; 0 if the mean is 0."""
        if self.difference == 0:
            return 0
        return self.above if self.difference > 0 else self.below

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON or a row of a table: None in place of NaN."""
        std = None if math.isnan(self.std) else self.std
        extra = {"std": std, "seeds": self.seeds, "same_sign": self.same_sign}
        return {**asdict(self), "by_seed": list(self.by_seed), "images": list(self.images), **extra}

    def __str__(self) -> str:
        spread = "" if self.seeds < 2 else f", std over seeds {self.std:.2f}"
        return (
            f"{signed(self.difference)} points, 95 % interval over images "
            f"[{signed(self.low)}, {signed(self.high)}]{spread}, {self.signs}"
        )

    @property
    def signs(self) -> str:
        """The seed-level statement: ``"above 0 in 3 of 3 seeds"``."""
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        side, count = ("below", self.below) if self.difference < 0 else ("above", self.above)
        return f"{side} 0 in {count} of {seeds}"


def signed(value: float) -> str:
    """Points with sign and two decimals, never ``-0.00``."""
    return f"{round(value, 2) + 0.0:+.2f}"


def paired_scores(
    first: Sequence[ImageScores],
    second: Sequence[ImageScores],
    rng: np.random.Generator,
    names: tuple[str, str] = ("seeds", "seeds"),
    resamples: int = 1000,
) -> PairedDifference:
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
        ValueError: another number of seeds; other images or classes on the two sides; maps that
            were not scored; see ``paired_difference``.
    """
    _check_seeds(first, second)
    sides: tuple[list[ndarray], list[ndarray]] = ([], [])
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        where = f"seed {place} (from 0)"
        if a.class_names != b.class_names:
            raise ValueError(f"{where}: the two sides have other classes")
        lone = sorted(set(a.ids) ^ set(b.ids))
        if lone:
            only = "first" if lone[0] in a.ids else "second"
            raise ValueError(
                f"{where}: {len(lone)} images are on one side only, such as "
                f"{lone[0]}, on the {only}; compare runs over the same images, none of them failed"
            )
        ids = sorted(a.ids)
        for scores, name, side in zip((a, b), names, sides, strict=True):
            if name not in scores.confusions:
                known = ", ".join(scores.confusions)
                raise ValueError(f"{where}: no maps {name!r} were scored, but {known}")
            side.append(scores.in_order(ids, name))
        check_sides(sides[0][-1], sides[1][-1], f"{where}: ", ids)  # here, where images have names
    return paired_difference(*sides, rng, resamples)


def paired_difference(
    first: Sequence[Int[ndarray, "N C+1 C+1"]],
    second: Sequence[Int[ndarray, "N C+1 C+1"]],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> PairedDifference:
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
            images; fewer than 2 images; no pixel; resamples below 1.
    """
    _check_seeds(first, second)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; got {resamples}")
    pairs = [tuple(map(np.asarray, pair)) for pair in zip(first, second, strict=True)]
    for place, pair in enumerate(pairs):
        check_sides(*pair, f"seed {place} (from 0): ")
    truths = [a.sum(axis=2) for a, _ in pairs]
    shared = all(np.array_equal(truth, truths[0]) for truth in truths[1:])
    by_seed, resampled = [], []
    drawn = _draws(len(truths[0]), resamples, rng)
    for place, (a, b) in enumerate(pairs):
        if place and not shared:
            drawn = _draws(len(a), resamples, rng)
        counts = [_counts(side) for side in (a, b)]
        whole, drawn_again = (
            _miou(weights @ counts[0]) - _miou(weights @ counts[1])
            for weights in (np.ones((1, len(a))), drawn)
        )
        by_seed.append(float(whole[0]))
        resampled.append(drawn_again)
    # a draw may consist of images that are ignored altogether; it has no mIoU
    low, high = np.nanquantile(np.mean(resampled, axis=0), [0.025, 0.975]).tolist()
    images = tuple(len(truth) for truth in truths)
    return PairedDifference(
        float(np.mean(by_seed)), low, high, tuple(by_seed), images, shared and len(pairs) > 1
    )


def _draws(number: int, resamples: int, rng: np.random.Generator) -> Float[ndarray, "R N"]:
    """How often each image is drawn."""
    return rng.multinomial(number, np.full(number, 1 / number), size=resamples).astype(float)


def _counts(side: Int[ndarray, "N C+1 C+1"]) -> Float[ndarray, "N 2*(C+1)"]:
    """All that IoU needs of each image, and a sum over images keeps: intersections, unions."""
    right = np.diagonal(side, axis1=1, axis2=2)
    union = side.sum(axis=1) + side.sum(axis=2) - right
    return np.concatenate([right, union], axis=1).astype(float)


def _miou(counts: Float[ndarray, "R 2*(C+1)"]) -> Float[ndarray, " R"]:
    """mIoU in % over the classes in truth or prediction, as ``ribnb.scores.iou.mean_iou``."""
    right, union = np.split(counts, 2, axis=1)
    return share(np.nansum(share(right, union), axis=1), (union > 0).sum(axis=1)) / 100


def _check_seeds(first: Sequence[Any], second: Sequence[Any]) -> None:
    if not len(first) or len(first) != len(second):
        raise ValueError(
            f"both sides must have the same seeds, at least one; got {len(first)} and {len(second)}"
        )


def check_sides(
    a: Int[ndarray, "N C+1 C+1"],
    b: Int[ndarray, "N C+1 C+1"],
    where: str = "",
    ids: Sequence[Any] | None = None,
) -> None:
    """Refuse matrices of single images that are not of the same images' truth.

    Args:
        a, b: one side each.
        where: what the message begins with.
        ids: of the images; their numbers if None.

    Raises:
        ValueError: other shapes, fewer than 2 images, or truths that differ.
    """
    if a.ndim != 3 or a.shape[1] != a.shape[2] or a.shape != b.shape or len(a) < 2:
        raise ValueError(
            f"{where}both sides must be (N, C + 1, C + 1) of the same N >= 2 images; got "
            f"{a.shape} and {b.shape}"
        )
    differs = (a.sum(axis=2) != b.sum(axis=2)).any(axis=1)
    if differs.any():
        place = differs.argmax()
        raise ValueError(
            f"{where}the truth of image {place if ids is None else ids[place]} differs between "
            "the two sides; score both on the same masks in the same order"
        )
    if not a.any():
        raise ValueError(f"{where}there is no pixel to score, the masks ignore everything")
