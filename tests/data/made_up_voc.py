"""VOC 2012 and SBD made up of tiny files, unpacked and as archives."""

import hashlib
import runpy
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import get_voc as voc_get
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy.io import savemat

from ribnb.core.voc import CLASS_NAMES, write_mask

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


def make_voc(folder: Path) -> Path:
    """VOCdevkit/VOC2012 in ``folder``; the images' annotations name classes in turn."""
    voc = folder / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / name).mkdir(parents=True)
    for name, ids in {"train": TRAIN, "val": VAL, "trainval": [*TRAIN, *VAL]}.items():
        write_list(voc / "ImageSets" / "Segmentation" / f"{name}.txt", ids)
    for place, name in enumerate([*TRAIN, *VAL, *OTHERS]):
        Image.new("RGB", (4, 2), (90, 120, 150)).save(voc / "JPEGImages" / f"{name}.jpg")
        (voc / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><object><name>{CLASS_NAMES[place]}</name><difficult>1</difficult>"
            "</object><object><name>person</name></object></annotation>"
        )
    for name in [*TRAIN, *VAL]:
        write_mask(voc / "SegmentationClass" / f"{name}.png", OWN)
    return voc


def make_sbd(folder: Path) -> Path:
    """benchmark_RELEASE/dataset in ``folder``, with an image of its own."""
    sbd = folder / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True)
    (sbd / "img").mkdir()
    write_list(sbd / "train.txt", SBD_TRAIN)
    write_list(sbd / "val.txt", SBD_VAL)
    for name in [*SBD_TRAIN, *SBD_VAL]:
        write_mat(sbd / "cls" / f"{name}.mat", THEIRS)
    (sbd / "img" / f"{SBD_TRAIN[0]}.jpg").write_bytes(b"an image")
    return sbd


def write_mat(path: Path, mask: np.ndarray) -> None:
    savemat(path, {"GTcls": {"Segmentation": mask, "CategoriesPresent": [3, 7]}})


def write_list(path: Path, ids) -> None:
    path.write_text("".join(f"{name}\n" for name in ids))


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
        )
        setattr(voc_get, name, source)


def run_script(monkeypatch, script: Path, *words) -> int:
    """A script of data_scripts in this process, where a test can change its addresses."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(script), run_name="__main__")
    return exit_.value.code
