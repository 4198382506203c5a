"""VOC and SBD over a bad line, from unsafe or damaged archives, and killed on the way."""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace

import made_up_voc as made_up
import numpy as np
import pytest
from broken_server import serving
from made_up_voc import SBD_TRAIN, SBD_VAL, TRAIN, TRAIN_AUG, VAL

from ribnb.data.voc import read_split
from ribnb.data.voc_get import get_voc
from ribnb.data.voc_sources import Source, sbd_source, voc_source


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """VOCtrainval.tar and benchmark.tgz of the small made-up data."""
    source = tmp_path_factory.mktemp("made_up")
    made_up.make_voc(source, others=[*SBD_TRAIN[:2], SBD_VAL[0]])
    made_up.make_sbd(source)
    voc = made_up.pack(source, "VOCdevkit", source / "VOCtrainval.tar")
    return voc, made_up.pack(source, "benchmark_RELEASE", source / "benchmark.tgz")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def net(archives):
    """Servers of both archives, with the sources that name them."""
    voc, sbd = (path.read_bytes() for path in archives)
    with serving(content=voc) as first, serving(content=sbd) as second:
        yield first, second, source(voc, first.url), source(sbd, second.url)


def source(content: bytes, *urls: str) -> Source:
    name = f"{hashlib.md5(content).hexdigest()[:6]}.tar"
    sha256, md5 = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    return Source("made up", name, urls, len(content), len(content), sha256, md5)


def whole(root) -> bool:
    """Whether everything is there, and nothing else but SBD."""
    voc = root / "VOCdevkit" / "VOC2012"
    masks = {path.stem for path in (voc / "SegmentationClassAug").iterdir()}
    names = {path.name for path in root.iterdir()}
    return names == {"SBD", "VOCdevkit"} and masks == {*TRAIN_AUG, *VAL}


# The line ---------------------------------------------------------------------------------


def test_downloads_unpacks_and_removes_the_archives(root, net):
    first, second, voc, sbd = net
    assert get_voc(root, voc=voc, sbd=sbd).problems == []
    assert whole(root)
    assert get_voc(root, voc=voc, sbd=sbd).done == []
    assert (first.ranges, second.ranges) == ([None], [None])


def test_archives_are_kept_on_request_and_used_later(root, net):
    _, second, voc, sbd = net
    get_voc(root, voc=voc, sbd=sbd, keep_archives=True)
    assert {voc.filename, sbd.filename} <= {path.name for path in root.iterdir()}
    shutil.rmtree(root / "VOCdevkit")
    shutil.rmtree(root / "SBD")
    get_voc(root, voc=voc, sbd=sbd)
    assert second.ranges == [None]
    assert (root / voc.filename).is_file()  # what was not fetched now is not removed


def test_a_broken_download_is_continued_by_the_next_call(root, net):
    first, _, voc, sbd = net
    first.sends = 20_000
    with pytest.raises(OSError, match="the line broke after 20000 of") as caught:
        get_voc(root, voc=voc, sbd=sbd)
    assert f"put it at {root / voc.filename}" in str(caught.value)
    assert "give it with --voc-archive FILE" in str(caught.value)
    assert not (root / "VOCdevkit").exists()
    first.sends = None
    get_voc(root, voc=voc, sbd=sbd)
    assert first.ranges == [None, "bytes=20000-"]
    assert whole(root)


def test_stalling_wrong_and_absent_files_are_passed_over(root, net):
    first, _, voc, sbd = net
    with (
        serving(content=b"<html>moved</html>") as wrong,
        serving(content=None) as absent,
        serving(content=first.content, sends=30_000, stalls=True) as stalling,
    ):
        urls = (wrong.url, absent.url, stalling.url, first.url)
        get_voc(root, voc=replace(voc, addresses=urls), sbd=sbd, timeout=0.3)
    assert first.ranges == ["bytes=30000-"]
    assert whole(root)


def test_what_voc_alone_gives_is_made_even_if_sbd_is_not_to_be_had(root, net):
    _, second, voc, sbd = net
    second.content = None
    with pytest.raises(OSError, match=r"404(.|\n)*--sbd-archive FILE"):
        get_voc(root, voc=voc, sbd=sbd)
    assert (root / "VOCdevkit" / "VOC2012" / "labels.npz").is_file()


def test_an_archive_put_there_by_hand_must_be_the_official_one(root, archives):
    official = voc_source()
    root.mkdir()
    by_hand = root / official.filename
    by_hand.write_bytes(archives[0].read_bytes())
    with pytest.raises(OSError, match=rf"{by_hand} is not the official archive.*--voc-archive"):
        get_voc(root, sbd_archive=archives[1])
    assert get_voc(root, by_hand, archives[1]).problems == []
    assert by_hand.exists()  # a user's own


def test_the_official_sources_have_several_addresses_and_both_sums():
    sources = {"VOCtrainval_11-May-2012.tar": voc_source(), "benchmark.tgz": sbd_source()}
    for name, official in sources.items():
        assert official.filename == name
        assert len({url.split("/")[2] for url in official.addresses}) >= 2
        assert len(bytes.fromhex(official.sha256)) == 32
        assert len(bytes.fromhex(official.md5)) == 16


