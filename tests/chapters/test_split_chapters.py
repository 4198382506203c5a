"""The chapters on a whole split, on folders in VOC's layout: what they score, and what fails."""

import gc
import json

import numpy as np
import pytest
from PIL import Image
from plain_adaptation import one_thread  # noqa: F401
from small_split import net
from small_voc import SAMPLE, SAMPLE_IDS
from split_runs import arrays_of, result_of, run_chapter, without_time

from ribnb.core.voc import CLASS_NAMES, write_mask
from ribnb.data.scenes.layout import write_scenes
from ribnb.data.voc import read_split
from ribnb.nets.weights import CHECKPOINTS

SCENES = {"split": "train_aug", "num_images": 0, "iterations": 3}
TINY = {"arch": "resnet18", "crop_size": 48, "long_side_min": 40, "long_side_max": 64}
# As for VOC, at sizes for a CPU.
VOC_RIB = {
    "dataset": "voc",
    "iterations": 2,
    "learning_rate": 1e-3,
    "scales": [1.0, 0.5],
    "loss_scales": [1.0],
    "batch_size": 2,
    **{name: value for name, value in TINY.items() if name != "arch"},
}
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this"
)


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
    run_chapter("voc_rib", folder, to_its_end=True, data_root=str(scenes), **SCENES)
    return folder


@pytest.fixture(scope="module")
def resnets(tmp_path_factory):
    """Small nets in place of theta_0: the number of classes -> a file."""
    folder = tmp_path_factory.mktemp("nets")
    paths = {count: folder / f"{count}.safetensors" for count in (6, 20)}
    for count, path in paths.items():
        metadata = {"class_names": CLASS_NAMES[:count]}
        net(count, "resnet18").save(path, metadata)
    return {count: str(path) for count, path in paths.items()}


RELEASED_RANGE = [round(0.2 + k / 100, 2) for k in range(30)]
RANGE = sorted({*RELEASED_RANGE, *(round(0.02 * k, 2) for k in range(1, 41))})


def plain_score(
    maps, masks, ids, num_classes, thresholds=RANGE
) -> tuple[float, float, list[float]]:
    """Best mIoU in %, its threshold and its IoUs, from the definition: a class where its map is
    the highest and above the threshold; over classes that are true or predicted anywhere."""
    best = (-1.0, 0.0, [])
    for threshold in thresholds:
        hits, true, predicted = np.zeros((3, num_classes + 1))
        for image_id in ids:
            found = np.load(maps / f"{image_id}.npz")
            mask = np.asarray(Image.open(masks / f"{image_id}.png"))
            scores = np.concatenate([np.full((1, *mask.shape), threshold), found["high_res"]])
            seed = np.concatenate([[0], found["class_ids"] + 1])[scores.argmax(axis=0)]
            for value in range(num_classes + 1):
                hits[value] += ((seed == value) & (mask == value)).sum()
                true[value] += (mask == value).sum()
                predicted[value] += ((seed == value) & (mask != 255)).sum()
        union = true + predicted - hits
        iou = [100 * h / u for h, u in zip(hits, union, strict=True) if u]
        if np.mean(iou) > best[0]:
            best = (float(np.mean(iou)), threshold, iou)
    return best


# What is scored ---------------------------------------------------------------------------


def test_the_scores_are_those_of_a_plain_scorer(whole, scenes):
    metrics, ids = result_of(whole)["metrics"], read_split(scenes, "train_aug")
    masks = scenes / "SegmentationClass"
    miou, threshold, iou = plain_score(whole / "maps", masks, ids, 6)
    assert metrics["seed_miou"] == pytest.approx(miou, abs=1e-9)
    assert metrics["seed_threshold"] == threshold
    assert list(metrics["seed_iou_per_class"].values()) == pytest.approx(iou, abs=1e-9)
    miou, threshold, _ = plain_score(whole / "cam" / "maps", masks, ids, 6)
    assert metrics["cam_seed_miou"] == pytest.approx(miou, abs=1e-9)
    assert metrics["cam_seed_threshold"] == threshold
    assert (metrics["images"], metrics["failed"]) == (11, 0)
    for place, prefix in (("maps", ""), ("cam/maps", "cam_")):
        miou, threshold, _ = plain_score(whole / place, masks, ids, 6, RELEASED_RANGE)
        assert metrics[f"released_range_{prefix}seed_miou"] == pytest.approx(miou, abs=1e-9)
        assert metrics[f"released_range_{prefix}seed_threshold"] == threshold
    steps = [json.loads((whole / "steps" / f"{one}.json").read_text()) for one in ids]
    grown = [one["gap_logits"][-1] - one["gap_logits"][0] for one in steps]
    assert np.mean(grown) > 0
    assert metrics["logit_growth"] == pytest.approx(np.mean(grown))


