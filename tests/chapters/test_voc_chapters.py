"""The chapters on a whole data set, in VOC's layout: what they score, and what fails."""

import gc
import json

import numpy as np
import pytest
from PIL import Image
from small_split import net
from small_voc import SAMPLE, SAMPLE_IDS
from split_runs import SMALL, arrays_of, result_of, run_chapter, without_time

from ribnb.core.files import weights_digest
from ribnb.core.voc import CLASS_NAMES, read_mask, write_mask
from ribnb.data.scenes.images import SceneImages, write_scenes
from ribnb.data.voc import read_split
from ribnb.nets.classifier import load_classifier
from ribnb.scores.iou import mask_miou

ALL = {"split": "train_aug", "num_images": 0, "iterations": 3}
# As for VOC, at sizes for a CPU.
VOC = {"crop_size": 48, "long_side_min": 40, "long_side_max": 64, "batch_size": 2, "dataset": "voc"}
VOC_RIB = {**VOC, "learning_rate": 1e-3, "scales": [1.0, 0.5], "loss_scales": [1.0]}
ONE_EPOCH = {"validation_split": "train", "num_training": 4, "epochs": 1, "batch_size": 2}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder of 12 scenes: 11 in train_aug, one in val."""
    root = tmp_path_factory.mktemp("scenes") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIBNB_PROGRESS", "off")
        write_scenes(root, 12, seed=3)
    return root


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory):
    """The folder of a run over all of train_aug."""
    folder = tmp_path_factory.mktemp("whole")
    run_chapter("voc_rib", folder, to_its_end=True, data_root=str(scenes), **ALL)
    return folder


RELEASED_RANGE = [round(0.2 + k / 100, 2) for k in range(30)]
RANGE = sorted({*RELEASED_RANGE, *(round(0.02 * k, 2) for k in range(1, 41))})


def plain_score(maps, masks, ids, num_classes, thresholds=RANGE):
    """Best mIoU in %, its threshold and its IoUs, from the definition: a class where its map is
    the highest and above the threshold; over classes that are true or predicted anywhere."""
    best = (-1.0, 0.0, [])
    for threshold in thresholds:
        hits, true, predicted = np.zeros((3, num_classes + 1))
        for image_id in ids:
            arrays = np.load(maps / f"{image_id}.npz")
            mask = np.asarray(Image.open(masks / f"{image_id}.png"))
            scores = np.concatenate([np.full((1, *mask.shape), threshold), arrays["high_res"]])
            seed = np.concatenate([[0], arrays["class_ids"] + 1])[scores.argmax(axis=0)]
            for value in range(num_classes + 1):
                hits[value] += ((seed == value) & (mask == value)).sum()
                true[value] += (mask == value).sum()
                predicted[value] += ((seed == value) & (mask != 255)).sum()
        union = true + predicted - hits
        iou = [100 * h / u for h, u in zip(hits, union, strict=True) if u]
        if np.mean(iou) > best[0]:
            best = (float(np.mean(iou)), threshold, iou)
    return best


# Maps -------------------------------------------------------------------------------------


def test_the_scores_of_maps_are_those_of_a_plain_scorer(whole, scenes):
    result, ids = result_of(whole), read_split(scenes, "train_aug")
    metrics, masks = result["metrics"], scenes / "SegmentationClass"
    for folder, prefix in (("maps", ""), ("cam/maps", "cam_")):
        for name, thresholds in ((prefix, RANGE), (f"released_range_{prefix}", RELEASED_RANGE)):
            miou, threshold, iou = plain_score(whole / folder, masks, ids, 6, thresholds)
            assert metrics[f"{name}seed_miou"] == pytest.approx(miou, abs=1e-9)
            assert metrics[f"{name}seed_threshold"] == threshold
            if name == "":
                found = list(metrics["seed_iou_per_class"].values())
                assert found == pytest.approx(iou, abs=1e-9)
    assert (metrics["images"], metrics["failed"]) == (11, 0)
    steps = [json.loads((whole / "steps" / f"{name}.json").read_text()) for name in ids]
    grown = [step["gap_logits"][-1] - step["gap_logits"][0] for step in steps]
    assert np.mean(grown) > 0
    assert metrics["logit_growth"] == pytest.approx(np.mean(grown))


def test_a_run_without_a_folder_has_the_same_metrics(whole, scenes, tmp_path, monkeypatch):
    """And leaves no file anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run_chapter("voc_rib", None, data_root=str(scenes), **ALL)
    assert without_time(result["metrics"]) == without_time(result_of(whole)["metrics"])
    gc.collect()  # the chapter's variables, as the end of a kernel does
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("chapter", "given"), [("voc_rib", {"iterations": 2}), ("voc_classifier", ONE_EPOCH)]
)
def test_one_image_is_enough(scenes, tmp_path, chapter, given):
    (tmp_path / "one.txt").write_text("2012_000004\n")
    given = {**given, "num_images": 0, "split": str(tmp_path / "one.txt"), "data_root": str(scenes)}
    result = run_chapter(chapter, tmp_path / "run", to_its_end=True, **given)
    assert result["images"] == result["metrics"]["images"] == 1
    assert (tmp_path / "run" / "maps" / "2012_000004.npz").is_file()


