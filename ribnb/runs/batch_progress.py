"""How far a batch is: what is done, what failed, how long the rest may take."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from ribnb.core.files import whole_file
from ribnb.runs.jobs import LOG, Job, read_job

PLAN = "plan.json"


def begin(folder: Path, jobs: Mapping[str, Job], labels: Mapping[str, str]) -> None:
    """Leave every job's folder ready to run, and note when this call began, and what was done."""
    for name, job in jobs.items():
        job.write(folder, labels.get(name, name))
    paths = [job.done for job in jobs.values()]
    then = sum((folder / path).is_file() for path in paths)
    with whole_file(folder / PLAN) as temporary:
        plan = {"began": time.time(), "done_then": then, "jobs": paths}
        temporary.write_text(json.dumps(plan) + "\n", encoding="utf-8")


def progress_line(folder: Path) -> str:
    """``37 of 96 done, about 12 min left``, from how fast this call has been so far."""
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    done = sum((folder / path).is_file() for path in plan["jobs"])
    now, total = done - plan["done_then"], len(plan["jobs"])
    line = f"{done} of {total} done"
    if now > 0 and done < total:
        seconds = (time.time() - plan["began"]) / now * (total - done)
        line += f", about {_duration(seconds)} left"
    return line


def summary(folder: Path, jobs: Mapping[str, Job]) -> str:
    """What is not done, each with where to look."""
    lines = []
    for name, job in jobs.items():
        own = folder / name
        if (folder / job.done).is_file():
            continue
        if not (own / LOG).is_file():
            continue  # it was never begun: what it needs is not there
        lines.append(f"not done: {read_job(own)['label']}\n  log: {own / LOG}")
        unfinished = own / f"{job.kind}.unfinished.ipynb"
        if unfinished.is_file():
            lines.append(f"  notebook, as far as it came: {unfinished}")
    done = sum((folder / job.done).is_file() for job in jobs.values())
    lines.append(f"{done} of {len(jobs)} jobs are done, in {folder}")
    if done < len(jobs):
        lines[-1] += "; the same call goes on"
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
