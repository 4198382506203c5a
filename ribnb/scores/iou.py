"""What confusion matrices say: mIoU, and IoU, precision and recall by class, in %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

ORACLE = "oracle: the best of the given thresholds on the very truth it is scored on"


@dataclass(frozen=True, eq=False, repr=False)
class MaskScore:
    """What one confusion matrix says; all scores in %, NaN where there is nothing to divide by.

    Attributes:
        confusion: (C + 1, C + 1) pixels; rows are the truth, columns the prediction.
        class_names: C + 1 names, ``"background"`` first.
    """

    confusion: Int[ndarray, "C+1 C+1"]
    class_names: tuple[str, ...]

    @property
    def miou(self) -> float:
        """Mean IoU over background and classes, without those that are ``missing``."""
        return float(mean_iou(self.confusion))

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes in neither truth nor prediction: their IoU is NaN and in no mean.

        A class that is predicted but nowhere true is not among them; its IoU is 0, and counts.
        """
        return tuple(name for name, iou in self.iou.items() if math.isnan(iou))

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union by class name."""
        return self._named(class_iou(self.confusion))

    @property
    def precision(self) -> dict[str, float]:
        """Of the pixels predicted as a class, the share that is; NaN if none is predicted."""
        return self._named(share(np.diagonal(self.confusion), self.confusion.sum(axis=0)))

    @property
    def recall(self) -> dict[str, float]:
        """Of the pixels of a class, the share predicted so; NaN if there is none."""
        return self._named(share(np.diagonal(self.confusion), self.confusion.sum(axis=1)))

    @property
    def foreground_precision(self) -> float:
        """Of all pixels predicted as any class, the share whose true class it is."""
        right = np.diagonal(self.confusion)[1:].sum()
        return float(share(right, self.confusion[:, 1:].sum()))

    @property
    def foreground_recall(self) -> float:
        """Of all pixels of any class, the share that is predicted as that class."""
        right = np.diagonal(self.confusion)[1:].sum()
        return float(share(right, self.confusion[1:].sum()))

    def as_dict(self) -> dict[str, Any]:
        """Every score, ready for JSON: None in place of NaN."""
        by_class = {name: getattr(self, name) for name in ("iou", "precision", "recall")}
        totals = ("miou", "foreground_precision", "foreground_recall")
        return {
            **{name: _or_none(getattr(self, name)) for name in totals},
            **{name: {k: _or_none(v) for k, v in of.items()} for name, of in by_class.items()},
            "missing": list(self.missing),
        }

    def _named(self, values: Float[ndarray, " C+1"]) -> dict[str, float]:
        return dict(zip(self.class_names, values.tolist(), strict=True))

    def __repr__(self) -> str:
        found = len(self.class_names) - len(self.missing)
        return f"mIoU {self.miou:.1f} % over {found} classes{_left_out(self.missing)}"


@dataclass(frozen=True, eq=False, repr=False)
class SeedScore:
    """Seed scores at several background thresholds.

    Attributes:
        thresholds: (T,) as given.
        confusion: (T, C + 1, C + 1) pixels; rows are the truth, columns the prediction.
        class_names: C + 1 names, ``"background"`` first.
    """

    thresholds: Float[ndarray, " T"]
    confusion: Int[ndarray, "T C+1 C+1"]
    class_names: tuple[str, ...]

    @property
    def miou(self) -> Float[ndarray, " T"]:
        """mIoU in % at each threshold, each over the classes not missing there."""
        return mean_iou(self.confusion)

    @property
    def best_threshold(self) -> float:
        """The ORACLE threshold: chosen for the highest mIoU on the truth it is scored on.

        The lowest one if several are best.
        """
        return float(self.thresholds[np.argmax(self.miou)])

    @property
    def best_miou(self) -> float:
        """mIoU in % at the ORACLE threshold; too good for unseen images, see ``at``."""
        return float(self.miou.max())

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes left out of the mean at one threshold or more, see ``MaskScore.missing``."""
        unseen = np.isnan(class_iou(self.confusion)).any(axis=0)
        return tuple(np.array(self.class_names)[unseen].tolist())

    def at(self, threshold: float) -> MaskScore:
        """All scores at a threshold fixed beforehand; ValueError if it is not among those given."""
        (places,) = np.nonzero(np.isclose(self.thresholds, threshold, rtol=0, atol=1e-6))
        if not len(places):
            known = ", ".join(f"{value:g}" for value in self.thresholds)
            raise ValueError(f"no score at the threshold {threshold}; scored were {known}")
        return MaskScore(self.confusion[places[0]], self.class_names)

    def __repr__(self) -> str:
        return (
            f"best mIoU {self.best_miou:.1f} % at {self.best_threshold:g} ({ORACLE}), "
            f"of {len(self.thresholds)} thresholds{_left_out(self.missing)}"
        )


def mean_iou(confusion: Int[ndarray, "*batch C+1 C+1"]) -> Float[ndarray, "*batch"]:
    """mIoU in % of one or many confusion matrices, over classes in truth or prediction."""
    iou = class_iou(confusion)
    return share(np.nansum(iou, axis=-1), (~np.isnan(iou)).sum(axis=-1)) / 100


def class_iou(confusion: Int[ndarray, "*batch C+1 C+1"]) -> Float[ndarray, "*batch C+1"]:
    """IoU in % of background and each class, NaN for one in neither truth nor prediction."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return share(right, confusion.sum(axis=-1) + confusion.sum(axis=-2) - right)


def share(part: Any, whole: Any) -> Float[ndarray, "..."]:
    """part / whole in %, NaN where the whole is 0."""
    part, whole = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    return 100 * np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _left_out(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    return f"; left out, in neither truth nor prediction: {', '.join(missing)}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