@pytest.fixture(scope="module")
def resnets(tmp_path_factory) -> dict[int, str]:
    """Small nets in place of theta_0: number of classes -> a file."""
    folder = tmp_path_factory.mktemp("nets")
    paths = {count: str(folder / f"{count}.safetensors") for count in (6, 20)}
    for count, path in paths.items():
        net(count, "resnet18").save(path, {"class_names": CLASS_NAMES[:count]})
    return paths


@pytest.mark.parametrize(("variant", "choice"), [("paper", "random"), ("released", "disjoint")])
def test_vocs_settings_train_a_net_and_adapt_one(scenes, resnets, tmp_path, variant, choice):
    given = {"data_root": str(scenes), "split": "train_aug", "num_images": 4, "variant": variant}
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
    assert result["settings"]["rib"]["batch_choice"] == choice
    maps = tmp_path / "rib" / "maps"
    ids = [path.stem for path in sorted(maps.iterdir())]
    miou, *_ = plain_score(maps, scenes / "SegmentationClass", ids, 6)
    assert result["metrics"]["seed_miou"] == pytest.approx(miou, abs=1e-9)
    arrays = arrays_of(tmp_path / "rib")
    assert arrays["maps/2012_000001.npz"] != arrays["cam/maps/2012_000001.npz"]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this")
def test_the_real_images(resnets, tmp_path):
    given = {**VOC_RIB, "data_root": str(SAMPLE), "split": "val", "labels_from": "masks"}
    given |= {"classifier": resnets[20], "num_images": 0, "iterations": 1, "scales": [1.0]}
    result = run_chapter("voc_rib", tmp_path, **given)
    assert (result["images"], result["failures"]) == (3, {})
    masks = SAMPLE / "VOCdevkit" / "VOC2012" / "SegmentationClassAug"
    miou, threshold, iou = plain_score(tmp_path / "maps", masks, SAMPLE_IDS, 20)
    metrics = result["metrics"]
    assert (metrics["seed_miou"], metrics["seed_threshold"]) == (pytest.approx(miou), threshold)
    assert list(result["per_class_iou"].values()) == pytest.approx(iou)


# Images that fail -------------------------------------------------------------------------


@pytest.fixture
def faulty(scenes, tmp_path):
    """The scenes with something wrong about some of them: id -> what must be said of it."""
    for path in scenes.rglob("*"):
        if path.is_file():
            copy = tmp_path / "faulty" / path.relative_to(scenes)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    images, masks = (tmp_path / "faulty" / name for name in ("JPEGImages", "SegmentationClass"))
    truncated = images / "2012_000001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:1500])
    (images / "2012_000003.jpg").unlink()
    Image.open(images / "2012_000005.jpg").convert("L").save(images / "2012_000005.jpg")
    write_mask(masks / "2012_000006.png", np.zeros((48, 96), np.uint8))
    (masks / "2012_000008.png").unlink()
    return {
        "2012_000001": "image 2012_000001 cannot be read",
        "2012_000003": "image 2012_000003 is missing: there is no file",
        "2012_000006": "the mask of image 2012_000006 is 96 x 48 pixels, the image 96 x 96",
        "2012_000008": "image 2012_000008 has no mask: there is no file",
    }


