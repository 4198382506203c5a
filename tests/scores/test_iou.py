"""Scores: masks drawn by hand, thresholds and ties, missing classes, spreads."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ribnb.scores.confusion import seed_mask
from ribnb.scores.iou import (
    ORACLE,
    RELEASED_RANGE,
    THRESHOLDS,
    by_part,
    cross_fitted,
    mask_miou,
    seed_miou,
)

# Drawn by hand: 2 x 4 pixels, three classes, one pixel ignored.
TRUTH = np.array([[0, 0, 1, 1], [0, 255, 1, 2]], np.uint8)
PREDICTED = np.array([[0, 1, 1, 1], [0, 1, 0, 2]], np.uint8)
NAMES = ("cat", "dog", "bus")

# Two maps over one row of five pixels, and their truth.
MAP = {
    "class_ids": np.array([2, 0]),
    "high_res": np.array([[[1.0, 0.6, 0.3, 0.0, 0.2]], [[0.0, 0.5, 0.4, 1.0, 0.1]]], np.float32),
}
ROW = np.array([[3, 3, 0, 1, 255]], np.uint8)


def random_case(seed: int, num_classes: int = 4, shape=(9, 7)):
    """Maps on a grid of tenths, so that many pixels tie with a threshold or a class."""
    generator = np.random.default_rng(seed)
    maps, masks = [], []
    for number in generator.permutation(num_classes + 1):
        ids = generator.permutation(num_classes)[:number]
        high_res = (generator.integers(0, 11, (number, *shape)) / 10).astype(np.float32)
        maps.append({"class_ids": ids, "high_res": high_res})
        values = [*range(num_classes + 1), 255]
        masks.append(generator.choice(values, shape).astype(np.uint8))
    return maps, masks


def constant_map(class_id: int, value: float, shape=(2, 2)) -> dict:
    return {"class_ids": [class_id], "high_res": np.full((1, *shape), value, np.float32)}


# Masks ------------------------------------------------------------------------------------


def test_iou_precision_and_recall_of_masks_drawn_by_hand():
    """Background and cat: 2 pixels in both masks, 4 in either; dog: 1 and 1; 255 in none."""
    score = mask_miou([PREDICTED], [TRUTH], class_names=NAMES)
    assert score.confusion.tolist() == [[2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert list(score.iou) == ["background", *NAMES]
    assert [score.iou[name] for name in ("background", "cat", "dog")] == [50, 50, 100]
    assert score.foreground_precision == score.foreground_recall == 75
    assert score.miou == pytest.approx(200 / 3)
    only = mask_miou([np.array([[0, 0, 2]])], [np.zeros((1, 3), int)], num_classes=2)
    assert only.iou["class 1"] == 0, "a class that is only predicted counts"
    # bus is in neither
    assert math.isnan(score.iou["bus"])
    assert score.known_iou.keys() == {"background", "cat", "dog"}
    assert str(score) == "mIoU 66.7 % over 3 classes"


# Seeds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.4, 0.6, 0.7])
def test_a_tie_with_the_threshold_is_background(threshold):
    """In float32, in which 0.1, 0.3, 0.4 and 0.6 lie above their float64 and 0.7 below."""
    tied = constant_map(1, threshold)
    assert not seed_mask(tied, threshold).any()
    assert seed_miou([tied], [np.zeros((2, 2), int)], [threshold], 2).best_miou == 100
    above = {**tied, "high_res": np.nextafter(tied["high_res"], np.float32(1))}
    assert (seed_mask(above, threshold) == 2).all()
    assert seed_miou([above], [np.full((2, 2), 2)], [threshold], 2).best_miou == 100


def test_seed_scores_worked_out_by_hand():
    """At 0.35 the third pixel is wrong, at 0.55 nothing, at 0.8 the second pixel."""
    score = seed_miou([MAP], [ROW], (0.35, 0.55, 0.8), 3)
    assert score.at(0.35).iou["class 0"] == 50
    assert score.at(0.35).iou["background"] == 0
    assert score.miou == pytest.approx([50, 100, (50 + 50 + 100) / 3])
    assert (score.best_threshold, score.best_miou) == (0.55, 100)
    assert score.foreground_recall == pytest.approx([100, 100, 200 / 3])
    assert score.foreground_precision == pytest.approx([75, 100, 100])
    assert score.among((0.35, 0.8)).miou.tolist() == score.miou[[0, 2]].tolist()


@pytest.mark.parametrize("thresholds", [np.arange(1, 10) / 10, THRESHOLDS])
def test_one_pass_equals_torchmetrics_at_every_threshold(thresholds):
    """The joint histogram against the argmax over (threshold, maps...), one by one."""
    from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

    maps, masks = random_case(1)
    score = seed_miou(iter(maps), iter(masks), thresholds, 4)
    assert score.confusion.shape == (len(thresholds), 5, 5)
    for place, threshold in enumerate(thresholds):
        jaccard = MulticlassJaccardIndex(5, average="macro", ignore_index=255)
        counts = MulticlassConfusionMatrix(5, ignore_index=255)
        for one, mask in zip(maps, masks, strict=True):
            background = np.full((1, *mask.shape), threshold, np.float32)
            strongest = np.concatenate([background, one["high_res"]]).argmax(axis=0)
            seed = np.array([0, *(one["class_ids"] + 1)])[strongest]
            assert np.array_equal(seed_mask(one, threshold), seed)
            jaccard.update(torch.tensor(seed), torch.tensor(mask))
            counts.update(torch.tensor(seed), torch.tensor(mask))
        assert np.array_equal(score.confusion[place], counts.compute().numpy())
        assert score.miou[place] == pytest.approx(100 * jaccard.compute().item(), abs=1e-4)


def test_map_files_attributes_and_tensors_score_alike(tmp_path):
    np.savez(tmp_path / "map.npz", **MAP, strided=np.zeros(1))
    expected = seed_miou([MAP], [ROW], (0.35, 0.8), 3).confusion
    tensors = {name: torch.tensor(array) for name, array in MAP.items()}
    with np.load(tmp_path / "map.npz") as file:
        for form in (file, SimpleNamespace(**MAP), tensors):
            score = seed_miou([form], [torch.tensor(ROW)], (0.35, 0.8), 3)
            assert np.array_equal(score.confusion, expected)


def test_the_one_ruler_holds_the_released_programs_thirty():
    assert (RELEASED_RANGE[0], RELEASED_RANGE[-1], len(RELEASED_RANGE)) == (0.2, 0.49, 30)
    assert set(RELEASED_RANGE) < set(THRESHOLDS) and list(THRESHOLDS) == sorted(THRESHOLDS)
    assert (min(THRESHOLDS), max(THRESHOLDS)) == (0.02, 0.8)
    assert len(seed_miou([MAP], [ROW], num_classes=3).miou) == len(THRESHOLDS)


def test_a_best_threshold_at_an_end_is_marked():
    score = seed_miou([MAP], [ROW], (0.35, 0.55, 0.8), 3)
    assert not score.at_an_end and "an end" not in str(score) and ORACLE in str(score)
    assert score.among((0.55, 0.8)).at_an_end and score.among((0.35, 0.55)).at_an_end
    assert "at 0.55, an end of the range" in str(score.among((0.55, 0.8)))


# Parts, halves, images --------------------------------------------------------------------


def test_recall_by_part_worked_out_by_hand():
    """Pixels of both images count together: head 2 of 3, body 1 of 2; 255 is left out."""
    maps = [
        constant_map(0, 0.9, (1, 4)),
        {"class_ids": [0, 1], "high_res": np.array([[[0.1, 0.9, 0.9]], [[0.1, 0.1, 0.1]]])},
    ]
    masks = [np.array([[1, 1, 2, 255]]), np.array([[1, 1, 0]])]
    parts = [np.array([[1, 2, 2, 1]]), np.array([[1, 1, 0]])]
    scores = by_part(iter(maps), iter(masks), iter(parts), (0.3, 0.5), ("a", "b"))
    assert scores["head"].foreground_recall == pytest.approx([200 / 3] * 2)
    assert scores["body"].foreground_recall == pytest.approx([50, 50])


def test_halves_are_cut_at_the_best_threshold_of_the_other():
    """The faint half is best at 0.1, where the bright one takes its background along."""
    cuts, mask = (0.1, 0.5), np.array([[1, 1, 0, 0]])
    bright, faint = (
        seed_miou([{"class_ids": [0], "high_res": np.array([[row]])}], [mask], cuts, 1)
        for row in ([0.9, 0.9, 0.3, 0.0], [0.3, 0.3, 0.0, 0.0])
    )
    assert (bright.best_threshold, faint.best_threshold) == (0.5, 0.1)
    assert bright.best_miou == faint.best_miou == 100
    # at 0.1 the bright half has one pixel too many, at 0.5 the faint one has none: 3 of 6, 2 of 5
    assert cross_fitted(bright, faint) == pytest.approx((100 * 3 / 6 + 100 * 2 / 5) / 2)


# What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(), (0.0, 0.5), (0.5, 1.0), (0.2, np.nan), (0.5, 0.5)])
def test_refuses_thresholds(cuts):
    with pytest.raises(ValueError, match="thresholds must be increasing numbers"):
        seed_miou([MAP], [ROW], cuts, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"high_res": MAP["high_res"] * np.nan}, r"map 1 must lie in \[0, 1\].*nan"),
        ({"high_res": MAP["high_res"] * 1.1}, r"map 1 must lie in \[0, 1\].*from 0 to 1\.1"),
        ({"high_res": MAP["high_res"][..., 1:]}, r"image 1: .*\(1, 4\), the truth \(1, 5\)"),
        ({"class_ids": [0, 3]}, r"map 1 must hold different class_ids in 0 \.\.\. 2; got \[0, 3\]"),
        ({"class_ids": [1, 1]}, "map 1 must hold different class_ids"),
        ({"class_ids": None}, r"map 1 must hold class_ids \(n,\)"),
    ],
)
def test_refuses_a_map_and_names_it(changed, message):
    with pytest.raises(ValueError, match=message):
        seed_miou([MAP, {**MAP, **changed}], [ROW, ROW], (0.3,), 3)


def test_a_maximum_a_rounding_error_above_1_is_none():
    over = {**MAP, "high_res": MAP["high_res"] * np.float32(1 + 2e-7)}
    assert over["high_res"].max() > 1
    assert seed_miou([over], [ROW], (0.55,), 3).best_miou == 100


def test_refuses_masks_and_sets_that_do_not_fit():
    with pytest.raises(ValueError, match=r"mask 0 must hold 0 .* or 255; it also holds \[4, 254\]"):
        seed_miou([MAP], [np.array([[4, 3, 0, 1, 254]])], (0.3,), 3)
    with pytest.raises(ValueError, match=r"prediction 0 .* decide each pixel, without 255"):
        mask_miou([TRUTH], [TRUTH], 3)
    for maps, masks in (([MAP], [ROW, ROW]), ([MAP, MAP], [ROW])):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            seed_miou(maps, masks, (0.3,), 3)
    with pytest.raises(ValueError, match="no pixel to score"):
        seed_miou([MAP], [np.full((1, 5), 255)], (0.3,), 3)
    with pytest.raises(ValueError, match="no score at"):
        seed_miou([MAP], [ROW], (0.3, 0.5), 3).at(0.4)
    with pytest.raises(ValueError, match="give num_classes or class_names, 1 to 254 different"):
        seed_miou([MAP], [ROW], (0.3,), 2, NAMES)
