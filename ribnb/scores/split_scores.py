"""Scores of shards on disk, to be added up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ribnb.core.files import whole_file
from ribnb.scores.folders import SplitScore
from ribnb.scores.iou import WIDE_THRESHOLDS

FILE = "scores.npz"


def save_score(score: SplitScore, folder: str | Path) -> None:
    """Write it to ``folder/scores.npz``, from which shards are merged."""
    failed = np.array(list(score.failed.items()), dtype=str).reshape(-1, 2)
    arrays = {name: np.array(getattr(score, name), str) for name in ("split", "scored")}
    arrays |= {f"confusion_{name}": matrix for name, matrix in score.confusions.items()}
    with whole_file(Path(folder) / FILE) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, **arrays, failed=failed, class_names=np.array(score.class_names),
            thresholds=np.array(WIDE_THRESHOLDS),
        )  # fmt: skip


def load_score(folder: str | Path) -> SplitScore:
    """What ``save_score`` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged, or of other thresholds than this version's.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {FILE}: it is no finished run over a split")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays["thresholds"].tolist() != list(WIDE_THRESHOLDS):
            raise ValueError("it has other thresholds")
        names = ("split", "scored", "class_names")
        split, scored, class_names = (tuple(arrays[name].tolist()) for name in names)
        confusions = {
            name.removeprefix("confusion_"): matrix
            for name, matrix in arrays.items()
            if name.startswith("confusion_")
        }
        return SplitScore(split, scored, dict(arrays["failed"].tolist()), class_names, confusions)
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} cannot be read ({error}); run its chapter again") from error


def merge_scores(scores: Sequence[SplitScore], names: Sequence[str]) -> SplitScore:
    """One score of shards that together are a split.

    Args:
        scores: of each shard.
        names: what to call the shards in a complaint.

    Raises:
        ValueError: shards of different splits or classes; images in two shards, or in none.
    """
    first = scores[0]
    for score, name in zip(scores, names, strict=True):
        if (score.split, score.class_names) != (first.split, first.class_names):
            raise ValueError(
                f"{name} is of another split or other classes than {names[0]} "
                f"({len(score.split)} and {len(first.split)} images)"
            )
        if score.confusions.keys() != first.confusions.keys():
            raise ValueError(f"{name} scored other maps than {names[0]}")
    owner: dict[str, str] = {}
    for score, name in zip(scores, names, strict=True):
        for image_id in (*score.scored, *score.failed):
            if image_id in owner:
                raise ValueError(f"image {image_id} is in {owner[image_id]} and in {name}")
            owner[image_id] = name
    missing = [image_id for image_id in first.split if image_id not in owner]
    if missing:
        raise ValueError(
            f"{len(missing)} of the split's {len(first.split)} images are in none of the runs, "
            f"such as {missing[0]}; add the shards that hold them"
        )
    scored = {image_id for score in scores for image_id in score.scored}
    return SplitScore(
        first.split,
        tuple(image_id for image_id in first.split if image_id in scored),
        {image_id: why for score in scores for image_id, why in score.failed.items()},
        first.class_names,
        {name: sum(score.confusions[name] for score in scores) for name in first.confusions},
    )
