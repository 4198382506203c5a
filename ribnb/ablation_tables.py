"""Comparisons within ablations: two settings, a claim about them, and what our results say.

A comparison is made of two sides. A side whose results are not all there has no scores; then the
comparison has no number either, and says what is missing.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ribnb.ablation import Ablation
from ribnb.ablation_results import AblationResults, Published
from ribnb.ablations_settings import COMMAND, PUBLISH, AblationsSettings
from ribnb.image_scores import ImageScores
from ribnb.metrics import THRESHOLDS
from ribnb.paired import PairedDifference, paired_scores, signed
from ribnb.plot_style import styled_figure
from ribnb.verdicts import AGREES, CANNOT_TELL, DISAGREES, MARGIN, Verdict, verdict

NOT_LOWER = "not lower"
NOT_LOWER_RULE = (
    f'"{NOT_LOWER.capitalize()}" disagrees if "lower" agrees; it agrees if "higher" or "same" '
    "does. Else: cannot tell yet."
)
NO_RESULT = "no result yet"
MOST = 3  # missing runs, and problems, that are named one by one


@dataclass(frozen=True, eq=False)
class Side:
    """One setting with the scores of its images, seed by seed.

    Attributes:
        scores: of each seed; empty if one is missing.
        missing: what is, in words.
        maps: which maps of these runs: ``"seeds"`` or ``"cam"``.
        chosen: of a side that was chosen by its scores, the point for each seed, in words.
    """

    scores: tuple[ImageScores, ...]
    missing: str = ""
    maps: str = "seeds"
    chosen: tuple[str, ...] = ()

    @property
    def cam(self) -> Side:
        """The baseline of the same runs: the maps before the first step."""
        return replace(self, maps="cam")


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
    table = np.array([[one.miou() for one in found.of(number)] for number in numbers])
    columns = [np.delete(table, i, axis=1) if by_others else table for i in range(len(seeds))]
    chosen = [numbers[int(column.mean(axis=1).argmax())] for column in columns]
    scores = tuple(found.scores[number, seed] for number, seed in zip(chosen, seeds, strict=True))
    return Side(scores, chosen=tuple(str(points[number]) for number in chosen))


@dataclass(frozen=True)
class Comparison:
    """A claim about two sides, with our numbers, if they are there.

    Attributes:
        ablation: its name.
        asked: what is compared, in words.
        claim: what the first side is said to be against the second: one of
            ``ribnb.verdicts.CLAIMS``, or ``NOT_LOWER``.
        paper: what the paper says, in words.
        difference: first side minus second; None where a result is missing.
        missing: which, in words.
    """

    ablation: str
    asked: str
    claim: str
    paper: str
    difference: PairedDifference | None
    missing: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """By the rule of ``ribnb.verdicts``; None without a result."""
        if self.difference is None:
            return None
        if self.claim != NOT_LOWER:
            return verdict(self.difference, self.claim)
        lower = verdict(self.difference, "lower")
        if lower.word == AGREES:  # the numbers and reasons stay, the answer turns round
            return _worded(lower, DISAGREES)
        others = [verdict(self.difference, claim) for claim in ("higher", "same")]
        agreeing = [one for one in others if one.word == AGREES]
        return replace(agreeing[0], claim=NOT_LOWER) if agreeing else _worded(lower, CANNOT_TELL)

    @property
    def word(self) -> str:
        """The verdict in a word or three."""
        return NO_RESULT if self.verdict is None else self.verdict.word

    def __str__(self) -> str:
        if self.difference is None or self.verdict is None:
            said = f"{NO_RESULT.capitalize()}: {self.missing}."
        else:
            seeds = " ".join(signed(value) for value in self.difference.by_seed)
            said = f"{self.verdict} Each seed: {seeds}."
        return f"{self.asked}; claim: {self.claim}\n{_indented(said)}"


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
        difference = None
        if first.scores and second.scores:
            rng = np.random.default_rng(self.seed)
            names = (first.maps, second.maps)
            difference = paired_scores(first.scores, second.scores, rng, names, self.resamples)
        return Comparison(ablation, asked, claim, paper, difference, missing)


def difference_rows(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """Rows for ``ribnb.ablation_plots.differences``; NaN without a result."""
    none = {"difference": np.nan, "low": np.nan, "high": np.nan, "by_seed": None}
    return [
        {"label": one.asked, **(none if one.difference is None else one.difference.as_dict())}
        for one in comparisons
    ]


def summary(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row a comparison, in words and rounded numbers, with what the paper says beside it."""
    return pd.DataFrame([_summary_row(one) for one in comparisons])


