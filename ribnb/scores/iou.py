"""What confusion matrices say: mIoU, and IoU, precision and recall by class, in %."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ribnb.scores.confusion import IGNORED, MOST_CLASSES, map_confusions, mask_confusions

if TYPE_CHECKING:
    from pandas import DataFrame

MARGIN = 1.0  # points of mIoU; what a reader would still call the same
ORACLE = "oracle: the best of the given thresholds on the very truth it is scored on"
# The released program's thirty, 0.20 to 0.49; and the one ruler of this book, 0.02 to 0.80, which
# holds them, so that nothing scores lower there.
RELEASED_RANGE = tuple(round(0.2 + step / 100, 2) for step in range(30))
THRESHOLDS = tuple(sorted({*RELEASED_RANGE, *(round(step / 50, 2) for step in range(1, 41))}))
PARTS = {"head": 1, "body": 2}  # values of the scenes' part masks


class _Shares:
    """What one confusion matrix says, or each of several: scores in %, NaN for 0 / 0."""

    confusion: Int[ndarray, "*batch C+1 C+1"]

    @property
    def miou(self) -> Float[ndarray, "*batch"]:
        """Mean IoU over background and the classes in truth or prediction."""
        return _plain(mean_iou(self.confusion))

    @property
    def foreground_precision(self) -> Float[ndarray, "*batch"]:
        """Of all pixels predicted as any class, the share whose true class it is."""
        return self._foreground(axis=-2)

    @property
    def foreground_recall(self) -> Float[ndarray, "*batch"]:
        """Of all pixels of any class, the share that is predicted as that class."""
        return self._foreground(axis=-1)

    def _foreground(self, axis: int) -> Float[ndarray, "*batch"]:
        right = np.diagonal(self.confusion, axis1=-2, axis2=-1)[..., 1:].sum(axis=-1)
        return _plain(share(right, self.confusion.sum(axis=axis)[..., 1:].sum(axis=-1)))


@dataclass(frozen=True, eq=False, repr=False)
class MaskScore(_Shares):
    """What one confusion matrix says; its scores are numbers in %."""

    confusion: Int[ndarray, "C+1 C+1"]
    class_names: tuple[str, ...]  # C + 1, "background" first

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union by class name; NaN for one in neither truth nor prediction.

        That of a class that is predicted but nowhere true is 0, and counts in ``miou``.
        """
        return dict(zip(self.class_names, class_iou(self.confusion).tolist(), strict=True))

    @property
    def known_iou(self) -> dict[str, float]:
        """``iou`` without NaN, as a result holds it."""
        return {name: iou for name, iou in self.iou.items() if not math.isnan(iou)}

    def by_class(self) -> DataFrame:
        """IoU, precision and recall in %, a row for background and each class; NaN for 0 / 0."""
        import pandas as pd  # takes a second

        right, (predicted, true) = np.diagonal(self.confusion), map(self.confusion.sum, (0, 1))
        scores = class_iou(self.confusion), share(right, predicted), share(right, true)
        names = pd.Index(self.class_names, name="class")
        return pd.DataFrame(np.stack(scores, axis=1), names, ["IoU", "precision", "recall"])

    def __repr__(self) -> str:
        return f"mIoU {self.miou:.1f} % over {len(self.known_iou)} classes"


@dataclass(frozen=True, eq=False, repr=False)
class SeedScore(_Shares):
    """Seed scores at T background thresholds: each is an array (T,) in %.

    The ORACLE threshold among them has the highest mIoU on the very truth it is scored on, the
    lowest one if several are best: too good for unseen images, see ``at``.
    """

    thresholds: Float[ndarray, " T"]
    confusion: Int[ndarray, "T C+1 C+1"]
    class_names: tuple[str, ...]  # C + 1, "background" first

    @property
    def best_threshold(self) -> float:
        """The ORACLE threshold."""
        return float(self.thresholds[np.argmax(self.miou)])

    @property
    def best_miou(self) -> float:
        """mIoU in % at the ORACLE threshold."""
        return float(self.miou.max())

    @property
    def at_an_end(self) -> bool:
        """Whether the ORACLE threshold is the first or the last: a better one may lie beyond."""
        return self.best_threshold in (float(self.thresholds[0]), float(self.thresholds[-1]))

    @property
    def best(self) -> MaskScore:
        """All scores at the ORACLE threshold."""
        return self.at(self.best_threshold)

    def at(self, threshold: float) -> MaskScore:
        """All scores at a threshold fixed beforehand; ValueError if it is not among those given."""
        return MaskScore(self.among([threshold]).confusion[0], self.class_names)

    def among(self, thresholds: Sequence[float]) -> SeedScore:
        """The scores at some of the thresholds; ValueError if one is not among those given."""
        near = np.isclose(self.thresholds, np.array(thresholds)[:, None], rtol=0, atol=1e-6)
        if not near.any(axis=1).all():
            raise ValueError(f"no score at each of {thresholds}; scored were {self.thresholds}")
        rows = near.argmax(axis=1)
        return SeedScore(self.thresholds[rows], self.confusion[rows], self.class_names)

    def by_threshold(self) -> DataFrame:
        """mIoU, foreground precision and recall in %, a row for each threshold."""
        import pandas as pd  # takes a second

        scores = self.miou, self.foreground_precision, self.foreground_recall
        cuts = pd.Index(self.thresholds, name="background threshold")
        frame = pd.DataFrame(np.stack(scores, axis=1), cuts, ["mIoU", "precision", "recall"])
        return frame.assign(choice=np.where(cuts == self.best_threshold, "oracle", ""))

    def __repr__(self) -> str:
        end = ", an end of the range" if self.at_an_end else ""
        return f"best mIoU {self.best_miou:.1f} % at {self.best_threshold:g}{end} ({ORACLE})"


