"""What follows from VOC and SBD: lists, labels and masks; made-up data, archives on disk."""

import os
import runpy
import sys
from functools import partial

import made_up_voc as made_up
import numpy as np
import pytest
from conftest import ROOT
from made_up_voc import NO_LIST, OWN, SBD_TRAIN, SBD_VAL, THEIRS, TRAIN, TRAIN_AUG, VAL
from PIL import Image

from ribnb.core.palette import voc_palette
from ribnb.core.runner import run_jobs
from ribnb.data.voc import CLASS_NAMES, VOCImages, read_split
from ribnb.data.voc_aug_masks import read_sbd_mask
from ribnb.data.voc_get import get_voc
from ribnb.data.voc_official import train_aug_ids

SCRIPT = ROOT / "data_scripts" / "get_voc.py"


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """VOCtrainval.tar and benchmark.tgz of the small made-up data."""
    source = tmp_path_factory.mktemp("made_up")
    made_up.make_voc(source, others=[*SBD_TRAIN[:2], SBD_VAL[0], *NO_LIST])
    made_up.make_sbd(source)
    voc = made_up.pack(source, "VOCdevkit", source / "VOCtrainval.tar")
    return voc, made_up.pack(source, "benchmark_RELEASE", source / "benchmark.tgz")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def snapshot(folder) -> dict:
    """Names and times of change of all files and folders."""
    return {path: os.stat(path).st_mtime_ns for path in folder.rglob("*")}


def indices(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette()) == voc_palette().tobytes()
        return np.array(image)


# What is derived --------------------------------------------------------------------------


def test_lists_labels_and_masks_follow_from_the_archives(root, archives):
    report = get_voc(root, *archives)
    assert report.problems == []
    voc = report.folder
    assert voc == root / "VOCdevkit" / "VOC2012"
    assert {name: read_split(voc, name) for name in ("train", "val", "train_aug")} == {
        "train": TRAIN,
        "val": VAL,
        "train_aug": TRAIN_AUG,
    }

    masks = {path.stem: indices(path) for path in (voc / "SegmentationClassAug").glob("*.png")}
    assert masks.keys() == {*TRAIN_AUG, *VAL}
    for name, mask in masks.items():  # VOC's own where VOC has one, though SBD has it as well
        assert np.array_equal(mask, OWN if name in TRAIN + VAL else THEIRS)

    images = VOCImages(root, "train_aug", masks="SegmentationClassAug")
    assert [images.image(place).size for place in range(len(images))] == [(4, 2)] * 6
    assert images.mask(1)[0].tolist() == [7, 7, 0, 0]


def test_labels_are_those_of_all_annotations_and_count_difficult_objects(root, archives):
    voc = get_voc(root, *archives, with_sbd=False).folder
    with np.load(voc / "labels.npz", allow_pickle=False) as file:
        found = {name: file[name] for name in file}
    assert found.keys() == {"ids", "labels", "class_names"}
    ids = [*TRAIN, *VAL, *SBD_TRAIN[:2], SBD_VAL[0], *NO_LIST]  # as they were made
    assert found["ids"].tolist() == sorted(ids)
    assert found["class_names"].tolist() == list(CLASS_NAMES)
    assert found["labels"].dtype == np.uint8
    for place, name in enumerate(ids):
        row = found["labels"][sorted(ids).index(name)]
        assert {CLASS_NAMES[k] for k in row.nonzero()[0]} == {CLASS_NAMES[place], "person"}


def test_the_augmented_list_is_voc_train_and_sbd_less_val():
    assert train_aug_ids(["b", "a"], ["c", "d"], ["d", "e", "a", "A"]) == ["A", "a", "b", "e"]


def test_without_sbd_only_what_voc_gives_is_made(root, archives):
    report = get_voc(root, archives[0], with_sbd=False)
    assert (report.folder / "labels.npz").is_file()
    assert not (report.folder / "SegmentationClassAug").exists()
    assert not (report.folder / "ImageSets" / "Segmentation" / "train_aug.txt").exists()
    assert get_voc(root, None, archives[1]).problems == []  # later, with
    assert read_split(root, "train_aug") == TRAIN_AUG


def test_of_sbd_only_masks_and_lists_are_unpacked(root, archives):
    get_voc(root, *archives)
    assert {path.name for path in (root / "SBD").iterdir()} == {"cls", "train.txt", "val.txt"}
    assert {path.stem for path in (root / "SBD" / "cls").iterdir()} == {*SBD_TRAIN, *SBD_VAL}
    assert {path.name for path in root.iterdir()} == {"SBD", "VOCdevkit"}


def test_several_workers_write_the_same(root, tmp_path, archives, monkeypatch):
    monkeypatch.setattr("ribnb.data.voc_aug_masks.run_jobs", partial(run_jobs, chunk=4))  # else one
    files = []
    for workers in (1, 2):
        folder = get_voc(tmp_path / str(workers), *archives, workers=workers).folder
        masks = sorted((folder / "SegmentationClassAug").iterdir())
        files.append({path.name: path.read_bytes() for path in masks})
    assert files[0] == files[1]
    assert len(files[0]) == 8
    with pytest.raises(ValueError, match="workers must be at least 1"):
        get_voc(tmp_path / "0", *archives, workers=0)


@pytest.mark.parametrize("kind", [np.uint8, np.float64, np.int16])
def test_a_mask_of_sbd_is_read_whatever_numbers_it_is_kept_in(tmp_path, kind):
    made_up.write_mat(tmp_path / "a.mat", THEIRS.astype(kind))
    mask = read_sbd_mask(tmp_path / "a.mat")
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, THEIRS)


# What is there already --------------------------------------------------------------------


