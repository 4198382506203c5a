"""Scores: masks drawn by hand, thresholds and ties, missing classes, spreads."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_scores import MAP, NAMES, PREDICTED, ROW, TRUTH, constant_map, noisy, random_case

from ribnb.scores.metrics import (
    ORACLE,
    THRESHOLDS,
    WIDE_THRESHOLDS,
    bootstrap_difference,
    image_confusions,
    mask_miou,
    mean_iou,
    part_recall,
    scores_by_step,
    seed_mask,
    seed_miou,
)

# Masks ------------------------------------------------------------------------------------


def test_iou_precision_and_recall_of_masks_drawn_by_hand():
    """Background and cat: 2 pixels in both masks, 4 in either; dog: 1 and 1; 255 in none."""
    score = mask_miou([PREDICTED], [TRUTH], class_names=NAMES)
    assert score.confusion.tolist() == [[2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert list(score.iou) == ["background", *NAMES]
    assert [score.iou[name] for name in ("background", "cat", "dog")] == [50, 50, 100]
    assert score.precision["cat"] == pytest.approx(200 / 3)
    assert score.recall["background"] == pytest.approx(200 / 3)
    assert score.foreground_precision == score.foreground_recall == 75
    assert score.miou == pytest.approx(200 / 3)


def test_precision_and_recall_are_not_each_other():
    score = mask_miou([np.ones((1, 4), int)], [np.array([[1, 0, 0, 0]])], num_classes=1)
    assert (score.precision["class 0"], score.recall["class 0"]) == (25, 100)
    assert (score.foreground_precision, score.foreground_recall) == (25, 100)


def test_the_wrong_class_is_no_foreground_found():
    score = mask_miou([np.array([[2, 1]])], [np.array([[1, 1]])], num_classes=2)
    assert score.foreground_precision == score.foreground_recall == 50


def test_a_missing_class_is_nan_in_no_mean_and_said_so():
    score = mask_miou([PREDICTED], [TRUTH], class_names=NAMES)
    assert all(math.isnan(of["bus"]) for of in (score.iou, score.precision, score.recall))
    assert score.missing == ("bus",)
    assert str(score) == (
        "mIoU 66.7 % over 3 classes; left out, in neither truth nor prediction: bus"
    )
    in_json = json.loads(json.dumps(score.as_dict(), allow_nan=False))
    assert in_json["iou"]["bus"] is None
    assert in_json["iou"]["dog"] == 100
    assert in_json["missing"] == ["bus"]


def test_a_class_that_is_only_predicted_has_iou_0_and_counts():
    score = mask_miou([np.array([[0, 0, 2]])], [np.zeros((1, 3), int)], num_classes=2)
    assert score.iou["class 1"] == 0
    assert score.missing == ("class 0",)
    assert score.miou == pytest.approx((200 / 3 + 0) / 2)


def test_a_map_that_only_its_ignored_pixels_show_does_not_count():
    """Otherwise ignored pixels would give an IoU of 0."""
    score = mask_miou([np.array([[0, 1]])], [np.array([[0, 255]])], num_classes=1)
    assert score.miou == 100
    assert score.missing == ("class 0",)


# Seeds ------------------------------------------------------------------------------------


def test_a_pixel_gets_its_strongest_class_where_it_exceeds_the_threshold():
    assert seed_mask(MAP, 0.35).tolist() == [[3, 3, 1, 1, 0]]
    assert seed_mask(MAP, 0.55).tolist() == [[3, 3, 0, 1, 0]]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.4, 0.6, 0.7])
def test_a_tie_with_the_threshold_is_background(threshold):
    """In float32, in which 0.1, 0.3, 0.4 and 0.6 lie above their float64 and 0.7 below."""
    tied = constant_map(1, threshold)
    assert not seed_mask(tied, threshold).any()
    assert seed_miou([tied], [np.zeros((2, 2), int)], [threshold], 2).best_miou == 100
    above = {**tied, "high_res": np.nextafter(tied["high_res"], np.float32(1))}
    assert (seed_mask(above, threshold) == 2).all()
    assert seed_miou([above], [np.full((2, 2), 2)], [threshold], 2).best_miou == 100


def test_of_two_equal_classes_the_first_of_the_map_wins():
    tied = {"class_ids": [3, 1], "high_res": np.full((2, 1, 1), 0.5, np.float32)}
    assert seed_mask(tied, 0.2).tolist() == [[4]]
    assert seed_miou([tied], [[[4]]], [0.2], 4).best_miou == 100


def test_seed_scores_worked_out_by_hand():
    """At 0.35 the third pixel is wrong, at 0.55 nothing, at 0.8 the second pixel."""
    score = seed_miou([MAP], [ROW], (0.35, 0.55, 0.8), 3)
    assert score.at(0.35).iou["class 0"] == 50
    assert score.at(0.35).iou["background"] == 0
    assert score.miou == pytest.approx([50, 100, (50 + 50 + 100) / 3])
    assert (score.best_threshold, score.best_miou) == (0.55, 100)
    assert score.missing == ("class 1",)
    assert score.at(0.8).foreground_recall == pytest.approx(200 / 3)


def test_the_oracle_is_the_maximum_and_calls_itself_one():
    score = seed_miou(*random_case(5), np.arange(1, 10) / 10, 4)
    assert score.best_miou == score.miou.max() == score.at(score.best_threshold).miou
    assert score.miou.min() < score.best_miou
    assert ORACLE in str(score)
    assert "oracle" in ORACLE


@pytest.mark.parametrize("thresholds", [(0.3,), np.arange(1, 10) / 10, THRESHOLDS])
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


def test_an_image_without_maps_is_background():
    empty = {"class_ids": [], "high_res": np.zeros((0, 2, 3), np.float32)}
    assert seed_mask(empty, 0.3).tolist() == [[0, 0, 0], [0, 0, 0]]
    score = seed_miou([empty], [np.array([[0, 0, 2], [0, 1, 255]])], (0.3, 0.4), 2)
    assert score.confusion.tolist() == [[[3, 0, 0], [1, 0, 0], [1, 0, 0]]] * 2


def test_map_files_attributes_and_tensors_score_alike(tmp_path):
    np.savez(tmp_path / "map.npz", **MAP, strided=np.zeros(1))
    expected = seed_miou([MAP], [ROW], (0.35, 0.8), 3).confusion
    tensors = {name: torch.tensor(array) for name, array in MAP.items()}
    with np.load(tmp_path / "map.npz") as file:
        for form in (file, SimpleNamespace(**MAP), tensors):
            score = seed_miou([form], [torch.tensor(ROW)], (0.35, 0.8), 3)
            assert np.array_equal(score.confusion, expected)


def test_the_papers_thresholds_are_30_from_20_to_49_hundredths():
    assert THRESHOLDS[0] == 0.2 and THRESHOLDS[10] == 0.3 and THRESHOLDS[-1] == 0.49
    assert len(seed_miou([MAP], [ROW], num_classes=3).miou) == len(THRESHOLDS) == 30


def test_the_wide_range_holds_them_so_that_nothing_scores_lower_there():
    assert set(THRESHOLDS) < set(WIDE_THRESHOLDS)
    assert (min(WIDE_THRESHOLDS), max(WIDE_THRESHOLDS)) == (0.02, 0.6)
    assert list(WIDE_THRESHOLDS) == sorted(WIDE_THRESHOLDS)


# Steps, parts, spread ---------------------------------------------------------------------


def test_curves_hold_each_steps_scores():
    steps = [random_case(1)[0], random_case(3)[0]]
    masks = [np.where(mask == 255, 0, mask) for mask in random_case(1)[1]]
    curves = scores_by_step(steps, iter(masks), 0.3, (0.1, 0.3, 0.6), num_classes=4)
    for k, maps in enumerate(steps):
        score = seed_miou(maps, masks, (0.1, 0.3, 0.6), 4)
        assert curves["best_miou"][k] == score.best_miou
        assert curves["best_threshold"][k] == score.best_threshold
        for name in ("miou", "foreground_precision", "foreground_recall"):
            assert curves[name][k] == getattr(score.at(0.3), name)
    assert len(curves["miou"]) == 2
    assert curves["miou"][0] != curves["miou"][1]


def test_recall_by_part_worked_out_by_hand():
    """Pixels of both images count together: head 2 of 3, body 1 of 3; 255 is left out."""
    one = constant_map(0, 0.9, (1, 4))
    other = {"class_ids": [0, 1], "high_res": np.array([[[0.1, 0.9, 0.9]], [[0.1, 0.1, 0.1]]])}
    masks = [np.array([[1, 1, 2, 255]]), np.array([[1, 1, 0]])]
    parts = [np.array([[1, 2, 2, 1]]), np.array([[1, 1, 0]])]
    found = part_recall([one, other], masks, parts, 0.3)
    assert found == {"head": pytest.approx(200 / 3), "body": 50}
    named = part_recall([one, other], masks, parts, 0.3, {2: "rump", 7: "tail"})
    assert named["rump"] == 50
    assert math.isnan(named["tail"])


def test_recall_of_parts_that_cover_the_objects_is_the_foregrounds():
    maps, masks = random_case(2)
    parts = [np.isin(mask, [1, 2, 3, 4]).astype(np.uint8) for mask in masks]
    found = part_recall(maps, masks, parts, 0.3, {1: "all"})
    assert found["all"] == seed_miou(maps, masks, (0.3,), 4).at(0.3).foreground_recall


def test_confusions_of_images_add_up_to_the_sets():
    maps, masks = random_case(4)
    confusions = image_confusions(maps, masks, 0.3, 4)
    assert confusions.shape == (5, 5, 5)
    assert mean_iou(confusions.sum(axis=0)) == seed_miou(maps, masks, (0.3,), 4).best_miou
    alone = seed_miou(maps[2:3], masks[2:3], (0.3,), 4)
    assert np.array_equal(confusions[2], alone.confusion[0])


def test_bootstrap_of_a_side_with_itself_is_0():
    side = noisy(0.3)
    assert bootstrap_difference(side, side, np.random.default_rng(0)) == (0, 0, 0)


def test_bootstrap_tells_a_better_side_and_not_an_equal_one():
    better, worse, equal = noisy(0.2), noisy(0.4, 1), noisy(0.4, 2)
    found = bootstrap_difference(better, worse, np.random.default_rng(0))
    assert 0 < found.low < found.difference < found.high
    assert found.difference == mean_iou(better.sum(axis=0)) - mean_iou(worse.sum(axis=0))
    turned = bootstrap_difference(worse, better, np.random.default_rng(0))
    assert turned == pytest.approx((-found.difference, -found.high, -found.low))
    none = bootstrap_difference(worse, equal, np.random.default_rng(0))
    assert none.low < 0 < none.high


def test_bootstrap_is_paired_and_as_wide_as_asked():
    """Images that differ much among themselves, but alike on both sides, do not widen it."""
    easy, hard = noisy(0.1)[:20], noisy(0.9)[20:]
    mixed = np.concatenate([easy, hard])
    near = mixed.copy()
    near[:, 1, 1] -= 1  # one pixel of each image goes to background
    near[:, 1, 0] += 1
    found = bootstrap_difference(mixed, near, np.random.default_rng(0))
    assert found.low > 0
    assert found.high - found.low < 0.5
    narrow = bootstrap_difference(mixed, near, np.random.default_rng(0), level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_bootstrap_depends_on_its_generator_alone():
    sides = noisy(0.2), noisy(0.4, 1)
    first, again, other = (
        bootstrap_difference(*sides, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other
