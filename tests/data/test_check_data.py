"""A folder in VOC's layout, whole and with one thing wrong at a time."""

import os
import re
from functools import partial

import made_up_voc as made_up
import numpy as np
import pytest
from conftest import ROOT
from made_up_voc import NO_LIST, SBD_TRAIN, SBD_VAL, TRAIN_AUG, VAL, run_script
from PIL import Image

from ribnb.core.runner import run_jobs
from ribnb.core.voc import CLASS_NAMES, write_mask
from ribnb.data.scenes.layout import write_scenes
from ribnb.data.voc import VOCImages
from ribnb.data.voc_check import check_table, check_voc
from ribnb.data.voc_get import get_voc

SCRIPT = ROOT / "data_scripts" / "check_data.py"
NAME = TRAIN_AUG[1]  # of SBD: in train_aug only


@pytest.fixture
def voc(tmp_path):
    """VOC's folder, complete, of made-up data."""
    made_up.make_voc(tmp_path, others=[*SBD_TRAIN[:2], SBD_VAL[0], *NO_LIST])
    made_up.make_sbd(tmp_path)
    return get_voc(tmp_path).folder


def rows(report) -> dict:
    return {row.name: row for row in [*report.folders, *report.lists]}


@pytest.mark.parametrize("quick", [False, True])
def test_a_whole_folder_is_good_and_its_images_can_be_read(voc, tmp_path, quick):
    report = check_voc(tmp_path, quick)
    assert report.good
    assert report.folder == voc
    assert [(row.name, row.there, row.expected) for row in rows(report).values()] == [
        ("JPEGImages", 9, 17_125),
        ("Annotations", 9, 17_125),
        ("SegmentationClass", 5, 2913),
        ("SegmentationClassAug", 8, 12_031),
        ("labels.npz", 9, 17_125),
        ("train", 3, 1464),
        ("val", 2, 1449),
        ("trainval", 5, 2913),
        ("train_aug", 6, 10_582),
    ]
    assert not any(row.faults for row in rows(report).values())
    assert "All that train, val, trainval, train_aug need is there" in check_table(report)
    for split in ("train", "val", "train_aug"):
        images = VOCImages(voc, split)
        assert images.labels.shape == (len(images), len(CLASS_NAMES))
        for index in range(len(images)):
            assert images.mask(index).shape == images.image(index).size[::-1]


def image_of(voc):
    return voc / "JPEGImages" / f"{NAME}.jpg"


def mask_of(voc):
    return voc / "SegmentationClassAug" / f"{NAME}.png"


def write(path, content: bytes) -> None:
    """Not into the file: in made-up data all files are hard links of one."""
    path.unlink()
    path.write_bytes(content)


def no_labels(voc):
    (voc / "labels.npz").unlink()
    (voc / "Annotations" / f"{NAME}.xml").unlink()


def cut_image(voc):
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    image_of(voc).unlink()
    Image.fromarray(noise).save(image_of(voc))
    write(image_of(voc), image_of(voc).read_bytes()[:900])
    write_mask(mask_of(voc), np.zeros((40, 40), np.uint8))


def broken_annotation(voc):
    (voc / "labels.npz").unlink()
    write(voc / "Annotations" / f"{NAME}.xml", b"<annotation>")


def cut_mask(voc):
    write(mask_of(voc), mask_of(voc).read_bytes()[:-30])


