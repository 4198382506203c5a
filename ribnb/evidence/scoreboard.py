"""The scoreboard: every stage with what was reported, and what our results say of it.

A number of ours comes from a whole result of exactly the settings that its row is planned with;
whatever is missing or does not count is named in its place.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ribnb.book.chapter_settings import chapter_settings, settings_class
from ribnb.core.settings import flat as flat_settings
from ribnb.core.voc import CLASS_NAMES, LIST_COUNTS
from ribnb.evidence.ablation_results import Published
from ribnb.evidence.scoreboard_stages import STAGES, Row
from ribnb.runs.results import flat

NETS = (3, 4, 5)  # seeds of the scenes' runs, each with a classifier of its own
SCENES: Mapping[str, Mapping[str, Any]] = {  # the runs that the rows are planned with
    "voc_rib": {"variant": "paper", "num_images": 100},
    "voc_masks": {"num_images": 400},
    "voc_segmentation": {},
}
TOYS: Mapping[str, Mapping[str, Any]] = {
    "digits of MNIST": {"digits": "mnist", "seeds": 5},
    "embedded digits": {"digits": "embedded", "seeds": 5},
}
SCORED_ON = {"voc_rib": "train", "voc_masks": "train", "voc_segmentation": "val"}
WHOLE = "0/1"  # the only shard of a split that is not shared out
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """Scores of ours, one a seed, or what is missing.

    Attributes:
        values: in %, in the order of ``sources``.
        sources: the results they come from.
        missing: what is not there, in words; a cell with any shows no number.
        label: settings in which it differs from the other cells of its row.
    """

    values: tuple[float, ...] = ()
    sources: tuple[Result, ...] = ()
    missing: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        if self.missing or not self.values:
            return "; ".join(self.missing) or "not run yet"
        mean = f"{statistics.fmean(self.values):.1f}"
        label = f" ({self.label})" if self.label else ""
        if len(self.values) == 1:
            return f"{mean}, n = 1{label}"
        return f"{mean} ± {statistics.stdev(self.values):.1f}, n = {len(self.values)}{label}"


@dataclass(frozen=True)
class Board:
    """The results of a folder, as the scoreboard reads them.

    Attributes:
        published: the whole results of settings that this version knows, and the problems.
        folder: where they lie.
        not_voc: path -> why a result with VOC's settings is not one of VOC.
    """

    published: Published
    folder: Path
    not_voc: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> Board:
        """Read all results below a folder; of two that contradict each other neither counts."""
        published = Published.read(folder)
        of_voc = [one for one in published.results.values() if _for_voc(one)]
        not_voc = {one["path"]: why for one in of_voc if (why := _not_voc(one))}
        return cls(published, Path(folder), not_voc)

    def run(self, chapter: str, parameters: Mapping[str, Any]) -> Result | None:
        """The result of a chapter with these parameters, if it is there."""
        return self.published.results.get((chapter, _hash(chapter, json.dumps(parameters))))

    def net(self, chapter: str, seed: int) -> Result | None:
        """The result on scenes that the rows are planned with."""
        return self.run(chapter, {**SCENES[chapter], "seed": seed})

    def scenes(self, row: Row) -> Cell | None:
        """Ours on scenes; None where nothing is planned."""
        if row.scenes is None:
            return None
        chapter, metric = row.scenes
        results = {seed: self.net(chapter, seed) for seed in NETS}
        return _cell(results, chapter, metric)

    def voc(self, row: Row) -> list[Cell] | None:
        """Ours on VOC, a cell for each setting that somebody ran; None where nothing is planned."""
        if row.voc is None:
            return None
        chapter, metric = row.voc
        groups: dict[str, dict[Any, Result]] = {}
        for (name, _), one in self.published.results.items():
            if name == chapter and _for_voc(one) and one["path"] not in self.not_voc:
                groups.setdefault(_without_seed(one), {})[one["settings"]["seed"]] = one
        settings = [json.loads(key) for key in groups]
        cells = []
        for own, results in zip(settings, groups.values(), strict=True):
            others = [name for name in own if any(own[name] != one[name] for one in settings)]
            label = ", ".join(f"{name} = {own[name]}" for name in others)
            cells.append(_cell(results, chapter, metric, label))
        return cells

    def plans(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Chapter and parameters of every run that the page is planned with, ablations aside."""
        for chapter, parameters in SCENES.items():
            for seed in NETS:
                yield chapter, {**parameters, "seed": seed}
        for chapter in ("toy_bottleneck", "rib_loss"):
            for parameters in TOYS.values():
                yield chapter, parameters

    def missing(self) -> dict[str, str]:
        """What the page is planned with and is not there: in words -> the command that makes it."""
        return {
            f"{chapter}: {_words(parameters)}": command(chapter, parameters)
            for chapter, parameters in self.plans()
            if self.run(chapter, parameters) is None
        }

    def used(self) -> list[Result]:
        """The results behind the table, each once."""
        found: dict[str, Result] = {}
        for stage in STAGES:
            for row in stage.rows:
                for cell in [self.scenes(row), *(self.voc(row) or [])]:
                    for source in cell.sources if cell else ():
                        found.setdefault(source["path"], source)
        return list(found.values())


