"""The plan of a batch: which chapters are run with which parameters, from a settings file.

The graph is the Snakefile's: this says which jobs there are, what each needs, and what is wrong
before anything runs. A job's folder is named by what it computes, so runs that several ablations
share are one, and settings that change are another folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from ribnb.core.files import write_json
from ribnb.core.parameters import flat, merged, nested
from ribnb.core.settings import (
    BATCH,
    Settings,
    SettingsError,
    as_mapping,
    for_chapter,
    read_settings_file,
    said_of,
    setting,
)
from ribnb.runs.ablations import FOLDER, Ablation, Chapters, read_ablations
from ribnb.runs.results import RESULT

Stage = Literal["voc_classifier", "voc_rib", "voc_masks", "voc_segmentation"]
STAGES = get_args(Stage)  # each needs the one before
SHARDED = "voc_rib"  # the stage whose images are shared out
CLASSIFIER = ("voc_classifier", "classifier.safetensors")
# Parameters of a stage that those before it make: stage, file in its folder ("": the folder).
MADE = {
    "voc_rib": {"classifier": CLASSIFIER},
    "voc_masks": {"maps_run": ("voc_rib", ""), "net.classifier": CLASSIFIER},
    "voc_segmentation": {"masks": ("voc_masks", ""), "net.classifier": CLASSIFIER},
}
PARAMETERS = "parameters.yml"
VISIBLE = "CUDA_VISIBLE_DEVICES"


class BatchSettings(Settings, strict=False):
    """Which stages and ablations are run, for which seeds, and in how many shards.

    Not strict, since Snakemake hands on the numbers in a mapping of --config as texts.
    """

    folder: str = setting("", "of its runs; none: runs/ and this file's name", pattern="^[^{}]*$")
    stages: tuple[Stage, ...] | None = setting(
        None, "stages of the reproduction; all if no ablations are named", min_length=1
    )
    ablations: tuple[str, ...] | None = setting(
        None,
        "files in book/settings/ablations, or paths that end in .yml; all without a settings file",
        min_length=1,
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = setting(
        None, "of the stages, 0 if not said; ablations have their own", min_length=1
    )
    shards: int = setting(1, "processes that share the images of voc_rib", ge=1)
    device: str = setting("", "of all jobs; none: what the file says of each")

    @model_validator(mode="after")
    def _stages_in_order(self):
        if self.stages and self.stages != STAGES[: len(self.stages)]:
            raise SettingsError(
                f"stages = {list(self.stages)}: each needs the one before; it must be the first "
                f"of {', '.join(STAGES)}, in this order"
            )
        return self


@dataclass(frozen=True)
class Job:
    """One run of a chapter.

    Attributes:
        chapter: its name.
        given: its parameters.
        settings: that these come to, where what other jobs make stands as a word.
        made: parameter -> (the job that makes its value, the file in that job's folder; "" for
            the folder itself).
        shards: how many processes share its images.
    """

    chapter: str
    given: Mapping[str, Any]
    settings: Settings
    made: Mapping[str, tuple[Job, str]] = field(default_factory=dict)
    shards: int = 1

    @cached_property
    def name(self) -> str:
        """The chapter, and ten digits that change with all that the result depends on."""
        made = {name: [job.name, file] for name, (job, file) in self.made.items()}
        # [] has no meaning, but folders that are there are named so
        text = json.dumps([self.chapter, self.settings.hash(), made, []], sort_keys=True)
        return f"{self.chapter}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def needs(self) -> list[Job]:
        """The jobs that must have ended before this one."""
        return [job for job, _ in self.made.values()]

    @property
    def done(self) -> str:
        """Path of the file that says it has ended well, below the batch's folder."""
        return f"{self.name}/{RESULT}"

    @property
    def shards_done(self) -> list[str]:
        """Paths of the files that say that a shard has ended; none if it is not shared out."""
        count = self.shards if self.shards > 1 else 0
        return [f"{self.name}/shard_{index}_of_{count}.done" for index in range(count)]

    @property
    def wants_gpu(self) -> bool:
        """Whether it takes a GPU: ``cuda`` does, and ``auto`` where there is one."""
        device = str(self.given.get("device", "auto"))
        return device.startswith("cuda") or (device == "auto" and bool(visible_gpus()))

    def write(self, folder: Path) -> None:
        """Leave its parameters, with the paths of what other jobs make, below a batch's folder.

        JSON is YAML, so that ``ribnb run CHAPTER -f FILE`` reads the file too.
        """
        own = folder / self.name
        made = {name: str(folder / job.name / file) for name, (job, file) in self.made.items()}
        own.mkdir(parents=True, exist_ok=True)
        its = flat(self.settings.as_dict())  # texts as they were written; JSON would not keep them
        values = flat(self.given).items()
        given = {k: its[k] if isinstance(its.get(k), str | list) else v for k, v in values}
        parameters = merged(nested(given), nested(made), {"output_dir": str(own)})
        write_json(own / PARAMETERS, parameters)


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` names; without it all GPUs that PyTorch counts."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    import torch  # takes seconds

    return [str(index) for index in range(torch.cuda.device_count())]


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
    stages: dict[int, dict[str, Job]]
    ablations: dict[str, Ablation]
    runs: list[tuple[str, Job]]

    @cached_property
    def named(self) -> list[tuple[str, Job]]:
        """What each stage and each run is, in words, and its job; runs may share one."""
        stages = [
            (f"{stage}, seed {seed}", job)
            for seed, jobs in self.stages.items()
            for stage, job in jobs.items()
        ]
        return [*stages, *self.runs]

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Name -> job, each once, those that others need first."""
        jobs: dict[str, Job] = {}

        def add(job: Job) -> None:
            for need in job.needs:
                add(need)
            jobs.setdefault(job.name, job)

        for _, job in self.named:
            add(job)
        return jobs

    @cached_property
    def labels(self) -> dict[str, str]:
        """Name of a job -> what it is, in words."""
        words = {job.name: words for words, job in reversed(self.named)}
        return {name: words.get(name, name) for name in self.jobs}

    def __str__(self) -> str:
        lines = []
        for name, ablation in self.ablations.items():
            points, seeds = len(ablation.points), ", ".join(map(str, ablation.seeds))
            lines.append(f"{name}: {ablation.chapter}, {points} points x seeds {seeds}")
        lines += [f"seed {seed}: {', '.join(stages)}" for seed, stages in self.stages.items()]
        done = sum((self.folder / job.done).is_file() for job in self.jobs.values())
        return "\n".join([*lines, f"{len(self.jobs)} jobs in {self.folder}, {done} of them done"])


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
        FileNotFoundError, SettingsError: what is wrong, with the file, before anything runs.
    """
    values = read_settings_file(path) if path else {}
    with said_of(f"{path}: {BATCH}" if path else BATCH):
        settings = BatchSettings.from_mapping({**as_mapping(values.get(BATCH)), **(changes or {})})
    if settings.device:
        values = {**values, "device": settings.device}
    plan = _Plan(values, settings, chapters, path)
    stages = {}
    if settings.stages or (path and not settings.ablations):
        stages = {seed: plan.stages(seed) for seed in settings.seeds or (0,)}
    names = settings.ablations
    if names is None and not path:
        names = sorted(map(str, FOLDER.glob("*.yml")))
    files = [Path(n if n.endswith((".yml", ".yaml")) else FOLDER / f"{n}.yml") for n in names or ()]
    ablations = read_ablations(files, chapters, lambda *run: plan.of_ablation(*run).settings)
    runs = [
        (f"{name}: {point}, seed {seed}", plan.of_ablation(ablation.chapter, parameters))
        for name, ablation in ablations.items()
        for point, seed, parameters in ablation.runs
    ]
    folder = Path(settings.folder or f"runs/{Path(path).stem if path else 'ablations'}")
    return Batch(folder, stages, ablations, runs)


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

    def of_ablation(self, chapter: str, parameters: Mapping[str, Any]) -> Job:
        """The job of one run; where the batch has stages, it stands on those before its chapter."""
        before = self.stages(parameters["seed"], chapter) if self.settings.stages else {}
        return self.job(chapter, parameters, before)

    def job(self, chapter: str, own: Mapping[str, Any], stages: Mapping[str, Job]) -> Job:
        """A chapter's job, on the stages before it; a SettingsError if it refuses its parameters.

        Only who starts from theta_0 takes a classifier, and the chapter knows who does.
        """
        given = merged(for_chapter(self.values, chapter, self.chapters), own)
        made = {
            name: (stages[stage], file)
            for name, (stage, file) in MADE.get(chapter, {}).items()
            if stage in stages
        }

        def settings() -> Settings:
            words = nested(dict.fromkeys(made, "made"))
            return self.chapters[chapter].from_mapping(merged(given, words))

        try:
            its = settings()
        except SettingsError as error:
            if "net.classifier" not in made or "net.classifier" not in str(error):
                raise
            del made["net.classifier"]
            its = settings()
        shards = self.settings.shards if chapter == SHARDED else 1
        return Job(chapter, given, its, made, shards)
