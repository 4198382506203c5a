"""The plan of a batch: which chapters are run with which parameters, from a settings file.

The graph is the Snakefile's: this says which jobs there are, what each needs, and what is wrong
before anything runs. A job's folder is named by what it computes, so runs that several ablations
share are one, and settings that change are another folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from ribnb.core.settings import (
    BATCH,
    Settings,
    SettingsError,
    for_chapter,
    merged,
    nested,
    read_settings_file,
    said_of,
    setting,
)
from ribnb.runs.ablations import (
    FOLDER,
    SUFFIXES,
    Ablation,
    Chapters,
    ablation_files,
    read_ablations,
)
from ribnb.runs.jobs import DATA, SHARDED, Job

Stage = Literal["voc_classifier", "voc_rib", "voc_masks", "voc_segmentation"]
STAGES = get_args(Stage)  # each needs the one before
CLASSIFIER = ("voc_classifier", "classifier.safetensors")
# Parameters of a stage that those before it make: stage, file in its folder ("": the folder).
MADE = {
    "voc_rib": {"classifier": CLASSIFIER},
    "voc_masks": {"maps_run": ("voc_rib", ""), "net.classifier": CLASSIFIER},
    "voc_segmentation": {"masks": ("voc_masks", ""), "net.classifier": CLASSIFIER},
}


class BatchSettings(Settings):
    """Which stages and ablations are run, for which seeds, and in how many shards."""

    folder: str = setting("", "for all its runs; none: runs/ and the settings file's name")
    stages: tuple[Stage, ...] | None = setting(
        None, "stages of the reproduction; all if no ablations are named", min_length=1
    )
    ablations: tuple[str, ...] | None = setting(
        None,
        "files in book/settings/ablations, or paths that end in .yml; all without a settings file",
        min_length=1,
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = setting(
        None, "of the stages, 0 if not said; of the ablations in place of their own", min_length=1
    )
    shards: int = setting(1, "processes that share the images of voc_rib", ge=1)
    data: str = setting("", "command that makes the data set, run first in the repository")

    @model_validator(mode="after")
    def _stages_in_order(self):
        if self.stages and self.stages != STAGES[: len(self.stages)]:
            raise SettingsError(
                f"stages = {list(self.stages)}: each needs the one before; it must be the first "
                f"of {', '.join(STAGES)}, in this order"
            )
        return self


@dataclass(frozen=True)
class Batch:
    """All jobs of a batch.

    Attributes:
        folder: below which every job has its folder.
        stages: seed -> the job of each stage of the reproduction, by the stage's name.
        ablations: what was read, by name.
        runs: every point of every ablation with every seed: what it is, in words, and its job.
    """

    folder: Path
    stages: dict[int, dict[str, Job]] = field(default_factory=dict)
    ablations: dict[str, Ablation] = field(default_factory=dict)
    runs: tuple[tuple[str, Job], ...] = ()

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Name -> job, each once, those that others need first."""
        jobs: dict[str, Job] = {}

        def add(job: Job) -> None:
            if job.name not in jobs:
                for need in job.needs:
                    add(need)
                jobs[job.name] = job

        for stages in self.stages.values():
            for job in stages.values():
                add(job)
        for _, job in self.runs:
            add(job)
        return jobs

    @cached_property
    def labels(self) -> dict[str, str]:
        """Name of a job -> what it is, in words; of one that several runs share, the first."""
        stages = [
            (f"{stage}, seed {seed}", job)
            for seed, jobs in self.stages.items()
            for stage, job in jobs.items()
        ]
        labels = {name: name for name in self.jobs}
        return labels | {job.name: words for words, job in reversed([*self.runs, *stages])}


def read_batch(
    path: str | Path | None, chapters: Chapters, changes: Mapping[str, Any] | None = None
) -> Batch:
    """The plan of a settings file; without one, all ablations with their own parameters.

    Args:
        path: parameters of all chapters and of single ones, and a section ``batch``, which
            ``BatchSettings`` describes; or None.
        chapters: chapter -> the class of its settings.
        changes: values for names of that section, in place of the file's.

    Raises:
        FileNotFoundError: a file that is not there.
        SettingsError: what is wrong, with the file, before anything runs.
    """
    values = read_settings_file(path) if path else {}
    changed = {name: _number(value) for name, value in (changes or {}).items()}
    with said_of(f"{path}: {BATCH}" if path else BATCH):
        settings = BatchSettings.from_mapping({**(values.get(BATCH) or {}), **changed})
    plan = _Plan(values, settings, chapters, path)
    stages = {}
    if settings.stages or (path and not settings.ablations):
        stages = {seed: plan.stages(seed) for seed in settings.seeds or (0,)}
    names = settings.ablations
    if names is None and not path:
        names = sorted(map(str, FOLDER.glob("*.yml")))
    files = [Path(n if n.endswith(SUFFIXES) else FOLDER / f"{n}.yml") for n in names or ()]
    found = read_ablations(files, chapters, plan.settings_of, settings.seeds or ())
    folder = Path(settings.folder or f"runs/{Path(path).stem if path else 'ablations'}")
    runs = [run for ablation in found.values() for run in plan.runs(ablation)]
    return Batch(folder, stages, found, tuple(runs))


