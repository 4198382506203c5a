"""How well the outlines of masks follow the truth's: the boundary F-score.

Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?",
BMVC 2013: precision and recall of the pixels on each class's outline, found within a tolerance.
The tolerance is the usual share of the image's diagonal, 0.75 %, as in Martin et al., PAMI 2004;
it is 4.7 pixels at VOC's 500 x 375.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int, Integer
from numpy import ndarray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ribnb.scores.confusion import IGNORED
from ribnb.scores.iou import share

TOLERANCE = 0.0075  # of the image's diagonal
COUNTS = ("found", "predicted", "matched", "true")  # the last axis of the counts

# A rim is narrower than twice this at any size; where two rims of one pixel cross, the middle is
# 1.4 pixels away from any label.
_LEAST_REACH = 1.5


class TrueOutlines:
    """The outlines of one image's truth, with which many predictions can be compared.

    VOC's 255 are a rim on the very outlines that are to be scored, so that leaving these pixels
    out would leave nothing to score: they take the nearest label first, which puts the outline in
    the middle of the rim. An ignored area that is wider than a rim (a difficult object, a crowd)
    has outlines that nobody drew: no outline counts in it, or within the tolerance of it.

    A class that fills the image has no outline: the image's edge is none.

    The truth is 0 background, class_id + 1, 255 ignored, for C classes besides the background.
    ``tolerance`` is in pixels, at least one.
    """

    def __init__(self, truth: Integer[ndarray, "H W"], num_classes: int) -> None:
        self.tolerance = max(1.0, TOLERANCE * math.hypot(*truth.shape))
        self.num_classes = num_classes
        self._labels, self._counts = _without_rims(truth, self.tolerance)
        self._outlines = [_outline(self._labels == k + 1) for k in range(num_classes)]

    def compare(self, predicted: Integer[ndarray, "H W"]) -> Int[ndarray, "C 4"]:
        """Outline pixels of each class, see ``COUNTS``; of the truth's size.

        Predicted pixels that lie near the truth's outline, all predicted pixels, true pixels that
        lie near the predicted outline, all true pixels.
        """
        counts = np.zeros((self.num_classes, len(COUNTS)), np.int64)
        for class_id, true in enumerate(self._outlines):
            ours = _outline(predicted == class_id + 1)
            counts[class_id] = *self._near(ours, true), *self._near(true, ours)
        return counts

    def _near(self, these: Int[ndarray, "n 2"], those: Int[ndarray, "m 2"]) -> tuple[int, int]:
        """How many of these that count lie within the tolerance of those, and how many count."""
        these = these[self._counts[tuple(these.T)]]
        if not len(these) or not len(those):
            return 0, len(these)
        distance, _ = cKDTree(those).query(these)
        return int((distance <= self.tolerance).sum()), len(these)


def boundary_f(counts: Int[ndarray, "N C 4"]) -> float:
    """The boundary F-score of a set of images in %, from what ``TrueOutlines.compare`` counted.

    That of a class is 2 P R / (P + R) of precision P and recall R, 0 where only one side has an
    outline. The mean is over each image's classes with an outline in truth or prediction,
    background not among them (its outlines are the others'), then over the images that have such
    classes. NaN if none has.
    """
    found, predicted, matched, true = np.moveaxis(np.asarray(counts), -1, 0)
    precision, recall = (np.nan_to_num(share(*of)) for of in ((found, predicted), (matched, true)))
    of_classes = np.nan_to_num(share(2 * precision * recall, precision + recall)) / 100
    defined = predicted + true > 0  # elsewhere it is 0 and adds nothing
    of_images = share(of_classes.sum(axis=-1), defined.sum(axis=-1)) / 100
    return float(share(np.nansum(of_images), defined.any(axis=-1).sum()) / 100)


def _without_rims(
    truth: Integer[ndarray, "H W"], tolerance: float
) -> tuple[Integer[ndarray, "H W"], Bool[ndarray, "H W"]]:
    """Each ignored pixel with its nearest label, and the pixels whose outlines count.

    Background takes what is equally near, so that a mirrored image scores the same.
    """
    to_object, nearest = _nearest((truth > 0) & (truth != IGNORED))
    to_background, _ = _nearest(truth == 0)
    labels = np.where(to_object < to_background, truth[tuple(nearest)], 0)
    reach = max(_LEAST_REACH, tolerance)
    # no pixel of a rim is so far from both its sides
    to_area, _ = _nearest(np.minimum(to_object, to_background) > reach)
    return labels, to_area > reach + tolerance


def _nearest(
    region: Bool[ndarray, "H W"],
) -> tuple[Float[ndarray, "H W"], Int[ndarray, "2 H W"]]:
    """How far each pixel is from the region, and from which of its pixels; infinitely if empty."""
    if not region.any():
        return np.full(region.shape, np.inf), np.zeros((2, *region.shape), int)
    return distance_transform_edt(~region, return_indices=True)


def _outline(region: Bool[ndarray, "H W"]) -> Int[ndarray, "n 2"]:
    """Row and column of the region's pixels that have one of their 4 neighbours outside."""
    inside = np.pad(region, 1, mode="edge")
    inner = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return np.argwhere(region & ~inner)
