"""Maps of a whole split: stopped, killed and resumed it is as if nothing had been."""

import io
import multiprocessing
import os
import random
import resource
import signal
import time

import numpy as np
import pytest
from localization_runs import WORKERS, no_bar, run, times, undisturbed_maps  # noqa: F401
from small_split import Noise, maps_in

# Resuming ---------------------------------------------------------------------------------


def test_a_second_run_makes_nothing_and_reads_nothing(tmp_path):
    run(tmp_path)
    before, images = times(tmp_path), Noise()
    again = run(tmp_path, images, workers=2)
    assert (again.written, again.kept, images.shown) == ([], 9, [])
    assert times(tmp_path) == before


def test_a_file_that_is_not_whole_is_made_anew_and_the_others_left(tmp_path, undisturbed):
    run(tmp_path)
    for index, length in enumerate((0, 500, -1)):
        path = tmp_path / "maps" / f"n{index:03}.npz"
        path.write_bytes(path.read_bytes()[:length])
    (tmp_path / "maps" / "n003.npz").unlink()
    np.savez(tmp_path / "maps" / "n004.npz", maps=np.zeros(3))  # of something else
    (tmp_path / "steps" / "n005.json").unlink()
    for name, damage in {"n006": "{", "n007": '{"losses": []}'}.items():
        (tmp_path / "steps" / f"{name}.json").write_text(damage)
    before = times(tmp_path)["n008.npz"]
    report = run(tmp_path)
    assert report.written == Noise().ids[:8]
    assert report.kept == 1
    assert maps_in(tmp_path) == undisturbed
    assert times(tmp_path)["n008.npz"] == before


def test_what_a_kill_left_half_written_does_not_matter(tmp_path, undisturbed):
    (tmp_path / "maps").mkdir()
    (tmp_path / ".maps.json.17").write_text("{")
    for name in (".n001.npz.17", f".n002.npz.{os.getpid()}"):
        (tmp_path / "maps" / name).write_bytes(b"half")
    assert run(tmp_path).written == Noise().ids
    assert maps_in(tmp_path) == undisturbed
    assert run(tmp_path).kept == 9


def slowly(file, **arrays):
    """As `np.savez`, with time to be killed in the middle."""
    whole = io.BytesIO()
    savez(whole, **arrays)
    file.write(whole.getvalue()[:1000])
    file.flush()
    time.sleep(0.02)
    file.write(whole.getvalue()[1000:])


savez = np.savez


@WORKERS
def test_killed_again_and_again_and_resumed_it_is_as_if_nothing_had_been(
    tmp_path, undisturbed, workers, monkeypatch
):
    monkeypatch.setattr(np, "savez", slowly)
    moments, maps = random.Random(workers), tmp_path / "maps"
    for kills in range(5):
        process = multiprocessing.get_context("fork").Process(
            target=run, args=(tmp_path,), kwargs={"workers": workers}
        )
        process.start()
        while process.is_alive() and (kills == 4 or len(list(maps.glob("*.npz"))) <= kills):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert kills == 4 or 0 < len(maps_in(tmp_path)) < 9  # reads them: all are whole
    assert process.exitcode == 0
    assert maps_in(tmp_path) == undisturbed


def test_a_full_disk_leaves_whole_files_and_the_run_goes_on(tmp_path, undisturbed):
    """Here the files of two classes do not fit any more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*n003\.npz: File too large"):
            run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["n000.npz", "n001.npz", "n002.npz"]
    assert run(tmp_path).kept == 3
    assert maps_in(tmp_path) == undisturbed
