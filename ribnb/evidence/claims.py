"""One model of a claim: two sides held against each other, and what claims say in tables.

A side whose results are not all there has no number; then its claim has none either, and says
what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ribnb.evidence.differences import (
    HIGHER,
    LOWER,
    SAME,
    UNDECIDED,
    Difference,
    paired_difference,
    signed,
)
from ribnb.evidence.results import AblationResults
from ribnb.evidence.stages import NONE
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
    """

    scores: tuple[ImageScores, ...] = ()
    missing: str = ""
    maps: str = "seeds"
    chosen: tuple[str, ...] = ()

    @property
    def cam(self) -> Side:
        """The baseline of the same runs: the maps before the first step."""
        return replace(self, maps=self.maps.replace("seeds", "cam"))

    @property
    def released_range(self) -> Side:
        """The same maps at the best threshold of the released program's range."""
        return replace(self, maps=f"{self.maps}{RELEASED}")


def side(results: AblationResults, **label: Any) -> Side:
    """The point of an ablation with this label; KeyError if there is none, or more than one."""
    number, *others = results.points(**label)
    if others:
        raise KeyError(f"{results.ablation.name} has {len(others) + 1} points with {label}")
    if missing := results.lacks(number):
        return Side(missing=f"{results.ablation.name} {missing}")
    return Side(tuple(results.of(number)))


def best(results: AblationResults, by_others: bool = True, **label: Any) -> Side:
    """The point with this label whose seeds have the highest mean mIoU over random seeds.

    Args:
        results: the ablation's.
        by_others: choose for each seed by the mean over the *other* seeds, so that no image
            decides with which setting it is scored; else by the mean over all, for all.
        label: what all points to choose from have in common; nothing: all of them.

    Raises:
        KeyError: no point has the label.
        ValueError: there is but one seed, so that no other one can choose.
    """
    seeds, numbers = results.ablation.seeds, results.points(**label)
    if by_others and len(seeds) < 2:
        raise ValueError(f"{results.ablation.name} has one seed: no other one can choose")
    if missing := results.lacks(*numbers):
        return Side(missing=f"{results.ablation.name} {missing}")
    table = np.array([[scores.miou() for scores in results.of(number)] for number in numbers])
    columns = [np.delete(table, i, axis=1) if by_others else table for i in range(len(seeds))]
    chosen = [numbers[int(column.mean(axis=1).argmax())] for column in columns]
    scores = tuple(results.scores[pair] for pair in zip(chosen, seeds, strict=True))
    return Side(scores, chosen=tuple(str(results.ablation.points[number]) for number in chosen))


def best_losses(results: AblationResults) -> list[Side]:
    """L_RIB and L_BCE, each at the best of its rates, which the other seeds choose.

    Points have a ``loss``, or are cases such as ``"L_BCE, 1e-3"``.
    """
    points, sides = results.ablation.points, []
    for loss in ("rib", "bce"):
        cases = {str(point.label.get("case")) for point in points}
        cases = {case for case in cases if case.startswith(f"L_{loss.upper()},")}
        sides.append(best(results, **({"case": cases} if cases else {"loss": loss})))
    return sides


@dataclass(frozen=True)
class Claim:
    """Two sides held against each other.

    Attributes:
        asked: what is compared, in words.
        paper: what the paper says of it, in words.
        difference: first side minus second; None where a result is missing.
        missing: which, in words.
    """

    asked: str
    paper: str
    difference: Difference | None
    missing: str = ""

    @property
    def verdict(self) -> str:
        """The word of ``RULE``, or ``NO_RESULT``."""
        return NO_RESULT if self.difference is None else self.difference.verdict

    def row(self) -> dict[str, Any]:
        """A row for ``ribnb.figures.differences``."""
        return {"label": self.asked, **(vars(self.difference) if self.difference else {})}


def compare(
    asked: str, first: Side, second: Side, paper: str = "", seed: int = 0, resamples: int = 1000
) -> Claim:
    """Hold the first side against the second, on the same images; see ``Claim``.

    The draws come from the seed alone, so that the order of comparisons does not matter.

    Raises:
        ValueError: other images, classes or truths on the two sides; see ``paired_difference``.
    """
    difference = None
    missing = "; ".join(dict.fromkeys(filter(None, (first.missing, second.missing))))
    if first.scores and second.scores:
        matrices = []
        for a, b in zip(first.scores, second.scores, strict=True):
            lone = sorted({*a.ids} ^ {*b.ids})
            if lone or a.class_names != b.class_names:
                raise ValueError(
                    f"{asked}: the two sides have other images ({', '.join(lone[:3])}) or classes; "
                    "compare runs over the same images, none of them failed"
                )
            ids = sorted(a.ids)
            matrices.append((a.in_order(ids, first.maps), b.in_order(ids, second.maps)))
        difference = paired_difference(matrices, np.random.default_rng(seed), resamples)
    return Claim(asked, paper, difference, missing)


def claims_table(claims: Iterable[Claim]) -> pd.DataFrame:
    """One row a claim: what is compared, what the paper says, ours in points, the verdict."""
    rows = []
    for claim in claims:
        ours, by_seed = claim.missing, ""
        if claim.difference is not None:
            ours = claim.difference.interval
            by_seed = " ".join(map(signed, claim.difference.by_seed))
        rows.append(
            {
                "compared": claim.asked,
                "the paper": claim.paper or NONE,
                "difference [95 % interval]": ours or NONE,
                "by seed": by_seed or NONE,
                "verdict": claim.verdict,
            }
        )
    return pd.DataFrame(rows)


def in_words(claim: Claim) -> str:
    """A claim in a line of Markdown: what is compared, the verdict, points and every seed's."""
    if claim.difference is None:
        return f"{claim.asked}: **{claim.verdict}** ({claim.missing})"
    by_seed = ", ".join(map(signed, claim.difference.by_seed))
    nets = f" (by net {by_seed})" if by_seed else ""
    return f"{claim.asked}: **{claim.verdict}**, {claim.difference.interval}{nets}"


def tally(claims: Sequence[Claim]) -> str:
    """How many claims have which verdict, and how often chance alone would decide."""
    counts = Counter(claim.verdict for claim in claims)
    order = (HIGHER, LOWER, SAME, UNDECIDED, NO_RESULT)
    words = ", ".join(f"{counts[word]} {word}" for word in order if counts[word])
    number = sum(bool(claim.difference and claim.difference.by_seed) for claim in claims)
    return (
        f"{len(claims)} comparisons: {words}. Of {number} intervals over images at 95 %, were "
        f"there no effect at all, about {number / 20:.1f} would lie clear of 0 by their choice."
    )