def test_a_second_call_does_nothing(root, archives):
    get_voc(root, *archives)
    before = snapshot(root)
    said = []
    report = get_voc(root, say=said.append)
    assert (report.done, report.problems, said) == ([], [], [])
    assert snapshot(root) == before


def test_only_what_is_missing_is_made_again(root, archives):
    voc = get_voc(root, *archives).folder
    before = snapshot(root)
    lost = voc / "SegmentationClassAug" / f"{TRAIN_AUG[1]}.png"
    lost.unlink()
    (voc / "labels.npz").write_bytes(b"half a file")
    left = voc / "SegmentationClassAug" / f".{TRAIN_AUG[1]}.png.123"
    left.write_bytes(b"of a call that was killed")
    report = get_voc(root)
    assert len(report.done) == 2
    changed = {path for path, when in snapshot(root).items() if before.get(path) != when}
    assert changed == {lost, voc / "labels.npz", lost.parent, voc}
    assert not left.exists()
    assert np.array_equal(indices(lost), THEIRS)


def test_a_new_annotation_makes_labels_anew(root, archives):
    voc = get_voc(root, *archives).folder
    source = voc / "Annotations" / f"{TRAIN[0]}.xml"
    (voc / "Annotations" / "2012_009999.xml").write_bytes(source.read_bytes())
    assert get_voc(root).done == ["wrote labels.npz: 10 images"]


def test_data_unpacked_by_hand_are_used(root):
    made_up.make_voc(root, others=[*SBD_TRAIN[:2], SBD_VAL[0]])
    made_up.make_sbd(root)  # benchmark_RELEASE, as tar leaves it
    assert get_voc(root).problems == []
    assert read_split(root, "train_aug") == TRAIN_AUG
    assert get_voc(root).done == []
    assert get_voc(root / "VOCdevkit" / "VOC2012").done == []  # the folder itself, without SBD


def test_with_list_and_masks_in_place_nobody_asks_for_sbd(root, archives):
    get_voc(root, *archives)
    (root / "SBD").rename(root / "gone")
    assert get_voc(root).done == []


def test_a_folder_half_unpacked_by_hand_is_not_taken_for_voc(root, archives):
    (root / "VOCdevkit" / "VOC2012" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="VOC2012 is there, but without Annotations, Image"):
        get_voc(root, *archives)
    (root / "VOCdevkit" / "VOC2012" / "JPEGImages").rmdir()
    assert get_voc(root, *archives).problems == []  # an empty one is filled


# The official ids -------------------------------------------------------------------------


@pytest.mark.skipif(not made_up.LISTS.is_dir(), reason="no ../shared/data/voc_lists beside this")
def test_the_official_ids_give_the_official_list(root):
    official = made_up.official_lists()
    train, val, aug = official["train"], official["val"], official["train_aug"]
    others = sorted({*aug} - {*train})
    others += [f"2012_9{number:05d}" for number in range(17_125 - 12_031)]
    made_up.make_voc(root, train, val, others)
    sbd = sorted([*aug, *val[: 11_355 - 10_582]])
    made_up.make_sbd(root, sbd[:8498], sbd[8498:])
    report = get_voc(root)
    assert (report.problems, report.warnings) == ([], [])
    written = report.folder / "ImageSets" / "Segmentation" / "train_aug.txt"
    assert written.read_bytes() == (made_up.LISTS / "train_aug.txt").read_bytes()
    assert len(list((report.folder / "SegmentationClassAug").iterdir())) == 12_031
    assert len(np.load(report.folder / "labels.npz")["ids"]) == 17_125


def test_counts_that_are_not_the_official_ones_are_noted(root, archives):
    notes = [note for note in get_voc(root, *archives).warnings if note.startswith("the list")]
    assert notes[0] == "the list train has 3 images; the official one has 1,464"
    assert notes[-1] == "the list train_aug has 6 images; the official one has 10,582"


# The command ------------------------------------------------------------------------------


def run_script(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return exit_.value.code


def test_the_command_has_a_help(monkeypatch, capsys):
    assert run_script(monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    for option in ("--voc-archive", "--sbd-archive", "--no-sbd", "--keep-archives", "--workers"):
        assert option in said


def test_the_command_says_what_it_made_and_then_that_there_is_nothing_to_do(
    root, archives, monkeypatch, capsys
):
    voc, sbd = archives
    assert run_script(monkeypatch, root, "--voc-archive", voc, "--sbd-archive", sbd) == 0
    said = capsys.readouterr()
    assert "wrote train_aug.txt: 6 images" in said.out
    assert "wrote 8 masks into SegmentationClassAug" in said.out
    assert said.out.splitlines()[-1] == f"{root / 'VOCdevkit' / 'VOC2012'} is complete"
    assert f"note: {voc} is not the official archive" in said.err
    assert run_script(monkeypatch, root) == 0
    expected = f"nothing to do: {root / 'VOCdevkit' / 'VOC2012'} is complete\n"
    assert capsys.readouterr().out == expected


def test_the_command_fails_in_words(root, archives, monkeypatch, capsys):
    missing = root.parent / "none.tar"
    assert run_script(monkeypatch, root, "--voc-archive", missing) == 1
    assert capsys.readouterr().err == f"there is no file {missing}, which --voc-archive names\n"
    assert not root.exists()

    file = root.parent / "file"
    file.write_text("")
    assert run_script(monkeypatch, file / "data", "--voc-archive", archives[0]) == 1
    expected = f"cannot make the folder {file / 'data'}: Not a directory; choose one"
    assert capsys.readouterr().err.startswith(expected)

    sbd = archives[1]
    assert run_script(monkeypatch, root, "--voc-archive", sbd, "--no-sbd") == 1
    assert f"{sbd} is not VOC 2012" in capsys.readouterr().err
    assert not (root / "VOCdevkit").exists()
