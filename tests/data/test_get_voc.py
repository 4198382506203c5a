"""VOC and SBD, made up: what follows from them, over a bad line, damaged, killed on the way."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import made_up_voc as made_up
import numpy as np
import pytest
from broken_server import serving
from conftest import ROOT
from made_up_voc import NO_LIST, OWN, SBD_TRAIN, SBD_VAL, THEIRS, TRAIN, TRAIN_AUG, VAL, run_script
from PIL import Image

from ribnb.core.voc import CLASS_NAMES, voc_palette
from ribnb.data import voc_get
from ribnb.data.sbd import write_train_aug
from ribnb.data.voc import VOCImages, read_split
from ribnb.data.voc_get import get_voc

SCRIPT = ROOT / "data_scripts" / "get_voc.py"


@pytest.fixture(scope="module")
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


@pytest.fixture
def net(archives, monkeypatch):
    """Servers of both archives, which stand for the official ones."""
    voc, sbd = (path.read_bytes() for path in archives)
    with serving(content=voc) as first, serving(content=sbd) as second:
        for name, server in (("VOC", first), ("SBD", second)):
            content = server.content
            source = replace(
                getattr(voc_get, name),
                filename=f"{name}.tar",
                addresses=(server.url,),
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
                unpacked=len(content),
            )
            monkeypatch.setattr(voc_get, name, source)
        yield first, second


def snapshot(folder) -> dict:
    """Names and times of change of all files and folders."""
    return {path: os.stat(path).st_mtime_ns for path in folder.rglob("*")}


def indices(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette()) == voc_palette().tobytes()
        return np.array(image)


def whole(root) -> bool:
    """Whether everything is there, and nothing else but SBD."""
    masks = {path.stem for path in (root / voc_get.VOC.target / "SegmentationClassAug").iterdir()}
    names = {path.name for path in root.iterdir()}
    return names == {"SBD", "VOCdevkit"} and masks == {*TRAIN_AUG, *VAL}


# What is derived --------------------------------------------------------------------------


def test_lists_labels_and_masks_follow_from_the_archives(root, archives):
    report = get_voc(root, *archives)
    assert report.problems == []
    assert whole(root)
    voc = report.folder
    assert voc == root / "VOCdevkit" / "VOC2012"
    lists = {name: read_split(voc, name) for name in ("train", "val", "train_aug")}
    assert lists == {"train": TRAIN, "val": VAL, "train_aug": TRAIN_AUG}
    for path in (voc / "SegmentationClassAug").glob("*.png"):
        # VOC's own where VOC has one, though SBD has it as well
        assert np.array_equal(indices(path), OWN if path.stem in TRAIN + VAL else THEIRS)
    images = VOCImages(root, "train_aug")
    assert [images.image(index).size for index in range(len(images))] == [(4, 2)] * 6
    assert images.mask(1)[0].tolist() == [7, 7, 0, 0]
    assert {path.name for path in (root / "SBD").iterdir()} == {"cls", "train.txt", "val.txt"}
    assert {path.stem for path in (root / "SBD" / "cls").iterdir()} == {*SBD_TRAIN, *SBD_VAL}


def test_labels_are_those_of_all_annotations_and_count_difficult_objects(root, archives):
    voc = get_voc(root, archives[0], with_sbd=False).folder
    with np.load(voc / "labels.npz", allow_pickle=False) as file:
        found = {name: file[name] for name in file}
    ids = [*TRAIN, *VAL, *SBD_TRAIN[:2], SBD_VAL[0], *NO_LIST]  # as they were made
    assert found["ids"].tolist() == sorted(ids)
    assert found["class_names"].tolist() == list(CLASS_NAMES)
    for place, name in enumerate(ids):
        row = found["labels"][sorted(ids).index(name)]
        assert {CLASS_NAMES[k] for k in row.nonzero()[0]} == {CLASS_NAMES[place], "person"}
    assert not (voc / "SegmentationClassAug").exists()
    assert get_voc(root, None, archives[1]).problems == []  # later, with SBD
    assert whole(root)


@pytest.mark.skipif(not made_up.LISTS.is_dir(), reason="no ../shared/data/voc_lists beside this")
def test_the_official_ids_give_the_official_list(root):
    official = made_up.official_lists()
    train, val, aug = official["train"], official["val"], official["train_aug"]
    voc = made_up.make_voc(root, train, val)
    ids = sorted([*aug, *val[: 11_355 - 10_582]])
    assert write_train_aug(voc, made_up.make_sbd(root, ids[:8498], ids[8498:])) == 10_582
    written = voc / "ImageSets" / "Segmentation" / "train_aug.txt"
    assert written.read_bytes() == (made_up.LISTS / "train_aug.txt").read_bytes()


# What is there already --------------------------------------------------------------------


def test_a_second_call_does_nothing_and_only_what_is_missing_is_made_again(root, archives):
    voc = get_voc(root, *archives).folder
    before, said = snapshot(root), []
    report = get_voc(root, say=said.append)
    assert (report.done, report.problems, said) == ([], [], [])
    assert snapshot(root) == before
    lost = voc / "SegmentationClassAug" / f"{TRAIN_AUG[1]}.png"
    lost.unlink()
    (voc / "labels.npz").write_bytes(b"half a file")
    left = voc / "SegmentationClassAug" / f".{TRAIN_AUG[1]}.png.123"
    left.write_bytes(b"of a call that was killed")
    assert len(get_voc(root).done) == 2
    changed = {path for path, when in snapshot(root).items() if before.get(path) != when}
    assert changed == {lost, voc / "labels.npz", lost.parent, voc}
    assert np.array_equal(indices(lost), THEIRS)
    source = voc / "Annotations" / f"{TRAIN[0]}.xml"
    (voc / "Annotations" / "2012_009999.xml").write_bytes(source.read_bytes())
    assert get_voc(root).done == ["wrote labels.npz: 10 images"]


def test_data_unpacked_by_hand_are_used(root):
    made_up.make_voc(root, others=[*SBD_TRAIN[:2], SBD_VAL[0]])
    sbd = made_up.make_sbd(root)  # benchmark_RELEASE, as tar leaves it
    assert get_voc(root).problems == []
    assert read_split(root, "train_aug") == TRAIN_AUG
    sbd.rename(root / "gone")  # with list and masks in place nobody asks for SBD
    assert get_voc(root).done == []
    assert get_voc(root / "VOCdevkit" / "VOC2012").done == []  # the folder itself


def test_a_folder_half_unpacked_by_hand_is_not_taken_for_voc(root, archives):
    (root / "VOCdevkit" / "VOC2012" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="VOC2012 is there, but without Annotations, Image"):
        get_voc(root, *archives)
    (root / "VOCdevkit" / "VOC2012" / "JPEGImages").rmdir()
    assert get_voc(root, *archives).problems == []  # an empty one is filled


# The line ---------------------------------------------------------------------------------


def test_downloads_unpacks_and_removes_the_archives_unless_they_are_kept(root, net):
    first, second = net
    assert get_voc(root).problems == []
    assert whole(root)
    shutil.rmtree(root)
    get_voc(root, keep_archives=True)
    assert {"VOC.tar", "SBD.tar"} <= {path.name for path in root.iterdir()}
    shutil.rmtree(root / "VOCdevkit")
    shutil.rmtree(root / "SBD")
    get_voc(root)
    assert (first.ranges, second.ranges) == ([None, None], [None, None])
    assert (root / "VOC.tar").is_file()  # what was not fetched now is not removed


def test_a_broken_download_is_continued_by_the_next_call(root, net):
    first, second = net
    first.sends = 20_000
    with pytest.raises(OSError, match="the line broke after 20000 of") as caught:
        get_voc(root)
    assert f"put it at {root / 'VOC.tar'}" in str(caught.value)
    assert "give it with --voc-archive FILE" in str(caught.value)
    assert not (root / "VOCdevkit").exists()
    first.sends, content, second.content = None, second.content, None
    with pytest.raises(OSError, match=r"404(.|\n)*--sbd-archive FILE"):
        get_voc(root)
    assert (root / "VOCdevkit" / "VOC2012" / "labels.npz").is_file()  # what VOC alone gives
    second.content = content
    get_voc(root)
    assert first.ranges == [None, "bytes=20000-"]
    assert whole(root)


def test_an_archive_put_there_by_hand_must_be_the_official_one(root, archives):
    root.mkdir()
    by_hand = root / voc_get.VOC.filename
    by_hand.write_bytes(archives[0].read_bytes())
    with pytest.raises(OSError, match=rf"{by_hand} is not the official archive.*--voc-archive"):
        get_voc(root, sbd_archive=archives[1])
    report = get_voc(root, by_hand, archives[1])
    assert report.problems == [] and "is not the official archive" in report.warnings[0]
    assert by_hand.exists()  # a user's own


def test_a_disk_that_is_too_small_is_noticed_first(root, monkeypatch):
    small = shutil.disk_usage("/")._replace(free=10_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: small)
    with pytest.raises(OSError, match=r"0\.0 GB free, but 4\.0 GB are needed .* Make room"):
        get_voc(root)
    assert not root.exists()


# Damaged and killed -----------------------------------------------------------------------


def test_an_archive_cut_short_leaves_nothing(root, archives, tmp_path):
    for place, archive in enumerate(archives):
        cut = tmp_path / archive.name
        cut.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        with pytest.raises(OSError, match="damaged or cut short"):
            get_voc(root, *(cut if k == place else path for k, path in enumerate(archives)))
        assert not (root / ".unpacking").exists()
    assert not (root / "SBD").exists()
    assert get_voc(root, *archives).problems == []
    assert whole(root)


# What kills the process: the unpacking of a member, or the writing of a mask.
KILL = """
import os, sys, tarfile
from ribnb.data import sbd, voc_get
where = {"_extract_member": tarfile.TarFile, "_make_mask": sbd}[sys.argv[1]]
real, left = getattr(where, sys.argv[1]), int(sys.argv[2])
def counted(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return real(*arguments, **options)
setattr(where, sys.argv[1], counted)
voc_get.get_voc(*sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("place", "after", "left"),
    [
        ("_extract_member", 15, {".unpacking"}),  # the members of VOC
        ("_extract_member", 36, {".unpacking", "VOCdevkit"}),  # SBD's
        ("_make_mask", 3, {"SBD", "VOCdevkit"}),  # 8 masks
    ],
)
def test_killed_at_any_moment_the_next_call_finishes(root, archives, place, after, left):
    words = [sys.executable, "-c", KILL, place, str(after), root, *archives]
    assert subprocess.run(words, check=False).returncode == -9
    assert {path.name for path in root.iterdir()} == left
    assert get_voc(root, *archives).problems == []
    assert whole(root)
    assert read_split(root, "train_aug") == TRAIN_AUG


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "class": lambda path: made_up.write_mat(path, THEIRS + 1),
    "fraction": lambda path: made_up.write_mat(path, THEIRS + 0.5),
    "colours": lambda path: made_up.write_mat(path, np.zeros((2, 4, 3), np.uint8)),
    "size": lambda path: made_up.write_mat(path, THEIRS[:, :3]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_mask_of_sbd_is_named_and_the_rest_is_made(root, archives, damage):
    get_voc(root, archives[0], with_sbd=False)
    sbd = made_up.make_sbd(root)
    path, name = sbd / "cls" / f"{TRAIN_AUG[1]}.mat", TRAIN_AUG[1]
    content = path.read_bytes()
    path.unlink()  # it is a hard link of all
    path.write_bytes(content)
    DAMAGE[damage](path)
    report = get_voc(root)
    (problem,) = report.problems
    assert problem.startswith(f"{name}: ")
    assert str(path) in problem
    made = {mask.stem for mask in (report.folder / "SegmentationClassAug").iterdir()}
    assert made == {*TRAIN_AUG, *VAL} - {name}
    path.write_bytes(content)
    assert get_voc(root).done == ["wrote 1 masks into SegmentationClassAug"]


def test_damage_in_voc_is_named_and_the_rest_is_made(root, archives):
    voc = get_voc(root, archives[0], with_sbd=False).folder
    (voc / "labels.npz").unlink()
    mask = voc / "SegmentationClass" / f"{TRAIN[0]}.png"
    content = mask.read_bytes()[:60]
    mask.unlink()
    mask.write_bytes(content)
    image = voc / "JPEGImages" / f"{TRAIN_AUG[-1]}.jpg"
    image.unlink()
    annotation = voc / "Annotations" / f"{TRAIN[1]}.xml"
    annotation.write_text("<annotation><object>")
    problems = get_voc(root, None, archives[1]).problems
    starts = ["labels.npz was not made", TRAIN[0], TRAIN_AUG[-1]]
    assert [problem.split(":")[0] for problem in problems] == starts
    for problem, path in zip(problems, (annotation, mask, image), strict=True):
        assert str(path) in problem
    assert not (voc / "labels.npz").exists()


# The command ------------------------------------------------------------------------------


def test_the_command_says_what_it_made_and_what_went_wrong(root, archives, monkeypatch, capsys):
    voc, sbd = archives
    missing = root.parent / "none.tar"
    assert run_script(monkeypatch, SCRIPT, root, "--voc-archive", missing) == 1
    assert capsys.readouterr().err == f"there is no file {missing}, which --voc-archive names\n"
    assert not root.exists()
    assert run_script(monkeypatch, SCRIPT, root, "--voc-archive", sbd, "--no-sbd") == 1
    assert f"{sbd} is not VOC 2012" in capsys.readouterr().err
    assert not (root / "VOCdevkit").exists()
    assert run_script(monkeypatch, SCRIPT, root, "--voc-archive", voc, "--sbd-archive", sbd) == 0
    said = capsys.readouterr()
    assert "wrote train_aug.txt: 6 images" in said.out
    assert "wrote 8 masks into SegmentationClassAug" in said.out
    assert said.out.splitlines()[-1] == f"{root / 'VOCdevkit' / 'VOC2012'} is complete"
    assert f"note: {voc} is not the official archive" in said.err
    assert run_script(monkeypatch, SCRIPT, root) == 0
    expected = f"nothing to do: {root / 'VOCdevkit' / 'VOC2012'} is complete\n"
    assert capsys.readouterr().out == expected
