"""Jobs of a batch: what each is, what is looked at before the first, and one in its folder.

The Snakefile calls ``python -m ribnb.runs.jobs FOLDER [SHARD]`` for each. A job goes on where an
earlier call was stopped, waits for one that is still at work on it, and has a GPU for itself.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ribnb.core.files import write_json
from ribnb.core.settings import Settings, merged, nested, read_settings_file
from ribnb.runs.execution import BOOK, run_chapter
from ribnb.runs.results import RESULT, read_result
from ribnb.scores.image_scores import FILE as IMAGE_SCORES
from ribnb.scores.image_scores import scores_fault

if TYPE_CHECKING:
    from ribnb.runs.batch import Batch

SHARDED = "voc_rib"  # the stage whose images are shared out
DATA, DONE = "data", "done.json"  # a job that is no chapter, and the file that it ends with
PARAMETERS = "parameters.yml"
VISIBLE = "CUDA_VISIBLE_DEVICES"
LOG, FAILED = "log.txt", "FAILED: "  # the log's name, and what its last words begin with
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-ctrl", "/dev/kfd")  # of GPUs


@dataclass(frozen=True)
class Job:
    """One step of a batch.

    Attributes:
        kind: a chapter's name, or ``"data"``.
        given: parameters of the chapter; for ``"data"`` the command.
        settings: the chapter's, where what other jobs make stands as a word; None for ``"data"``.
        made: parameter -> (the job that makes its value, the file in that job's folder; "" for
            the folder itself).
        after: jobs that must have ended before, whose folders no parameter names.
        shards: how many processes share its images.
    """

    kind: str
    given: Mapping[str, Any]
    settings: Settings | None = None
    made: Mapping[str, tuple[Job, str]] = field(default_factory=dict)
    after: tuple[Job, ...] = ()
    shards: int = 1

    @cached_property
    def name(self) -> str:
        """The kind, and ten digits that change with all that the result depends on."""
        own = self.settings.hash() if self.settings else dict(self.given)
        made = {name: [job.name, file] for name, (job, file) in self.made.items()}
        text = json.dumps([self.kind, own, made, [job.name for job in self.after]], sort_keys=True)
        return f"{self.kind}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def needs(self) -> list[Job]:
        """The jobs that must have ended before this one."""
        return [*(job for job, _ in self.made.values()), *self.after]

    @property
    def done(self) -> str:
        """Path of the file that says it has ended well, below the batch's folder."""
        return f"{self.name}/{RESULT if self.settings else DONE}"

    @property
    def shards_done(self) -> list[str]:
        """Paths of the files that say that a shard has ended; none if it is not shared out."""
        count = self.shards if self.shards > 1 else 0
        return [f"{self.name}/shard_{index}_of_{count}.done" for index in range(count)]

    @property
    def device(self) -> str:
        """The chapter's device; none for what is no chapter."""
        return str(self.given.get("device", "auto")) if self.settings else ""

    @property
    def wants_gpu(self) -> bool:
        """Whether it takes a GPU: ``cuda`` does, and ``auto`` where there is one."""
        return self.device.startswith("cuda") or (self.device == "auto" and bool(visible_gpus()))

    def parameters(self, folder: Path) -> dict[str, Any]:
        """All parameters, with the paths of what other jobs make below the batch's folder."""
        if not self.settings:
            return dict(self.given)
        made = {name: str(folder / job.name / file) for name, (job, file) in self.made.items()}
        return merged(self.given, nested(made), {"output_dir": str(folder / self.name)})

    def write(self, folder: Path) -> None:
        """Leave its parameters in its folder below the batch's, for ``run_job``.

        JSON is YAML, so that ``ribnb run CHAPTER -f FILE`` reads the file too.
        """
        (folder / self.name).mkdir(parents=True, exist_ok=True)
        write_json(folder / self.name / PARAMETERS, self.parameters(folder))


# Before the first job ---------------------------------------------------------------------


def set_broken_aside(batch: Batch) -> list[str]:
    """Rename results that are not whole, so that they are made again; says which, and why.

    The scores of single images are a part of a run of ``voc_rib``.
    """
    said = []
    for job in batch.jobs.values():
        path = batch.folder / job.done
        if job.kind == DATA or not path.is_file():
            continue
        try:
            fault = scores_fault(read_result(path), path.parent)
            if not fault and job.kind == SHARDED and not path.with_name(IMAGE_SCORES).is_file():
                fault = f"has no {IMAGE_SCORES} beside it"
            fault = fault and f"{path} {fault}"
        except ValueError as error:
            fault = str(error)
        if fault:
            path.rename(path.with_suffix(".broken"))
            said.append(f"{fault}; made again")
    return said


def prepare(batch: Batch, local: bool) -> FileLock:
    """Write what each job needs; hold the batch's folder for this call.

    Args:
        batch: the plan.
        local: whether the jobs run on this machine, not on a cluster.

    Returns:
        The lock, which ends with this process, however it ends.

    Raises:
        ValueError: jobs that ask for a GPU on a machine without one; another call at work on the
            same folder.
    """
    asked = [job for job in batch.jobs.values() if job.device.startswith("cuda")]
    waiting = [job for job in asked if not (batch.folder / job.done).is_file()]
    if local and waiting and not visible_gpus():
        raise ValueError(
            f"{len(waiting)} jobs ask for device = 'cuda', but PyTorch sees no CUDA GPU on this "
            "machine. Run them where there is one, or take device: auto"
        )
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
    """Run the job whose folder this is; it goes on where an earlier call was stopped.

    Args:
        folder: below the batch's; its name begins with the chapter's.
        shard: which part of the images, as ``0/4``; empty for all, and for the result.

    Raises:
        ChapterFailed: says why and where to look.
        subprocess.CalledProcessError: the command that makes the data failed.
    """
    kind = folder.name.rpartition("_")[0]
    given = read_settings_file(folder / PARAMETERS)
    # A call that was killed may have left this very job at work.
    with FileLock(folder / f"lock{shard.replace('/', '_of_')}"):
        if kind == DATA and not (folder / DONE).is_file():
            # a `python` in the command is the one that runs this
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            environment = {**os.environ, "PATH": path}
            subprocess.run(given["command"], shell=True, check=True, env=environment)
            write_json(folder / DONE, given)
        elif kind != DATA and not (folder / RESULT).is_file():
            name, given = f"{kind}.ipynb", {**given, "shard": shard} if shard else given
            with one_gpu(str(given.get("device", "auto"))):
                run_chapter(BOOK / name, folder / name, given, result_only=True)


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` names; without it all GPUs that PyTorch counts."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    if sys.platform == "linux" and not any(Path(file).exists() for file in DRIVERS):
        return []
    import torch  # takes seconds

    return [str(index) for index in range(torch.cuda.device_count())]


@contextmanager
def one_gpu(device: str, poll_s: float = 1.0) -> Iterator[str]:
    """A GPU that no other job of this machine holds, where there is one and none is named.

    Args:
        device: of the job; ``"auto"`` and ``"cuda"`` wait for a GPU that is free.
        poll_s: seconds between looks.
    """
    names = visible_gpus() if device in ("auto", "cuda") else []
    if not names:
        yield ""
        return
    folder = Path(tempfile.gettempdir()) / f"ribnb_gpus_{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    locks = {name: FileLock(folder / name.replace("/", "_")) for name in names}
    while (mine := next((name for name, lock in locks.items() if _taken(lock)), None)) is None:
        time.sleep(poll_s)
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