def _summary_row(one: Comparison) -> dict[str, str]:
    found = one.difference
    ours, seeds = "–", "–"
    if found is not None:
        interval = f"[{signed(found.low)},\u00a0{signed(found.high)}]"  # on one line
        ours = f"{signed(found.difference)} {interval}"
        within = sum(abs(value) <= MARGIN for value in found.by_seed)
        count, where = {
            "same": (within, f"within ±{MARGIN:g}"),
            "lower": (found.below, "below 0"),
        }.get(one.claim, (found.above, "above 0"))
        seeds = f"{count} of {found.seeds} {where}"
    return {
        "ablation": one.ablation,
        "claim": f"{one.asked}: {one.claim}",
        "the paper": one.paper,
        "ours": ours,
        "seeds": seeds,
        "verdict": one.word,
    }


def tally(comparisons: Sequence[Comparison]) -> str:
    """How many comparisons have which verdict, and how often chance alone would decide."""
    words = Counter(one.word for one in comparisons)
    number = sum(one.difference is not None for one in comparisons)
    order = (AGREES, DISAGREES, CANNOT_TELL, NO_RESULT)
    counts = ", ".join(f"{words[word]} {word}" for word in order if words[word])
    return textwrap.fill(
        f"{len(comparisons)} comparisons: {counts}. Of {number} intervals at 95 %, were there no "
        f"effect at all, about {number / 20:.1f} would lie clear of 0 by the choice of images.",
        76,
    )


def named(comparisons: Iterable[Comparison], word: str) -> str:
    """The comparisons with this verdict, one a line; empty if there are none."""
    return "\n".join(f"- {one.ablation}: {one.asked}" for one in comparisons if one.word == word)


def markdown(frame: pd.DataFrame) -> str:
    """A Markdown table of a frame's texts, without its index."""

    def line(values: Iterable[Any]) -> str:
        return "| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |"

    rows = frame.itertuples(index=False)
    return "\n".join([line(frame.columns), line(["---"] * frame.shape[1]), *map(line, rows)])


# What is there ---------------------------------------------------------------------------------


def whats_there(
    found: Mapping[str, AblationResults],
    published: Published,
    folder: Path,
    planned: Iterable[Ablation] = (),
) -> str:
    """In words: runs planned and there, what is missing or does not count, and what to do.

    Args:
        found: results by the ablation's name.
        published: what the folder holds.
        folder: that folder; paths are told from there.
        planned: all ablations; results of none of them are counted.
    """
    lines, lacking = [], False
    for name, one in found.items():
        lines.append(f"{name:16} {len(one.scores)} of {_planned(one)} runs")
        gaps = _gaps(one, range(len(one.ablation.points)))
        lacking |= bool(gaps)
        lines += [f"    missing: {gap}" for gap in gaps[:MOST]]
        lines += [f"    and {len(gaps) - MOST} more"] if gaps[MOST:] else []
    problems = [
        f"{_from(path, folder)}: {reason.replace(f'{folder}/', '')}"
        for path, reason in published.problems.items()
    ]
    if problems:
        lines += [f"Of what lies there, {len(problems)} do not count:", *map(_indented, problems)]
    others = len(published.unplanned(planned)) if planned else 0
    if others:
        lines += [f"{others} whole results there are of other settings than the book's ablations"]
    if lacking or problems:
        lines += how_to_make(folder)
    return "\n".join(lines)


