"""From maps and masks to confusion matrices, one pass an image for all thresholds at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from numpy import ndarray

IGNORED = 255  # VOC's value of pixels that count nowhere
MOST_CLASSES = 254  # what a uint8 mask can tell apart, beside background and IGNORED

_ROUNDING = 1e-6  # float32 resizing may leave a normalised map this far outside [0, 1]
_END = object()


def seed_mask(class_map: Any, threshold: float) -> UInt8[ndarray, "H W"]:
    """The seed of one image: each pixel's strongest class where it exceeds the threshold.

    The usual convention: the argmax over (threshold, maps...), in float32, where background
    comes first and so wins a tie; among classes, the first in the map does.

    Args:
        class_map: ``class_ids`` (n,) and ``high_res`` (n, H, W) in [0, 1], n may be 0, as a
            mapping (what ``numpy.load`` gives for a map file) or as attributes.
        threshold: the background's score, in (0, 1).

    Returns:
        (H, W) 0 background, class_id + 1.

    Raises:
        ValueError: a threshold or map out of its range.
    """
    (limit,) = checked_thresholds([threshold])
    class_ids, high_res = read_map(class_map, MOST_CLASSES, "the map")
    place, value = _strongest(high_res)
    names = np.append(class_ids + 1, 0).astype(np.uint8)  # one more, so that n = 0 has a place
    return np.where(value > limit, names[place], np.uint8(0))


def map_confusions(
    maps: Iterable[Any], masks: Iterable[Any], thresholds: Sequence[float], num_classes: int
) -> Iterator[Int[ndarray, "T C+1 C+1"]]:
    """Each image's confusion matrix at every threshold; rows are the truth, 0 is background.

    Raises:
        ValueError: what does not fit, with the image's index.
    """
    limits = checked_thresholds(thresholds)
    for index, class_map, mask in side_by_side(maps=maps, masks=masks):
        class_ids, high_res = read_map(class_map, num_classes, f"map {index}")
        mask = read_mask(mask, num_classes, f"mask {index}")
        check_size(index, map=high_res.shape[1:], mask=mask.shape)
        yield _all_thresholds(class_ids, high_res, mask, limits, num_classes)


def image_confusions(
    maps: Iterable[Any], masks: Iterable[Any], threshold: float, num_classes: int
) -> Int[ndarray, "N C+1 C+1"]:
    """Each image's own confusion matrix of its seed, for spreads over images.

    Args:
        maps: one an image, see ``ribnb.scores.metrics``.
        masks: their truth (H, W), in the same order.
        threshold: the background's score, in (0, 1).
        num_classes: C, without background.

    Returns:
        (N, C + 1, C + 1) pixels; rows are the truth, columns the prediction, 0 is background.

    Raises:
        ValueError: what does not fit, with the image's index; no image.
    """
    confusions = [of[0] for of in map_confusions(maps, masks, [threshold], num_classes)]
    if not confusions:
        raise ValueError("there is no image to score")
    return np.stack(confusions)


def mask_confusions(
    predictions: Iterable[Any], masks: Iterable[Any], num_classes: int
) -> Iterator[Int[ndarray, "C+1 C+1"]]:
    """Each image's confusion matrix of two masks; rows are the truth, 0 is background.

    Raises:
        ValueError: what does not fit, with the image's index.
    """
    for index, predicted, mask in side_by_side(predictions=predictions, masks=masks):
        predicted = read_mask(predicted, num_classes, f"prediction {index}", may_ignore=False)
        mask = read_mask(mask, num_classes, f"mask {index}")
        check_size(index, prediction=predicted.shape, mask=mask.shape)
        yield _count(predicted, mask, num_classes + 1)


def _all_thresholds(
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
    place, value = _strongest(high_res)
    passed = np.searchsorted(limits, value, side="left")  # thresholds below the value, strictly
    joint = np.where(passed > 0, place * steps + passed, 0)
    columns = number * steps + 1
    counts = _count(joint, mask, max(rows, columns))[:rows, :columns]
    histogram = counts[:, 1:].reshape(rows, number, steps)
    shown = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]  # passed > j, for each threshold j
    confusion = np.zeros((steps, rows, rows), np.int64)
    confusion[:, :, class_ids + 1] = shown.transpose(2, 0, 1)
    confusion[:, :, 0] = counts.sum(axis=1) - confusion.sum(axis=2)
    return confusion


def _strongest(
    high_res: Float32[ndarray, "n H W"],
) -> tuple[Int[ndarray, "H W"], Float32[ndarray, "H W"]]:
    """Place and value of each pixel's largest map; 0 and 0 where there is no map at all."""
    if not len(high_res):
        return np.zeros(high_res.shape[1:], np.int64), np.zeros(high_res.shape[1:], np.float32)
    return high_res.argmax(axis=0), high_res.max(axis=0)


