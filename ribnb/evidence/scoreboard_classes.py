"""IoU of each class behind the scoreboard, as means over the nets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ribnb.evidence.scoreboard import NETS, Board, Result
from ribnb.scores.image_scores import check_against, load_image_scores
from ribnb.scores.iou import MaskScore

ByClass = Mapping[str, Mapping[str, float]]


def iou_of_seeds(board: Board) -> ByClass:
    """CAM and RIB -> class -> IoU in %, of the seeds of ``voc_rib``'s planned runs on scenes.

    Raises:
        LookupError: a run, or the scores of its images, is missing or damaged.
    """
    return _mean(board, "voc_rib", _of_images)


def iou_of_networks(board: Board) -> ByClass:
    """CAM and RIB -> class -> IoU in %, of the networks that learned from IRN's masks, no CRF.

    Raises:
        LookupError: as ``iou_of_seeds``.
    """
    return _mean(board, "voc_segmentation", _of_networks)


def _mean(board: Board, chapter: str, read: Callable[[Result], ByClass]) -> ByClass:
    found: list[ByClass] = []
    for seed in NETS:
        result = board.net(chapter, seed)
        if result is None:
            raise LookupError(f"{chapter} of seed {seed} is missing")
        try:
            found.append(read(result))
        except (OSError, ValueError, KeyError) as error:
            raise LookupError(f"{chapter} of seed {seed}: {error}") from error
    kinds, classes = found[0], found[0]["CAM"]
    return {
        kind: {one: statistics.fmean(_values(found, kind, one)) for one in classes}
        for kind in kinds
    }


def _values(found: Sequence[ByClass], kind: str, name: str) -> list[float]:
    """A class's IoU for each net; NaN where a net's images do not show it."""
    return [one[kind].get(name, float("nan")) for one in found]


def _of_images(result: Result) -> ByClass:
    scores = load_image_scores(Path(result["path"]).parent)
    check_against(result, scores)
    names = ("background", *scores.class_names)
    confusions = {"CAM": scores.confusions["cam"], "RIB": scores.confusions["seeds"]}
    return {kind: MaskScore(one.sum(axis=0), names).iou for kind, one in confusions.items()}


def _of_networks(result: Result) -> ByClass:
    by_kind = result["metrics"]["val_iou_per_class"]
    return {"CAM": by_kind["cam_irn"], "RIB": by_kind["rib_irn"]}
