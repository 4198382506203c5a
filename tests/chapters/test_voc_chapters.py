"""The chapters up to the maps, in VOC's layout: what they score, and which images fail."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import ANIMALS, ROOT
from PIL import Image
from small_split import net
from split_runs import arrays_of, result_of, run_chapter, without_time

from ribnb.book import CHAPTERS
from ribnb.core.files import read_maps, weights_digest
from ribnb.core.settings import for_chapter, read_settings_file
from ribnb.core.voc import CLASS_NAMES, read_mask, write_mask
from ribnb.data.scenes.images import write_scenes
from ribnb.data.voc import read_split
from ribnb.masks.crf import crf_available
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import load_classifier
from ribnb.nets.published import IN_PACKAGE
from ribnb.scores.image_scores import scores_fault
from ribnb.scores.iou import RELEASED_RANGE, THRESHOLDS, seed_miou

ALL = {"split": "train_aug", "num_images": 0, "iterations": 3}
# As for VOC, at sizes for a CPU.
VOC = {"crop_size": 48, "long_side_min": 40, "long_side_max": 64, "batch_size": 2, "dataset": "voc"}
VOC_RIB = {**VOC, "learning_rate": 1e-3, "scales": [1.0, 0.5], "loss_scales": [1.0]}
ONE_EPOCH = {"validation_split": "train", "num_training": 4, "epochs": 1, "batch_size": 2}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder of 12 scenes: 11 in train_aug, one in val."""
    root = tmp_path_factory.mktemp("scenes") / "root"
    write_scenes(root, 12, seed=3)
    return root


FAULTS = {  # of some scenes: id -> what must be said of it
    "2012_000001": "image 2012_000001 cannot be read",
    "2012_000003": "image 2012_000003 is missing: there is no file",
    "2012_000006": "the mask of image 2012_000006 is 96 x 48 pixels, the image 96 x 96",
    "2012_000008": "image 2012_000008 has no mask: there is no file",
}


@pytest.fixture(scope="module")
def faulty(scenes, tmp_path_factory):
    """The scenes with something wrong about some of them."""
    root = shutil.copytree(scenes, tmp_path_factory.mktemp("faulty") / "root")
    images, masks = root / "JPEGImages", root / "SegmentationClass"
    truncated = images / "2012_000001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:1500])
    (images / "2012_000003.jpg").unlink()
    Image.open(images / "2012_000005.jpg").convert("L").save(images / "2012_000005.jpg")
    write_mask(masks / "2012_000006.png", np.zeros((48, 96), np.uint8))
    (masks / "2012_000008.png").unlink()
    return root


@pytest.fixture(scope="module")
def whole(faulty, tmp_path_factory):
    """The folder of a run over all of train_aug, and what the chapter printed."""
    folder = tmp_path_factory.mktemp("whole")
    given = {"data_root": str(faulty), "workers": 1, **ALL}
    return folder, run_chapter("voc_rib", folder, to_its_end=True, **given)["printed"]


def test_images_that_fail_are_named_and_the_others_scored(whole, faulty):
    folder, printed = whole
    result = result_of(folder)
    assert result["failures"].keys() == FAULTS.keys()
    for image_id, said in FAULTS.items():
        assert result["failures"][image_id].startswith(said)
        assert f"left out: {image_id}: {said}" in printed
    metrics, ids = result["metrics"], sorted({*read_split(faulty, "train_aug")} - FAULTS.keys())
    masks = [read_mask(faulty / "SegmentationClass" / f"{name}.png") for name in ids]
    for maps, prefix in (("maps", ""), ("cam/maps", "cam_")):
        read = [read_maps(folder / maps / f"{name}.npz") for name in ids]
        for name, cuts in ((prefix, THRESHOLDS), (f"released_range_{prefix}", RELEASED_RANGE)):
            score = seed_miou(read, masks, cuts, 6)
            assert metrics[f"{name}seed_miou"] == score.best_miou
            assert metrics[f"{name}seed_threshold"] == score.best_threshold
    assert (metrics["images"], metrics["failed"]) == (7, 4)  # a grey image is one of the 7
    steps = [json.loads((folder / "steps" / f"{name}.json").read_text()) for name in ids]
    grown = [step["gap_logits"][-1] - step["gap_logits"][0] for step in steps]
    assert np.mean(grown) > 0
    assert metrics["logit_growth"] == pytest.approx(np.mean(grown))