def command(chapter: str, parameters: Mapping[str, Any]) -> str:
    """The command that makes a run of a chapter."""
    apart = [str(parameters[one]) for one in ("digits", "seed") if one in parameters]
    name = "_".join([chapter, *apart])
    given = " ".join(f"-p {key}={value}" for key, value in parameters.items())
    command = f"ribnb run {chapter} {given}"
    return f"{command} -p output_dir=runs/scoreboard/{name}"


@cache  # looking at a chapter's settings takes as long as loading its modules
def _hash(chapter: str, parameters: str) -> str:
    return chapter_settings(chapter, json.loads(parameters)).hash()


def _words(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in parameters.items())


def _cell(results: Mapping[Any, Result | None], chapter: str, metric: str, label: str = "") -> Cell:
    values, missing = [], []
    for seed, result in results.items():
        if result is None:
            missing.append(f"{chapter} of seed {seed} is missing")
            continue
        value = flat(result["metrics"]).get(metric)
        if value is None:
            missing.append(f"{chapter} of seed {seed} has no {metric}")
        else:
            values.append(value)
    if missing:
        return Cell(missing=tuple(missing), label=label)
    return Cell(tuple(values), tuple(filter(None, results.values())), label=label)


def _without_seed(result: Result) -> str:
    """The settings that decide a result, but for its seed; equal text for equal settings."""
    kind = settings_class(result["chapter"])
    settings = flat_settings(kind.identity_of(result["settings"]))
    return json.dumps({k: v for k, v in settings.items() if k != "seed"}, sort_keys=True)


def _for_voc(result: Result) -> bool:
    """Whether a result has VOC's settings; a shard is a part of one, and does not count."""
    settings = result["settings"]
    return settings.get("dataset") == "voc" and settings.get("shard", WHOLE) == WHOLE


def _not_voc(result: Result) -> str:
    """Why a result with VOC's settings is none of the whole split of VOC; empty if it is one."""
    chapter, metrics = result["chapter"], result["metrics"]
    split = SCORED_ON.get(chapter)
    if split is None:
        return ""
    by_class = next(
        iter(metrics.get("val_iou_per_class", {}).values()), result.get("per_class_iou")
    )
    if set(by_class or ()) - {"background"} != set(CLASS_NAMES):
        return "is of other classes than VOC's"
    if result["split"] != split:
        return f"is scored on {result['split']}; the table is of {split}"
    if result["images"] != LIST_COUNTS[split]:
        return f"is scored on {result['images']} of {LIST_COUNTS[split]} images"
    return ""