def how_to_make(folder: Path) -> list[str]:
    """What to do about results that a folder lacks, in lines."""
    ours = AblationsSettings().folder
    if folder.exists() and ours.exists() and not folder.samefile(ours):
        return [
            "To make what is missing, repeat the call of Snakemake that filled this folder",
            f"(of the book's own ablations: {COMMAND})",
        ]
    commands = (COMMAND, PUBLISH)
    return ["To make what is missing, and to bring it here:", *(f"    {c}" for c in commands)]


def origin(found: Iterable[AblationResults]) -> str:
    """In words: where the results were made, from which commits, and when."""
    frames = [one.frame for one in found if not one.frame.empty]
    if not frames:
        return "There are no results."
    runs = pd.concat(frames).drop_duplicates("path")
    commits = (
        runs["git_commit"]
        .fillna("of no repository")
        .str.replace(r"^([0-9a-f]{8})[0-9a-f]*", r"\1", regex=True)
    )
    days = sorted(runs["date"].str[:10].unique())
    return (
        f"{len(runs)} runs on {', '.join(sorted(runs['device'].unique()))}; "
        f"commit {', '.join(sorted(commits.unique()))}; "
        f"{days[0] if len(days) == 1 else f'{days[0]} to {days[-1]}'}"
    )


def at_the_edge(found: Iterable[AblationResults]) -> str:
    """In words: how many maps are best at the lowest threshold of the range, as seeds."""
    frames = [one.frame for one in found if not one.frame.empty]
    if not frames:
        return ""
    runs, lowest = pd.concat(frames).drop_duplicates("path"), min(THRESHOLDS)
    rib, cam = (int((runs[f"{name}_threshold"] <= lowest).sum()) for name in ("seed", "cam_seed"))
    return (
        f"At the lowest threshold, {lowest:g}: {rib} of {len(runs)} runs, and {cam} of their CAMs"
    )


def figure_of(found: AblationResults, draw: Callable[[pd.DataFrame], Figure]) -> Figure:
    """What ``draw`` makes of a complete ablation's frame; else a figure that says it is not."""
    return draw(found.frame) if found.complete() else unfinished(found)


@styled_figure
def unfinished(found: AblationResults) -> Figure:
    """In place of an ablation's figure: how many runs are missing."""
    planned = _planned(found)
    figure, axis = plt.subplots(figsize=(6.6, 1.6))
    axis.axis("off")
    axis.text(
        0.5, 0.5, f"{found.ablation.name}: no figure yet.\n{planned - len(found.scores)} of its "
        f"{planned} runs have no result here: {COMMAND}", ha="center", va="center",
    )  # fmt: skip
    return figure


def _planned(found: AblationResults) -> int:
    return len(found.ablation.points) * len(found.ablation.seeds)


def _gaps(found: AblationResults, numbers: Iterable[int]) -> list[str]:
    """Points and seeds without a result that counts, in words."""
    ablation = found.ablation
    return [
        f"{ablation.points[number]}, seed {seed}"
        for number in numbers
        for seed in ablation.seeds
        if (number, seed) not in found.scores
    ]


def _lacking(found: AblationResults, numbers: Sequence[int]) -> str:
    gaps = _gaps(found, numbers)
    more = f" and {len(gaps) - 1} more" if gaps[1:] else ""
    return f"{found.ablation.name} lacks {gaps[0]}{more}"


def _indented(text: str) -> str:
    """Wrapped to a cell's width, under what it belongs to."""
    margin = " " * 4
    return textwrap.fill(
        text, 76, initial_indent=margin, subsequent_indent=margin, break_long_words=False
    )


def _from(path: str, folder: Path) -> str:
    place = Path(path)
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)


def _worded(said: Verdict, word: str) -> Verdict:
    sentence = word.capitalize() + said.sentence[len(said.word) :]
    return replace(said, word=word, claim=NOT_LOWER, sentence=sentence)
