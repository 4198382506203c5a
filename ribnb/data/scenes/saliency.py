"""What a saliency detector would see in a scene: its main object, without fine parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

COMPARABLE = 0.8  # share of the main object's prominence above which another one is salient too

_REFERENCE = 96  # side of the scenes that the width below is meant for
_WINDOW = 9  # pixels; about half of it is the width of the finest part that is seen


def salient_numbers(prominence: Sequence[float]) -> list[int]:
    """Numbers, from 1, of the objects that are salient.

    The most prominent one is, and others of comparable prominence, more than 0.8 of its own:
    about one further object in three. The others are what saliency maps miss.
    """
    most = max(prominence)
    return [number for number, one in enumerate(prominence, 1) if one > COMPARABLE * most]


def draw_saliency(
    instances: UInt8[ndarray, "H W"], prominence: Sequence[float]
) -> UInt8[ndarray, "H W"]:
    """The saliency map of a scene: 255 in salient objects, 0 elsewhere, a thin edge between.

    Like a detector's it is sharp and not the truth: straight edges lie where they should, with one
    pixel of partial value on either side, but corners are rounded, and parts that are thinner
    than half a window (9 pixels in a scene of 96 x 96, in proportion at other sizes) are gone.

    Args:
        instances: 0 background, the number from 1 of the object, 255 on the border.
        prominence: of each object, see ``Scene.prominence``.
    """
    region = np.isin(instances, salient_numbers(prominence))
    window = 2 * round(_WINDOW * min(instances.shape) / _REFERENCE / 2 - 0.5) + 1
    inside = _count_around(region, window)
    # The share of a window goes from 0 to 1 over its width: stretched, so over two pixels.
    value = 0.5 + (2 * inside - window**2) / (4 * window)
    return (255 * np.clip(value, 0, 1) + 0.5).astype(np.uint8)


def _count_around(region: Bool[ndarray, "H W"], window: int) -> ndarray:
    """Pixels of the region in the window around each pixel; the image's edge goes on outside."""
    from scipy.ndimage import convolve1d

    count, ones = region.astype(np.int32), np.ones(window, np.int32)
    for axis in (0, 1):
        count = convolve1d(count, ones, axis=axis, mode="nearest")
    return count
