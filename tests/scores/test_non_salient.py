"""Objects that a saliency map misses: which they are, and which are none."""

import numpy as np
import pytest

from ribnb.scores.non_salient import non_salient_objects


def truth_of(*boxes) -> np.ndarray:
    truth = np.zeros((40, 60), np.uint8)
    for value, top, left, height, width in boxes:
        truth[top : top + height, left : left + width] = value
    return truth


def test_an_object_is_missed_if_less_than_half_of_it_is_salient():
    truth = truth_of((1, 5, 5, 10, 10), (1, 5, 30, 10, 10), (2, 25, 5, 10, 10))
    saliency = np.zeros(truth.shape, np.float32)
    saliency[5:15, 5:10] = 0.6  # half of the first
    saliency[5:15, 30:34] = 1  # less than half of the second
    saliency[25:35, 5:15] = 0.5  # the third is not above the level
    missed = non_salient_objects(truth, saliency)
    assert np.array_equal(missed, truth_of((1, 5, 30, 10, 10), (1, 25, 5, 10, 10)) > 0)


def test_objects_of_one_class_that_touch_at_a_corner_are_one():
    truth = truth_of((1, 0, 0, 4, 10), (1, 4, 10, 4, 4))
    saliency = np.zeros(truth.shape)
    saliency[:4] = 1
    assert not non_salient_objects(truth, saliency).any()
    truth[4, 10] = 0
    truth[8, 11:13] = 1
    assert non_salient_objects(truth, saliency).sum() == 17, "parted, the small one is missed"


def test_classes_that_touch_are_two_objects_and_ignored_pixels_none():
    truth = truth_of((1, 0, 0, 10, 10), (2, 0, 10, 10, 10), (255, 20, 0, 10, 60))
    saliency = np.zeros(truth.shape)
    saliency[:, :10] = 1
    assert np.array_equal(non_salient_objects(truth, saliency), truth == 2)


@pytest.mark.parametrize(("height", "missed"), [(3, 0), (4, 16)])
def test_crumbs_are_no_objects(height, missed):
    truth = truth_of((1, 0, 0, height, 4))
    assert non_salient_objects(truth, np.zeros(truth.shape)).sum() == missed


@pytest.mark.parametrize(
    ("saliency", "message"),
    [
        (np.zeros((40, 40)), "saliency map is 40 x 40 pixels, the image 60 x 40"),
        (np.full((40, 60), 255), r"must lie in \[0, 1\]; it goes from 255 to 255"),
        (np.full((40, 60), np.nan), r"must lie in \[0, 1\]"),
    ],
)
def test_what_is_no_saliency_of_the_image_is_refused(saliency, message):
    with pytest.raises(ValueError, match=message):
        non_salient_objects(truth_of((1, 0, 0, 5, 5)), saliency)