# What is done, the row that names it, column and words there, and whether headers tell it.
WRONG = {
    "no image": (lambda voc: image_of(voc).unlink(), "train_aug", "missing", "no image", True),
    "no mask": (lambda voc: mask_of(voc).unlink(), "train_aug", "missing", "no mask", True),
    "no labels": (no_labels, "train_aug", "missing", "no labels", True),
    "cut image": (cut_image, "JPEGImages", "unreadable", "truncated", False),
    "empty image": (
        lambda voc: write(image_of(voc), b""),
        *("JPEGImages", "unreadable", "cannot identify", True),
    ),
    "cut mask": (cut_mask, "SegmentationClassAug", "unreadable", "", False),
    "colours": (
        lambda voc: Image.new("RGB", (4, 2)).save(mask_of(voc)),
        *("SegmentationClassAug", "unreadable", "is of mode RGB", True),
    ),
    "class 21": (
        lambda voc: write_mask(mask_of(voc), np.full((2, 4), 21, np.uint8)),
        *("SegmentationClassAug", "unreadable", r"holds \[21\], which are no classes", False),
    ),
    "turned mask": (
        lambda voc: write_mask(mask_of(voc), np.zeros((4, 2), np.uint8)),
        *("SegmentationClassAug", "wrong_size", "is 2 x 4, its image 4 x 2", True),
    ),
    "annotation": (broken_annotation, "Annotations", "unreadable", "no element found", False),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_thing_wrong_is_counted_and_named(voc, wrong):
    spoil, where, column, words, quickly = WRONG[wrong]
    spoil(voc)
    report = check_voc(voc)
    found = rows(report)
    assert getattr(found[where], column) == 1
    assert found[where].state == "faulty"
    assert re.search(f"^{NAME}: .*{words}", found[where].faults[0])
    assert getattr(found["train_aug"], column) == 1
    assert getattr(found["train"], column) == 0
    assert report.unfit == ["train_aug"]
    assert not report.good
    assert f"  {found[where].faults[0]}" in check_table(report).splitlines()
    assert check_voc(voc, quick=True).good is not quickly


def test_an_id_listed_twice_is_named_and_damage_that_no_list_needs_does_no_harm(voc):
    write(voc / "JPEGImages" / f"{NO_LIST[0]}.jpg", b"no image")
    report = check_voc(voc)
    assert rows(report)["JPEGImages"].unreadable == 1
    assert report.good
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + f"{VAL[0]}\n")
    assert check_voc(voc).unfit == ["val"]


def test_stored_labels_must_be_whole_and_those_of_the_annotations(voc):
    path = voc / "labels.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["labels"][0] ^= 1
    np.savez(path, **arrays)
    report = check_voc(voc)
    fault = f"{arrays['ids'][0]}: its labels are not those of its annotation"
    assert rows(report)["labels.npz"].faults == [fault]
    assert not report.good
    path.write_bytes(path.read_bytes()[:100])
    report = check_voc(voc)
    assert rows(report)["labels.npz"].unreadable == 1
    assert not report.good
    path.unlink()  # then they come from the annotations
    report = check_voc(voc)
    assert rows(report)["labels.npz"].state == "none"
    assert report.good


def test_only_the_first_faults_are_shown_and_several_workers_find_the_same(voc, monkeypatch):
    for name in TRAIN_AUG:
        os.unlink(voc / "JPEGImages" / f"{name}.jpg")
    text = check_table(check_voc(voc))
    assert "train_aug: 6 faults" in text
    assert "train: 3 faults" in text
    assert "  and 1 more\n" in text
    assert f"{TRAIN_AUG[5]}: no image" not in text.split("train_aug: 6 faults")[1]
    monkeypatch.setattr("ribnb.data.voc_check.run_jobs", partial(run_jobs, chunk=8))
    assert check_table(check_voc(voc, workers=2)) == text


def test_scenes_are_measured_by_their_own_lists(tmp_path):
    write_scenes(tmp_path, 12, 64)
    report = check_voc(tmp_path)
    assert report.good
    found = rows(report)
    assert found["JPEGImages"].expected == found["SegmentationClass"].expected == 12
    assert found.keys() == {
        *("JPEGImages", "Annotations", "SegmentationClass"),
        *("train", "val", "trainval", "train_aug"),
    }
    lines = [line for line in check_table(report).splitlines() if line.startswith("SegmentationC")]
    assert lines[0].split() == ["SegmentationClass", "12", "12", "0", "0", "0", "ok"]
    next((tmp_path / "SegmentationClass").iterdir()).unlink()
    report = check_voc(tmp_path)
    assert rows(report)["SegmentationClass"].missing == 1
    assert not report.good
    assert "make_scenes.py" in check_table(report)


def test_the_command_tells_by_its_exit_status(voc, tmp_path, monkeypatch, capsys):
    assert run_script(monkeypatch, SCRIPT, tmp_path, "--workers", "1") == 0
    assert "every file read to its end" in capsys.readouterr().out
    cut_mask(voc)
    assert run_script(monkeypatch, SCRIPT, tmp_path, "--quick") == 0
    assert "names and headers only" in capsys.readouterr().out
    assert run_script(monkeypatch, SCRIPT, tmp_path) == 1
    said = capsys.readouterr().out
    assert f"  {NAME}: " in said
    assert "Not fit for use: train_aug." in said
    assert run_script(monkeypatch, SCRIPT, tmp_path / "other") == 1
    assert "is no folder in VOC 2012's layout" in capsys.readouterr().err
