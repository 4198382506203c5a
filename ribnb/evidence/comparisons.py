"""Comparisons within ablations: two settings, a claim about them, and what our results say.

A comparison is made of two sides. A side whose results are not all there has no scores; then the
comparison has no number either, and says what is missing.

Each is made twice: with the best of the released program's thresholds on both sides, and with the
best of a wider range, for what is said of maps should not hang on where a range begins.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ribnb.evidence.ablation_results import AblationResults
from ribnb.evidence.paired import PairedDifference, paired_scores, signed
from ribnb.evidence.verdicts import AGREES, CANNOT_TELL, DISAGREES, Verdict, verdict
from ribnb.scores.image_scores import WIDE, ImageScores

NOT_LOWER = "not lower"
NOT_LOWER_RULE = (
    f'"{NOT_LOWER.capitalize()}" disagrees if "lower" agrees; it agrees if "higher" or "same" '
    "does. Else: cannot tell yet."
)
NO_RESULT = "no result yet"
NO_WIDE = "no scores in the wide range of thresholds"
_NO_NUMBERS = {"difference": np.nan, "low": np.nan, "high": np.nan, "by_seed": None}


@dataclass(frozen=True, eq=False)
class Side:
    """One setting with the scores of its images, seed by seed.

    Attributes:
        scores: of each seed; empty if one is missing.
        missing: what is, in words.
        maps: which maps of these runs: ``"seeds"`` or ``"cam"``, or one of them with ``WIDE``.
        chosen: of a side that was chosen by its scores, the point for each seed, in words.
        wide_choice: of such a side, what the scores in the wide range choose.
    """

    scores: tuple[ImageScores, ...]
    missing: str = ""
    maps: str = "seeds"
    chosen: tuple[str, ...] = ()
    wide_choice: Side | None = None

    @property
    def cam(self) -> Side:
        """The baseline of the same runs: the maps before the first step."""
        return replace(self, maps="cam", wide_choice=self.wide_choice and self.wide_choice.cam)

    @property
    def wide(self) -> Side:
        """The same maps at the best of ``WIDE_THRESHOLDS``; no scores if they were not kept."""
        found = replace(self.wide_choice or self, maps=f"{self.maps}{WIDE}", wide_choice=None)
        if all(found.maps in one.confusions for one in found.scores):
            return found
        return replace(found, scores=(), missing=NO_WIDE)


def side(found: AblationResults, **label: Any) -> Side:
    """The point of an ablation with this label.

    Raises:
        KeyError: there is none, or more than one.
    """
    number = found.number_of(**label)
    if found.complete(number):
        return Side(tuple(found.of(number)))
    return Side((), _lacking(found, [number]))


def best(found: AblationResults, by_others: bool = True, **label: Any) -> Side:
    """The point with this label that has the highest mean mIoU over seeds.

    Args:
        found: the ablation's results.
        by_others: choose for each seed by the mean over the *other* seeds, so that no image
            decides with which setting it is scored; else by the mean over all, for all.
        label: what all points to choose from have in common; nothing: all of them.

    Raises:
        KeyError: no point has the label.
        ValueError: there is but one seed, so that no other one can choose.
    """
    points, seeds = found.ablation.points, found.ablation.seeds
    numbers = [n for n, point in enumerate(points) if label.items() <= point.label.items()]
    if not numbers:
        raise KeyError(f"{found.ablation.name} has no point with {label}")
    if by_others and len(seeds) < 2:
        raise ValueError(f"{found.ablation.name} has one seed: no other one can choose")
    if not found.complete(*numbers):
        return Side((), _lacking(found, numbers))

    def choose(maps: str) -> Side:
        table = np.array([[one.miou(maps) for one in found.of(number)] for number in numbers])
        columns = [np.delete(table, i, axis=1) if by_others else table for i in range(len(seeds))]
        chosen = [numbers[int(column.mean(axis=1).argmax())] for column in columns]
        pairs = zip(chosen, seeds, strict=True)
        words = tuple(str(points[number]) for number in chosen)
        return Side(tuple(found.scores[pair] for pair in pairs), chosen=words)

    kept = all(f"seeds{WIDE}" in one.confusions for n in numbers for one in found.of(n))
    wide = choose(f"seeds{WIDE}") if kept else Side((), NO_WIDE)
    return replace(choose("seeds"), wide_choice=wide)


@dataclass(frozen=True)
class Comparison:
    """A claim about two sides, with our numbers, if they are there.

    Attributes:
        ablation: its name.
        asked: what is compared, in words.
        claim: what the first side is said to be against the second: one of
            ``ribnb.evidence.verdicts.CLAIMS``, or ``NOT_LOWER``.
        paper: what the paper says, in words.
        difference: first side minus second; None where a result is missing.
        missing: which, in words.
        wide: the difference with the best of ``WIDE_THRESHOLDS`` on both sides.
    """

    ablation: str
    asked: str
    claim: str
    paper: str
    difference: PairedDifference | None
    missing: str = ""
    wide: PairedDifference | None = None

    @property
    def verdict(self) -> Verdict | None:
        """By the rule of ``ribnb.evidence.verdicts``; None without a result."""
        return _verdict(self.difference, self.claim)

    @property
    def wide_verdict(self) -> Verdict | None:
        """The same of ``wide``."""
        return _verdict(self.wide, self.claim)

    @property
    def word(self) -> str:
        """The verdict in a word or three."""
        return NO_RESULT if self.verdict is None else self.verdict.word

    @property
    def wide_word(self) -> str:
        """The same of ``wide``."""
        return NO_RESULT if self.wide_verdict is None else self.wide_verdict.word

    def __str__(self) -> str:
        lines = [f"{self.asked}; claim: {self.claim}"]
        if self.verdict is None:
            lines += [indented(f"{NO_RESULT.capitalize()}: {self.missing}.")]
        else:
            lines += [indented(_with_seeds(self.verdict))]
        if self.wide_verdict is not None:
            lines += [indented(f"Any threshold: {_with_seeds(self.wide_verdict)}")]
        return "\n".join(lines)


@dataclass(frozen=True)
class Comparer:
    """Makes comparisons, each with draws of its own from one seed: their order does not matter."""

    seed: int = 0
    resamples: int = 1000

    def compare(
        self, ablation: str, asked: str, claim: str, first: Side, second: Side, paper: str = ""
    ) -> Comparison:
        """Hold the first side against the second; see ``Comparison``."""
        missing = "; ".join(dict.fromkeys(filter(None, (first.missing, second.missing))))
        found = self._difference(first, second)
        wide = self._difference(first.wide, second.wide)
        return Comparison(ablation, asked, claim, paper, found, missing, wide)

    def _difference(self, first: Side, second: Side) -> PairedDifference | None:
        if not (first.scores and second.scores):
            return None
        rng = np.random.default_rng(self.seed)
        names = (first.maps, second.maps)
        return paired_scores(first.scores, second.scores, rng, names, self.resamples)


def difference_rows(comparisons: Iterable[Comparison], wide: bool = False) -> list[dict[str, Any]]:
    """Rows for ``ribnb.figures.differences``; NaN without a result."""
    rows = []
    for one in comparisons:
        found = one.wide if wide else one.difference
        numbers = _NO_NUMBERS if found is None else found.as_dict()
        rows.append({"label": one.asked, **numbers})
    return rows


def gaps(found: AblationResults, numbers: Iterable[int]) -> list[str]:
    """Points and seeds without a result that counts, in words."""
    ablation = found.ablation
    return [
        f"{ablation.points[number]}, seed {seed}"
        for number in numbers
        for seed in ablation.seeds
        if (number, seed) not in found.scores
    ]


def _lacking(found: AblationResults, numbers: Sequence[int]) -> str:
    first, *others = gaps(found, numbers)
    more = f" and {len(others)} more" if others else ""
    return f"{found.ablation.name} lacks {first}{more}"


def indented(text: str) -> str:
    """Wrapped to a cell's width, under what it belongs to."""
    margin = " " * 4
    return textwrap.fill(
        text, 76, initial_indent=margin, subsequent_indent=margin, break_long_words=False
    )


def _verdict(difference: PairedDifference | None, claim: str) -> Verdict | None:
    if difference is None:
        return None
    if claim != NOT_LOWER:
        return verdict(difference, claim)
    lower = verdict(difference, "lower")
    if lower.word == AGREES:  # the numbers and reasons stay, the answer turns round
        return _worded(lower, DISAGREES)
    others = [verdict(difference, claim) for claim in ("higher", "same")]
    agreeing = [one for one in others if one.word == AGREES]
    return replace(agreeing[0], claim=NOT_LOWER) if agreeing else _worded(lower, CANNOT_TELL)


def _with_seeds(said: Verdict) -> str:
    return f"{said} Each seed: {' '.join(signed(value) for value in said.difference.by_seed)}."


def _worded(said: Verdict, word: str) -> Verdict:
    sentence = word.capitalize() + said.sentence[len(said.word) :]
    return replace(said, word=word, claim=NOT_LOWER, sentence=sentence)
