"""A folder in VOC's layout, whole and with one thing wrong at a time."""

import re
import shutil

import made_up_voc as made_up
import numpy as np
import pytest
from check_data import check, table, unfit
from conftest import ROOT
from get_voc import get_voc
from made_up_voc import NO_LIST, TRAIN_AUG, VAL, run_script

from ribnb.core.voc import read_mask, write_mask

SCRIPT = ROOT / "data_scripts" / "check_data.py"
NAME = TRAIN_AUG[1]  # of SBD: in train_aug only


@pytest.fixture
def voc(tmp_path):
    """VOC's folder, complete, of made-up data."""
    made_up.make_sbd(tmp_path)
    voc = made_up.make_voc(tmp_path)
    assert get_voc(tmp_path) == []
    return voc


@pytest.mark.parametrize("quick", [False, True])
def test_a_whole_folder_is_good(voc, tmp_path, quick):
    folder, rows = check(tmp_path, quick)
    assert folder == voc
    assert [(name, row.there, row.expected) for name, row in rows.items()] == [
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
    assert not any(row.faulty for row in rows.values())


def mask_of(voc):
    return voc / "SegmentationClassAug" / f"{NAME}.png"


def broken_annotation(voc):
    (voc / "labels.npz").unlink()
    (voc / "Annotations" / f"{NAME}.xml").write_bytes(b"<annotation>")


def cut_mask(voc):
    mask_of(voc).write_bytes(mask_of(voc).read_bytes()[:-30])


# What is done, the row that names it, column and words there, and whether headers tell it.
WRONG = {
    "no mask": (lambda voc: mask_of(voc).unlink(), "train_aug", "missing", "no mask", True),
    "no picture": (
        lambda voc: (voc / "JPEGImages" / f"{NAME}.jpg").write_bytes(b"<html>"),
        *("JPEGImages", "unreadable", "cannot identify", True),
    ),
    "cut mask": (cut_mask, "SegmentationClassAug", "unreadable", "", False),
    "class 21": (
        lambda voc: write_mask(mask_of(voc), np.full((2, 4), 21, np.uint8)),
        *("SegmentationClassAug", "unreadable", r"holds \[21\], but there are 20", False),
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
    _, rows = check(voc)
    assert getattr(rows[where], column) == 1
    assert re.search(f"^{NAME}: .*{words}", rows[where].faults[0])
    assert getattr(rows["train_aug"], column) == 1
    assert getattr(rows["train"], column) == 0
    assert unfit(rows) == ["train_aug"]
    assert f"  {rows[where].faults[0]}" in table(rows).splitlines()
    assert bool(unfit(check(voc, quick=True)[1])) is quickly


def test_a_damaged_list_is_named_and_damage_that_no_list_needs_does_no_harm(voc):
    (voc / "JPEGImages" / f"{NO_LIST[0]}.jpg").write_bytes(b"no image")
    _, rows = check(voc)
    assert rows["JPEGImages"].unreadable == 1
    assert unfit(rows) == []
    (voc / "JPEGImages" / f"{VAL[0]}.png").write_bytes(b"")
    (voc / "SegmentationClass" / "a.tif").write_bytes(b"")
    _, rows = check(voc)
    assert "are there with two endings" in rows["JPEGImages"].doubts[0]
    assert "another ending than .png, .PNG, such as a.tif" in rows["SegmentationClass"].doubts[0]
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text(path.read_text() + f"{VAL[0]}\n")
    assert unfit(check(voc)[1]) == ["val"]


def test_stored_labels_must_be_whole_and_those_of_the_annotations(voc):
    path = voc / "labels.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["labels"][0] ^= 1
    np.savez(path, **arrays)
    fault = f"{arrays['ids'][0]}: its labels are not those of its annotation"
    assert check(voc)[1]["labels.npz"].faults == [fault]
    assert "train" in unfit(check(voc)[1])
    path.unlink()  # then they come from the annotations
    assert unfit(check(voc)[1]) == []


def test_masks_are_compared_with_labels_class_by_class(voc):
    _, rows = check(voc)
    assert "5 of 5 masks show other classes" in rows["SegmentationClass"].doubts[0]
    assert "SegmentationClass, to be looked at: 5 of 5 masks" in table(rows) and unfit(rows) == []
    for path in (voc / "SegmentationClass").iterdir():
        write_mask(path, np.where(read_mask(path) > 0, np.uint8(255), np.uint8(0)))
    _, rows = check(voc)
    assert "nothing but 0 and 255, and 255 is ignored" in table(rows)
    assert rows["val"].faults == ["the masks in SegmentationClass show none of the labels"]
    assert "val" in unfit(rows)
    for name in ("SegmentationClass", "SegmentationClassAug"):
        shutil.rmtree(voc / name)
    assert unfit(check(voc)[1]) == []  # without any, maps are made


def test_the_command_tells_by_its_exit_status(voc, tmp_path, monkeypatch, capsys):
    assert run_script(monkeypatch, SCRIPT, tmp_path) == 0
    assert "All that train, val, trainval, train_aug need is there" in capsys.readouterr().out
    cut_mask(voc)
    assert run_script(monkeypatch, SCRIPT, tmp_path, "--quick") == 0
    assert "names and headers only" in capsys.readouterr().out
    assert run_script(monkeypatch, SCRIPT, tmp_path) == 1
    said = capsys.readouterr().out
    assert f"  {NAME}: " in said
    assert "Not fit for use: train_aug." in said
    assert run_script(monkeypatch, SCRIPT, tmp_path / "other") == 1
    assert "is no folder in VOC 2012's layout" in capsys.readouterr().err
