"""Scores of single images on disk: what is read is what was scored, and nothing else is."""

import json

import numpy as np
import pytest

from ribnb.scores.confusion import map_confusions
from ribnb.scores.image_scores import (
    FILE,
    ImageScores,
    check_against,
    load_image_scores,
    save_image_scores,
)
from ribnb.scores.metrics import THRESHOLDS as THIRTY
from ribnb.scores.metrics import WIDE_THRESHOLDS, image_confusions, mean_iou
from ribnb.scores.split_scores import SplitScore

CLASSES = ("owl", "cat")
THRESHOLDS = {"seeds": 0.31, "cam": 0.2, "seeds_wide": 0.18, "cam_wide": 0.08}


def matrices(images: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeds and CAMs of the same truth, each with errors of its own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (images, 96))
    found = {}
    for name in THRESHOLDS:
        predicted = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, 3, truth.shape), truth)
        counts = np.zeros((images, 3, 3), np.int64)
        np.add.at(counts, (np.arange(images)[:, None], truth, predicted), 1)
        found[name] = counts
    return found


def scores(**changes) -> ImageScores:
    parts = {
        "ids": tuple(f"image_{place}" for place in range(6)),
        "confusions": matrices(),
        "thresholds": dict(THRESHOLDS),
        "class_names": CLASSES,
    }
    return ImageScores(**{**parts, **changes})


def save(folder, of: ImageScores):
    save_image_scores(folder, of.ids, of.confusions, of.thresholds, of.class_names)


def same(one: ImageScores, other: ImageScores) -> bool:
    plain = [(of.ids, of.thresholds, of.class_names) for of in (one, other)]
    return plain[0] == plain[1] and all(
        np.array_equal(one.confusions[name], other.confusions[name]) for name in THRESHOLDS
    )


def result_of(of: ImageScores) -> dict:
    """What the run's result.json says, having been written and read."""
    metrics = {"images": len(of.ids)}
    for name in THRESHOLDS:
        maps, _, wide = name.partition("_")
        prefix = ("wide_" if wide else "") + ("cam_" if maps == "cam" else "")
        metrics[f"{prefix}seed_miou"] = mean_iou(of.confusions[name].sum(axis=0)).item()
        metrics[f"{prefix}seed_threshold"] = of.thresholds[name]
    return json.loads(json.dumps({"metrics": metrics, "path": "runs/x/result.json"}))


# On disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 300, 70_000, 2**33])
def test_what_is_saved_is_read_back_however_large_the_images(tmp_path, factor):
    large = {name: factor * of for name, of in matrices().items()}
    save(tmp_path, scores(confusions=large))
    read = load_image_scores(tmp_path)
    assert same(read, scores(confusions=large))
    assert all(of.dtype == np.int64 for of in read.confusions.values())  # sums cannot overflow


def test_the_file_is_small_and_alone(tmp_path):
    rows = 21
    ids = [f"2007_{place:06}" for place in range(400)]
    rng = np.random.default_rng(0)
    confusion = np.zeros((400, rows, rows), np.int64)
    for of in confusion:  # background and two classes, as in VOC
        here = np.r_[0, rng.choice(np.arange(1, rows), 2, replace=False)]
        of[np.ix_(here, here)] = rng.integers(0, 60_000, (3, 3))
    names = [f"class {place}" for place in range(20)]
    save_image_scores(tmp_path, ids, {"seeds": confusion}, {"seeds": 0.3}, names)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_size < 100 * len(ids)


@pytest.mark.parametrize("step", [5, 9])
def test_a_damaged_file_is_named_whatever_the_damage(tmp_path, step):
    save(tmp_path, scores())
    whole = (tmp_path / FILE).read_bytes()
    refused = 0
    for place in range(0, len(whole), step):
        for content in (whole[:place], whole[:place] + b"\x91" + whole[place + 1 :]):
            (tmp_path / FILE).write_bytes(content)
            try:
                assert same(load_image_scores(tmp_path), scores())  # it told nothing
            except ValueError as error:
                assert f"{tmp_path / FILE} cannot be read" in str(error)
                refused += 1
    assert refused > len(whole) / step


