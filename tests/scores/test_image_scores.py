"""Scores of single images on disk: what is read is what was scored, and nothing else is."""

import json

import numpy as np
import pytest

from ribnb.scores.image_scores import FILE, METRICS, ImageScores, check_against, load_image_scores
from ribnb.scores.iou import mean_iou

CLASSES = ("owl", "cat")
THRESHOLDS = {"seeds": 0.18, "cam": 0.08, "seeds_released_range": 0.31, "cam_released_range": 0.2}


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


def same(one: ImageScores, other: ImageScores) -> bool:
    plain = [(of.ids, of.thresholds, of.class_names) for of in (one, other)]
    return plain[0] == plain[1] and all(
        np.array_equal(one.confusions[name], other.confusions[name]) for name in THRESHOLDS
    )


def result_of(of: ImageScores) -> dict:
    """What the run's result.json says, having been written and read."""
    metrics = {"images": len(of.ids)}
    for name in THRESHOLDS:
        miou, threshold = METRICS[name]
        metrics[miou] = mean_iou(of.confusions[name].sum(axis=0)).item()
        metrics[threshold] = of.thresholds[name]
    return json.loads(json.dumps({"metrics": metrics, "path": "runs/x/result.json"}))


# On disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 300, 70_000, 2**33])
def test_what_is_saved_is_read_back_however_large_the_images(tmp_path, factor):
    large = {name: factor * of for name, of in matrices().items()}
    scores(confusions=large).save(tmp_path)
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
    ImageScores(tuple(ids), {"seeds": confusion}, {"seeds": 0.3}, tuple(names)).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_size < 100 * len(ids)


def test_a_damaged_file_is_named_whatever_the_damage(tmp_path, step=9):
    scores().save(tmp_path)
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
        ({"ids": np.array(["a"] * 6)}, "an image is there twice"),
        ({"ids": np.array(list("abcde"))}, r"counts of shape \(5, 3, 3\).*\(6, 3, 3\)"),
        ({"confusion_cam": np.ones((6, 3, 3))}, "cam must be counts .* got float64"),
        ({"thresholds": np.array([0.3])}, "cannot be read"),
        ({"class_names": np.array(["owl"])}, r"\(6, 2, 2\), for 6 images and 1 classes"),
    ],
)
def test_a_whole_file_whose_parts_do_not_fit_is_refused(tmp_path, changed, message):
    scores().save(tmp_path)
    with np.load(tmp_path / FILE) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / FILE, **{**arrays, **changed})
    with pytest.raises(ValueError, match=message):
        load_image_scores(tmp_path)


def test_masks_have_no_threshold_and_thresholds_need_maps(tmp_path):
    own = scores(thresholds={"seeds": 0.3})
    own.save(tmp_path)
    assert load_image_scores(tmp_path).thresholds == {"seeds": 0.3}
    assert load_image_scores(tmp_path).confusions.keys() == THRESHOLDS.keys()
    with pytest.raises(ValueError, match=r"thresholds of \['irn'\], matrices of"):
        scores(thresholds={"irn": 0.3})
    with pytest.raises(ValueError, match="at least one image"):
        scores(ids=())


def test_maps_scored_on_other_masks_and_negative_counts_are_refused_by_image():
    turned = matrices()
    turned["cam"] = turned["cam"][[0, 1, 3, 2, 4, 5]]
    with pytest.raises(ValueError, match="truth of image image_2 is another for cam"):
        scores(confusions=turned)
    turned["seeds"][4, 0, 0] = -1
    with pytest.raises(ValueError, match="seeds must be counts"):
        scores(confusions=turned)


# Against the result -----------------------------------------------------------------------


def test_scores_of_the_results_own_images_pass_as_read_from_disk(tmp_path):
    scores().save(tmp_path)
    check_against(result_of(scores()), load_image_scores(tmp_path))


def test_scores_of_masks_are_held_against_those_of_their_names():
    own = scores(thresholds={})
    for metric in ("mask_miou", "val_miou"):
        result = {"metrics": {metric: {name: own.miou(name) for name in THRESHOLDS}}}
        check_against(result, own)
        result["metrics"][metric]["cam"] += 1
        with pytest.raises(ValueError, match=rf"{metric}\.cam is"):
            check_against(result, own)


@pytest.mark.parametrize(
    ("metric", "shift"),
    [
        ("seed_miou", 2e-6),
        ("cam_seed_miou", -2e-6),
        ("seed_threshold", 0.01),
        ("cam_seed_threshold", 0.01),
        ("released_range_seed_miou", 2e-6),
        ("released_range_cam_seed_miou", -2e-6),
        ("released_range_seed_threshold", 0.02),
        ("released_range_cam_seed_threshold", -0.02),
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


def test_other_images_and_a_result_without_such_scores_are_refused():
    result = result_of(scores())
    result["metrics"]["images"] = 7
    with pytest.raises(ValueError, match=r"is of 7 images, .* of 6"):
        check_against(result, scores())
    with pytest.raises(ValueError, match=r"no mIoU of seeds, cam, .* to compare with"):
        check_against({"metrics": {"map": 3.0}}, scores())


def test_matrices_come_in_the_order_asked_for():
    ids = scores().ids[::-1]
    assert (scores().in_order(ids, "cam") == matrices()["cam"][::-1]).all()
    assert scores().miou("cam") == mean_iou(matrices()["cam"].sum(axis=0))
