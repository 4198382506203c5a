"""voc_rib killed at its work, and resumed: the maps and scores of an undisturbed run."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
from chapters import Book
from split_runs import arrays_of, result_of, run_chapter, without_time

SMALL = {"num_images": 10, "variant": "released", "rib": {"iterations": 4, "margin": 8.0}}
COMMAND = [
    *(sys.executable, "-m", "ribnb", "run", Book().notebook("voc_rib")),
    *(word for name, value in SMALL.items() for word in ("-p", f"{name}={value}")),
]


def command(folder) -> subprocess.Popen:
    """As a person calls it, in a process group of its own."""
    words = [*COMMAND, "-p", f"output_dir={folder}"]
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def killed_at_work(folder) -> int:
    """Start the command, kill -9 it and its kernel after a map was made; the number of maps."""
    process = command(folder)
    try:
        while process.poll() is None and not list(folder.rglob("maps/*.npz")):
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read().decode()
        kernels = psutil.Process(process.pid).children(recursive=True)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for kernel in kernels:  # in groups of their own
        with contextlib.suppress(psutil.NoSuchProcess):
            kernel.kill()
    psutil.wait_procs(kernels, timeout=10)
    return len(arrays_of(folder))  # reads them: all are whole


def test_a_run_that_was_killed_ends_as_an_undisturbed_one(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_chapter("voc_rib", undisturbed, **SMALL)
    assert 0 < killed_at_work(killed) < 20
    assert not (killed / "result.json").exists()

    again = command(killed)
    _, said = again.communicate()
    assert again.returncode == 0, said.decode()
    assert arrays_of(killed) == arrays_of(undisturbed)
    assert len(arrays_of(killed)) == 20
    one, other = result_of(undisturbed), result_of(killed)
    assert one["metrics"]["stopped_margin"] > 0
    assert without_time(one["metrics"]) == without_time(other["metrics"])
    same = ("per_class_iou", "threshold", "images", "inputs", "failures", "settings_hash")
    assert [one[key] for key in same] == [other[key] for key in same]
