"""What is said at once, before a batch's first job."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache

from ribnb.core.file_locks import hold
from ribnb.runs.batch import Batch
from ribnb.runs.jobs import DATA, NOT_A_CHAPTER, Job
from ribnb.runs.results import read_result
from ribnb.scores.image_scores import FILE, scores_fault


def wants_gpu(job: Job) -> bool:
    """Whether a job takes a GPU: ``cuda`` does, and ``auto`` where there is one."""
    if job.kind in NOT_A_CHAPTER:
        return False
    device = str(job.given.get("device", "auto"))
    return device.startswith("cuda") or (device == "auto" and _has_cuda())


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
            if not fault and job.kind == "voc_rib" and not path.with_name(FILE).is_file():
                fault = f"has no {FILE} beside it"
            fault = fault and f"{path} {fault}"
        except ValueError as error:
            fault = str(error)
        if fault:
            path.rename(path.with_suffix(".broken"))
            said.append(f"{fault}; made again")
    return said


def before_running(batch: Batch, local: bool) -> None:
    """Refuse what cannot be run.

    Args:
        batch: the plan.
        local: whether the jobs run on this machine, not on a cluster.

    Raises:
        ValueError: jobs that ask for a GPU on a machine without one; another call at work on the
            same folder.
    """
    asked = [job for job in batch.jobs.values() if job.given.get("device", "").startswith("cuda")]
    waiting = [job for job in asked if not (batch.folder / job.done).is_file()]
    if local and waiting and not _has_cuda():
        raise ValueError(
            f"{len(waiting)} jobs ask for device = 'cuda', but PyTorch sees no CUDA GPU on this "
            "machine. Run them where there is one, or take device: auto"
        )
    _hold(batch)


_held = ExitStack()  # until this process ends


def _hold(batch: Batch) -> None:
    """Take the folder for this call."""
    batch.folder.mkdir(parents=True, exist_ok=True)
    if not _held.enter_context(hold(batch.folder / "lock", wait=False)):
        raise ValueError(f"another call is running the jobs of {batch.folder}")


@cache
def _has_cuda() -> bool:
    import torch  # takes seconds

    return torch.cuda.is_available()
