"""From maps and masks to confusion matrices, one count an image for all thresholds at once.

A map of an image is what a map file holds: ``class_ids`` (n,), 0-based, and ``high_res``
(n, H, W) in [0, 1], each class divided by its maximum; n may be 0. It may be a mapping, such as
``numpy.load`` gives, or an object with these attributes; arrays or CPU tensors. A mask is (H, W):
0 background, class_id + 1, 255 ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

from ribnb.core.voc import IGNORED

MOST_CLASSES = 254  # what a uint8 mask can tell apart, beside background and IGNORED

_ROUNDING = 1e-6  # float32 resizing may leave a normalised map this far outside [0, 1]


def seed_mask(class_map: Any, threshold: float) -> UInt8[ndarray, "H W"]:
    """The seed of one image: each pixel's strongest class where it exceeds the threshold.

    The usual convention: the argmax over (threshold, maps...), in float32, where background
    comes first and so wins a tie; among classes, the first in the map does.

    Args:
        class_map: the image's map, see the module.
        threshold: the background's score, in (0, 1).

    Returns:
        (H, W) 0 background, class_id + 1.

    Raises:
        ValueError: a threshold or map out of its range.
    """
    (limit,) = checked_thresholds([threshold])
    class_ids, high_res = read_map(class_map, MOST_CLASSES, "the map")
    strongest, value = _strongest(high_res)
    names = np.append(class_ids + 1, 0).astype(np.uint8)  # one more, so that n = 0 has an entry
    return np.where(value > limit, names[strongest], np.uint8(0))


def map_confusions(
    maps: Iterable[Any], masks: Iterable[Any], thresholds: Sequence[float], num_classes: int
) -> Iterator[Int[ndarray, "T C+1 C+1"]]:
    """Each image's confusion matrix at every threshold; rows are the truth, 0 is background.

    Raises:
        ValueError: what does not fit, with the image's index; more maps than masks, or fewer.
    """
    limits = checked_thresholds(thresholds)
    for index, (class_map, mask) in enumerate(zip(maps, masks, strict=True)):
        class_ids, high_res = read_map(class_map, num_classes, f"map {index}")
        mask = check_mask(mask, num_classes, f"mask {index}")
        _check_size(index, high_res.shape[1:], mask.shape)
        yield _at_all_thresholds(class_ids, high_res, mask, limits, num_classes)


def image_confusions(
    maps: Iterable[Any], masks: Iterable[Any], threshold: float, num_classes: int
) -> Int[ndarray, "N C+1 C+1"]:
    """Each image's own confusion matrix of its seed, for spreads over images.

    Args:
        maps: one an image, see the module.
        masks: their truth (H, W), in the same order.
        threshold: the background's score, in (0, 1).
        num_classes: C, without background.

    Returns:
        (N, C + 1, C + 1) pixels; rows are the truth, columns the prediction, 0 is background.

    Raises:
        ValueError: what does not fit, with the image's index; no image.
    """
    confusions = [counts[0] for counts in map_confusions(maps, masks, [threshold], num_classes)]
    if not confusions:
        raise ValueError("there is no image to score")
    return np.stack(confusions)


def mask_confusions(
    predictions: Iterable[Any], masks: Iterable[Any], num_classes: int
) -> Iterator[Int[ndarray, "C+1 C+1"]]:
    """Each image's confusion matrix of two masks; rows are the truth, 0 is background.

    Raises:
        ValueError: what does not fit, with the image's index; more of one than of the other.
    """
    for index, (predicted, mask) in enumerate(zip(predictions, masks, strict=True)):
        predicted = check_mask(predicted, num_classes, f"prediction {index}", may_ignore=False)
        mask = check_mask(mask, num_classes, f"mask {index}")
        _check_size(index, predicted.shape, mask.shape)
        yield _count(mask, predicted, num_classes + 1, num_classes + 1)


def _at_all_thresholds(
    class_ids: Int[ndarray, " n"],
    high_res: Float32[ndarray, "n H W"],
    mask: Int[ndarray, "H W"],
    limits: Float32[ndarray, " T"],
    num_classes: int,
) -> Int[ndarray, "T C+1 C+1"]:
    """One image at every threshold, counted once.

    A pixel's strongest class does not depend on the threshold, only whether it is shown does.
    So one joint histogram over (truth, strongest class, how many thresholds it exceeds) holds
    everything, and a cumulative sum over the last axis gives each threshold's share.
    """
    number, steps, rows = len(class_ids), len(limits), num_classes + 1
    strongest, value = _strongest(high_res)
    passed = np.searchsorted(limits, value, side="left")  # thresholds below the value, strictly
    joint = np.where(passed > 0, strongest * steps + passed, 0)
    counts = _count(mask, joint, rows, number * steps + 1)
    histogram = counts[:, 1:].reshape(rows, number, steps)
    shown = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]  # passed > j, for each threshold j
    confusion = np.zeros((steps, rows, rows), np.int64)
    confusion[:, :, class_ids + 1] = shown.transpose(2, 0, 1)
    confusion[:, :, 0] = counts.sum(axis=1) - confusion.sum(axis=2)
    return confusion


def _strongest(
    high_res: Float32[ndarray, "n H W"],
) -> tuple[Int[ndarray, "H W"], Float32[ndarray, "H W"]]:
    """Index and value of each pixel's largest map; 0 and 0 where there is no map at all."""
    if not len(high_res):
        return np.zeros(high_res.shape[1:], np.int64), np.zeros(high_res.shape[1:], np.float32)
    return high_res.argmax(axis=0), high_res.max(axis=0)


