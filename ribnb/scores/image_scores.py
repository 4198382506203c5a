"""Each image's own confusion matrices: what is kept of a run's scores, beside its result.

A split's score is their sum, a paired interval draws from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.core.files import whole_file
from ribnb.scores.iou import mean_iou

FILE = "image_scores.npz"
TOLERANCE = 1e-6  # of mIoU, in points
AGAIN = "run its chapter again"
RELEASED = "_released_range"  # after a name: the maps at the best of the released program's range
METRICS = {  # name of the maps -> its mIoU and threshold in a result
    "seeds": ("seed_miou", "seed_threshold"),
    "cam": ("cam_seed_miou", "cam_seed_threshold"),
    f"seeds{RELEASED}": ("released_range_seed_miou", "released_range_seed_threshold"),
    f"cam{RELEASED}": ("released_range_cam_seed_miou", "released_range_cam_seed_threshold"),
}
OF_MASKS = ("mask_miou", "val_miou")  # metrics of a result with the mIoU of masks by name


@dataclass(frozen=True, eq=False)
class ImageScores:
    """How the maps or masks of every image were scored, image by image.

    Attributes:
        ids: of the N images.
        confusions: name of the maps, such as ``"seeds"``, or of the masks -> (N, C + 1, C + 1)
            pixels; rows are the truth, 0 is background.
        thresholds: name of the maps -> the background threshold they were scored at.
        class_names: C names, without background.

    Raises:
        ValueError: shapes, ids, names or thresholds that do not fit.
    """

    ids: tuple[str, ...]
    confusions: dict[str, Int[ndarray, "N C+1 C+1"]]
    thresholds: dict[str, float]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        number, rows = len(self.ids), len(self.class_names) + 1
        if not number or not self.confusions or rows < 2:
            raise ValueError("there must be at least one image, one kind of maps and one class")
        if len(set(self.ids)) < number:
            raise ValueError("an image is there twice; each must have an id of its own")
        if not self.thresholds.keys() <= self.confusions.keys():
            raise ValueError(
                f"thresholds of {[*self.thresholds]}, matrices of {[*self.confusions]}"
            )
        truth = None
        for name, matrix in self.confusions.items():
            whole = matrix.shape == (number, rows, rows) and matrix.dtype.kind in "iu"
            if not whole or (matrix < 0).any():
                raise ValueError(
                    f"{name} must be counts of shape {(number, rows, rows)}, for {number} images "
                    f"and {rows - 1} classes; got {matrix.dtype} of shape {matrix.shape}"
                )
            own = matrix.sum(axis=2)
            if truth is not None and (own != truth).any():
                index = (own != truth).any(axis=1).argmax()
                raise ValueError(
                    f"the truth of image {self.ids[index]} is another for {name} than for the rest"
                )
            truth = own

    def miou(self, name: str = "seeds") -> float:
        """mIoU in % of all images together, from their summed matrices."""
        return float(mean_iou(self.confusions[name].sum(axis=0)))

    def in_order(self, ids: Sequence[str], name: str = "seeds") -> Int[ndarray, "N C+1 C+1"]:
        """The matrices of these maps in the order of ``ids``, which must be those of ``self``."""
        index_of = {image_id: index for index, image_id in enumerate(self.ids)}
        return self.confusions[name][[index_of[image_id] for image_id in ids]]

    def save(self, folder: str | Path) -> None:
        """Write ``folder/image_scores.npz``; most entries are 0, so it is small."""
        arrays = {
            f"confusion_{name}": matrix.astype(np.min_scalar_type(matrix.max()))
            for name, matrix in self.confusions.items()
        }
        texts = {"ids": self.ids, "class_names": self.class_names, "names": tuple(self.confusions)}
        thresholds = [self.thresholds.get(name, np.nan) for name in self.confusions]
        with whole_file(Path(folder) / FILE) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                **arrays,
                **{key: np.array(values, str) for key, values in texts.items()},
                thresholds=np.array(thresholds, float),
            )


def load_image_scores(folder: str | Path) -> ImageScores:
    """What ``ImageScores.save`` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged, or what it holds does not fit together.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {FILE}, so no scores of single images; {AGAIN}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names, limits = arrays["names"].tolist(), arrays["thresholds"].tolist()
        confusions = {name: _summable(arrays[f"confusion_{name}"]) for name in names}
        ids, class_names = (tuple(arrays[name].tolist()) for name in ("ids", "class_names"))
        thresholds = {
            name: limit for name, limit in zip(names, limits, strict=True) if limit == limit
        }
        return ImageScores(ids, confusions, thresholds, class_names)
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} cannot be read ({error}); {AGAIN}") from error


def check_against(result: Mapping[str, Any], scores: ImageScores) -> None:
    """Refuse scores of images that are not those behind a result.

    The mIoU of the summed matrices must be the result's, and so must the thresholds.

    Raises:
        ValueError: another mIoU, threshold or number of images; a result without any of them.
    """
    metrics, where = result["metrics"], result.get("path", "the result")
    if metrics.get("images", len(scores.ids)) != len(scores.ids):
        raise ValueError(
            f"{where} is of {metrics['images']} images, {FILE} of {len(scores.ids)}; {AGAIN}"
        )
    compared = False
    for key, recorded, value in _pairs(metrics, scores):
        compared = True
        near = isinstance(recorded, int | float) and abs(recorded - value) <= TOLERANCE
        if not near:  # a NaN is not
            raise ValueError(
                f"{key} is {recorded} in {where}, but {value} in {FILE}: they are not of one run; "
                f"{AGAIN}"
            )
    if not compared:
        raise ValueError(f"{where} has no mIoU of {', '.join(scores.confusions)} to compare with")


def _pairs(metrics: Mapping[str, Any], scores: ImageScores) -> Iterator[tuple[str, Any, float]]:
    """What a result and the scores of its images both say: name, there, here."""
    for name in scores.confusions:
        miou, threshold = METRICS.get(name, ("", ""))
        if miou in metrics:
            yield miou, metrics[miou], scores.miou(name)
        if threshold in metrics:
            yield threshold, metrics[threshold], scores.thresholds.get(name, np.nan)
        for key in OF_MASKS:
            if name in metrics.get(key, {}):
                yield f"{key}.{name}", metrics[key][name], scores.miou(name)


def scores_fault(result: Mapping[str, Any], folder: str | Path) -> str:
    """Why the scores of images beside a result are not its own; empty if they are, or are none.

    Args:
        result: what ``folder/result.json`` holds.
        folder: where it lies.
    """
    if not (Path(folder) / FILE).exists():
        return ""
    try:
        check_against(result, load_image_scores(folder))
    except (OSError, ValueError) as error:
        return f"does not go with the {FILE} beside it: {error}"
    return ""


def _summable(matrix: ndarray) -> ndarray:
    """Integers so wide that sums over images fit; anything else stays, to be refused."""
    return matrix.astype(np.int64) if matrix.dtype.kind in "iu" else matrix
