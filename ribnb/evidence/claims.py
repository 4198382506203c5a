"""One model of a claim: two sides held against each other.

A side whose results are not all there has no number; then its claim has none either, and says
what is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ribnb.evidence.differences import Difference, paired_scores
from ribnb.evidence.results import AblationResults
from ribnb.scores.image_scores import RELEASED, ImageScores

NO_RESULT = "no result yet"


@dataclass(frozen=True, eq=False)
class Side:
    """One setting, seed by seed.

    Attributes:
        scores: of each seed's images; empty if one is missing.
        missing: what is, in words.
        maps: which maps or masks of these runs: ``"seeds"``, ``"cam"``, ``"rib_irn"`` and so on.
        chosen: of a side that was chosen by its scores, the point for each seed, in words.
        values: mIoU of each seed in %, for runs that kept no scores of their images.
    """

    scores: tuple[ImageScores, ...] = ()
    missing: str = ""
    maps: str = "seeds"
    chosen: tuple[str, ...] = ()
    values: tuple[float, ...] = ()

    @property
    def cam(self) -> Side:
        """The baseline of the same runs: the maps before the first step."""
        return replace(self, maps=self.maps.replace("seeds", "cam"))

    @property
    def released_range(self) -> Side:
        """The same maps at the best threshold of the released program's range."""
        return replace(self, maps=f"{self.maps}{RELEASED}")


def side(results: AblationResults, maps: str = "seeds", **label: Any) -> Side:
    """The point of an ablation with this label.

    Raises:
        KeyError: there is none, or more than one.
    """
    number, *others = results.points(**label)
    if others:
        raise KeyError(f"{results.ablation.name} has {len(others) + 1} points with {label}")
    if missing := _lacking(results, number):
        return Side(missing=missing)
    return Side(tuple(results.of(number)), maps=maps)


def best(
    results: AblationResults, by_others: bool = True, maps: str = "seeds", **label: Any
) -> Side:
    """The point with this label that has the highest mean mIoU over seeds.

    Args:
        results: the ablation's.
        by_others: choose for each seed by the mean over the *other* seeds, so that no image
            decides with which setting it is scored; else by the mean over all, for all.
        maps: whose mIoU decides.
        label: what all points to choose from have in common; nothing: all of them.

    Raises:
        KeyError: no point has the label.
        ValueError: there is but one seed, so that no other one can choose.
    """
    seeds, numbers = results.ablation.seeds, results.points(**label)
    if by_others and len(seeds) < 2:
        raise ValueError(f"{results.ablation.name} has one seed: no other one can choose")
    if missing := _lacking(results, *numbers):
        return Side(missing=missing)
    table = np.array([[scores.miou(maps) for scores in results.of(number)] for number in numbers])
    columns = [np.delete(table, i, axis=1) if by_others else table for i in range(len(seeds))]
    chosen = [numbers[int(column.mean(axis=1).argmax())] for column in columns]
    scores = tuple(results.scores[pair] for pair in zip(chosen, seeds, strict=True))
    words = tuple(str(results.ablation.points[number]) for number in chosen)
    return Side(scores, maps=maps, chosen=words)


def _lacking(results: AblationResults, *numbers: int) -> str:
    first, *others = results.missing(*numbers) or [""]
    more = f" and {len(others)} more" if others else ""
    return f"{results.ablation.name} lacks {first}{more}" if first else ""


@dataclass(frozen=True)
class Claim:
    """Two sides held against each other.

    Attributes:
        about: the ablation or chapter that the sides are of.
        asked: what is compared, in words.
        paper: what the paper says of it, in words.
        difference: first side minus second; None where a result is missing.
        missing: which, in words.
    """

    about: str
    asked: str
    paper: str
    difference: Difference | None
    missing: str = ""

    @property
    def verdict(self) -> str:
        """The word of ``RULE``, or ``NO_RESULT``."""
        return NO_RESULT if self.difference is None else self.difference.verdict

    def __str__(self) -> str:
        return f"{self.asked}: {self.difference or f'{NO_RESULT}: {self.missing}'}"

    def row(self) -> dict[str, Any]:
        """A row for ``ribnb.figures``' plot of differences; NaN without a result."""
        if self.difference is None:
            nothing = dict.fromkeys(("difference", "low", "high"), math.nan)
            return {"label": self.asked, **nothing, "by_seed": None}
        return {"label": self.asked, **vars(self.difference)}


def compare(
    about: str,
    asked: str,
    first: Side,
    second: Side,
    paper: str = "",
    seed: int = 0,
    resamples: int = 1000,
) -> Claim:
    """Hold the first side against the second; see ``Claim`` and ``paired_scores``.

    The draws come from the seed alone, so that the order of comparisons does not matter.
    """
    missing = "; ".join(dict.fromkeys(filter(None, (first.missing, second.missing))))
    difference = None
    if first.scores and second.scores and not missing:
        rng, names = np.random.default_rng(seed), (first.maps, second.maps)
        difference = paired_scores(first.scores, second.scores, rng, names, resamples)
    elif first.values and second.values and not missing:
        by_seed = tuple(a - b for a, b in zip(first.values, second.values, strict=True))
        mean = float(np.mean(by_seed))
        difference = Difference(mean, math.nan, math.nan, by_seed, len(by_seed))
    return Claim(about, asked, paper, difference, missing)
