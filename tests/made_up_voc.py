"""VOC 2012 and SBD made up of tiny files, unpacked and as archives; nearly no bytes on disk."""

import os
import runpy
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy.io import savemat

from ribnb.core.voc import CLASS_NAMES, write_mask

LISTS = ROOT.parent / "shared" / "data" / "voc_lists"
WIDTH, HEIGHT = 4, 2
OWN = np.array([[0, 1, 1, 255], [20, 0, 15, 255]], np.uint8)  # a mask of VOC's
THEIRS = np.array([[7, 7, 0, 0], [0, 0, 3, 20]], np.uint8)  # a mask of SBD's

TRAIN = ["2007_000032", "2008_000008", "2011_000010"]
VAL = ["2007_000033", "2011_000003"]
# SBD has images of VOC's val in its train, and the other way round.
SBD_TRAIN = ["2011_000099", "2008_000002", "2007_000032", "2011_000003"]
SBD_VAL = ["2009_000005", "2007_000033", "2008_000008"]
TRAIN_AUG = [
    *("2007_000032", "2008_000002", "2008_000008"),
    *("2009_000005", "2011_000010", "2011_000099"),
]
NO_LIST = ["2010_000001"]  # has an image and an annotation only


def make_voc(folder: Path, train=TRAIN, val=VAL, others=()) -> Path:
    """VOCdevkit/VOC2012 in ``folder``; the images' annotations name classes in turn."""
    voc = folder / "VOCdevkit" / "VOC2012"  # hard links below: 17,000 images in a second
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / name).mkdir(parents=True)
    lists = {"train": train, "val": val, "trainval": [*train, *val]}
    for name, ids in lists.items():
        write_list(voc / "ImageSets" / "Segmentation" / f"{name}.txt", ids)
    image = folder / "image.jpg"
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 150)).save(image)
    annotations = [folder / f"{name}.xml" for name in CLASS_NAMES]
    for path in annotations:
        path.write_text(
            f"<annotation><object><name>{path.stem}</name><difficult>1</difficult></object>"
            "<object><name>person</name></object></annotation>"
        )
    mask = folder / "mask.png"
    write_mask(mask, OWN)
    for place, name in enumerate([*train, *val, *others]):
        os.link(image, voc / "JPEGImages" / f"{name}.jpg")
        os.link(annotations[place % 20], voc / "Annotations" / f"{name}.xml")
    for name in lists["trainval"]:
        os.link(mask, voc / "SegmentationClass" / f"{name}.png")
    return voc


def make_sbd(folder: Path, train=SBD_TRAIN, val=SBD_VAL) -> Path:
    """benchmark_RELEASE/dataset in ``folder``, with an image of its own and the code's example."""
    sbd = folder / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True)
    (sbd / "img").mkdir()
    example = folder / "benchmark_RELEASE" / "benchmark_code_RELEASE" / "demo" / "cls"
    example.mkdir(parents=True)
    write_list(sbd / "train.txt", train)
    write_list(sbd / "val.txt", val)
    mask = folder / "mask.mat"
    write_mat(mask, THEIRS)
    for name in [*train, *val]:
        os.link(mask, sbd / "cls" / f"{name}.mat")
    (sbd / "img" / f"{train[0]}.jpg").write_bytes(b"an image")
    (example / "2000_000000.mat").write_bytes(b"an example")
    return sbd


def write_mat(path: Path, mask: np.ndarray) -> None:
    savemat(path, {"GTcls": {"Segmentation": mask, "CategoriesPresent": [3, 7]}})


def write_list(path: Path, ids) -> None:
    path.write_text("".join(f"{name}\n" for name in ids))


def pack(folder: Path, top: str, archive: Path) -> Path:
    """A folder as a tar archive, compressed if its name says so."""
    mode = "w:gz" if archive.suffix == ".tgz" else "w"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, mode) as target:
        target.add(folder / top, top)
    return archive


def official_lists() -> dict[str, list[str]]:
    names = ("train", "val", "train_aug")
    return {name: (LISTS / f"{name}.txt").read_text().split() for name in names}


def run_script(monkeypatch, script: Path, *words) -> int:
    """A script of data_scripts in this process, where a test can change its addresses."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(script), run_name="__main__")
    return exit_.value.code
