"""Scores of shards on disk, to be added up."""

from __future__ import annotations

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
