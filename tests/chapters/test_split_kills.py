"""voc_rib killed at any moment, and resumed: the maps and scores of an undisturbed run."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import psutil
from chapters import Book
from split_runs import arrays_of, result_of, run_chapter, without_time

from ribnb.book.splits import VOCRIBSettings
from ribnb.method.localization import localization_maps
from ribnb.nets.classifier import load_classifier
from ribnb.scores.folders import score_split

SMALL = {"num_images": 16, "variant": "released", "rib": {"iterations": 4, "margin": 8.0}}
COMMAND = [
    *(sys.executable, "-m", "ribnb", "run", Book().notebook("voc_rib")),
    *(word for name, value in SMALL.items() for word in ("-p", f"{name}={value}")),
]


def maps_and_scores(folder) -> None:
    """What the chapter does, without the start of a kernel."""
    os.environ["RIBNB_PROGRESS"] = "off"
    settings = VOCRIBSettings(**SMALL)
    images, model = settings.images(), load_classifier(settings.classifier_path)
    cams = localization_maps(model, images, settings.cam, folder / "cam").folder
    maps = localization_maps(model, images, settings.rib, folder).folder
    folders = {"seeds": maps, "cam": cams}
    score_split(images, folders).of_images(images, folders).save(folder)


def command(folder) -> subprocess.Popen:
    """As a person calls it, in a process group of its own."""
    words = [*COMMAND, "-p", f"output_dir={folder}"]
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def killed_at_work(folder) -> int:
    """Start the command, kill -9 it and its kernel after a map was made; the number of maps."""
    before, process = len(arrays_of(folder)), command(folder)
    try:
        while process.poll() is None and len(list(folder.rglob("maps/*.npz"))) <= before:
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


def killed_in_a_fork(folder, seconds) -> int:
    process = multiprocessing.get_context("fork").Process(target=maps_and_scores, args=(folder,))
    process.start()
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return len(arrays_of(folder))


def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path):
    """The last kill hits the command itself, the others what it does."""
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    run_chapter("voc_rib", undisturbed, **SMALL)
    start = time.perf_counter()
    maps_and_scores(tmp_path / "timed")
    whole, moments = time.perf_counter() - start, random.Random()
    counts = [killed_in_a_fork(killed, moments.uniform(0.1, 0.25) * whole) for _ in range(3)]
    counts.append(killed_at_work(killed))
    assert 0 < counts[-2] < counts[-1] < 32, counts
    assert not (killed / "result.json").exists()

    last = command(killed)
    _, said = last.communicate()
    assert last.returncode == 0, said.decode()
    assert arrays_of(killed) == arrays_of(undisturbed)
    assert len(arrays_of(killed)) == 32
    one, other = result_of(undisturbed), result_of(killed)
    assert one["metrics"]["stopped_margin"] > 0
    assert without_time(one["metrics"]) == without_time(other["metrics"])
    same = ("per_class_iou", "threshold", "images", "inputs", "failures", "settings_hash")
    assert [one[key] for key in same] == [other[key] for key in same]