def test_a_disk_that_is_too_small_is_noticed_first(root, net, monkeypatch):
    first, _, voc, sbd = net
    small = shutil.disk_usage("/")._replace(free=10_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: small)
    voc = replace(voc, size=1_999_639_040, unpacked=2_050_000_000)
    with pytest.raises(OSError, match=r"0\.0 GB free, but 4\.0 GB are needed .* Make room"):
        get_voc(root, voc=voc, sbd=sbd)
    assert first.ranges == []
    assert not root.exists()


# Unsafe and damaged archives --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("VOCdevkit/../../evil", tarfile.REGTYPE, ""),
        ("/tmp/ribnb_evil", tarfile.REGTYPE, ""),
        ("VOCdevkit/VOC2012/evil", tarfile.SYMTYPE, "../../../secret"),
        ("VOCdevkit/VOC2012/evil", tarfile.LNKTYPE, "/etc/passwd"),
        ("VOCdevkit/VOC2012/evil", tarfile.FIFOTYPE, ""),
    ],
)
def test_an_unsafe_archive_is_refused_and_leaves_nothing(
    root, archives, tmp_path, name, kind, target
):
    unsafe = tmp_path / "unsafe.tar"
    shutil.copy(archives[0], unsafe)
    with tarfile.open(unsafe, "a") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member, io.BytesIO())
    with pytest.raises(ValueError, match="not safe") as caught:
        get_voc(root, unsafe, with_sbd=False)
    assert repr(name) in str(caught.value)
    assert list(root.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"data", "unsafe.tar"}


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


# Stopped on the way -----------------------------------------------------------------------

# What kills the process: the unpacking of a member, or the writing of a mask.
KILL = """
import os, sys
from ribnb.data import archives
from ribnb.data import voc_aug_masks
from ribnb.data import voc_get
place, left = sys.argv[1], int(sys.argv[2])
where = archives if place == "_extract" else voc_aug_masks
real = getattr(where, place)
def counted(*arguments):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return real(*arguments)
setattr(where, place, counted)
voc_get.get_voc(*sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("place", "after", "left"),
    [
        ("_extract", 15, {".unpacking"}),  # the 31 members of VOC
        ("_extract", 35, {".unpacking", "VOCdevkit"}),  # SBD's
        ("_write", 3, {"SBD", "VOCdevkit"}),  # 8 masks
    ],
)
def test_killed_at_any_moment_the_next_call_finishes(root, archives, place, after, left):
    words = [sys.executable, "-c", KILL, place, str(after), root, *archives]
    assert subprocess.run(words, check=False).returncode == -9
    assert {path.name for path in root.iterdir()} == left
    assert get_voc(root, *archives).problems == []
    assert whole(root)
    assert read_split(root, "train_aug") == TRAIN_AUG
    assert read_split(root, "trainval") == [*TRAIN, *VAL]


def test_an_exception_while_unpacking_leaves_nothing(root, archives, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ribnb.data.archives._extract", full)
    with pytest.raises(OSError, match="No space left"):
        get_voc(root, *archives)
    assert list(root.iterdir()) == []


# Damaged files ----------------------------------------------------------------------------

DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "page": lambda path: path.write_text("<html>not found</html>" * 20),
    "class": lambda path: made_up.write_mat(path, made_up.THEIRS + 1),
    "fraction": lambda path: made_up.write_mat(path, made_up.THEIRS + 0.5),
    "colours": lambda path: made_up.write_mat(path, np.zeros((2, 4, 3), np.uint8)),
    "size": lambda path: made_up.write_mat(path, made_up.THEIRS[:, :3]),
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
    assert len(get_voc(root).problems) == 1  # as long as it is damaged
    path.write_bytes(content)
    assert get_voc(root).done == ["wrote 1 masks into SegmentationClassAug"]


def test_a_damaged_mask_of_voc_and_an_image_that_lacks_are_named(root, archives):
    voc = get_voc(root, archives[0], with_sbd=False).folder
    mask, image = voc / "SegmentationClass" / f"{TRAIN[0]}.png", voc / "JPEGImages"
    content = mask.read_bytes()[:60]
    mask.unlink()
    mask.write_bytes(content)
    (image / f"{TRAIN_AUG[-1]}.jpg").unlink()
    problems = get_voc(root, None, archives[1]).problems
    assert [problem.split(":")[0] for problem in problems] == [TRAIN[0], TRAIN_AUG[-1]]
    assert f"{mask} cannot be read" in problems[0]
    assert "there is no readable image" in problems[1]


def test_a_damaged_annotation_is_named_and_masks_are_made(root, archives):
    voc = get_voc(root, *archives).folder
    (voc / "labels.npz").unlink()
    shutil.rmtree(voc / "SegmentationClassAug")
    path = voc / "Annotations" / f"{TRAIN[1]}.xml"
    path.write_text("<annotation><object>")
    report = get_voc(root)
    (problem,) = report.problems
    assert problem.startswith("labels.npz was not made: ")
    assert str(path) in problem
    assert not (voc / "labels.npz").exists()
    assert whole(root)
