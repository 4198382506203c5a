"""The plan of a batch: from a settings file and the ablations' files to jobs.

    python -m ribnb.runs.batch [SETTINGS.yml]

checks the files and says what would run.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ribnb.book.chapter_settings import WHERE
from ribnb.core.settings import SettingsError, flat, merged, nested
from ribnb.core.settings_files import BATCH, SECTIONS, for_chapter, settings_and_lines
from ribnb.core.yaml_lines import Lines
from ribnb.runs.batch_settings import STAGES, BatchSettings
from ribnb.runs.jobs import DATA, MERGE, Job, with_needs
from ribnb.runs.sweeps import FOLDER, Ablation, Point, read_ablations

MADE = "made"  # stands for what another job will make


@dataclass(frozen=True)
class PlannedRun:
    """One point of an ablation with one seed."""

    ablation: str
    point: Point
    seed: int
    job: Job


@dataclass(frozen=True)
class Batch:
    """All jobs of a batch.

    Attributes:
        name: the settings file's, or ``"ablations"``.
        folder: below which every job has its folder.
        stages: seed -> the last job of each stage of the reproduction, by the stage's name.
        ablations: what was read, by name.
        runs: every point of every ablation with every seed.
    """

    name: str
    folder: Path
    stages: dict[int, dict[str, Job]] = field(default_factory=dict)
    ablations: dict[str, Ablation] = field(default_factory=dict)
    runs: tuple[PlannedRun, ...] = ()

    @property
    def jobs(self) -> dict[str, Job]:
        """Name -> job, each once, those that others need first."""
        ends = [job for stages in self.stages.values() for job in stages.values()]
        return {job.name: job for job in with_needs([*ends, *(run.job for run in self.runs)])}

    @property
    def labels(self) -> dict[str, str]:
        """Name of a job -> what it is, in words; of one that several runs share, the first."""
        labels = {name: name for name in self.jobs}
        for seed, stages in self.stages.items():
            labels |= {job.name: f"{job.name} of seed {seed}" for job in stages.values()}
        for run in reversed(self.runs):
            point = ", ".join(f"{key} {value}" for key, value in run.point.label.items())
            labels[run.job.name] = f"{run.ablation}: {point}, seed {run.seed}"
        return labels


def read_batch(
    path: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    ablations: str | Path = FOLDER,
) -> Batch:
    """The plan of a settings file; without one, all ablations with their own parameters.

    Args:
        path: parameters of all chapters and of single ones, and a section ``batch``, which
            ``BatchSettings`` describes.
        changes: values for names of that section, in place of the file's.
        ablations: folder of the ablations' files.

    Raises:
        FileNotFoundError: a file that is not there.
        SettingsError: what is wrong, with file and line, before anything runs.
    """
    values, lines = settings_and_lines(path) if path else ({}, None)
    where = _Place(path, lines)
    with where.of(BATCH):
        changed = {name: _number(value) for name, value in (changes or {}).items()}
        settings = BatchSettings.from_mapping({**(values.get(BATCH) or {}), **changed})
    plan = _Plan({k: v for k, v in values.items() if k != BATCH}, settings, where)
    stages = {}
    if settings.stages or (path and not settings.ablations):
        stages = {seed: plan.stages(seed) for seed in settings.seeds or (0,)}
    names = settings.ablations
    if names is None and not path:
        names = tuple(sorted(file.stem for file in Path(ablations).glob("*.yml")))
    files = [Path(n if n.endswith(".yml") else f"{ablations}/{n}.yml") for n in names or ()]
    found = read_ablations(files, plan.beneath()) if files else {}
    name = Path(path).stem if path else "ablations"
    folder = Path(settings.folder or f"runs/{name}")
    return Batch(name, folder, stages, found, tuple(plan.runs(found.values())))


@dataclass(frozen=True)
class _Place:
    """Where in the settings file something stands."""

    path: str | Path | None
    lines: Lines | None

    @contextmanager
    def of(self, *section: str) -> Iterator[None]:
        """Errors in here get the file, and the line of the name they are about."""
        try:
            yield
        except SettingsError as error:
            raise SettingsError(f"{self.find(str(error), section)}{error}") from None

    def find(self, message: str, section: Sequence[str]) -> str:
        """``FILE:LINE: `` of what a message is about, as well as can be told."""
        if self.lines is None:
            return ""
        named = re.findall(r"\w+", message.split("=")[0])[-1:] + re.findall(r"'(\w+)'", message)
        places = [(*section, name) for name in named] + [(name,) for name in named]
        for place in [*places, section]:
            if place in self.lines.names:
                return f"{self.path}:{self.lines.at(*place)}: "
        return f"{self.path}: "


class _Plan:
    """Turns what is asked for into jobs."""

    def __init__(self, values: Mapping[str, Any], settings: BatchSettings, where: _Place) -> None:
        self.values, self.settings, self.where = values, settings, where
        self.data = (Job(DATA, {"command": settings.data}),) if settings.data else ()

    def given(self, chapter: str) -> dict[str, Any]:
        """What the settings file gives a chapter."""
        return for_chapter(self.values, chapter, WHERE)

    def beneath(self) -> dict[str, Any]:
        """What lies beneath the ablations' own parameters."""
        values, sections = self.values, dict(self.values.get(SECTIONS) or {})
        for chapter in STAGES:
            made = self.stages(0, before=chapter) if self.settings.stages else {}
            needs = dict.fromkeys(_needs(chapter, self.given(chapter), made), MADE)
            sections[chapter] = merged(sections.get(chapter, {}), nested(needs))
        return {**values, SECTIONS: sections}

    def stages(self, seed: int, before: str = "") -> dict[str, Job]:
        """The last job of each stage, or of those before one, for one seed."""
        made: dict[str, Job] = {}
        for chapter in self.settings.stages or STAGES:
            if chapter == before:
                break
            with self.where.of(chapter):
                given = {**self.given(chapter), "seed": seed}
                made[chapter] = self.stage(chapter, given, made)
        return made

    def stage(self, chapter: str, given: dict[str, Any], made: Mapping[str, Job]) -> Job:
        """One stage from those before it."""
        needs = _needs(chapter, given, made)
        count = self.settings.shards
        if chapter != "voc_rib" or count == 1:
            return _checked(Job(chapter, given, needs, self.data))
        parts = [{**given, "shard": f"{index}/{count}"} for index in range(count)]
        shards = [_checked(Job(chapter, part, needs, self.data)) for part in parts]
        return Job(MERGE, {}, after=tuple(shards))

    def runs(self, ablations: Iterable[Ablation]) -> Iterator[PlannedRun]:
        """Every point with every seed; where the batch has stages, on those before its chapter."""
        for ablation in ablations:
            chapter = ablation.chapter
            for seed in self.settings.seeds or ablation.seeds:
                made = self.stages(seed, before=chapter) if self.settings.stages else {}
                for point in ablation.points:
                    own = {k: v for k, v in flat(point.parameters).items() if v != MADE}
                    given = {**merged(self.given(chapter), nested(own)), "seed": seed}
                    yield PlannedRun(ablation.name, point, seed, self.stage(chapter, given, made))


