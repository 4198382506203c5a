"""What results and claims say, in tables and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ribnb.evidence.claims import NO_RESULT, Claim
from ribnb.evidence.differences import HIGHER, LOWER, SAME, UNDECIDED, signed
from ribnb.evidence.results import AblationResults, Published
from ribnb.runs.ablations import Ablation
from ribnb.scores.iou import THRESHOLDS

MOST = 3  # missing runs, and problems, that are named one by one
NONE = "–"


def claims_table(claims: Iterable[Claim]) -> pd.DataFrame:
    """One row a claim: what is compared, what the paper says, ours in points, the verdict."""
    rows = []
    for claim in claims:
        ours, by_seed = claim.missing or NONE, NONE
        if claim.difference is not None:
            ours = claim.difference.interval
            by_seed = " ".join(map(signed, claim.difference.by_seed)) or NONE
        rows.append(
            {
                "about": claim.about,
                "compared": claim.asked,
                "the paper": claim.paper or NONE,
                "difference [95 % interval]": ours,
                "by seed": by_seed,
                "verdict": claim.verdict,
            }
        )
    return pd.DataFrame(rows)


def tally(claims: Sequence[Claim]) -> str:
    """How many claims have which verdict, and how often chance alone would decide."""
    counts = Counter(claim.verdict for claim in claims)
    order = (HIGHER, LOWER, SAME, UNDECIDED, NO_RESULT)
    words = ", ".join(f"{counts[word]} {word}" for word in order if counts[word])
    number = sum(claim.difference is not None for claim in claims)
    return (
        f"{len(claims)} comparisons: {words}. Of {number} intervals at 95 %, were there no effect "
        f"at all, about {number / 20:.1f} would lie clear of 0 by the choice of images."
    )


def markdown(frame: pd.DataFrame) -> str:
    """A Markdown table of a frame's texts, without its index."""
    texts = frame.astype(str).replace(r"\|", r"\|", regex=True)
    return texts.to_markdown(index=False, disable_numparse=True)


def whats_there(
    results: Mapping[str, AblationResults],
    published: Published,
    commands: Sequence[str],
    planned: Iterable[Ablation] = (),
) -> str:
    """In words: runs planned and there, what is missing or does not count, and what to do.

    Args:
        results: by the ablation's name.
        published: what the folder holds.
        commands: what makes what is missing.
        planned: all ablations; results of none of them are counted.
    """
    lines, lacking = [], False
    for name, ablation in results.items():
        missing = ablation.missing()
        there = len(ablation.scores)
        lines.append(f"{name:16} {there} of {there + len(missing)} runs")
        lacking |= bool(missing)
        lines += [f"    missing: {run}" for run in missing[:MOST]]
        lines += [f"    and {len(missing) - MOST} more"] if missing[MOST:] else []
    if published.problems:
        lines.append(f"Of what lies there, {len(published.problems)} do not count:")
        lines += [f"    {path}: {why}" for path, why in published.problems.items()]
    others = len(published.unplanned(planned)) if planned else 0
    if others:
        lines.append(f"{others} whole results there are of other settings than the ablations'")
    if lacking or published.problems:
        lines += ["To make what is missing:", *(f"    {command}" for command in commands)]
    return "\n".join(lines)


def origin(results: Iterable[AblationResults]) -> str:
    """In words: where the results were made, from which commits, and when."""
    runs = _runs(results)
    if runs.empty:
        return "There are no results."
    commits = runs["git_commit"].fillna("of no repository")
    commits = commits.str.replace(r"^([0-9a-f]{8})[0-9a-f]*", r"\1", regex=True)
    days = sorted(runs["date"].str[:10].unique())
    return (
        f"{len(runs)} runs on {', '.join(sorted(runs['device'].unique()))}; "
        f"commit {', '.join(sorted(commits.unique()))}; "
        f"{days[0] if len(days) == 1 else f'{days[0]} to {days[-1]}'}"
    )


def at_the_end(
    results: Iterable[AblationResults], thresholds: Sequence[float] = THRESHOLDS
) -> str:
    """In words: how many maps are best at an end of the thresholds, as seeds."""
    runs = _runs(results)
    words = []
    for name, column in (("RIB", "seed_threshold"), ("the CAM", "cam_seed_threshold")):
        cuts = runs[column] if column in runs else pd.Series(dtype=float)
        ends = ((cuts <= min(thresholds)) | (cuts >= max(thresholds))).sum()
        words.append(f"{ends} of {len(cuts)} runs for {name}")
    return f"Best at {min(thresholds):g} or {max(thresholds):g}: {', '.join(words)}"


def _runs(results: Iterable[AblationResults]) -> pd.DataFrame:
    """Every run once, though several ablations may have it."""
    frames = [ablation.frame.dropna(subset="path") for ablation in results]
    whole = [frame for frame in frames if not frame.empty]
    runs: Any = pd.concat(whole) if whole else pd.DataFrame(columns=["path"])
    return runs.drop_duplicates("path")
