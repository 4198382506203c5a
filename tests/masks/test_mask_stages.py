"""A stage that makes masks: resumed, never mixed, one failing image does not stop the others."""

import json
import os
import shutil
from functools import partial

import numpy as np
import pytest

from ribnb.core.mask_files import read_mask_file
from ribnb.masks.stages import RECORD, MaskFolder, make_masks, read_masks_record

IDS = [f"i{number:02}" for number in range(20)]
HOW = {"stage": "test", "settings": {"level": 0.5, "scales": (1, 2)}, "maps": "abc"}


def mask_of(name, made=None, broken=()):
    """A mask that only this image has; notes in a file who made it."""
    if made is not None:
        with open(made, "a") as file:
            file.write(f"{name} {os.getpid()}\n")
    if name in broken:
        raise broken[name]
    return np.full((4, 6), int(name[1:]), np.uint8)


def masks_in(folder) -> dict[str, int]:
    return {path.stem: int(read_mask_file(path)[0, 0]) for path in sorted(folder.glob("*.png"))}


ALL = {name: number for number, name in enumerate(IDS)}


@pytest.mark.parametrize("workers", [1, 2])
def test_makes_every_mask_once(tmp_path, workers):
    folder, made = MaskFolder(tmp_path / "masks", HOW), tmp_path / "made"
    report = make_masks(partial(mask_of, made=made), IDS, folder, "test", workers)
    assert report.written == IDS and report.kept == 0 and not report.failed
    assert masks_in(tmp_path / "masks") == ALL
    names, processes = zip(*map(str.split, made.read_text().splitlines()), strict=True)
    assert sorted(names) == IDS
    assert (str(os.getpid()) in processes) == (workers == 1)
    again = make_masks(partial(mask_of, made=made), IDS, folder, "test", workers)
    assert (again.written, again.kept) == ([], 20)
    assert len(made.read_text().splitlines()) == 20, "a mask was made again"


def test_what_was_stopped_goes_on_and_damage_is_repaired(tmp_path):
    folder, calls = MaskFolder(tmp_path, HOW), []

    def dies_at_the_seventh(name):
        calls.append(name)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return mask_of(name)

    with pytest.raises(KeyboardInterrupt):
        make_masks(dies_at_the_seventh, IDS, folder, "test")
    assert list(masks_in(tmp_path)) == IDS[:6]
    folder.path("i02").write_bytes(folder.path("i02").read_bytes()[:-40])
    report = make_masks(mask_of, IDS, MaskFolder(tmp_path, HOW), "test")
    assert report.written == ["i02", *IDS[6:]] and report.kept == 5
    assert masks_in(tmp_path) == ALL


@pytest.mark.parametrize("workers", [1, 2])
def test_one_image_that_fails_is_named_and_the_rest_goes_on(tmp_path, workers):
    broken = {"i03": ValueError("the maps of i03 are odd"), "i11": MemoryError()}
    folder = MaskFolder(tmp_path, HOW)
    report = make_masks(partial(mask_of, broken=broken), IDS, folder, "test", workers)
    assert report.failed == {"i03": "the maps of i03 are odd", "i11": "MemoryError"}
    assert masks_in(tmp_path).keys() == {*IDS} - {*broken}
    assert "18 masks in" in str(report) and "failed: i03: the maps of i03 are odd" in str(report)
    mended = make_masks(mask_of, IDS, folder, "test", workers)
    assert (mended.written, mended.kept, mended.failed) == (["i03", "i11"], 18, {})


def test_a_mistake_in_the_program_is_no_failure_of_an_image(tmp_path):
    broken = {"i00": KeyError("a name")}
    with pytest.raises(KeyError):
        make_masks(partial(mask_of, broken=broken), IDS, MaskFolder(tmp_path, HOW), "test")


def test_masks_that_cannot_be_written_stop_the_stage(tmp_path):
    folder = MaskFolder(tmp_path / "masks", HOW)
    shutil.rmtree(tmp_path / "masks")
    with pytest.raises(OSError, match=rf"cannot write {folder.path('i00')}: No such file"):
        make_masks(mask_of, IDS, folder, "test")


def test_less_than_one_worker_is_refused(tmp_path):
    with pytest.raises(ValueError, match="workers must be at least 1; got 0"):
        make_masks(mask_of, IDS, MaskFolder(tmp_path, HOW), "test", workers=0)


# The record -------------------------------------------------------------------------------


def test_the_record_says_how_they_were_made(tmp_path):
    MaskFolder(tmp_path / "new" / "masks", HOW)
    found = read_masks_record(tmp_path / "new" / "masks")
    assert found == json.loads(json.dumps(HOW))
    MaskFolder(tmp_path / "new" / "masks", HOW)  # tuples are lists once they are on disk


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"maps": "abd"}, r"\(maps is 'abc' there, 'abd' here\)"),
        (
            {"settings": {"level": 0.6, "scales": (1, 2)}},
            r"\(settings\.level is 0\.5 there, 0\.6 here\)",
        ),
        ({"more": 1}, "more is None there, 1 here"),
        ({"settings": "none"}, r"settings is {'level': 0\.5, .*} there, 'none' here"),
        ({"maps": {"a": 1}}, r"maps is 'abc' there, {'a': 1} here"),
    ],
)
def test_masks_made_otherwise_are_left_alone_and_the_difference_is_said(tmp_path, changed, message):
    make_masks(mask_of, IDS[:2], MaskFolder(tmp_path, HOW), "test")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"{tmp_path} holds masks .*{message}.* another output"):
        MaskFolder(tmp_path, {**HOW, **changed})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_entry_too_many_is_another_record(tmp_path):
    MaskFolder(tmp_path, HOW)
    fewer = {name: HOW[name] for name in ("stage", "settings")}
    with pytest.raises(ValueError, match="it has other entries"):
        MaskFolder(tmp_path, fewer)


def test_masks_that_say_nothing_of_themselves_are_left_alone(tmp_path):
    make_masks(mask_of, IDS[:2], MaskFolder(tmp_path, HOW), "test")
    (tmp_path / RECORD).unlink()
    with pytest.raises(ValueError, match=rf"holds masks, but no {RECORD}"):
        MaskFolder(tmp_path, HOW)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(ValueError, match=rf"{RECORD}.*; move {tmp_path} away"):
        MaskFolder(tmp_path, HOW)


def test_no_record_is_no_folder_of_masks(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} holds no {RECORD}"):
        read_masks_record(tmp_path)