@pytest.mark.parametrize(
    ("chapter", "given"),
    [("voc_rib", {"iterations": 2, "workers": 1}), ("voc_classifier", ONE_EPOCH)],
)
def test_images_that_fail_are_named_and_the_others_scored(faulty, tmp_path, chapter, given):
    given = {**given, "split": "train_aug", "num_images": 0}
    if chapter == "voc_classifier":
        (tmp_path / "good.txt").write_text("2012_000002\n2012_000004\n2012_000007\n")
        given |= {"training_split": str(tmp_path / "good.txt"), "num_training": 0}
        given |= {"validation_split": str(tmp_path / "good.txt")}
    result = run_chapter(
        chapter, tmp_path / "run", to_its_end=True, data_root=str(tmp_path / "faulty"), **given
    )
    assert result["failures"].keys() == faulty.keys()
    for image_id, said in faulty.items():
        assert result["failures"][image_id].startswith(said)
        assert f"left out: {image_id}: {said}" in result["printed"]
    assert (result["metrics"]["images"], result["metrics"]["failed"]) == (7, 4)
    scored = sorted({f"2012_{k:06}" for k in range(1, 12)} - faulty.keys())
    masks = tmp_path / "faulty" / "SegmentationClass"
    miou, threshold, _ = plain_score(tmp_path / "run" / "maps", masks, scored, 6)
    assert result["metrics"]["seed_miou"] == pytest.approx(miou, abs=1e-9)
    assert result["metrics"]["seed_threshold"] == threshold
    # the grey image is one among the others
    assert (tmp_path / "run" / "maps" / "2012_000005.npz").is_file()


def test_shards_in_one_folder_are_one_run(faulty, tmp_path):
    given = {"data_root": str(tmp_path / "faulty"), **ALL}
    alone = run_chapter("voc_rib", tmp_path / "whole", **given)
    for shard, workers in (("0/2", 2), ("1/2", 0)):
        run_chapter("voc_rib", tmp_path / "shared", **given, shard=shard, workers=workers)
    together = run_chapter("voc_rib", tmp_path / "shared", **given)
    assert without_time(together["metrics"]) == without_time(alone["metrics"])
    assert together["failures"] == alone["failures"]
    assert json.dumps(together["settings"]) == json.dumps(alone["settings"])
    assert arrays_of(tmp_path / "shared") == arrays_of(tmp_path / "whole")


def test_what_cannot_be_computed_is_refused_first(faulty, resnets, tmp_path):
    twice, bad = tmp_path / "twice.txt", tmp_path / "bad.txt"
    twice.write_text("2012_000001\n2012_000002\n2012_000001\n")
    bad.write_text("".join(f"{image_id}\n" for image_id in faulty))
    for given, message in (
        ({"split": str(twice)}, "holds 1 ids more than once, such as 2012_000001"),
        ({"labels_from": "masks"}, "image 2012_000003 is missing"),
        ({"classifier": resnets[20]}, "num_classes is 20 there, 6 here"),
        ({"split": str(bad)}, "|".join(faulty.values())),  # none that could be scored
    ):
        given = {"data_root": str(tmp_path / "faulty"), **ALL, **given}
        with pytest.raises((OSError, ValueError), match=message):
            run_chapter("voc_rib", tmp_path / "run", **given)
        assert not (tmp_path / "run" / "result.json").exists()
    assert {path.split("/")[-1] for path in arrays_of(tmp_path / "run")} <= {
        f"{image_id}.npz" for image_id in faulty
    }


# Masks and networks -----------------------------------------------------------------------


def masks_of(folder) -> dict:
    return {**SMALL["voc_masks"], "maps_run": str(folder / "rib")}