def test_shards_in_one_folder_are_one_run(whole, faulty, tmp_path):
    given = {"data_root": str(faulty), **ALL}
    for shard, workers in (("0/2", 2), ("1/2", 0)):
        run_chapter("voc_rib", tmp_path, **given, shard=shard, workers=workers)
    together, alone = run_chapter("voc_rib", tmp_path, **given), result_of(whole[0])
    assert without_time(together["metrics"]) == without_time(alone["metrics"])
    assert together["failures"] == alone["failures"]
    assert together["settings_hash"] == alone["settings_hash"]
    assert arrays_of(tmp_path) == arrays_of(whole[0])


@pytest.fixture(scope="module")
def resnets(tmp_path_factory) -> dict[int, str]:
    """Small nets in place of theta_0: number of classes -> a file."""
    folder = tmp_path_factory.mktemp("nets")
    paths = {count: str(folder / f"{count}.safetensors") for count in (6, 20)}
    for count, path in paths.items():
        net(count, "resnet18").save(path, {"class_names": CLASS_NAMES[:count]})
    return paths


def test_vocs_settings_train_a_net_and_adapt_one(scenes, resnets, tmp_path):
    given = {"data_root": str(scenes), "split": "train_aug", "num_images": 4}
    given["variant"] = "released"  # the real images are adapted to as the paper says
    recipe = {**VOC, **ONE_EPOCH, "arch": "resnet18", "weights": "random"}
    trained = run_chapter("voc_classifier", tmp_path, **given, **recipe)
    assert (trained["images"], trained["failures"]) == (4, {})
    assert 0 <= trained["metrics"]["map"] <= 1
    assert trained["metrics"]["seed_miou"] == trained["metrics"]["cam_seed_miou"]
    theta_0 = load_classifier(tmp_path / "classifier.safetensors")
    assert weights_digest(theta_0) in trained["inputs"].values()
    given |= {**VOC_RIB, "iterations": 2, "classifier": resnets[6]}
    result = run_chapter("voc_rib", tmp_path / "rib", **given)
    assert (result["images"], result["failures"]) == (4, {})
    assert result["settings"]["rib"]["batch_choice"] == "disjoint"
    arrays = arrays_of(tmp_path / "rib")
    assert arrays["maps/2012_000001.npz"] != arrays["cam/maps/2012_000001.npz"]


