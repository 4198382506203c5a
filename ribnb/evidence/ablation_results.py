"""The results of an ablation: what is there, what is missing, what does not count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ribnb.runs.ablations import Ablation, Point
from ribnb.runs.results import find_results, flat, stale
from ribnb.scores.image_scores import ImageScores, load_image_scores

ORIGIN = ("images", "device", "git_commit", "date", "seconds")


@dataclass(frozen=True, eq=False)
class AblationResults:
    """One ablation with the results that are there for it.

    Attributes:
        ablation: what its file says.
        frame: one row a run, in the file's order: a column for each name that varies, ``seed``,
            every metric, where it comes from, and ``path``.
        missing: points and seeds without a result, in words.
        scores: (number of the point, seed) -> scores of its single images, where they are there.
    """

    ablation: Ablation
    frame: pd.DataFrame
    missing: tuple[str, ...]
    scores: Mapping[tuple[int, int], ImageScores]

    def complete(self, *points: int) -> bool:
        """Whether every seed of these points, or of all, has its result and its images' scores."""
        numbers = points or range(len(self.ablation.points))
        return all((one, seed) in self.scores for one in numbers for seed in self.ablation.seeds)

    def number_of(self, **label: Any) -> int:
        """The number of the point with this label.

        Raises:
            KeyError: there is none, or more than one.
        """
        points = self.ablation.points
        found = [n for n, point in enumerate(points) if label.items() <= point.label.items()]
        if len(found) != 1:
            raise KeyError(f"{self.ablation.name} has {len(found)} points with {label}")
        return found[0]

    def of(self, point: int) -> list[ImageScores]:
        """A point's scores of single images, seed by seed."""
        return [self.scores[point, seed] for seed in self.ablation.seeds]


@dataclass(frozen=True)
class Published:
    """All that is in a folder of results.

    Attributes:
        results: by chapter and settings' hash; whole, and of settings that this version knows.
        problems: path -> why what is there does not count.
    """

    results: Mapping[tuple[str, str], dict[str, Any]]
    problems: Mapping[str, str]

    @classmethod
    def read(cls, folder: str | Path) -> Published:
        """Read the results below a folder; of two that contradict each other neither counts."""
        from ribnb.book.chapter_settings import WHERE, settings_class

        chapters = {name: settings_class(name) for name in WHERE}
        found, problems = find_results(folder)
        of_settings: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for result in found:
            if why := stale(result, chapters):
                problems[result["path"]] = why
            else:
                key = result["chapter"], result["settings_hash"]
                of_settings.setdefault(key, []).append(result)
        results = {}
        for key, (first, *others) in of_settings.items():
            rival = next((one for one in others if _other(first, one)), None)
            if rival is None:
                results[key] = first
                continue
            for one in (first, *others):
                against = rival if one is first else first
                problems[one["path"]] = (
                    f"has the settings of {against['path']}, and other metrics; only one of them "
                    "can count: move the other away"
                )
        return cls(results, problems)

    def of(self, ablation: Ablation) -> AblationResults:
        """What is there for an ablation."""
        rows, missing, scores = [], [], {}
        for number, point in enumerate(ablation.points):
            for seed in ablation.seeds:
                key = ablation.chapter, ablation.settings(point, seed).hash()
                result = self.results.get(key)
                if result is None:
                    missing.append(f"{point}, seed {seed}")
                    continue
                rows.append(_row(point, seed, result))
                found = _scores(result, self.problems)
                if found is not None:
                    scores[number, seed] = found
        return AblationResults(ablation, pd.DataFrame(rows), tuple(missing), scores)

    def unplanned(self, ablations: Iterable[Ablation]) -> list[str]:
        """Paths of results that belong to none of these ablations as they are now."""
        planned = {
            (ablation.chapter, ablation.settings(point, seed).hash())
            for ablation in ablations
            for point in ablation.points
            for seed in ablation.seeds
        }
        return [result["path"] for key, result in self.results.items() if key not in planned]


def _row(point: Point, seed: int, result: Mapping[str, Any]) -> dict[str, Any]:
    label = {name: _cell(value) for name, value in point.label.items()}
    origin = {name: result.get(name) for name in (*ORIGIN, "path")}
    return {**label, "seed": seed, **flat(result["metrics"]), **origin}


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _other(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def scores(result: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in flat(result["metrics"]).items() if not k.startswith("seconds")}

    return scores(one) != scores(other)


def _scores(result: Mapping[str, Any], problems: Any) -> ImageScores | None:
    """The scores of single images beside a result; None, and a problem, if there are none."""
    folder = Path(result["path"]).parent
    try:
        return load_image_scores(folder)  # those that are not its own were refused when it was read
    except (OSError, ValueError) as error:
        problems[str(folder)] = str(error)
        return None
