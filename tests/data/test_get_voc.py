"""VOC and SBD, made up: what follows from them, over a bad line, damaged, killed on the way."""

import shutil
import subprocess
import sys
from pathlib import Path

import made_up_voc as made_up
import numpy as np
import pytest
from broken_server import serving
from conftest import ROOT, times
from made_up_voc import NO_LIST, OTHERS, OWN, THEIRS, TRAIN, TRAIN_AUG, VAL, voc_get
from PIL import Image

from ribnb.core.voc import CLASS_NAMES, voc_palette
from ribnb.data.labels import read_labels
from ribnb.data.voc import read_split

get_voc = voc_get.get_voc


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """VOC.tar and SBD.tgz of the small made-up data."""
    return made_up.make_archives(tmp_path_factory.mktemp("made_up"))


@pytest.fixture(autouse=True)
def official(archives, monkeypatch):
    """The archives stand for the official ones."""
    for name in ("VOC", "SBD"):
        monkeypatch.setattr(voc_get, name, getattr(voc_get, name))  # as it is again afterwards
    made_up.made_official(archives)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def voc(root):
    return root / "VOCdevkit" / "VOC2012"


def indices(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette()) == voc_palette().tobytes()
        return np.array(image)


def whole(root) -> bool:
    """Whether everything is there, and nothing else but SBD."""
    paths = (root / "VOCdevkit" / "VOC2012" / "SegmentationClassAug").iterdir()
    # a killed call may have left the beginning of a file under another name
    masks = {path.stem for path in paths if not path.name.startswith(".")}
    names = {path.name for path in root.iterdir()}
    return names == {"benchmark_RELEASE", "VOCdevkit"} and masks == {*TRAIN_AUG, *VAL}


def test_lists_labels_and_masks_follow_from_the_archives(root, voc, archives):
    assert get_voc(root, archives[0], with_sbd=False) == []
    assert not (voc / "SegmentationClassAug").exists()
    assert get_voc(root, None, archives[1]) == []  # later, with SBD
    assert whole(root)
    lists = {name: read_split(voc, name) for name in ("train", "val", "train_aug")}
    assert lists == {"train": TRAIN, "val": VAL, "train_aug": TRAIN_AUG}
    for path in (voc / "SegmentationClassAug").glob("*.png"):
        # VOC's own where VOC has one, though SBD has it as well
        assert np.array_equal(indices(path), OWN if path.stem in TRAIN + VAL else THEIRS)
    sbd = root / "benchmark_RELEASE" / "dataset"
    assert {path.name for path in sbd.iterdir()} == {"cls", "train.txt", "val.txt"}
    stored, ids = read_labels(voc / "labels.npz"), [*TRAIN, *VAL, *OTHERS]  # as they were made
    assert stored.ids == sorted(ids) and stored.class_names == CLASS_NAMES
    for place, name in enumerate(ids):  # difficult objects count
        row = stored.labels[sorted(ids).index(name)]
        assert {CLASS_NAMES[k] for k in row.nonzero()[:, 0]} == {CLASS_NAMES[place], "person"}


@pytest.mark.skipif(not made_up.LISTS.is_dir(), reason="no ../shared/data/voc_lists beside this")
def test_the_official_ids_give_the_official_list(root):
    names = ("train", "val", "train_aug")
    train, val, aug = ((made_up.LISTS / f"{name}.txt").read_text().split() for name in names)
    voc, sbd = made_up.make_voc(root), made_up.make_sbd(root)
    lists = voc / "ImageSets" / "Segmentation"
    made_up.write_list(lists / "train.txt", train)
    made_up.write_list(lists / "val.txt", val)
    ids = sorted([*aug, *val[: 11_355 - 10_582]])
    made_up.write_list(sbd / "train.txt", ids[:8498])
    made_up.write_list(sbd / "val.txt", ids[8498:])
    assert voc_get.write_train_aug(voc, sbd) == 10_582
    written = (lists / "train_aug.txt").read_bytes()
    assert written == (made_up.LISTS / "train_aug.txt").read_bytes()


def test_a_second_call_does_nothing_and_only_what_is_missing_is_made_again(root, voc, archives):
    get_voc(root, *archives)
    before, said = times(root), []
    assert get_voc(root, say=said.append) == said == []
    assert times(root) == before
    lost = voc / "SegmentationClassAug" / f"{TRAIN_AUG[1]}.png"
    lost.unlink()
    (voc / "labels.npz").write_bytes(b"half a file")
    assert get_voc(root) == []
    changed = {path for path, when in times(root).items() if before.get(path) != when}
    assert changed == {lost, voc / "labels.npz", lost.parent, voc}
    assert np.array_equal(indices(lost), THEIRS)
    source = voc / "Annotations" / f"{TRAIN[0]}.xml"
    (voc / "Annotations" / "2012_009999.xml").write_bytes(source.read_bytes())
    get_voc(root, say=said.append)
    assert said == ["reading 10 annotations", "wrote labels.npz: 10 images"]


def test_data_unpacked_by_hand_are_used(root, voc):
    made_up.make_voc(root)
    sbd = made_up.make_sbd(root)  # benchmark_RELEASE, as tar leaves it
    assert get_voc(root) == []
    assert read_split(root, "train_aug") == TRAIN_AUG
    sbd.rename(root / "gone")  # with list and masks in place nobody asks for SBD
    assert get_voc(root) == []
    assert get_voc(voc) == []  # the folder itself
    (voc / "Annotations").rename(root / "annotations")
    with pytest.raises(FileNotFoundError, match="VOC2012 is there, but without Annotations"):
        get_voc(root)