def seed_miou(
    maps: Iterable[Any],
    masks: Iterable[Any],
    thresholds: Sequence[float] = THRESHOLDS,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> SeedScore:
    """Score maps as seeds: the strongest class where it exceeds a threshold, else background.

    All thresholds together take one pass over the images, which may come from generators.

    Args:
        maps: one an image, see ``ribnb.scores.confusion``.
        masks: their truth (H, W), in the same order.
        thresholds: the background's score, increasing, within (0, 1).
        num_classes: C, without background; needed without class_names.
        class_names: C names, without background.

    Raises:
        ValueError: thresholds, maps, masks or class names that do not fit, with the image's
            index; no pixel to score.
    """
    names = _names(num_classes, class_names)
    confusions = map_confusions(maps, masks, thresholds, len(names) - 1)
    return SeedScore(np.array(thresholds, dtype=float), _total(confusions), names)


def mask_miou(
    predictions: Iterable[Any],
    masks: Iterable[Any],
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> MaskScore:
    """Score predicted masks (H, W), of values 0 ... C, against their truth; see ``seed_miou``."""
    names = _names(num_classes, class_names)
    return MaskScore(_total(mask_confusions(predictions, masks, len(names) - 1)), names)


def by_part(
    maps: Iterable[Any],
    masks: Iterable[Any],
    parts: Iterable[Any],
    thresholds: Sequence[float] = THRESHOLDS,
    class_names: Sequence[str] | None = None,
) -> dict[str, SeedScore]:
    """Seed scores of each of ``PARTS`` of the objects alone: all other pixels are ignored.

    What it tells is the recall; nothing of a part is background. For the arguments see
    ``seed_miou``; ``parts`` are (H, W) for each image, a part's value where it is.
    """
    maps, pairs = list(maps), [*zip(masks, parts, strict=True)]
    scores = {}
    for name, value in PARTS.items():
        own = (np.where(np.asarray(part) == value, mask, IGNORED) for mask, part in pairs)
        scores[name] = seed_miou(maps, own, thresholds, class_names=class_names)
    return scores


def cross_fitted(first: SeedScore, second: SeedScore) -> float:
    """mIoU in % of two halves of the images, each cut at the best threshold of the other half."""
    counts = first.at(second.best_threshold).confusion
    return float(mean_iou(counts + second.at(first.best_threshold).confusion))


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


def _plain(values: Float[ndarray, "*batch"]) -> Float[ndarray, "*batch"] | float:
    return values if values.ndim else float(values)


def _total(confusions: Iterable[Int[ndarray, "*shape"]]) -> Int[ndarray, "*shape"]:
    """The sum over images; ValueError if there is no pixel to score."""
    total = sum(confusions)
    if not np.any(total):
        raise ValueError("there is no pixel to score: no image, or the masks ignore everything")
    return total


def _names(num_classes: int | None, class_names: Sequence[str] | None) -> tuple[str, ...]:
    """C + 1 names, background first."""
    if class_names is None:
        class_names = [f"class {class_id}" for class_id in range(num_classes or 0)]
    names = ("background", *class_names)
    fits = len(names) - 1 == num_classes or num_classes is None
    if not fits or not 2 <= len(names) <= MOST_CLASSES + 1 or len({*names}) < len(names):
        raise ValueError(
            f"give num_classes or class_names, 1 to {MOST_CLASSES} different ones without "
            f"background; got {num_classes} and {class_names}"
        )
    return names