def test_no_file_a_pickle_and_another_kind_of_file_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no image_scores\.npz.*run its chapter"):
        load_image_scores(tmp_path)
    np.savez(tmp_path / FILE, thresholds=np.array([0.5]))
    with pytest.raises(ValueError, match=r"cannot be read.*run its chapter again"):
        load_image_scores(tmp_path)
    np.savez(tmp_path / FILE, names=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_image_scores(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ids": np.array(["a"] * 6)}, "the image 'a' is there twice"),
        ({"ids": np.array(list("abcde"))}, r"counts of shape \(5, 3, 3\).*\(6, 3, 3\)"),
        ({"confusion_cam": np.ones((6, 3, 3))}, "cam must be counts .* got float64"),
        ({"thresholds": np.array([0.3, np.nan, 0.2, 0.1])}, "threshold of cam is nan"),
        ({"thresholds": np.array([0.3])}, "cannot be read"),
        ({"class_names": np.array(["owl"])}, r"\(6, 2, 2\), for 6 images and 1 classes"),
    ],
)
def test_a_whole_file_whose_parts_do_not_fit_is_refused(tmp_path, changed, message):
    save(tmp_path, scores())
    with np.load(tmp_path / FILE) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / FILE, **{**arrays, **changed})
    with pytest.raises(ValueError, match=message):
        load_image_scores(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ids": ()}, "at least one image"),
        ({"ids": tuple("abcdea")}, "the image 'a' is there twice"),
        ({"class_names": ("owl", "owl")}, "the class 'owl' is there twice"),
        ({"thresholds": {"seeds": 0.3}}, "matrices of seeds, cam, .* but thresholds of seeds;"),
        ({"thresholds": {**THRESHOLDS, "cam": 1.0}}, "threshold of cam is 1.0; it must lie"),
        ({"confusions": {}, "thresholds": {}}, "one kind of maps"),
    ],
)
def test_what_does_not_fit_is_not_saved(tmp_path, changed, message):
    parts = {**vars(scores()), **changed}
    with pytest.raises(ValueError, match=message):
        save_image_scores(tmp_path, **parts)
    assert not list(tmp_path.iterdir())


def test_maps_scored_on_other_masks_and_negative_counts_are_refused_by_image():
    turned = matrices()
    turned["cam"] = turned["cam"][[0, 1, 3, 2, 4, 5]]
    with pytest.raises(ValueError, match="truth of image image_2 is another for cam"):
        scores(confusions=turned)
    turned["seeds"][4, 0, 0] = -1
    with pytest.raises(ValueError, match="seeds: image image_4 has a count below 0"):
        scores(confusions=turned)


# Against the result -----------------------------------------------------------------------


def test_scores_of_the_results_own_images_pass_as_read_from_disk(tmp_path):
    save(tmp_path, scores())
    check_against(result_of(scores()), load_image_scores(tmp_path))


def test_matrices_of_maps_at_the_runs_own_thresholds_pass(tmp_path):
    """As a chapter does it: thresholds from the split's scores, then each image at them."""
    rng = np.random.default_rng(2)
    masks = rng.choice([0, 1, 2, 255], (5, 8, 9))
    kinds = {
        name: [{"class_ids": np.arange(2), "high_res": rng.random((2, 8, 9))} for _ in masks]
        for name in ("seeds", "cam")
    }
    ids = tuple(f"image_{place}" for place in range(5))
    totals = {
        name: sum(map_confusions(of, masks, WIDE_THRESHOLDS, 2)) for name, of in kinds.items()
    }
    split = SplitScore(ids, ids, {}, CLASSES, totals)
    cuts, own = {}, {}
    for name in THRESHOLDS:
        maps, _, wide = name.partition("_")
        best = split.seeds(maps, WIDE_THRESHOLDS if wide else THIRTY).best_threshold
        cuts[name], own[name] = best, image_confusions(kinds[maps], masks, best, 2)
    save_image_scores(tmp_path, ids, own, cuts, CLASSES)
    check_against({"metrics": split.metrics()}, load_image_scores(tmp_path))


@pytest.mark.parametrize(
    ("metric", "shift"),
    [
        ("seed_miou", 2e-6),
        ("cam_seed_miou", -2e-6),
        ("seed_threshold", 0.01),
        ("cam_seed_threshold", 0.01),
        ("wide_seed_miou", 2e-6),
        ("wide_cam_seed_miou", -2e-6),
        ("wide_seed_threshold", 0.02),
        ("wide_cam_seed_threshold", -0.02),
    ],
)
def test_another_score_or_threshold_is_refused_but_no_rounding_error(metric, shift):
    result = result_of(scores())
    before = result["metrics"][metric]
    result["metrics"][metric] = before + 1e-8
    check_against(result, scores())
    for other in (before + shift, float("nan")):
        result["metrics"][metric] = other
        with pytest.raises(ValueError, match=rf"^{metric} is .* in runs/x/.*, but .*again"):
            check_against(result, scores())


def test_one_image_that_was_scored_otherwise_is_noticed():
    other = matrices()
    other["seeds"][3, 1, 1] -= 1
    other["seeds"][3, 1, 0] += 1
    with pytest.raises(ValueError, match="seed_miou is"):
        check_against(result_of(scores()), scores(confusions=other))


def test_other_images_and_a_result_without_seeds_are_refused():
    result = result_of(scores())
    result["metrics"]["images"] = 7
    with pytest.raises(ValueError, match=r"is of 7 images, .* of 6"):
        check_against(result, scores())
    with pytest.raises(ValueError, match="no seed_miou to compare with"):
        check_against({"metrics": {"map": 3.0}}, scores())


def test_matrices_come_in_the_order_asked_for():
    ids = scores().ids[::-1]
    assert (scores().in_order(ids, "cam") == matrices()["cam"][::-1]).all()
    assert scores().miou("cam") == mean_iou(matrices()["cam"].sum(axis=0))
