"""Scenes on disk: VOC 2012's layout to the letter, the same bytes from any call that ends."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import ROOT, contents
from made_up_voc import run_script
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation

from ribnb.core.voc import voc_palette
from ribnb.data.scenes import images as scenes_images
from ribnb.data.scenes.images import SceneImages, split_ids, write_scenes
from ribnb.data.scenes.rendering import CLASS_NAMES
from ribnb.data.voc import VOCImages

NUM, SEED = 24, 3
SCRIPT = ROOT / "data_scripts" / "make_scenes.py"


@pytest.fixture(scope="module")
def devkit(tmp_path_factory) -> Path:
    """A folder whose VOCdevkit/VOC2012 holds 24 scenes of 96 x 128 pixels."""
    folder = tmp_path_factory.mktemp("devkit")
    assert write_scenes(folder / "VOCdevkit" / "VOC2012", NUM, (96, 128), SEED) == NUM
    return folder


@pytest.fixture
def root(devkit) -> Path:
    return devkit / "VOCdevkit" / "VOC2012"


def test_torchvision_reads_it(devkit):
    ids = split_ids(NUM)["trainval"]
    pairs = VOCSegmentation(devkit, year="2012", image_set="trainval")
    assert len(pairs) == len(ids)
    for image, mask in pairs:
        assert image.size == mask.size == (128, 96)
        assert image.mode == "RGB" and mask.mode == "P"
    for _, target in VOCDetection(devkit, year="2012", image_set="trainval"):
        note = target["annotation"]
        assert note["size"] == {"width": "128", "height": "96", "depth": "3"}
        assert note["filename"].removesuffix(".jpg") in ids
        for item in note["object"]:
            assert item["name"] in CLASS_NAMES[:6]
            assert item["difficult"] == "0"


@pytest.mark.parametrize(("split", "drawn_as"), [("train_aug", "train"), ("val", "val")])
def test_it_holds_what_the_scenes_in_memory_hold(root, split, drawn_as):
    stored = VOCImages(root, split)
    drawn = SceneImages(len(stored), (96, 128), SEED, drawn_as)
    assert stored.class_names == drawn.class_names
    assert torch.equal(stored.labels, drawn.labels)
    for index, image_id in enumerate(stored.ids):
        scene = drawn.scene(index)
        assert np.array_equal(stored.mask(index), scene.mask)
        for folder, array in (
            ("SegmentationObject", scene.instances),
            ("SegmentationPart", scene.parts),
            ("Saliency", scene.saliency),
        ):
            with Image.open(root / folder / f"{image_id}.png") as image:
                assert np.array_equal(np.array(image), array)
                if image.mode == "P":
                    assert bytes(image.getpalette()) == voc_palette().tobytes()
        error = np.asarray(stored.image(index)).astype(float) - scene.image
        assert np.abs(error).mean() < 5, "JPEG lost more than some of the noise"
        tree = ElementTree.parse(root / "Annotations" / f"{image_id}.xml")
        boxes = [
            tuple(int(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax"))
            for box in tree.iter("bndbox")
        ]
        assert boxes == [item.box for item in scene.objects]


def test_splits_have_vocs_sizes_and_part_the_images():
    sizes = {name: len(ids) for name, ids in split_ids(12_031).items()}
    assert sizes == {"train": 1464, "val": 1449, "train_aug": 10_582, "trainval": 2913}
    for num_images in (2, 3, 7, 100, 1000):
        splits = {name: set(ids) for name, ids in split_ids(num_images).items()}
        assert all(splits.values())
        assert splits["train"] <= splits["train_aug"]
        assert not splits["train_aug"] & splits["val"]
        assert len(splits["train_aug"] | splits["val"]) == num_images
        assert splits["trainval"] == splits["train"] | splits["val"]


def test_workers_change_no_byte(root, tmp_path):
    assert write_scenes(tmp_path / "other_name", NUM, (96, 128), SEED, workers=2) == NUM
    assert contents(tmp_path / "other_name") == contents(root)


def test_a_call_that_was_killed_is_completed(root, tmp_path, monkeypatch):
    original, calls = scenes_images.render_scene, []

    def dies_at_the_seventh(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(scenes_images, "render_scene", dies_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path, NUM, (96, 128), SEED)
    lists = tmp_path / "ImageSets" / "Segmentation"
    assert not list(lists.iterdir()), "a reader would take it for whole"
    monkeypatch.setattr(scenes_images, "render_scene", original)

    (tmp_path / "JPEGImages" / "2012_000001.jpg").unlink()
    kept = tmp_path / "JPEGImages" / "2012_000002.jpg"
    written = kept.stat().st_mtime_ns
    assert write_scenes(tmp_path, NUM, (96, 128), SEED) == NUM - 5
    assert kept.stat().st_mtime_ns == written, "a whole scene was drawn again"
    assert contents(tmp_path) == contents(root)
    assert write_scenes(tmp_path, NUM, (96, 128), SEED) == 0


def test_a_folder_of_other_scenes_or_of_something_else_is_left_alone(root, tmp_path):
    before = contents(root)
    for num_images, size, seed in ((NUM, (96, 128), 4), (NUM, 64, SEED), (25, (96, 128), SEED)):
        with pytest.raises(ValueError, match="holds scenes that were made otherwise"):
            write_scenes(root, num_images, size, seed)
    assert contents(root) == before
    photograph = tmp_path / "JPEGImages" / "2007_000032.jpg"
    photograph.parent.mkdir()
    photograph.write_bytes(b"not ours")
    with pytest.raises(FileNotFoundError, match=r"scenes\.json is missing"):
        write_scenes(tmp_path, 4)
    assert [*tmp_path.rglob("*")] == [photograph.parent, photograph]


def test_the_script_writes_width_by_height_or_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    words = ("--images", 3, "--size", "100x70", "--seed", 1, "--classes", 3)
    target = tmp_path / "scenes"
    assert run_script(monkeypatch, SCRIPT, target, *words) == 0
    assert "3 drawn now" in capsys.readouterr().out
    assert Image.open(target / "JPEGImages" / "2012_000001.jpg").size == (100, 70)
    assert len((target / "classes.txt").read_text().split()) == 3
    assert run_script(monkeypatch, SCRIPT, tmp_path / "other", "--images", 1) == 1
    assert "at least 2, so that train and val get one each" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