def test_a_run_without_a_folder_has_the_same_metrics(whole, scenes, tmp_path, monkeypatch):
    """And leaves no file anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run_chapter("voc_rib", None, data_root=str(scenes), **SCENES)
    assert without_time(result["metrics"]) == without_time(result_of(whole)["metrics"])
    gc.collect()  # the chapter's variables, as the end of a kernel does
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"workers": 2}, {"workers": 2, "shard": "1/2"}])
def test_workers_change_no_map(whole, scenes, tmp_path, given):
    run_chapter("voc_rib", tmp_path, data_root=str(scenes), **SCENES, **given)
    found, alone = arrays_of(tmp_path), arrays_of(whole)
    assert len(found) == 22 if "shard" not in given else 10
    assert found == {name: alone[name] for name in found}


@pytest.mark.parametrize("chapter", ["voc_rib", "voc_classifier"])
@pytest.mark.parametrize("one", ["num_images", "split", "path"])
def test_one_image_is_enough(scenes, tmp_path, chapter, one):
    (tmp_path / "one.txt").write_text("2012_000004\n")
    given = {"data_root": str(scenes), "num_images": 0}
    given |= {"iterations": 2} if chapter == "voc_rib" else small_training(scenes)
    given |= {
        "num_images": {"num_images": 1, "split": "train_aug"},
        "split": {"split": "val"},
        "path": {"split": str(tmp_path / "one.txt")},
    }[one]
    result = run_chapter(chapter, tmp_path / "run", to_its_end=True, **given)
    assert result["images"] == result["metrics"]["images"] == 1
    name = {"num_images": "2012_000001", "split": "2012_000012", "path": "2012_000004"}[one]
    assert (tmp_path / "run" / "maps" / f"{name}.npz").is_file()


def small_training(scenes) -> dict:
    return {
        "data_root": str(scenes),
        "validation_split": "train",
        "num_training": 4,
        "epochs": 1,
        "batch_size": 2,
    }


# VOC's settings ---------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_vocs_settings_run_on_a_folder_of_scenes(scenes, resnets, tmp_path, variant):
    given = {"data_root": str(scenes), "split": "train_aug", "num_images": 4, "variant": variant}
    given |= {**VOC_RIB, "classifier": resnets[6]}
    result = run_chapter("voc_rib", tmp_path, **given)
    assert (result["images"], result["failures"]) == (4, {})
    expected = {"paper": "random", "released": "disjoint"}[variant]
    assert result["settings"]["rib"]["batch_choice"] == expected
    ids = [path.stem for path in sorted((tmp_path / "maps").iterdir())]
    miou, *_ = plain_score(tmp_path / "maps", scenes / "SegmentationClass", ids, 6)
    assert result["metrics"]["seed_miou"] == pytest.approx(miou, abs=1e-9)
    assert (
        arrays_of(tmp_path)["maps/2012_000001.npz"]
        != (arrays_of(tmp_path)["cam/maps/2012_000001.npz"])
    )


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_vocs_classifier_is_trained_on_a_folder_of_scenes(scenes, tmp_path, variant):
    given = {**TINY, **small_training(scenes), "dataset": "voc", "variant": variant}
    given |= {"weights": "random", "split": "train_aug", "num_images": 4}
    result = run_chapter("voc_classifier", tmp_path, **given)
    assert (result["images"], result["failures"]) == (4, {})
    assert 0 <= result["metrics"]["map"] <= 1
    assert result["metrics"]["seed_miou"] == result["metrics"]["cam_seed_miou"]
    # its net is one for voc_rib
    theta_0 = str(tmp_path / "classifier.safetensors")
    given = {"data_root": str(scenes), "split": "train_aug", "num_images": 2, "classifier": theta_0}
    again = run_chapter("voc_rib", tmp_path / "rib", **VOC_RIB, **given)
    assert again["inputs"] == result["inputs"]


@needs_sample
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


# What fails -------------------------------------------------------------------------------


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


FAULTY = pytest.mark.parametrize(
    ("chapter", "given"),
    [
        ("voc_rib", {"iterations": 2}),
        ("voc_rib", {"iterations": 2, "workers": 1}),
        ("voc_rib", VOC_RIB),
        ("voc_classifier", {"classifier": str(CHECKPOINTS / "scenes_3.safetensors")}),
    ],
    ids=["rib", "workers", "voc", "cam"],
)


@FAULTY
def test_images_that_fail_are_named_and_the_others_scored(
    faulty, whole, resnets, tmp_path, chapter, given
):
    voc = "dataset" in given
    given = {"data_root": str(tmp_path / "faulty"), "split": "train_aug", "num_images": 0, **given}
    given |= {"classifier": resnets[6]} if voc else {}
    result = run_chapter(chapter, tmp_path / "run", to_its_end=not voc, **given)
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


def refused(chapter, folder, **given) -> str:
    """What it says, after making sure that it left no result and no map."""
    with pytest.raises((OSError, ValueError)) as caught:
        run_chapter(chapter, folder, **given)
    assert not (folder / "result.json").exists()
    return str(caught.value)


@pytest.mark.parametrize("chapter", ["voc_rib", "voc_classifier"])
def test_an_id_listed_twice_is_named_before_anything_is_computed(scenes, tmp_path, chapter):
    (tmp_path / "twice.txt").write_text("2012_000001\n2012_000002\n2012_000001\n")
    given = {"data_root": str(scenes), "split": str(tmp_path / "twice.txt")}
    said = refused(chapter, tmp_path / "run", **given)
    assert "twice.txt holds 1 ids more than once, such as 2012_000001" in said
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("chapter", ["voc_rib", "voc_classifier"])
def test_if_all_images_fail_it_is_said_why(faulty, tmp_path, chapter):
    (tmp_path / "bad.txt").write_text("".join(f"{image_id}\n" for image_id in faulty))
    given = {"data_root": str(tmp_path / "faulty"), "split": str(tmp_path / "bad.txt")}
    given["classifier"] = str(CHECKPOINTS / "scenes_3.safetensors")
    said = refused(chapter, tmp_path / "run", **given)
    assert any(why in said for why in faulty.values())


def test_labels_that_cannot_be_had_are_said_before_anything_is_computed(faulty, tmp_path):
    given = {"data_root": str(tmp_path / "faulty"), **SCENES, "labels_from": "masks"}
    assert "image 2012_000003 is missing" in refused("voc_rib", tmp_path / "run", **given)
    (tmp_path / "faulty" / "Annotations" / "2012_000002.xml").unlink()
    given["labels_from"] = "annotations"
    assert "image 2012_000002 has no annotation" in refused("voc_rib", tmp_path / "run", **given)
    assert arrays_of(tmp_path / "run") == {}


def test_a_net_of_other_classes_is_refused(scenes, resnets, tmp_path):
    given = {"data_root": str(scenes), **SCENES, "classifier": resnets[20]}
    said = refused("voc_rib", tmp_path, **given)
    assert "num_classes is 20 there, 6 here" in said


def test_faulty_shards_are_one_run(faulty, tmp_path):
    given = {"data_root": str(tmp_path / "faulty"), **SCENES}
    alone = run_chapter("voc_rib", tmp_path / "whole", **given)
    for shard in ("0/2", "1/2"):
        run_chapter("voc_rib", tmp_path / "shared", **given, shard=shard)
    together = run_chapter("voc_rib", tmp_path / "shared", **given)
    assert without_time(together["metrics"]) == without_time(alone["metrics"])
    assert together["failures"] == alone["failures"]
    assert json.dumps(together["settings"]) == json.dumps(alone["settings"])
