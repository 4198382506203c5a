"""From maps and masks to confusion matrices, one count an image for all thresholds at once.

A map of an image is what a map file holds: ``class_ids`` (n,), 0-based, and ``high_res``
(n, H, W) in [0, 1], each class divided by its maximum; n may be 0. It may be a mapping, such as
``numpy.load`` gives, or an object with these attributes; arrays or CPU tensors. A mask is (H, W):
0 background, class_id + 1, 255 ignored. In a confusion matrix (C + 1, C + 1) of pixels the rows
are the truth, the columns the prediction, and 0 is the background.
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

# What is scored ---------------------------------------------------------------------------


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
            f"{name} must hold class_ids (n,) and high_res (n, H, W); got {class_ids.shape} and "
            f"{high_res.shape}"
        )
    ids = set(class_ids.tolist())
    if len(ids) < len(class_ids) or not ids <= set(range(num_classes)):
        raise ValueError(
            f"{name} must hold different class_ids in 0 ... {num_classes - 1}; got "
            f"{class_ids.tolist()}"
        )
    lowest, highest = (high_res.min(), high_res.max()) if high_res.size else (0, 0)
    if not -_ROUNDING <= lowest <= highest <= 1 + _ROUNDING:  # a NaN is not
        raise ValueError(
            f"{name} must lie in [0, 1], each class divided by its maximum (one that is 0 stays "
            f"0); it reaches from {lowest:g} to {highest:g}"
        )
    if high_res.dtype != np.float16:  # half precision is compared in its own, as by IRN's program
        high_res = high_res.astype(np.float32, copy=False)
    return class_ids.astype(np.int64), high_res


def check_mask(
    mask: Any, num_classes: int, name: str, may_ignore: bool = True
) -> Int[ndarray, "H W"]:
    """A mask as int64; ValueError with its name if it holds anything but what a mask holds."""
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be whole numbers of shape (H, W); got {array.dtype} {array.shape}"
        )
    right = (array >= 0) & (array <= num_classes) | (may_ignore & (array == IGNORED))
    if not right.all():
        also = f"or {IGNORED}" if may_ignore else f"and decide each pixel, without {IGNORED}"
        raise ValueError(
            f"{name} must hold 0 (background) ... {num_classes} {also}; it also holds "
            f"{np.unique(array[~right])[:5].tolist()}"
        )
    return array.astype(np.int64)


def checked_thresholds(thresholds: Sequence[float]) -> Float32[ndarray, " T"]:
    """The thresholds in float32, the precision in which maps are compared with them.

    ValueError unless they are one or more increasing numbers within (0, 1).
    """
    limits = np.asarray(thresholds, dtype=np.float32)
    if limits.ndim != 1 or not limits.size or not (np.diff(limits, prepend=0, append=1) > 0).all():
        raise ValueError(
            f"thresholds must be increasing numbers between 0 and 1, without these; got "
            f"{thresholds!r}"
        )
    return limits


def seed_mask(class_map: Any, threshold: float) -> UInt8[ndarray, "H W"]:
    """The seed of one image: each pixel's strongest class where it exceeds the threshold.

    The usual convention: the argmax over (threshold, maps...), in float32, where background
    comes first and so wins a tie; among classes, the first in the map does. ValueError for a
    threshold, in (0, 1), or a map, see the module, out of its range.
    """
    (limit,) = checked_thresholds([threshold])
    class_ids, high_res = read_map(class_map, MOST_CLASSES, "the map")
    strongest, value = _strongest(high_res)
    names = np.append(class_ids + 1, 0).astype(np.uint8)  # one more, so that n = 0 has an entry
    return np.where(value > limit, names[strongest], np.uint8(0))


# Confusion matrices -----------------------------------------------------------------------


def map_confusions(
    maps: Iterable[Any], masks: Iterable[Any], thresholds: Sequence[float], num_classes: int
) -> Iterator[Int[ndarray, "T C+1 C+1"]]:
    """Each image's confusion matrix at every threshold.

    Counted once: a pixel's strongest class does not depend on the threshold, only whether it is
    shown does. So one joint histogram over (truth, strongest class, how many thresholds it
    exceeds) holds everything, and a cumulative sum over the last axis gives each threshold's share.

    Raises:
        ValueError: what does not fit, with the image's index; more maps than masks, or fewer.
    """
    limits = checked_thresholds(thresholds)
    steps, rows = len(limits), num_classes + 1
    for index, (class_map, mask) in enumerate(zip(maps, masks, strict=True)):
        class_ids, high_res = read_map(class_map, num_classes, f"map {index}")
        number, (strongest, value) = len(class_ids), _strongest(high_res)
        passed = np.searchsorted(limits.astype(value.dtype), value)  # thresholds strictly below it
        joint = np.where(passed > 0, strongest * steps + passed, 0)
        mask = check_mask(mask, num_classes, f"mask {index}")
        counts = _count(index, mask, joint, rows, number * steps + 1)
        histogram = counts[:, 1:].reshape(rows, number, steps)
        shown = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]  # passed > j, for each threshold j
        confusion = np.zeros((steps, rows, rows), np.int64)
        confusion[:, :, class_ids + 1] = shown.transpose(2, 0, 1)
        confusion[:, :, 0] = counts.sum(axis=1) - confusion.sum(axis=2)
        yield confusion


def image_confusions(
    maps: Iterable[Any], masks: Iterable[Any], threshold: float, num_classes: int
) -> Int[ndarray, "N C+1 C+1"]:
    """Each image's own confusion matrix of its seed, for spreads over images; see ``seed_miou``."""
    confusions = map_confusions(maps, masks, [threshold], num_classes)
    return np.stack([counts[0] for counts in confusions])


def mask_confusions(
    predictions: Iterable[Any], masks: Iterable[Any], num_classes: int
) -> Iterator[Int[ndarray, "C+1 C+1"]]:
    """Each image's confusion matrix of two masks.

    Raises:
        ValueError: what does not fit, with the image's index; more of one than of the other.
    """
    rows = num_classes + 1
    for index, (predicted, mask) in enumerate(zip(predictions, masks, strict=True)):
        predicted = check_mask(predicted, num_classes, f"prediction {index}", may_ignore=False)
        mask = check_mask(mask, num_classes, f"mask {index}")
        yield _count(index, mask, predicted, rows, rows)


def _strongest(
    high_res: Float32[ndarray, "n H W"],
) -> tuple[Int[ndarray, "H W"], Float32[ndarray, "H W"]]:
    """Index and value of each pixel's largest map; 0 and 0 where there is no map at all."""
    if not len(high_res):
        return np.zeros(high_res.shape[1:], np.int64), np.zeros(high_res.shape[1:], np.float32)
    return high_res.argmax(axis=0), high_res.max(axis=0)


def _count(
    index: int, mask: Int[ndarray, "H W"], values: Int[ndarray, "H W"], rows: int, columns: int
) -> Int[ndarray, "rows columns"]:
    """How many pixels of each value have each truth, without the ignored ones."""
    if mask.shape != values.shape:
        raise ValueError(
            f"image {index}: sizes (H, W) differ: predicted {values.shape}, the truth {mask.shape}"
        )
    kept = mask != IGNORED
    pairs = mask[kept] * columns + values[kept]
    return np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)