def test_what_is_downloaded_is_continued_by_the_next_call_and_removed_once_unpacked(
    root, voc, archives
):
    contents = [path.read_bytes() for path in archives]
    with serving(content=contents[0], sends=20_000) as first, serving(content=None) as second:
        made_up.made_official(archives, (first.url, second.url))
        with pytest.raises(OSError, match="the line broke after 20000 of") as caught:
            get_voc(root)
        assert f"put it at {root / 'VOC.tar'}" in str(caught.value)
        assert not (root / "VOCdevkit").exists()
        first.sends = None
        with pytest.raises(OSError, match="404"):
            get_voc(root)
        assert (voc / "labels.npz").is_file()  # what VOC alone gives
        second.content = contents[1]
        assert get_voc(root) == []
        assert first.ranges == [None, "bytes=20000-"]
    assert whole(root)


def test_what_cannot_be_unpacked_is_refused_and_leaves_nothing(root, archives, tmp_path):
    cut = tmp_path / "cut.tar"
    cut.write_bytes(archives[0].read_bytes()[:20_000])
    with pytest.raises(OSError, match=rf"{cut} is not the official archive, or damaged"):
        get_voc(root, cut)
    with pytest.raises(FileNotFoundError, match=r"none\.tar"):
        get_voc(root, tmp_path / "none.tar")
    assert list(root.iterdir()) == []
    shutil.copy(archives[0], root / "VOC.tar")  # put there by hand
    assert get_voc(root, sbd_archive=archives[1]) == []
    assert (root / "VOC.tar").is_file()  # a user's own


# What kills the process: the unpacking of a member, or the writing of a mask.
KILL = """
import os, sys, tarfile
sys.path[:0] = sys.argv.pop(1), sys.argv.pop(1)
import conftest  # which finds the commands
from made_up_voc import made_official, voc_get
where = {"_extract_member": tarfile.TarFile, "read_mask": voc_get}[sys.argv[1]]
real, left = getattr(where, sys.argv[1]), int(sys.argv[2])
def counted(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return real(*arguments, **options)
setattr(where, sys.argv[1], counted)
made_official(sys.argv[4:])
voc_get.get_voc(*sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("place", "after", "left"),
    [
        ("_extract_member", 36, {".unpacking", "VOCdevkit"}),  # SBD's
        ("read_mask", 3, {"benchmark_RELEASE", "VOCdevkit"}),  # 5 masks of VOC's own
    ],
)
def test_killed_at_any_moment_the_next_call_finishes(root, archives, place, after, left):
    paths = Path(made_up.__file__).parent, ROOT / "tests"
    words = [sys.executable, "-c", KILL, *paths, place, str(after), root, *archives]
    assert subprocess.run(words, check=False).returncode == -9
    assert {path.name for path in root.iterdir()} == left
    assert get_voc(root, *archives) == []
    assert whole(root)
    assert read_split(root, "train_aug") == TRAIN_AUG


@pytest.mark.parametrize("mask", [None, THEIRS + 1, THEIRS[:, :3]])
def test_a_damaged_mask_of_sbd_is_named_and_the_rest_is_made(root, voc, archives, mask):
    get_voc(root, archives[0], with_sbd=False)
    path, name = made_up.make_sbd(root) / "cls" / f"{TRAIN_AUG[1]}.mat", TRAIN_AUG[1]
    content = path.read_bytes()
    path.write_bytes(content[:200])
    if mask is not None:
        made_up.write_mat(path, mask)
    (problem,) = get_voc(root)
    assert problem.startswith(f"{name}: ")
    assert str(path) in problem
    made = {mask.stem for mask in (voc / "SegmentationClassAug").iterdir()}
    assert made == {*TRAIN_AUG, *VAL} - {name}
    path.write_bytes(content)
    assert get_voc(root) == []


def test_damage_in_voc_is_named_and_the_rest_is_made(root, voc, archives):
    get_voc(root, archives[0], with_sbd=False)
    (voc / "labels.npz").unlink()
    annotation = voc / "Annotations" / f"{TRAIN[1]}.xml"
    mask = voc / "SegmentationClass" / f"{TRAIN[0]}.png"
    image = voc / "JPEGImages" / f"{TRAIN_AUG[-1]}.jpg"
    for path in (annotation, mask, image):
        path.write_bytes(path.read_bytes()[:40])
    problems = get_voc(root, None, archives[1])
    starts = ["labels.npz was not made", TRAIN[0], TRAIN_AUG[-1]]
    assert [problem.split(":")[0] for problem in problems] == starts
    for problem, path in zip(problems, (annotation, mask, image), strict=True):
        assert str(path) in problem
    assert not (voc / "labels.npz").exists()
    assert not (voc / "SegmentationClassAug" / f"{NO_LIST[0]}.png").exists()


def test_the_command_says_what_it_made_and_what_went_wrong(root, archives, monkeypatch, capsys):
    voc, sbd = archives
    words = ["get_voc.py", root, "--voc-archive", voc, "--sbd-archive", sbd]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])
    assert voc_get.main() == 0
    said = capsys.readouterr().out
    assert "wrote train_aug.txt: 6 images" in said and "writing 8 masks" in said
    assert said.splitlines()[-1] == f"{root} is complete"
    (root / "VOCdevkit" / "VOC2012" / "SegmentationClassAug" / f"{TRAIN_AUG[1]}.png").unlink()
    (root / "benchmark_RELEASE" / "dataset" / "cls" / f"{TRAIN_AUG[1]}.mat").unlink()
    assert voc_get.main() == 1
    assert f"fault: {TRAIN_AUG[1]}: " in capsys.readouterr().err
