"""One file an image: resumed, never mixed, one failing image does not stop the others."""

import json
import os
import shutil
from functools import partial

import numpy as np
import pytest

from ribnb.core.runner import MASKS, RecordedFolder, over_images, parse_shard, read_record
from ribnb.core.voc import read_mask

RECORD = MASKS.record
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
    return {path.stem: int(read_mask(path)[0, 0]) for path in sorted(folder.glob("*.png"))}


ALL = {name: number for number, name in enumerate(IDS)}


@pytest.mark.parametrize("workers", [1, 2])
def test_makes_every_mask_once(tmp_path, workers):
    folder, made = RecordedFolder(tmp_path / "masks", MASKS, HOW), tmp_path / "made"
    report = over_images(partial(mask_of, made=made), IDS, folder, workers=workers)
    assert report.written == IDS and report.kept == 0 and not report.failed
    assert masks_in(tmp_path / "masks") == ALL
    names, processes = zip(*map(str.split, made.read_text().splitlines()), strict=True)
    assert sorted(names) == IDS
    assert (str(os.getpid()) in processes) == (workers == 1)
    again = over_images(partial(mask_of, made=made), IDS, folder, workers=workers)
    assert (again.written, again.kept) == ([], 20)
    assert len(made.read_text().splitlines()) == 20, "a mask was made again"


def test_what_was_stopped_goes_on_and_damage_is_repaired(tmp_path):
    folder, calls = RecordedFolder(tmp_path, MASKS, HOW), []

    def dies_at_the_seventh(name):
        calls.append(name)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return mask_of(name)

    with pytest.raises(KeyboardInterrupt):
        over_images(dies_at_the_seventh, IDS, folder)
    assert list(masks_in(tmp_path)) == IDS[:6]
    folder.path("i02").write_bytes(folder.path("i02").read_bytes()[:-40])
    report = over_images(mask_of, IDS, RecordedFolder(tmp_path, MASKS, HOW))
    assert report.written == ["i02", *IDS[6:]] and report.kept == 5
    assert masks_in(tmp_path) == ALL


@pytest.mark.parametrize("how", [{}, {"workers": 2}, {"threads": 3}])
def test_one_image_that_fails_is_named_and_the_rest_goes_on(tmp_path, how):
    broken = {"i03": ValueError("the maps of i03 are odd"), "i11": MemoryError()}
    folder = RecordedFolder(tmp_path, MASKS, HOW)
    report = over_images(partial(mask_of, broken=broken), IDS, folder, **how)
    assert report.failed == {"i03": "the maps of i03 are odd", "i11": "MemoryError"}
    assert masks_in(tmp_path).keys() == {*IDS} - {*broken}
    assert "18 masks in" in str(report) and "failed: i03: the maps of i03 are odd" in str(report)
    mended = over_images(mask_of, IDS, folder, **how)
    assert (mended.written, mended.kept, mended.failed) == (["i03", "i11"], 18, {})


def test_a_mistake_in_the_program_is_no_failure_of_an_image(tmp_path):
    with pytest.raises(KeyError):
        over_images({}.__getitem__, IDS, RecordedFolder(tmp_path, MASKS, HOW))


def test_masks_that_cannot_be_written_stop_the_stage(tmp_path):
    folder = RecordedFolder(tmp_path / "masks", MASKS, HOW)
    shutil.rmtree(tmp_path / "masks")
    with pytest.raises(OSError, match=rf"cannot write {folder.path('i00')}: No such file"):
        over_images(mask_of, IDS, folder)


# The record -------------------------------------------------------------------------------


def test_masks_made_otherwise_are_left_alone_and_the_difference_is_said(tmp_path):
    over_images(mask_of, IDS[:2], RecordedFolder(tmp_path, MASKS, HOW))
    assert read_record(tmp_path, MASKS) == json.loads(json.dumps(HOW))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed = {"maps": "abd", "settings": {"level": 0.6, "scales": (1, 2)}, "more": 1}
    message = r"settings\.level is 0\.5 there, 0\.6 here; maps is 'abc' there, .*; more is None"
    with pytest.raises(ValueError, match=f"{tmp_path} holds masks .*{message}.* another output"):
        RecordedFolder(tmp_path, MASKS, {**HOW, **changed})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_masks_that_say_nothing_of_themselves_are_left_alone(tmp_path):
    over_images(mask_of, IDS[:2], RecordedFolder(tmp_path, MASKS, HOW))
    with pytest.raises(ValueError, match="its record has other entries"):
        RecordedFolder(tmp_path, MASKS, {key: HOW[key] for key in ("stage", "settings")})
    (tmp_path / RECORD).unlink()
    with pytest.raises(FileNotFoundError, match=f"{RECORD} is missing: {tmp_path} is no folder"):
        RecordedFolder(tmp_path, MASKS, HOW)
    for damaged in ("{", "[1]"):
        (tmp_path / RECORD).write_text(damaged)
        with pytest.raises(ValueError, match=rf"{RECORD}.*; move {tmp_path} away"):
            RecordedFolder(tmp_path, MASKS, HOW)


# Shards -----------------------------------------------------------------------------------


def shard(folder, index, count=3, **broken):
    files = RecordedFolder(folder, MASKS, HOW)
    return over_images(partial(mask_of, broken=broken), IDS, files, shard=(index, count))


def test_the_shard_that_ends_last_knows_it_and_all_failures(tmp_path):
    first = shard(tmp_path, 2, i05=OSError("no such image"))
    assert (first.pending, first.failed) == (14, {"i05": "no such image"})
    second = shard(tmp_path, 0)
    assert second.pending == 7 and "7 more are still to be made by other shards" in str(second)
    last = shard(tmp_path, 1, i04=OSError("it is broken"))
    assert last.pending == 0
    assert last.failed == {"i04": "it is broken", "i05": "no such image"}
    assert masks_in(tmp_path).keys() == {*IDS} - {*last.failed}


def test_a_shard_that_runs_again_or_was_killed_is_waited_for(tmp_path):
    """Its earlier failure may not hold this time."""
    shard(tmp_path, 0, 2, i04=OSError("the disk was away"))
    with pytest.raises(KeyboardInterrupt):
        shard(tmp_path, 0, 2, i04=KeyboardInterrupt())
    assert shard(tmp_path, 1, 2).pending == 1
    again = shard(tmp_path, 0, 2)
    assert (again.written, again.pending, again.failed) == (["i04"], 0, {})
    assert shard(tmp_path, 1, 2).pending == 0, "both may score"


def test_other_shares_of_the_work_may_end_it(tmp_path):
    shard(tmp_path, 0, 2, i04=OSError("the disk was away"))
    assert over_images(mask_of, IDS, RecordedFolder(tmp_path, MASKS, HOW)).written == [
        "i01", "i03", "i04", *IDS[5::2]
    ]  # fmt: skip
    assert shard(tmp_path, 1, 4).failed == {}


def test_a_shard_that_does_not_exist_is_refused(tmp_path):
    for index in (2, -1):
        with pytest.raises(ValueError, match=r"shard must be \(i, n\) with 0 <= i < n; got \("):
            shard(tmp_path, index, 2)
    assert parse_shard("3/4") == (3, 4)
    for text in ("1/", "1/1", "-1/2"):
        with pytest.raises(ValueError, match="it must be i/n with 0 <= i < n, such as 0/4"):
            parse_shard(text)
