"""Seed and mask scores in %: mIoU, by class, by step, by part, and how far they would vary.

A map of an image is what a map file holds: ``class_ids`` (n,), 0-based, and ``high_res``
(n, H, W) in [0, 1], each class divided by its maximum; n may be 0. It may be a mapping, such as
``numpy.load`` gives, or an object with these attributes; arrays or CPU tensors. A mask is (H, W):
0 background, class_id + 1, 255 ignored. The counting is torchmetrics'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ribnb.scores.confusion import (
    IGNORED,
    MOST_CLASSES,
    check_sides,
    check_size,
    image_confusions,
    map_confusions,
    mask_confusions,
    read_mask,
    seed_mask,
    side_by_side,
)
from ribnb.scores.iou import ORACLE, MaskScore, SeedScore, class_iou, mean_iou, share

THRESHOLDS = tuple(round(0.2 + step / 100, 2) for step in range(30))  # the released program's
# For maps that are best elsewhere; the others are among them, so that nothing scores lower here.
WIDE_THRESHOLDS = tuple(sorted({*THRESHOLDS, *(round(step / 50, 2) for step in range(1, 31))}))
PARTS = {1: "head", 2: "body"}  # values of the scenes' part masks

__all__ = [
    "ORACLE",
    "PARTS",
    "THRESHOLDS",
    "WIDE_THRESHOLDS",
    "Difference",
    "MaskScore",
    "SeedScore",
    "bootstrap_difference",
    "class_iou",
    "image_confusions",
    "mask_miou",
    "mean_iou",
    "part_recall",
    "scores_by_step",
    "seed_mask",
    "seed_miou",
]


class Difference(NamedTuple):
    """A difference of mIoU, in percentage points, and the ends of its interval."""

    difference: float
    low: float
    high: float


def seed_miou(
    maps: Iterable[Any],
    masks: Iterable[Any],
    thresholds: Sequence[float] = THRESHOLDS,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> SeedScore:
    """Score maps as seeds: the strongest class where it exceeds a threshold, else background.

    All thresholds together take one pass over the images, which may come from generators.

    Args:
        maps: one an image, see the module.
        masks: their truth (H, W), in the same order.
        thresholds: the background's score, increasing, within (0, 1).
        num_classes: C, without background; needed without class_names.
        class_names: C names, without background.

    Raises:
        ValueError: thresholds, maps, masks or class names that do not fit, with the image's
            index; no pixel to score.
    """
    names = _names(num_classes, class_names)
    confusions = map_confusions(maps, masks, thresholds, len(names) - 1)
    return SeedScore(np.array(thresholds, dtype=float), _total(confusions), names)


def mask_miou(
    predictions: Iterable[Any],
    masks: Iterable[Any],
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> MaskScore:
    """Score predicted masks (H, W), of values 0 ... C, against their truth; see ``seed_miou``.

    Raises:
        ValueError: masks or class names that do not fit, with the image's index; a prediction
            that holds 255; no pixel to score.
    """
    names = _names(num_classes, class_names)
    return MaskScore(_total(mask_confusions(predictions, masks, len(names) - 1)), names)


def scores_by_step(
    steps: Iterable[Iterable[Any]],
    masks: Iterable[Any],
    threshold: float,
    thresholds: Sequence[float] = THRESHOLDS,
    num_classes: int | None = None,
) -> dict[str, Float[ndarray, " K"]]:
    """Curves over RIB steps k, in %: the maps of every image after each step, scored.

    Args:
        steps: for each k, one map an image.
        masks: the images' truth (H, W).
        threshold: the fixed one, among ``thresholds``.
        thresholds: those among which the oracle chooses anew at each k.
        num_classes: C, without background.

    Returns:
        Arrays (K,): ``miou``, ``foreground_precision`` and ``foreground_recall`` at the fixed
        threshold; ``best_miou`` and ``best_threshold`` of the oracle.
    """
    masks = list(masks)  # read once for every step
    scores = [seed_miou(maps, masks, thresholds, num_classes) for maps in steps]
    fixed = ("miou", "foreground_precision", "foreground_recall")
    curves = {name: [getattr(score.at(threshold), name) for score in scores] for name in fixed}
    for name in ("best_miou", "best_threshold"):
        curves[name] = [getattr(score, name) for score in scores]
    return {name: np.array(values, dtype=float) for name, values in curves.items()}


def part_recall(
    maps: Iterable[Any],
    masks: Iterable[Any],
    parts: Iterable[Any],
    threshold: float,
    names: Mapping[int, str] | None = None,
) -> dict[str, float]:
    """Of the pixels of each part, the share in % whose seed is their true class.

    Pixels of all images count together; those that the mask ignores are left out.

    Args:
        maps: one an image, see the module.
        masks: their truth (H, W).
        parts: (H, W) each: a part's value where it is, 0 elsewhere.
        threshold: the background's score, in (0, 1).
        names: part value -> name; ``PARTS`` if None. Other values are not looked at.

    Returns:
        Part name -> %, NaN for a part without pixels.

    Raises:
        ValueError: what does not fit, with the image's index; a part where the mask says
            background.
    """
    names = PARTS if names is None else names
    right, pixels = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for index, class_map, mask, part in side_by_side(maps=maps, masks=masks, parts=parts):
        mask = read_mask(mask, MOST_CLASSES, f"mask {index}")
        part = read_mask(part, MOST_CLASSES, f"parts {index}")
        seed = seed_mask(class_map, threshold)
        check_size(index, map=seed.shape, mask=mask.shape, parts=part.shape)
        for value in names:
            here = (part == value) & (mask != IGNORED)
            if (mask[here] == 0).any():
                raise ValueError(f"image {index}: pixels of the {names[value]} are background")
            right[value] += int((seed == mask)[here].sum())
            pixels[value] += int(here.sum())
    return {name: float(share(right[value], pixels[value])) for value, name in names.items()}


def bootstrap_difference(
    confusions_a: Int[ndarray, "N C+1 C+1"],
    confusions_b: Int[ndarray, "N C+1 C+1"],
    generator: np.random.Generator,
    repeats: int = 1000,
    level: float = 0.95,
) -> Difference:
    """mIoU of a minus mIoU of b, with its percentile interval over resampled images.

    Paired: each repeat draws N images with replacement, the same for both, and takes each
    side's mIoU from its summed confusion matrix. What the interval shows is the choice of
    images only; other trainings of the net spread further.

    Args:
        confusions_a: one matrix an image, as ``image_confusions`` gives them.
        confusions_b: those of the same images in the same order.
        generator: where the draws come from.
        repeats: how many resamples.
        level: share of the resamples that lies inside the interval.

    Returns:
        The difference over all images, low and high, in percentage points.

    Raises:
        ValueError: fewer than 2 images; two sides that were not scored on the same masks;
            repeats below 1; a level outside (0, 1).
    """
    sides = [np.asarray(confusions) for confusions in (confusions_a, confusions_b)]
    check_sides(*sides)
    if repeats < 1 or not 0 < level < 1:
        raise ValueError(
            f"repeats must be at least 1 and level within (0, 1); got {repeats} and {level}"
        )
    number = len(sides[0])
    drawn = generator.multinomial(number, np.full(number, 1 / number), size=repeats)
    a, b = (mean_iou(np.tensordot(drawn.astype(float), side, axes=1)) for side in sides)
    low, high = np.quantile(a - b, [(1 - level) / 2, (1 + level) / 2])
    observed = mean_iou(sides[0].sum(axis=0)) - mean_iou(sides[1].sum(axis=0))
    return Difference(float(observed), float(low), float(high))


def _total(confusions: Iterable[Int[ndarray, "*shape"]]) -> Int[ndarray, "*shape"]:
    """The sum over images; ValueError if there is no pixel to score."""
    total = None
    for confusion in confusions:
        total = confusion if total is None else total + confusion
    if total is None or not total.any():
        raise ValueError("there is no pixel to score: no image, or the masks ignore everything")
    return total


def _names(num_classes: int | None, class_names: Sequence[str] | None) -> tuple[str, ...]:
    """C + 1 names, background first."""
    if num_classes is None and class_names is None:
        raise ValueError("give num_classes or class_names, both without background")
    if class_names is None:
        class_names = [f"class {class_id}" for class_id in range(num_classes)]
    names = tuple(class_names)
    if num_classes not in (None, len(names)) or not 1 <= len(names) <= MOST_CLASSES:
        raise ValueError(
            f"num_classes is {num_classes}, class_names are {len(names)}; it must be one number "
            f"of classes from 1 to {MOST_CLASSES}, without background"
        )
    if "background" in names or len(set(names)) < len(names):
        raise ValueError(f"class_names must differ and leave out background; got {names}")
    return "background", *names
