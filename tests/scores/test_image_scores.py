"""Scores of single images on disk: what is read is what was scored, and nothing else is."""

import json

import numpy as np
import pytest

from ribnb.scores.image_scores import FILE, METRICS, ImageScores, load_image_scores, scores_fault
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


@pytest.mark.parametrize("factor", [1, 2**33])
def test_what_is_saved_is_read_back_however_large_the_images(tmp_path, factor):
    # masks have no threshold
    own = scores(confusions={name: factor * of for name, of in matrices().items()})
    own.thresholds.pop("cam")
    own.save(tmp_path)
    read = load_image_scores(tmp_path)
    assert same(read, own)
    assert all(of.dtype == np.int64 for of in read.confusions.values())  # sums cannot overflow


def test_a_damaged_file_is_named_whatever_the_damage(tmp_path):
    scores().save(tmp_path)
    whole, refused, step = (tmp_path / FILE).read_bytes(), 0, 29
    for place in range(0, len(whole), step):
        for content in (whole[:place], whole[:place] + b"\x91" + whole[place + 1 :]):
            (tmp_path / FILE).write_bytes(content)
            try:
                assert same(load_image_scores(tmp_path), scores())  # it told nothing
            except ValueError as error:
                assert f"{tmp_path / FILE} cannot be read" in str(error)
                refused += 1
    assert refused > len(whole) / step
    np.savez(tmp_path / FILE, names=np.array([{}], dtype=object))  # a pickle
    with pytest.raises(ValueError, match=r"cannot be read.*allow_pickle=False.*again"):
        load_image_scores(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no image_scores\.npz.*run its chapter"):
        load_image_scores(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ids": np.array(["a"] * 6)}, "an id of its own"),
        ({"ids": np.array(list("abcde"))}, r"counts of shape \(5, 3, 3\).*\(6, 3, 3\)"),
        ({"confusion_cam": -matrices()["cam"]}, "cam must be counts"),
        ({"confusion_cam": matrices()["cam"][::-1]}, "the truth of an image is not the same"),
        ({"thresholds": np.array([0.3])}, "cannot be read"),
    ],
)
def test_a_whole_file_whose_parts_do_not_fit_is_refused(tmp_path, changed, message):
    scores().save(tmp_path)
    with np.load(tmp_path / FILE) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / FILE, **{**arrays, **changed})
    with pytest.raises(ValueError, match=message):
        load_image_scores(tmp_path)


# Against the result -----------------------------------------------------------------------


def test_scores_of_the_results_own_images_pass(tmp_path):
    assert not scores_fault(result_of(scores()), tmp_path)  # there are none
    scores().save(tmp_path)
    assert not scores_fault(result_of(scores()), tmp_path)
    assert "has no mIoU of seeds, cam" in scores_fault({"metrics": {"map": 3.0}}, tmp_path)
    (tmp_path / FILE).write_bytes(b"half")
    assert "cannot be read" in scores_fault(result_of(scores()), tmp_path)


@pytest.mark.parametrize("metric", ["mask_miou", "val_miou"])
def test_scores_of_masks_are_held_against_those_of_their_names(tmp_path, metric):
    own = scores(thresholds={})
    own.save(tmp_path)
    result = {"metrics": {metric: {name: own.miou(name) for name in THRESHOLDS}}}
    assert not scores_fault(result, tmp_path)
    result["metrics"][metric]["cam"] += 1
    assert f"{metric}.cam is" in scores_fault(result, tmp_path)


@pytest.mark.parametrize("metric", ["images", *METRICS["seeds"], *METRICS["cam"]])
def test_another_score_or_threshold_is_a_fault_but_no_rounding_error(tmp_path, metric):
    scores().save(tmp_path)
    result = result_of(scores())
    before = result["metrics"][metric]
    result["metrics"][metric] = before + 1e-8
    assert not scores_fault(result, tmp_path)
    for other in (before + 2e-6, before - 2e-6, float("nan")):
        result["metrics"][metric] = other
        assert f"{metric} is {other}, there" in scores_fault(result, tmp_path)
