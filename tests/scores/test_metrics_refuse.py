"""What the scores refuse, and what they say of it."""

import numpy as np
import pytest
from small_scores import MAP, NAMES, ROW, TRUTH, noisy

from ribnb.scores.metrics import (
    bootstrap_difference,
    image_confusions,
    mask_miou,
    part_recall,
    seed_miou,
)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ((), r"at least one number; got \(\)"),
        (0.3, "a list of at least one number; got 0.3"),
        ((0.0, 0.5), "between 0 and 1"),
        ((0.5, 1.0), "between 0 and 1"),
        ((0.2, float("nan")), "between 0 and 1"),
        ((0.5, 0.4), r"must increase; got \(0.5, 0.4\)"),
        ((0.5, 0.5), "must increase"),
    ],
)
def test_refuses_thresholds(thresholds, message):
    with pytest.raises(ValueError, match=message):
        seed_miou([MAP], [ROW], thresholds, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"high_res": MAP["high_res"] * np.nan}, "map 1 holds NaN"),
        ({"high_res": MAP["high_res"] * 1.1}, r"map 1 must lie in \[0, 1\].*from 0 to 1\.1"),
        ({"high_res": MAP["high_res"] - 0.1}, r"map 1 must lie in \[0, 1\].*from -0\.1"),
        ({"high_res": MAP["high_res"][:1]}, r"map 1 must hold.*\(2,\) and \(1, 1, 5\)"),
        ({"high_res": MAP["high_res"][:, 0]}, r"map 1 must hold.*\(2,\) and \(2, 5\)"),
        ({"high_res": MAP["high_res"][..., 1:]}, r"image 1: .*map \(1, 4\), mask \(1, 5\)"),
        ({"class_ids": [0, 3]}, r"map 1 must hold class_ids in 0 \.\.\. 2; got \[0, 3\]"),
        ({"class_ids": [-1, 2]}, r"map 1 must hold class_ids in 0 \.\.\. 2; got \[-1, 2\]"),
        ({"class_ids": [1, 1]}, r"map 1 holds a class twice: class_ids \[1, 1\]"),
        ({"class_ids": [0.5, 1]}, "map 1 must hold whole numbers as class_ids; got float64"),
        ({"class_ids": None}, "map 1 must hold class_ids .* it is a dict"),
    ],
)
def test_refuses_a_map_and_names_it(changed, message):
    with pytest.raises(ValueError, match=message):
        seed_miou([MAP, {**MAP, **changed}], [ROW, ROW], (0.3,), 3)


def test_a_maximum_a_rounding_error_above_1_is_none():
    over = {**MAP, "high_res": MAP["high_res"] * np.float32(1 + 2e-7)}
    assert over["high_res"].max() > 1
    assert seed_miou([over], [ROW], (0.55,), 3).best_miou == 100


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[4, 3, 0, 1, 254]], r"mask 0 must hold 0 .* 3 or 255; it also holds \[4, 254\]"),
        ([[-1, 3, 0, 1, 0]], r"mask 0 must hold .* holds \[-1\]"),
        ([[0.0, 3, 0, 1, 0]], r"mask 0 must be whole numbers of shape \(H, W\); got float64"),
        ([0, 3, 0, 1, 0], r"mask 0 must be whole numbers of shape \(H, W\); got int64 \(5,\)"),
    ],
)
def test_refuses_a_mask_and_names_it(mask, message):
    with pytest.raises(ValueError, match=message):
        seed_miou([MAP], [np.array(mask)], (0.3,), 3)


def test_a_prediction_must_decide_every_pixel():
    with pytest.raises(ValueError, match=r"prediction 0 must hold 0 .* 3; set pixels of 255"):
        mask_miou([TRUTH], [TRUTH], 3)


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        ([MAP], [ROW, ROW], "maps end after 1 images, but there are more masks"),
        ([MAP, MAP, MAP], [ROW, ROW], "masks end after 2 images, but there are more maps"),
        ([], [], "no pixel to score: no image"),
        ([MAP], [np.full((1, 5), 255)], "no pixel to score.*masks ignore everything"),
        (MAP, [ROW, ROW], "map 0 must hold class_ids .* it is a str"),
    ],
)
def test_refuses_sets_that_do_not_fit(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        seed_miou(maps, masks, (0.3,), 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give num_classes or class_names"),
        ({"num_classes": 2, "class_names": NAMES}, "num_classes is 2, class_names are 3"),
        ({"num_classes": 0}, "from 1 to 254"),
        ({"num_classes": 255}, "from 1 to 254"),
        ({"class_names": ("background", "cat", "dog")}, "leave out background"),
        ({"class_names": ("cat", "cat", "dog")}, "must differ"),
    ],
)
def test_refuses_numbers_and_names_of_classes(arguments, message):
    with pytest.raises(ValueError, match=message):
        seed_miou([MAP], [ROW], (0.3,), **arguments)


def test_a_threshold_that_was_not_scored_is_refused_with_those_that_were():
    with pytest.raises(ValueError, match=r"no score at the threshold 0\.4; scored were 0\.3, 0\.5"):
        seed_miou([MAP], [ROW], (0.3, 0.5), 3).at(0.4)


def test_parts_must_lie_on_objects_and_be_as_many_and_as_large():
    head = np.array([[0, 0, 1, 0, 1]])
    with pytest.raises(ValueError, match="image 0: pixels of the head are background"):
        part_recall([MAP], [ROW], [head], 0.3)
    with pytest.raises(ValueError, match=r"image 0: .*parts \(1, 4\)"):
        part_recall([MAP], [ROW], [head[:, :4]], 0.3)
    with pytest.raises(ValueError, match="parts end after 0 images, but there are more maps and"):
        part_recall([MAP], [ROW], [], 0.3)


def test_image_confusions_need_an_image():
    with pytest.raises(ValueError, match="no image to score"):
        image_confusions([], [], 0.3, 3)


def test_bootstrap_refuses_sides_of_other_images():
    side = noisy(0.2)
    generator = np.random.default_rng(0)
    swapped = side[[1, 0, *range(2, 40)]]
    for other, message in [
        (side[:39], r"\(40, 3, 3\) and \(39, 3, 3\)"),
        (swapped, "the truth of image 0 differs"),
    ]:
        with pytest.raises(ValueError, match=message):
            bootstrap_difference(side, other, generator)
    with pytest.raises(ValueError, match="N >= 2"):
        bootstrap_difference(side[:1], side[:1], generator)
    for arguments in ({"repeats": 0}, {"level": 1}):
        with pytest.raises(ValueError, match="repeats must be at least 1 and level within"):
            bootstrap_difference(side, side, generator, **arguments)
