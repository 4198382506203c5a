"""The results in a folder: what an ablation has of them, what is missing, what does not count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ribnb.core.settings import Settings
from ribnb.runs.ablations import Ablation
from ribnb.runs.results import find_results, flat, stale
from ribnb.scores.image_scores import METRICS, ImageScores, load_image_scores

ORIGIN = ("images", "device", "git_commit", "date", "seconds", "path")
MEASURED = (
    *(name for pair in METRICS.values() for name in pair),
    *("logit_growth", "stopped_margin", "stopped_flood"),
)


@dataclass(frozen=True, eq=False)
class AblationResults:
    """One ablation with the results that are there for it.

    Attributes:
        ablation: what its file says.
        frame: one row a planned run, in the file's order: a column for each name that varies
            (without the group of settings that it is in), ``seed``, every metric (NaN without a
            result), where it comes from, and ``path``.
        scores: (number of the point, seed) -> scores of its single images, where they are there.
    """

    ablation: Ablation
    frame: pd.DataFrame
    scores: Mapping[tuple[int, int], ImageScores]

    def missing(self, *points: int) -> list[str]:
        """Which runs of these points, or of all, lack a result or its images' scores, in words."""
        return [
            f"{self.ablation.points[number]}, seed {seed}"
            for number in points or range(len(self.ablation.points))
            for seed in self.ablation.seeds
            if (number, seed) not in self.scores
        ]

    def points(self, **label: Any) -> list[int]:
        """The numbers of the points with this label; KeyError if there is none.

        A name within a group of settings is given by itself: ``pooling`` is ``rib.pooling``.
        """
        numbers = [
            number
            for number, point in enumerate(self.ablation.points)
            if label.items() <= {_short(name): value for name, value in point.label.items()}.items()
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

        Args:
            folder: where they lie, at any depth.
            chapters: chapter -> the class of its settings, which says what is stale.
        """
        whole, problems = find_results(folder)
        by_settings: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for result in whole:
            if why := stale(result, chapters):
                problems[result["path"]] = why
            else:
                key = result["chapter"], result["settings_hash"]
                by_settings.setdefault(key, []).append(result)
        results = {}
        for key, (first, *others) in by_settings.items():
            rival = next((other for other in others if _metrics(other) != _metrics(first)), None)
            if rival is None:
                results[key] = first
                continue
            for result in (first, *others):
                against = rival if result is first else first
                problems[result["path"]] = (
                    f"has the settings of {against['path']}, and other metrics; only one of them "
                    "can count: move the other away"
                )
        shorter = {
            path.removeprefix(f"{folder}/"): why.replace(f"{folder}/", "")
            for path, why in problems.items()
        }
        return cls(Path(folder), results, shorter)

    def of(self, ablation: Ablation) -> AblationResults:
        """What is there for an ablation."""
        rows, scores = [], {}
        for number, point in enumerate(ablation.points):
            for seed in ablation.seeds:
                key = ablation.chapter, ablation.settings(point, seed).hash()
                result = self.results.get(key, {})
                label = {_short(name): _cell(value) for name, value in point.label.items()}
                metrics = dict.fromkeys(MEASURED, math.nan) | flat(result.get("metrics", {}))
                origin = {name: result.get(name) for name in ORIGIN}
                rows.append({**label, "seed": seed, **metrics, **origin})
                own = self.scores_of(result) if result else None
                if own is not None:
                    scores[number, seed] = own
        return AblationResults(ablation, pd.DataFrame(rows), scores)

    def scores_of(self, result: Mapping[str, Any]) -> ImageScores | None:
        """The scores of single images beside a result; None, and a problem, if there are none."""
        folder = Path(result["path"]).parent
        try:  # those that are not its own were refused when it was read
            return load_image_scores(folder)
        except (OSError, ValueError) as error:
            name = folder.relative_to(self.folder).as_posix()
            self.problems[name] = str(error).replace(f"{self.folder}/", "")
            return None

    def unplanned(self, ablations: Iterable[Ablation]) -> list[str]:
        """Paths of results that belong to none of these ablations as they are now."""
        planned = {
            (ablation.chapter, ablation.settings(point, seed).hash())
            for ablation in ablations
            for point in ablation.points
            for seed in ablation.seeds
        }
        return [result["path"] for key, result in self.results.items() if key not in planned]


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """All that a run measured, but for its times."""
    metrics = flat(result["metrics"])
    return {name: value for name, value in metrics.items() if not name.startswith("seconds")}