def networks_of(folder) -> dict:
    small = {name: value for name, value in SMALL["voc_segmentation"].items() if name != "retrain"}
    return {**small, "masks": str(folder / "masks")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each chapter, the later ones on what the earlier ones left."""
    folder = tmp_path_factory.mktemp("runs")
    run_chapter("voc_rib", folder / "rib", **SMALL["voc_rib"])
    run_chapter("voc_masks", folder / "masks", **masks_of(folder))
    run_chapter("voc_segmentation", folder / "networks", **networks_of(folder))
    return folder


def score_of(folder, images):
    masks = [read_mask(folder / f"{name}.png") for name in images.ids]
    truths = [images.mask(index) for index in range(len(images))]
    return mask_miou(masks, truths, class_names=images.class_names)


def test_the_scores_of_masks_and_networks_are_those_of_the_masks_that_are_there(runs):
    miou = result_of(runs / "masks")["metrics"]["mask_miou"]
    assert miou.keys() >= {"cam", "rib", "cam_irn", "rib_irn", "rib_saliency"}
    for kind, value in miou.items():
        score = score_of(runs / "masks" / "masks" / kind, SceneImages(8, seed=3))
        assert value == pytest.approx(score.miou)
    metrics, unseen = result_of(runs / "networks")["metrics"], SceneImages(5, seed=3, split="val")
    assert metrics["val_miou"].keys() == {"rib_irn", "truth"}
    for kind, value in metrics["val_miou"].items():
        score = score_of(runs / "networks" / f"predicted_{kind}" / "plain", unseen)
        assert value == pytest.approx(score.miou)
        known = {name: iou for name, iou in score.iou.items() if iou == iou}
        assert metrics["val_iou_per_class"][kind] == pytest.approx(known)


def test_the_results_say_what_was_done_and_to_what(runs):
    result = result_of(runs / "masks")
    rows = dict(row.split(": ", 1) for row in result["post_processing"].split("; "))
    assert rows.keys() == result["metrics"]["mask_miou"].keys()
    assert rows["cam"] == "none" and rows["rib_irn"] == "IRN"
    inputs = result["inputs"]
    assert inputs.keys() == {"maps of cam", "maps of rib", "IRN for cam", "IRN for rib"}
    assert len(set(inputs.values())) == 4


@pytest.mark.parametrize(
    ("chapter", "folder", "parameters"),
    [("voc_masks", "masks", masks_of), ("voc_segmentation", "networks", networks_of)],
)
def test_once_more_in_the_same_folder_nothing_is_made_again(runs, chapter, folder, parameters):
    def timeless():
        result = result_of(runs / folder)
        return {k: v for k, v in result.items() if k not in ("seconds", "date", "digest")}

    before = {path: path.stat().st_mtime_ns for path in (runs / folder).rglob("*.png")}
    first = timeless()
    again = run_chapter(chapter, runs / folder, **parameters(runs))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert timeless() == first
    assert ", 8 were there" in again["printed"] or ", 5 were there" in again["printed"]


def test_other_maps_and_damaged_masks_are_refused_before_any_training(runs, tmp_path):
    with pytest.raises(ValueError, match="maps of other images than the 7 here"):
        run_chapter("voc_masks", tmp_path / "out", **masks_of(runs) | {"num_images": 7})
    folder = tmp_path / "run" / "masks" / "rib_irn"
    folder.mkdir(parents=True)
    for path in (runs / "masks" / "masks" / "rib_irn").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    broken = folder / "s3_train_000004.png"
    broken.write_bytes(broken.read_bytes()[:100])
    given = networks_of(runs) | {"masks": str(tmp_path / "run")}
    with pytest.raises(ValueError, match=r"s3_train_000004"):
        run_chapter("voc_segmentation", tmp_path / "out", **given)
    with pytest.raises(ValueError, match=r"no mask of it in .*rib_iron"):
        run_chapter("voc_segmentation", tmp_path / "out", **given | {"supervision": ["rib_iron"]})
    assert not [*(tmp_path / "out").rglob("training*"), *(tmp_path / "out").rglob("*.safetensors")]