@pytest.mark.skipif(not ANIMALS.is_dir(), reason="no ../shared/data/voc_animals beside this")
def test_photographs_settings_on_animals(tmp_path):
    """By the settings file, on eight of them: the last stage learns and moves; masks and nets."""
    values = read_settings_file(ROOT / "book/settings/voc_animals.yml")
    common = {"data_root": str(ANIMALS), "num_images": 3, "seed": 10}
    given = for_chapter(values, "voc_classifier", CHAPTERS) | common
    given["data"] |= {"num_training": 8, "num_validation": 5}
    given |= {"recipe": {"epochs": 1, "batch_size": 4}}
    trained = run_chapter("voc_classifier", tmp_path, **given)
    assert (trained["images"], trained["failures"]) == (3, {})
    theta_0 = load_classifier(tmp_path / "classifier.safetensors")
    start, same = CAMNet.imagenet(IN_PACKAGE), {"conv_stem": True, "blocks.4": True}
    for part in (*same, "blocks.5", "conv_head"):
        own, before = (net.backbone.get_submodule(part).state_dict() for net in (theta_0, start))
        alike = all(torch.equal(own[name], before[name]) for name in own)
        assert alike == same.get(part, False), part
    given = for_chapter(values, "voc_rib", CHAPTERS) | common
    (tmp_path / "classifier.safetensors").rename(tmp_path / "10.safetensors")
    given |= {"classifier": str(tmp_path / "{seed}.safetensors"), "rib": {"iterations": 2}}
    given |= {"split": "train", "data": {"labels_from": "masks"}}
    result = run_chapter("voc_rib", tmp_path / "rib", **given)
    assert (result["images"], result["failures"]) == (3, {})
    assert result["metrics"]["logit_growth"] > 0
    assert weights_digest(theta_0) in result["inputs"].values()
    given = for_chapter(values, "voc_masks", CHAPTERS) | common
    given |= {"split": "train", "data": {"labels_from": "masks"}, "maps_run": str(tmp_path / "rib")}
    given |= {"irn": {"epochs": 1, "crop_size": 64, "radius": 3, "walk_exponent": 2}}
    result = run_chapter("voc_masks", tmp_path / "masks_10", **given)
    assert (result["images"], result["failures"]) == (3, {})
    made = {"cam", "cam_irn", "rib", "rib_irn", *(("cam_crf", "rib_crf") * crf_available())}
    assert result["metrics"]["mask_miou"].keys() == made
    given = for_chapter(values, "voc_segmentation", CHAPTERS) | common
    given |= {"split": "train", "masks": str(tmp_path / "masks_{seed}"), "crf": False}
    given |= {"data": {"labels_from": "masks", "num_validation": 2}}
    given |= {"segment": {"steps": 2, "batch_size": 2, "crop_size": 65}}
    result = run_chapter("voc_segmentation", tmp_path / "net", **given)
    assert (result["images"], result["failures"]) == (2, {})
    assert result["metrics"]["val_miou"].keys() == {"cam_irn", "rib_irn", "truth"}


def test_what_cannot_be_computed_is_refused_first(faulty, resnets, tmp_path):
    twice, bad = tmp_path / "twice.txt", tmp_path / "bad.txt"
    twice.write_text("2012_000001\n2012_000002\n2012_000001\n")
    bad.write_text("".join(f"{image_id}\n" for image_id in FAULTS))
    for given, message in (
        ({"split": str(twice)}, "holds 1 ids more than once, such as 2012_000001"),
        ({"labels_from": "masks"}, "image 2012_000003 is missing"),
        ({"classifier": resnets[20]}, "num_classes is 20 there, 6 here"),
        ({"split": str(bad)}, "|".join(FAULTS.values())),  # none that could be scored
    ):
        given = {"data_root": str(faulty), **ALL, **given}
        with pytest.raises((OSError, ValueError), match=message):
            run_chapter("voc_rib", tmp_path / "run", **given)
        assert not (tmp_path / "run" / "result.json").exists()
    assert {path.split("/")[-1] for path in arrays_of(tmp_path / "run")} <= {
        f"{image_id}.npz" for image_id in FAULTS
    }


def test_without_masks_maps_are_made_and_nothing_is_scored(scenes, tmp_path):
    root = shutil.copytree(scenes, tmp_path / "root")
    shutil.rmtree(root / "SegmentationClass")
    given = {"data_root": str(root), "split": "train_aug", "num_images": 3, "iterations": 1}
    with pytest.warns(UserWarning, match="none of the 3 images has a mask: maps are made"):
        result = run_chapter("voc_rib", tmp_path / "voc_rib", to_its_end=True, **given)
    assert (result["images"], result["threshold"], result["failures"]) == (0, None, {})
    assert not [name for name in result["metrics"] if "miou" in name]
    assert len([*(tmp_path / "voc_rib" / "maps").iterdir()]) == 3
    assert scores_fault(result, tmp_path / "voc_rib") == ""
    settings = CHAPTERS["voc_masks"](data_root=str(root), maps_run=str(tmp_path / "voc_rib"))
    with pytest.raises(ValueError, match="the 1 images has a mask, and this chapter chooses"):
        settings.images()
