"""Jobs of a batch: a chapter with parameters, in a folder named by what it computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ribnb.book.chapter_settings import chapter_settings
from ribnb.core.files import whole_file
from ribnb.core.settings import Settings, merged, nested
from ribnb.runs.results import RESULT

PARAMETERS, JOB, LOG = "parameters.yml", "job.json", "log.txt"
DATA, MERGE = "data", "merge"  # what a job may be beside a chapter
NOT_A_CHAPTER = (DATA, MERGE)


@dataclass(frozen=True)
class Job:
    """One step of a batch.

    Attributes:
        kind: a chapter's name, ``"data"`` or ``"merge"``.
        given: parameters of the chapter; for ``"data"`` the command.
        made: parameter -> (the job that makes its value, the file in that job's folder; "" for
            the folder itself).
        after: jobs that must have ended before, whose folders no parameter names.
    """

    kind: str
    given: Mapping[str, Any]
    made: Mapping[str, tuple[Job, str]] = field(default_factory=dict)
    after: tuple[Job, ...] = ()

    @cached_property
    def settings(self) -> Settings:
        """The chapter's; what other jobs make stands there as a word.

        Raises:
            SettingsError: a parameter that the chapter refuses.
        """
        return chapter_settings(
            self.kind, merged(self.given, nested(dict.fromkeys(self.made, "made")))
        )

    @cached_property
    def name(self) -> str:
        """The kind, and ten digits that change with all that the result depends on."""
        own = dict(self.given) if self.kind in NOT_A_CHAPTER else self.settings.hash()
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
        return f"{self.name}/{done_file(self.kind)}"

    def parameters(self, folder: Path) -> dict[str, Any]:
        """All parameters, with the paths of what other jobs make below the batch's folder."""
        if self.kind in NOT_A_CHAPTER:
            return dict(self.given)
        made = {name: str(folder / job.name / file) for name, (job, file) in self.made.items()}
        return merged(self.given, nested(made), {"output_dir": str(folder / self.name)})

    def write(self, folder: Path, label: str) -> None:
        """Leave in its folder what is needed to run it, here or on another machine.

        Args:
            folder: the batch's.
            label: what the job is, in words.
        """
        import yaml  # comes with papermill

        own = folder / self.name
        own.mkdir(parents=True, exist_ok=True)
        what = {"kind": self.kind, "label": label, "needs": [job.name for job in self.needs]}
        _write(own / PARAMETERS, yaml.safe_dump(self.parameters(folder), sort_keys=False))
        _write(own / JOB, json.dumps(what) + "\n")


def read_job(folder: Path) -> dict[str, Any]:
    """What ``Job.write`` left there: ``kind``, ``label``, ``needs``."""
    return json.loads((folder / JOB).read_text(encoding="utf-8"))


def done_file(kind: str) -> str:
    """Name of the file that a job of this kind ends with."""
    return "done.json" if kind == DATA else RESULT


def with_needs(jobs: Iterable[Job]) -> Iterator[Job]:
    """These jobs and all that they need, those first; one that several need comes once."""
    seen = set()

    def visit(job: Job) -> Iterator[Job]:
        if job.name not in seen:
            seen.add(job.name)
            for need in job.needs:
                yield from visit(need)
            yield job

    for job in jobs:
        yield from visit(job)


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return  # another process may be reading it
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
