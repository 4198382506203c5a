"""From maps to masks to a network, chapter by chapter: their numbers, and what they refuse."""

import json

import numpy as np
import pytest
from plain_adaptation import one_thread  # noqa: F401
from split_runs import result_of, run_chapter

from ribnb.core.settings import SettingsError
from ribnb.core.voc import read_mask
from ribnb.data.scenes.images import SceneImages
from ribnb.scores.iou import mask_miou

MASKS = {"num_images": 8, "epochs": 1, "batch_size": 4}
NETWORKS = {"num_images": 8, "num_validation": 5, "steps": 4, "batch_size": 4, "crf": False}
NETWORKS["supervision"] = ["rib_irn", "truth"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each chapter, the later ones on what the earlier ones left."""
    folder = tmp_path_factory.mktemp("runs")
    run_chapter("voc_rib", folder / "rib", num_images=8, iterations=2)
    run_chapter("voc_masks", folder / "masks", maps_run=str(folder / "rib"), **MASKS)
    masks = {"masks": str(folder / "masks"), **NETWORKS}
    run_chapter("voc_segmentation", folder / "networks", **masks)
    return folder


def timeless(result):
    changes = ("seconds", "date", "digest")
    return {name: value for name, value in result.items() if name not in changes}


def predicted(folder, images):
    return [read_mask(folder / f"{name}.png") for name in images.ids]


def truths(images):
    return [images.mask(index) for index in range(len(images))]


def test_the_scores_are_those_of_the_masks_that_are_there(runs):
    images = SceneImages(8, seed=3)
    found = result_of(runs / "masks")["metrics"]["mask_miou"]
    assert found.keys() >= {"cam", "rib"}
    assert found.keys() >= {"cam_irn", "rib_irn", "rib_saliency"}
    for kind, miou in found.items():
        masks = predicted(runs / "masks" / "masks" / kind, images)
        assert miou == pytest.approx(mask_miou(masks, truths(images), 6).miou)


def test_the_network_is_scored_on_what_it_has_not_learned_from(runs):
    unseen = SceneImages(5, seed=3, split="val")
    metrics = result_of(runs / "networks")["metrics"]
    for kind, miou in metrics["val_miou"].items():
        masks = predicted(runs / "networks" / f"predicted_{kind}" / "plain", unseen)
        score = mask_miou(masks, truths(unseen), class_names=unseen.class_names)
        assert miou == pytest.approx(score.miou)
        known = {name: one for name, one in score.iou.items() if one == one}
        assert metrics["val_iou_per_class"][kind] == pytest.approx(known)


def test_every_row_says_what_was_done_to_it(runs):
    for chapter, score in (("masks", "mask_miou"), ("networks", "val_miou")):
        result = result_of(runs / chapter)
        rows = dict(row.split(": ", 1) for row in result["post_processing"].split("; ")[:-1])
        assert rows.keys() <= result["metrics"][score].keys()
        assert all("irn" not in name or how in ("IRN", "none") for name, how in rows.items())


@pytest.mark.parametrize(
    ("chapter", "folder", "parameters"),
    [("voc_masks", "masks", MASKS), ("voc_segmentation", "networks", NETWORKS)],
)
def test_once_more_in_the_same_folder_nothing_is_made_again(runs, chapter, folder, parameters):
    source = {
        "voc_masks": {"maps_run": runs / "rib"},
        "voc_segmentation": {"masks": runs / "masks"},
    }
    before = {path: path.stat().st_mtime_ns for path in (runs / folder).rglob("*.png")}
    first = timeless(result_of(runs / folder))
    given = {name: str(path) for name, path in source[chapter].items()}
    again = run_chapter(chapter, runs / folder, **given, **parameters)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert timeless(result_of(runs / folder)) == first
    assert ", 8 were there" in again["printed"] or ", 5 were there" in again["printed"]


def test_maps_of_other_images_are_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="maps of other images than the 7 here"):
        run_chapter("voc_masks", tmp_path, maps_run=str(runs / "rib"), **{**MASKS, "num_images": 7})


def test_a_kind_of_masks_that_is_not_there_is_named_with_those_that_are(runs, tmp_path):
    given = {**NETWORKS, "supervision": ["rib_iron"]}
    with pytest.raises(FileNotFoundError, match=r"'rib_iron': .* has the kinds cam, .*rib_irn"):
        run_chapter("voc_segmentation", tmp_path, masks=str(runs / "masks"), **given)


def test_a_damaged_mask_is_named_before_any_training(runs, tmp_path):
    folder = tmp_path / "run" / "masks" / "rib_irn"
    folder.mkdir(parents=True)
    for path in (runs / "masks" / "masks" / "rib_irn").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    broken = folder / "s3_train_000004.png"
    broken.write_bytes(broken.read_bytes()[:100])
    given = {**NETWORKS, "masks": str(tmp_path / "run"), "num_images": 8}
    with pytest.raises(ValueError, match=r"s3_train_000004"):
        run_chapter("voc_segmentation", tmp_path / "out", **given)
    assert not list((tmp_path / "out").rglob("training.pt"))


def test_training_settings_that_would_not_count_are_refused():
    with pytest.raises(SettingsError, match=r"net\.retrain = True"):
        run_chapter("voc_masks", None, num_images=8, epochs=2)
    with pytest.raises(SettingsError, match=r"net\.retrain = True"):
        run_chapter("voc_segmentation", None, steps=7)


def test_the_result_names_what_it_was_made_from(runs):
    inputs = result_of(runs / "masks")["inputs"]
    assert inputs.keys() == {"maps of cam", "maps of rib", "IRN for cam", "IRN for rib"}
    assert len(set(inputs.values())) == 4
    text = json.dumps(result_of(runs / "masks")) + json.dumps(result_of(runs / "networks"))
    assert np.isfinite(result_of(runs / "networks")["metrics"]["val_miou"]["truth"])
    assert str(runs) not in text.replace(str(runs / "rib"), "").replace(str(runs / "masks"), "")