@dataclass(frozen=True)
class _Plan:
    """Turns what is asked for into jobs."""

    values: Mapping[str, Any]
    settings: BatchSettings
    chapters: Chapters
    path: str | Path | None

    def stages(self, seed: int, before: str = "") -> dict[str, Job]:
        """The jobs of all stages, or of those before one, for one seed."""
        made: dict[str, Job] = {}
        for chapter in self.settings.stages or STAGES:
            if chapter == before:
                break
            with said_of(f"{self.path}: {chapter}" if self.path else chapter):
                made[chapter] = self.job(chapter, {"seed": seed}, made)
        return made

    def job(self, chapter: str, own: Mapping[str, Any], made: Mapping[str, Job]) -> Job:
        """A chapter's job, on the stages before it.

        Raises:
            SettingsError: the chapter refuses its parameters.
        """
        given = merged(for_chapter(self.values, chapter, self.chapters), own)
        needs = {
            name: (made[stage], file)
            for name, (stage, file) in MADE.get(chapter, {}).items()
            if stage in made
        }
        try:
            settings = self._settings(chapter, given, needs)
        except SettingsError as error:
            # only who starts from theta_0 takes a classifier, and the chapter knows who does
            if "net.classifier" not in needs or "net.classifier" not in str(error):
                raise
            del needs["net.classifier"]
            settings = self._settings(chapter, given, needs)
        data = (Job(DATA, {"command": self.settings.data}),) if self.settings.data else ()
        shards = self.settings.shards if chapter == SHARDED else 1
        return Job(chapter, given, settings, needs, data, shards)

    def _settings(self, chapter: str, given: Mapping[str, Any], needs: Mapping) -> Settings:
        made = nested(dict.fromkeys(needs, "made"))
        return self.chapters[chapter].from_mapping(merged(given, made))

    def of_ablation(self, chapter: str, parameters: Mapping[str, Any]) -> Job:
        """The job of one run; where the batch has stages, it stands on those before its chapter."""
        before = self.stages(parameters["seed"], chapter) if self.settings.stages else {}
        return self.job(chapter, parameters, before)

    def settings_of(self, chapter: str, parameters: Mapping[str, Any]) -> Settings:
        """The settings of one run."""
        return self.of_ablation(chapter, parameters).settings

    def runs(self, ablation: Ablation) -> Iterator[tuple[str, Job]]:
        """Every point with every seed, in words, and its job."""
        for seed in ablation.seeds:
            for point in ablation.points:
                job = self.of_ablation(ablation.chapter, {**point.parameters, "seed": seed})
                yield f"{ablation.name}: {point}, seed {seed}", job


def describe(files: Sequence[str], chapters: Chapters) -> str:
    """In words, what ablations' files, folders of them, or settings files of batches would run.

    Args:
        files: none stand for the ablations of the book.
        chapters: chapter -> the class of its settings.

    Raises:
        FileNotFoundError: a file that is not there.
        SettingsError: what is wrong with them.
    """
    paths = ablation_files(files or FOLDER)
    alone = [str(path) for path in paths if "chapter" in read_settings_file(path)]
    plans = {"": read_batch(None, chapters, {"ablations": alone})} if alone else {}
    plans |= {f"{path}: ": read_batch(path, chapters) for path in paths if str(path) not in alone}
    lines = []
    for path, batch in plans.items():
        for name, ablation in batch.ablations.items():
            points, seeds = len(ablation.points), ", ".join(map(str, ablation.seeds))
            lines.append(f"{name}: {ablation.chapter}, {points} points x seeds {seeds}")
        lines += [f"seed {seed}: {', '.join(stages)}" for seed, stages in batch.stages.items()]
        done = sum((batch.folder / job.done).is_file() for job in batch.jobs.values())
        lines.append(f"{path}{len(batch.jobs)} jobs in {batch.folder}, {done} of them done")
    return "\n".join(lines)


def _number(value: Any) -> Any:
    """A value as it was typed: Snakemake hands on the numbers in a mapping of --config as texts."""
    if isinstance(value, list):
        return [_number(one) for one in value]
    return int(value) if isinstance(value, str) and value.isdecimal() else value