def _count(
    predicted: Int[ndarray, "H W"], mask: Int[ndarray, "H W"], size: int
) -> Int[ndarray, "size size"]:
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    # The values were checked already; torchmetrics' own check would sort every pixel.
    counts = multiclass_confusion_matrix(
        torch.tensor(predicted),
        torch.tensor(mask),
        num_classes=size,
        ignore_index=IGNORED,
        validate_args=False,
    )
    return counts.numpy()


def side_by_side(**streams: Iterable[Any]) -> Iterator[tuple]:
    """(index, item of each stream); ValueError names the stream that ends before another."""
    for index, items in enumerate(zip_longest(*streams.values(), fillvalue=_END)):
        ended = [name for name, item in zip(streams, items, strict=True) if item is _END]
        if ended:
            longer = " and ".join(name for name in streams if name not in ended)
            raise ValueError(
                f"{' and '.join(ended)} end after {index} images, but there are more {longer}; "
                "give one of each an image, in the same order"
            )
        yield index, *items


def checked_thresholds(thresholds: Sequence[float]) -> Float32[ndarray, " T"]:
    """The thresholds in float32, the precision in which maps are compared with them."""
    given = np.asarray(thresholds, dtype=float)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"thresholds must be a list of at least one number; got {thresholds!r}")
    if not ((given > 0) & (given < 1)).all():
        raise ValueError(f"thresholds must lie between 0 and 1, both excluded; got {thresholds!r}")
    limits = given.astype(np.float32)
    if not (np.diff(limits) > 0).all():
        raise ValueError(f"thresholds must increase; got {thresholds!r}")
    return limits


def read_map(
    class_map: Any, num_classes: int, name: str
) -> tuple[Int[ndarray, " n"], Float[ndarray, "n H W"]]:
    """Class ids and float32 maps of one image; ValueError with its name if they are not that."""
    if isinstance(class_map, Mapping):
        parts = [class_map.get(key) for key in ("class_ids", "high_res")]
    else:
        parts = [getattr(class_map, key, None) for key in ("class_ids", "high_res")]
    if any(part is None for part in parts):
        raise ValueError(
            f"{name} must hold class_ids (n,) and high_res (n, H, W), as a mapping or as "
            f"attributes; it is a {type(class_map).__name__}"
        )
    class_ids, high_res = map(np.asarray, parts)
    if class_ids.ndim != 1 or high_res.ndim != 3 or len(class_ids) != len(high_res):
        raise ValueError(
            f"{name} must hold class_ids (n,) and high_res (n, H, W); got "
            f"{class_ids.shape} and {high_res.shape}"
        )
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
    if not class_ids.size:  # an empty list becomes an array of float
        return
    if class_ids.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold whole numbers as class_ids; got {class_ids.dtype}")
    if class_ids.min() < 0 or class_ids.max() >= num_classes:
        raise ValueError(
            f"{name} must hold class_ids in 0 ... {num_classes - 1}; got {class_ids.tolist()}"
        )
    if len(np.unique(class_ids)) < len(class_ids):
        raise ValueError(f"{name} holds a class twice: class_ids {class_ids.tolist()}")


def read_mask(
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


def check_size(index: int, **shapes: tuple[int, ...]) -> None:
    """ValueError unless all of these shapes of one image are the same."""
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(f"image {index}: sizes (H, W) differ: {found}")


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
