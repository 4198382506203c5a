"""The results in a folder: what an ablation has of them, what is missing, what does not count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ribnb.core.parameters import flat
from ribnb.core.settings import Settings
from ribnb.runs.ablations import Ablation
from ribnb.runs.results import find_results
from ribnb.scores.image_scores import METRICS, ImageScores, load_image_scores
from ribnb.scores.iou import THRESHOLDS

ORIGIN = ("device", "git_commit", "date", "path")
MEASURED = (
    *(name for pair in METRICS.values() for name in pair),
    *("logit_growth", "stopped_margin", "stopped_flood"),
)


@dataclass(frozen=True, eq=False)
class AblationResults:
    """One ablation with the results that are there for it.

    Attributes:
        ablation: what its file says.
        frame: one row a planned run, in the file's order: a column for each name that varies,
            ``seed``, every metric (NaN without a result), and ``ORIGIN``.
        scores: (number of the point, seed) -> scores of its single images, where they are there.
    """

    ablation: Ablation
    frame: pd.DataFrame
    scores: Mapping[tuple[int, int], ImageScores]

    def missing(self, *points: int) -> list[str]:
        """Runs of these points, or of all, that lack a result or its images' scores, in words."""
        return [
            f"{self.ablation.points[number]}, seed {seed}"
            for number in points or range(len(self.ablation.points))
            for seed in self.ablation.seeds
            if (number, seed) not in self.scores
        ]

    def lacks(self, *points: int) -> str:
        """``missing`` in words: "lacks" the first and how many more; empty without any."""
        first, *others = self.missing(*points) or [""]
        more = f" and {len(others)} more" if others else ""
        return first and f"lacks {first}{more}"

    def points(self, **label: Any) -> list[int]:
        """The numbers of the points with this label, or one of a set; KeyError if there is none."""
        wanted = {k: v if isinstance(v, set) else [v] for k, v in label.items()}
        numbers = [
            number
            for number, point in enumerate(self.ablation.points)
            if all(k in point.label and point.label[k] in v for k, v in wanted.items())
        ]
        if not numbers:
            raise KeyError(f"{self.ablation.name} has no point with {label}")
        return numbers

    def of(self, point: int) -> list[ImageScores]:
        """A point's scores of single images, seed by seed."""
        return [self.scores[point, seed] for seed in self.ablation.seeds]


@dataclass(frozen=True)
class Published:
    """All that is in a folder of results.

    Attributes:
        folder: where they lie.
        results: by chapter and settings' hash; whole, and of settings that this version knows.
        problems: path, seen from the folder -> why what is there does not count.
    """

    folder: Path
    results: Mapping[tuple[str, str], dict[str, Any]]
    problems: dict[str, str]

    @classmethod
    def read(cls, folder: str | Path, chapters: Mapping[str, type[Settings]]) -> Published:
        """Read the results below a folder; of two that contradict each other neither counts.

        ``chapters`` are the classes of the chapters' settings, which say what is stale.
        """
        whole, problems = find_results(folder, chapters)
        by_settings: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for result in whole:
            key = result["chapter"], result["settings_hash"]
            by_settings.setdefault(key, []).append(result)
        results = {}
        for key, group in by_settings.items():
            if all(_measured(other) == _measured(group[0]) for other in group):
                results[key] = group[0]
                continue
            paths = [result["path"] for result in group]
            why = f"only one of {', '.join(paths)} can count: same settings, other metrics"
            problems |= dict.fromkeys(paths, f"{why}; move the others away")
        shorter = {_below(folder, path): _below(folder, why) for path, why in problems.items()}
        return cls(Path(folder), results, shorter)

    def of(self, ablation: Ablation) -> AblationResults:
        """What is there for an ablation; results without scores of single images are problems."""
        rows, scores = [], {}
        for number, point in enumerate(ablation.points):
            for seed in ablation.seeds:
                key = ablation.chapter, ablation.settings(point, seed).hash()
                result = self.results.get(key, {})
                measured = flat(result.get("metrics", {}), lists=True)
                metrics = dict.fromkeys(MEASURED, math.nan) | measured
                origin = {name: result.get(name) for name in ORIGIN}
                rows.append({**point.label, "seed": seed, **metrics, **origin})
                if not result:
                    continue
                folder = Path(result["path"]).parent
                try:  # those that are not its own were refused when it was read
                    scores[number, seed] = load_image_scores(folder)
                except (OSError, ValueError) as error:
                    self.problems[_below(self.folder, folder)] = _below(self.folder, error)
        return AblationResults(ablation, pd.DataFrame(rows), scores)


def _below(folder: str | Path, text: Any) -> str:
    """A path, or a text with paths, as seen from a folder."""
    return str(text).replace(f"{folder}/", "")


def _measured(result: Mapping[str, Any]) -> dict[str, Any]:
    """All that a run measured, but for its times."""
    metrics = flat(result["metrics"], lists=True)
    return {name: value for name, value in metrics.items() if not name.startswith("seconds")}


def whats_there(results: Mapping[str, AblationResults], published: Published) -> str:
    """In words: runs planned and there by ablation, what is missing or does not count."""
    lacking = [f"{name} {each.lacks()}" for name, each in results.items() if each.lacks()]
    lines = [f"{name:29} {len(r.scores)} of {len(r.frame)} runs" for name, r in results.items()]
    lines += lacking
    if published.problems:
        lines.append(f"Of what lies there, {len(published.problems)} do not count:")
        lines += [f"    {path}: {why}" for path, why in published.problems.items()]
    if published.problems or lacking:
        config = "CONFIG=book/settings/ablations_photographs.yml"
        lines.append(f"To make what is missing: make ablations, on photographs with {config}")
    return "\n".join(lines)


def origin(results: Iterable[AblationResults]) -> str:
    """In words: where the results were made, from which commits, and when."""
    runs = _runs(results)
    if runs.empty:
        return "There are no results."
    commits = runs["git_commit"].fillna("of no repository")
    commits = commits.str.replace(r"^([0-9a-f]{8})[0-9a-f]*", r"\1", regex=True)
    days = runs["date"].str[:10]
    devices, commits = (", ".join(sorted({*column})) for column in (runs["device"], commits))
    days = " to ".join(sorted({days.min(), days.max()}))
    return f"{len(runs)} runs on {devices}; commit {commits}; {days}"


def at_the_end(results: Iterable[AblationResults]) -> str:
    """In words: how many maps are best at an end of the thresholds, as seeds."""
    runs, ends = _runs(results), (min(THRESHOLDS), max(THRESHOLDS))
    words = [
        f"{runs[column].isin(ends).sum()} of {len(runs)} runs for {name}"
        for name, column in (("RIB", "seed_threshold"), ("the CAM", "cam_seed_threshold"))
    ]
    return f"Best at {ends[0]:g} or {ends[1]:g}: {', '.join(words)}"


def _runs(results: Iterable[AblationResults]) -> pd.DataFrame:
    """Every run with a result once, though several ablations may have it."""
    runs = pd.concat([ablation.frame for ablation in results])
    return runs.dropna(subset="path").drop_duplicates("path")
