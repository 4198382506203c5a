"""Objects that a saliency map misses, which masks made with its help are apt to lose."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from ribnb.masks.saliency_maps import check_saliency
from ribnb.scores.confusion import IGNORED

SALIENT = 0.5  # a pixel is salient above it
SHARE = 0.5  # an object is non-salient if less of it is salient
# Fewer pixels are crumbs that a border or another object cut off, not things to be found.
SMALLEST = 16


def non_salient_objects(
    truth: Integer[ndarray, "H W"], saliency: Float[ndarray, "H W"]
) -> Bool[ndarray, "H W"]:
    """Where the objects are that a saliency map misses.

    An object is a connected component (8 neighbours) of one class of the truth, of 16 pixels or
    more; smaller ones are mostly crumbs that VOC's rim cuts off. It is non-salient if less than
    half of its pixels have a saliency above 0.5.

    Args:
        truth: 0 background, class_id + 1, 255 ignored, which belongs to no object.
        saliency: in [0, 1].

    Raises:
        ValueError: a saliency map of another size, or not in [0, 1].
    """
    from scipy import ndimage

    check_saliency(saliency, truth.shape, "the saliency map")
    missed = np.zeros(truth.shape, bool)
    for value in np.unique(truth):
        if value in (0, IGNORED):
            continue
        objects, number = ndimage.label(truth == value, np.ones((3, 3)))
        size = np.bincount(objects.ravel(), minlength=number + 1)
        salient = np.bincount(objects[saliency > SALIENT], minlength=number + 1)
        chosen = (size >= SMALLEST) & (salient < SHARE * size)
        chosen[0] = False  # what is of another class
        missed |= chosen[objects]
    return missed