def _needs(
    chapter: str, given: Mapping[str, Any], made: Mapping[str, Job]
) -> dict[str, tuple[Job, str]]:
    """Parameters of a chapter that the stages before it make, see ``Job.made``."""
    needs = {}
    starts = given.get("net", {}).get("weights") or _default_weights(given)
    if chapter == "voc_rib" or (chapter != "voc_classifier" and starts == "theta_0"):
        name = "classifier" if chapter == "voc_rib" else "net.classifier"
        needs[name] = ("voc_classifier", "classifier.safetensors")
    if chapter == "voc_masks":
        needs["maps_run"] = ("voc_rib", "")
    if chapter == "voc_segmentation":
        needs["masks"] = ("voc_masks", "")
    return {name: (made[stage], file) for name, (stage, file) in needs.items() if stage in made}


def _number(value: Any) -> Any:
    """A value as it was typed: Snakemake hands on the numbers in a mapping of --config as texts."""
    if isinstance(value, list):
        return [_number(one) for one in value]
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _checked(job: Job) -> Job:
    """The job, if its chapter takes its parameters."""
    _ = job.settings
    return job


def _default_weights(given: Mapping[str, Any]) -> str:
    """What masks and networks start from where nothing is said."""
    return "theta_0" if given.get("dataset", "scenes") == "scenes" else "IMAGENET1K_V1"


def main(words: Sequence[str] | None = None) -> int:
    """Check a batch and say what it would run; 2 for a file with a mistake."""
    parser = argparse.ArgumentParser(prog="python -m ribnb.runs.batch", description=main.__doc__)
    parser.add_argument("settings", nargs="?", help="a settings file; none: all ablations")
    given = parser.parse_args(words)
    try:
        batch = read_batch(given.settings)
    except (OSError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    jobs = batch.jobs
    done = sum((batch.folder / job.done).is_file() for job in jobs.values())
    for name, ablation in batch.ablations.items():
        runs = [run for run in batch.runs if run.ablation == name]
        print(f"{name}: {len(ablation.points)} points, {len(runs)} runs of {ablation.chapter}")
    for seed, stages in batch.stages.items():
        print(f"seed {seed}: {', '.join(stages)}")
    print(f"{len(jobs)} jobs in {batch.folder}, {done} of them done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