def _count(
    mask: Int[ndarray, "H W"], values: Int[ndarray, "H W"], rows: int, columns: int
) -> Int[ndarray, "rows columns"]:
    """How many pixels of each value have each truth, without the ignored ones."""
    kept = mask != IGNORED
    pairs = mask[kept] * columns + values[kept]
    return np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)


def checked_thresholds(thresholds: Sequence[float]) -> Float32[ndarray, " T"]:
    """The thresholds in float32, the precision in which maps are compared with them.

    Raises:
        ValueError: unless they are one or more increasing numbers within (0, 1).
    """
    limits = np.asarray(thresholds, dtype=float)
    inside = limits.ndim == 1 and limits.size and ((limits > 0) & (limits < 1)).all()
    limits = limits.astype(np.float32)
    if not inside or not (np.diff(limits) > 0).all():
        raise ValueError(
            "thresholds must be a list of increasing numbers between 0 and 1, both excluded; "
            f"got {thresholds!r}"
        )
    return limits


def read_map(
    class_map: Any, num_classes: int, name: str
) -> tuple[Int[ndarray, " n"], Float32[ndarray, "n H W"]]:
    """Class ids and float32 maps of one image; ValueError with its name if they are not that."""
    mapping = isinstance(class_map, Mapping)
    class_ids, high_res = (
        np.asarray(class_map.get(key) if mapping else getattr(class_map, key, None))
        for key in ("class_ids", "high_res")
    )
    if class_ids.ndim != 1 or high_res.ndim != 3 or len(class_ids) != len(high_res):
        raise ValueError(
            f"{name} must hold class_ids (n,) and high_res (n, H, W), as a mapping or as "
            f"attributes; got {class_ids.shape} and {high_res.shape} of a "
            f"{type(class_map).__name__}"
        )
    if class_ids.size:  # an empty list becomes an array of float
        _check_class_ids(class_ids, num_classes, name)
    lowest, highest = (high_res.min(), high_res.max()) if high_res.size else (0, 0)
    if np.isnan(lowest):
        raise ValueError(
            f"{name} holds NaN; a map without a positive value must stay 0, not be divided by 0"
        )
    if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
        raise ValueError(
            f"{name} must lie in [0, 1], each class divided by its maximum; it reaches from "
            f"{lowest:g} to {highest:g}"
        )
    return class_ids.astype(np.int64), high_res.astype(np.float32, copy=False)


def _check_class_ids(class_ids: ndarray, num_classes: int, name: str) -> None:
    whole = class_ids.dtype.kind in "iu"
    if not whole or class_ids.min() < 0 or class_ids.max() >= num_classes:
        raise ValueError(
            f"{name} must hold class_ids in 0 ... {num_classes - 1}; got {class_ids.tolist()}"
        )
    if len(np.unique(class_ids)) < len(class_ids):
        raise ValueError(f"{name} holds a class twice: class_ids {class_ids.tolist()}")


def check_mask(
    mask: Any, num_classes: int, name: str, may_ignore: bool = True
) -> Int[ndarray, "H W"]:
    """A mask as int64; ValueError with its name if it holds anything but what a mask holds."""
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be whole numbers of shape (H, W); got {array.dtype} {array.shape}"
        )
    wrong = (array < 0) | (array > num_classes)
    if may_ignore:
        wrong &= array != IGNORED
    if wrong.any():
        also = f" or {IGNORED}" if may_ignore else f"; set pixels of {IGNORED} to a class first"
        raise ValueError(
            f"{name} must hold 0 (background) ... {num_classes}{also}; it also holds "
            f"{np.unique(array[wrong])[:5].tolist()}"
        )
    return array.astype(np.int64)


def _check_size(index: int, predicted: tuple[int, ...], truth: tuple[int, ...]) -> None:
    if predicted != truth:
        raise ValueError(
            f"image {index}: sizes (H, W) differ: predicted {predicted}, the truth {truth}"
        )
