"""VOC 2012 and SBD made up of tiny files, unpacked and as archives; nearly no bytes on disk."""

import hashlib
import os
import runpy
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy.io import savemat

from ribnb.core.voc import CLASS_NAMES, write_mask
from ribnb.data import voc_get

LISTS = ROOT.parent / "shared" / "data" / "voc_lists"
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
OTHERS = [*SBD_TRAIN[:2], SBD_VAL[0], *NO_LIST]


def make_voc(folder: Path, train=TRAIN, val=VAL, others=OTHERS) -> Path:
    """VOCdevkit/VOC2012 in ``folder``; the images' annotations name classes in turn."""
    voc = folder / "VOCdevkit" / "VOC2012"  # hard links below: 17,000 images in a second
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / name).mkdir(parents=True)
    lists = {"train": train, "val": val, "trainval": [*train, *val]}
    for name, ids in lists.items():
        write_list(voc / "ImageSets" / "Segmentation" / f"{name}.txt", ids)
    image = folder / "image.jpg"
    Image.new("RGB", (4, 2), (90, 120, 150)).save(image)
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
    """benchmark_RELEASE/dataset in ``folder``, with an image of its own."""
    sbd = folder / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True)
    (sbd / "img").mkdir()
    write_list(sbd / "train.txt", train)
    write_list(sbd / "val.txt", val)
    mask = folder / "mask.mat"
    write_mat(mask, THEIRS)
    for name in [*train, *val]:
        os.link(mask, sbd / "cls" / f"{name}.mat")
    (sbd / "img" / f"{train[0]}.jpg").write_bytes(b"an image")
    return sbd


def write_mat(path: Path, mask: np.ndarray) -> None:
    savemat(path, {"GTcls": {"Segmentation": mask, "CategoriesPresent": [3, 7]}})


def write_list(path: Path, ids) -> None:
    path.write_text("".join(f"{name}\n" for name in ids))


def rewritten(path: Path, content: bytes) -> None:
    """Not into the file: in made-up data all files are hard links of one."""
    path.unlink()
    path.write_bytes(content)


def make_archives(folder: Path) -> list[Path]:
    """VOC.tar and SBD.tgz in a folder, whose data lie beside them."""
    make_voc(folder), make_sbd(folder)
    for name, mode, data in (
        ("VOC.tar", "w", "VOCdevkit"),
        ("SBD.tgz", "w:gz", "benchmark_RELEASE"),
    ):
        with tarfile.open(folder / name, mode) as target:
            target.add(folder / data, data)
    return [folder / "VOC.tar", folder / "SBD.tgz"]


def made_official(archives, addresses=("", "")) -> None:
    """Let these archives stand for the official ones, wherever they lie."""
    for name, path, address in zip(("VOC", "SBD"), archives, addresses, strict=True):
        content = Path(path).read_bytes()
        source = replace(
            getattr(voc_get, name),
            archive=Path(path).name,
            addresses=(address,),
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            unpacked=len(content),
        )
        setattr(voc_get, name, source)


def run_script(monkeypatch, script: Path, *words) -> int:
    """A script of data_scripts in this process, where a test can change its addresses."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(script), run_name="__main__")
    return exit_.value.code
