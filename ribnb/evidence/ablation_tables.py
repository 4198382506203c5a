"""What the ablations say, in words: tables of comparisons, what is there and what is missing."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from ribnb.book.ablations_settings import COMMAND, PUBLISH, AblationsSettings
from ribnb.evidence.ablation_results import AblationResults, Published
from ribnb.evidence.comparisons import NO_RESULT, Comparison, gaps, indented
from ribnb.evidence.paired import PairedDifference, signed
from ribnb.evidence.verdicts import AGREES, CANNOT_TELL, DISAGREES, MARGIN
from ribnb.figures.style import styled_figure
from ribnb.runs.ablations import Ablation
from ribnb.scores.iou import THRESHOLDS, WIDE_THRESHOLDS

MOST = 3  # missing runs, and problems, that are named one by one


def summary(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """One row a comparison, in words and rounded numbers, with what the paper says beside it."""
    return pd.DataFrame([_summary_row(one) for one in comparisons])


def _summary_row(one: Comparison) -> dict[str, str]:
    return {
        "ablation": one.ablation,
        "claim": f"{one.asked}: {one.claim}",
        "the paper": one.paper,
        "ours": _numbers(one.difference, one.claim),
        "verdict": one.word,
        "any threshold": _numbers(one.wide, one.claim),
        "verdict then": one.wide_word,
    }


def _numbers(found: PairedDifference | None, claim: str) -> str:
    """The difference, its interval, and how many seeds are where the claim wants them."""
    if found is None:
        return "–"
    within = sum(abs(value) <= MARGIN for value in found.by_seed)
    count, where = {
        "same": (within, f"within ±{MARGIN:g}"),
        "lower": (found.below, "below 0"),
    }.get(claim, (found.above, "above 0"))
    words = (f"[{signed(found.low)}, {signed(found.high)}]", f"{count} of {found.seeds} {where}")
    interval, seeds = (one.replace(" ", "\u00a0") for one in words)  # each on one line
    return f"{signed(found.difference)} {interval}; {seeds}"


def tally(comparisons: Sequence[Comparison]) -> str:
    """How many comparisons have which verdict, and how often chance alone would decide."""
    number = sum(one.difference is not None for one in comparisons)
    return textwrap.fill(
        f"{len(comparisons)} comparisons: {_counts([one.word for one in comparisons])}. With any "
        f"threshold: {_counts([one.wide_word for one in comparisons])}. Of {number} intervals at "
        f"95 %, were there no effect at all, about {number / 20:.1f} would lie clear of 0 by the "
        "choice of images.",
        76,
    )


def _counts(words: Sequence[str]) -> str:
    found = Counter(words)
    order = (AGREES, DISAGREES, CANNOT_TELL, NO_RESULT)
    return ", ".join(f"{found[word]} {word}" for word in order if found[word])


def turned(comparisons: Iterable[Comparison]) -> str:
    """The comparisons with another verdict in the wide range, one a line; empty without any."""
    return "\n".join(
        f"- {one.ablation}: {one.asked}: {one.word} → {one.wide_word}"
        for one in comparisons
        if one.wide is not None and one.word != one.wide_word
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
        absent = gaps(one, range(len(one.ablation.points)))
        lacking |= bool(absent)
        lines += [f"    missing: {gap}" for gap in absent[:MOST]]
        lines += [f"    and {len(absent) - MOST} more"] if absent[MOST:] else []
    problems = [
        f"{_from(path, folder)}: {reason.replace(f'{folder}/', '')}"
        for path, reason in published.problems.items()
    ]
    if problems:
        lines += [f"Of what lies there, {len(problems)} do not count:", *map(indented, problems)]
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
    """In words: how many maps are best at the lowest threshold of either range, as seeds."""
    frames = [one.frame for one in found if not one.frame.empty]
    if not frames:
        return ""
    runs = pd.concat(frames).drop_duplicates("path")
    lines = []
    for prefix, words, thresholds in (
        ("", "released", THRESHOLDS),
        ("wide_", "wide", WIDE_THRESHOLDS),
    ):
        lowest = min(thresholds)
        columns = [f"{prefix}{name}_threshold" for name in ("seed", "cam_seed")]
        if set(columns) <= set(runs):
            rib, cam = (int((runs[column] <= lowest).sum()) for column in columns)
            runs_of = f"{rib} of {len(runs)} runs, {cam} CAMs"
            lines += [f"Best at the lowest of the {words} range, {lowest:g}: {runs_of}"]
    return "\n".join(lines)


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


def _from(path: str, folder: Path) -> str:
    place = Path(path)
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)
