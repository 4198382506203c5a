"""The boundary F-score on masks drawn by hand, and against another way to count."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from ribnb.data.scenes.rendering import find_border
from ribnb.scores.boundary import TrueOutlines, boundary_f

SMALL, VOC = (100, 100), (375, 500)  # tolerances of 1.06 and 4.69 pixels


def square(side=20, at=(40, 40), size=SMALL, value=1) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = value
    return mask


def score(predicted, truth, num_classes=2) -> float:
    return boundary_f(TrueOutlines(truth, num_classes).compare(predicted)[None])


# Outlines by hand -------------------------------------------------------------------------


def test_within_the_tolerance_is_right_and_beyond_is_wrong():
    assert score(square(), square()) == 100
    assert score(square(at=(40, 41)), square()) == 100
    assert score(square(22, (39, 39)), square(20)) == pytest.approx(100, abs=3), "but its corners"
    assert score(square(30, (35, 35)), square(20)) == 0
    truth = square(60, (100, 100), VOC)  # the tolerance grows with the image
    assert TrueOutlines(truth, 2).tolerance == 0.0075 * 625
    assert score(square(60, (100, 104), VOC), truth) == 100
    assert score(square(60, (100, 105), VOC), truth) < 100
    assert TrueOutlines(square(5, (2, 2), (10, 10)), 2).tolerance == 1


def test_precision_and_recall_are_of_outline_pixels():
    """Two squares of 76 pixels' outline each, of which one is found, and one made up."""
    one, two, none = square(at=(10, 10)), square(at=(60, 60)), square(at=(10, 60))
    counts = TrueOutlines(one + two, 2).compare(one + none)
    assert counts[0].tolist() == [76, 152, 76, 152]
    assert boundary_f(counts[None]) == 50
    assert TrueOutlines(one + two, 2).compare(one)[0].tolist() == [76, 76, 76, 152]
    assert score(one, one + two) == pytest.approx(200 / 3)


def test_nothing_predicted_is_0_and_nothing_at_all_counts_nowhere():
    empty = np.zeros(SMALL, np.uint8)
    assert score(empty, square()) == 0
    assert score(square(), empty) == 0
    assert math.isnan(score(empty, empty))
    both = [TrueOutlines(truth, 2).compare(square()) for truth in (square(), square(30, (35, 35)))]
    nothing = TrueOutlines(empty, 2).compare(empty)
    assert boundary_f(np.stack([*both, nothing])) == 50
    assert math.isnan(boundary_f(np.zeros((0, 2, 4), int)))


def test_the_edge_of_the_image_is_no_outline():
    full, half = np.ones(SMALL, np.uint8), np.ones(SMALL, np.uint8)
    half[:, 50:] = 0
    assert math.isnan(score(full, full))
    assert TrueOutlines(half, 2).compare(half)[0].tolist() == [100, 100, 100, 100]
    assert score(full, half) == 0


def test_means_are_over_an_images_classes_first():
    one = [[10, 10, 10, 10], [0, 10, 0, 10]]  # 100 and 0
    other = [[0, 0, 0, 0], [4, 4, 4, 4]]  # undefined and 100
    none = [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert (boundary_f(np.array([one])), boundary_f(np.array([other]))) == (50, 100)
    assert boundary_f(np.array([one, other, none])) == 75


# What is ignored --------------------------------------------------------------------------


def with_rim(mask) -> np.ndarray:
    """255 in a band around the outlines, as wide as VOC's in proportion."""
    return np.where(find_border(mask), np.uint8(255), mask)


@pytest.mark.parametrize(("size", "width"), [(SMALL, 1), (VOC, 5)])
def test_outlines_lie_in_the_middle_of_vocs_rim(size, width):
    drawn = square(60, (20, 20), size)
    truth = with_rim(drawn)
    assert (truth[50] == 255).sum() == 2 * width
    assert score(drawn, truth) == 100
    counts = TrueOutlines(truth, 2).compare(drawn)[0]
    assert counts[1] > 200 and counts[3] > 200, "the rim took the outline away"


def test_the_middle_of_a_rim_is_background():
    truth = np.zeros(SMALL, np.uint8)
    truth[:, :50], truth[:, 50] = 1, 255
    for reach, right in ((50, 100), (51, 100), (52, 0)):  # its own outline, 1 and 2 pixels off
        predicted = np.zeros(SMALL, np.uint8)
        predicted[:, :reach] = 1
        assert score(predicted, truth) == right


def test_crossing_rims_are_no_area():
    """Four squares parted by a cross of one pixel: all of its middle counts."""
    truth = np.kron(np.array([[1, 2], [3, 4]], np.uint8), np.ones((50, 50), np.uint8))
    drawn = truth.copy()
    truth[50], truth[:, 50] = 255, 255
    assert TrueOutlines(truth, 4).compare(drawn)[:, 1].tolist() == [99] * 4
    assert score(drawn, truth, 4) == pytest.approx(100, abs=0.5), "but the middle's own corner"


def test_a_large_ignored_area_has_no_outlines():
    """Of the two objects at its sides each would get a half."""
    truth = np.zeros(SMALL, np.uint8)
    truth[20:60, 10:30], truth[20:60, 70:90], truth[20:60, 30:70] = 1, 2, 255
    outlines = TrueOutlines(truth, 2)
    here = np.where(truth == 255, 0, truth)
    counts = outlines.compare(here)
    for value in (1, 2):
        filled = np.where(truth == 255, np.uint8(value), truth)
        assert np.array_equal(outlines.compare(filled), counts), "what is ignored is scored"
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 2] == counts[:, 3]).all()
    assert 0 < counts[0, 3] < 2 * (40 + 20), "three sides of the square at most"


def test_an_image_without_objects_or_without_labels_counts_nowhere():
    without = np.where(square() > 0, np.uint8(255), np.uint8(0))
    assert math.isnan(score(np.zeros_like(without), without))
    assert math.isnan(score(square(8, (46, 46)), without)), "it lies within what is ignored"
    assert score(square(at=(70, 70)), without) == 0
    assert math.isnan(score(square(), np.full(SMALL, 255, np.uint8)))


def test_any_masks_count_as_by_distance_maps():
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 3, (2, 8, 10))
    truth, predicted = (np.kron(one, np.ones((25, 20), int)).astype(np.uint8) for one in coarse)
    outlines = TrueOutlines(truth, 2)
    counts = outlines.compare(predicted)
    for turn in (np.fliplr, np.flipud, np.rot90):
        assert np.array_equal(TrueOutlines(turn(truth), 2).compare(turn(predicted)), counts)
    for value in (1, 2):
        ours, true = (
            (mask == value) & ~binary_erosion(mask == value, border_value=1)
            for mask in (predicted, truth)
        )
        near, near_ours = (
            distance_transform_edt(~edge) <= outlines.tolerance for edge in (true, ours)
        )
        expected = [(ours & near).sum(), ours.sum(), (true & near_ours).sum(), true.sum()]
        assert counts[value - 1].tolist() == expected
