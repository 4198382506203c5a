"""What is looked at before the first job of a batch, and one job in its folder.

The Snakefile calls ``python -m ribnb.runs.jobs FOLDER [SHARD]`` for each. A job goes on where an
earlier call was stopped, waits for one that is still at work on it, and has a GPU for itself.
"""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ribnb.core.settings import read_settings_file
from ribnb.runs.batch import PARAMETERS, SHARDED, VISIBLE, Batch, visible_gpus
from ribnb.runs.execution import BOOK, run_chapter
from ribnb.runs.results import RESULT, read_result
from ribnb.scores.image_scores import FILE as IMAGE_SCORES
from ribnb.scores.image_scores import scores_fault

LOG, FAILED = "log.txt", "FAILED: "  # the log's name, and what its last words begin with


def set_broken_aside(batch: Batch) -> list[str]:
    """Rename results that are not whole, so that they are made again; says which, and why.

    The scores of single images are a part of a run of ``voc_rib``.
    """
    said = []
    for job in batch.jobs.values():
        path = batch.folder / job.done
        if not path.is_file():
            continue
        try:
            fault = scores_fault(read_result(path), path.parent)
            if not fault and job.chapter == SHARDED and not path.with_name(IMAGE_SCORES).is_file():
                fault = f"has no {IMAGE_SCORES} beside it"
        except ValueError as error:
            fault = str(error)
        if fault:
            path.rename(path.with_suffix(".broken"))
            said.append(f"{path} {fault}; made again")
    return said


def prepare(batch: Batch) -> FileLock:
    """Write what each job needs; the lock of the batch's folder, which ends with this process.

    ValueError if another call is at work on the same folder.
    """
    batch.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(batch.folder / "lock")
    if not _taken(lock):
        raise ValueError(f"another call is running the jobs of {batch.folder}")
    for job in batch.jobs.values():
        job.write(batch.folder)
    return lock


def not_done(batch: Batch) -> list[str]:
    """The jobs that were begun and are not done, in words, each with why and where to look."""
    said = []
    for name, job in batch.jobs.items():
        log = batch.folder / name / LOG
        if log.is_file() and not (batch.folder / job.done).is_file():
            _, failed, why = log.read_text(encoding="utf-8").rpartition(FAILED)
            lines = [f"not done: {batch.labels[name]}", *(why.splitlines() if failed else [])]
            said.append("\n  ".join([*lines, f"log: {log}"]))
    return said


# One job ----------------------------------------------------------------------------------


def run_job(folder: Path, shard: str = "") -> None:
    """Run the job whose folder this is, or one shard of it such as ``0/4``.

    Raises:
        ChapterFailed: says why and where to look.
    """
    name = f"{folder.name.rpartition('_')[0]}.ipynb"
    given = read_settings_file(folder / PARAMETERS) | ({"shard": shard} if shard else {})
    # A call that was killed may have left this very job at work.
    with FileLock(folder / f"lock{shard.replace('/', '_of_')}"):
        if not (folder / RESULT).is_file():
            with one_gpu(str(given.get("device", "auto"))):
                run_chapter(BOOK / name, folder / name, given, result_only=True)


@contextmanager
def one_gpu(device: str) -> Iterator[str]:
    """Waits for a GPU that no other job of this machine holds, where there is one.

    None is held for a device that is named in full, such as ``"cuda:1"``, or the CPU.
    """
    names = visible_gpus() if device in ("auto", "cuda") else []
    if not names:
        yield ""
        return
    folder = Path(tempfile.gettempdir()) / f"ribnb_gpus_{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    locks = {name: FileLock(folder / name.replace("/", "_")) for name in names}
    while (mine := next((name for name, lock in locks.items() if _taken(lock)), None)) is None:
        time.sleep(1)
    os.environ[VISIBLE] = mine
    try:
        yield mine
    finally:
        locks[mine].release()


def _taken(lock: FileLock) -> bool:
    """Whether the lock could be had; it is held from now on."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def main(words: list[str]) -> int:
    """Run a job; its output is the log that Snakemake names."""
    folder, *shard = words
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(words)}", flush=True)
    start = time.perf_counter()
    try:
        run_job(Path(folder), *shard)
    except Exception as error:
        print(f"{FAILED}{error}", flush=True)
        return 1
    print(f"done in {time.perf_counter() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
