"""Each image's own confusion matrices, kept beside a result for paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
WIDE = "_wide"  # after a name: the same maps, at the best of a wider range of thresholds
METRICS = {  # name of the maps -> its mIoU and threshold in a result
    "seeds": ("seed_miou", "seed_threshold"),
    "cam": ("cam_seed_miou", "cam_seed_threshold"),
    f"seeds{WIDE}": ("wide_seed_miou", "wide_seed_threshold"),
    f"cam{WIDE}": ("wide_cam_seed_miou", "wide_cam_seed_threshold"),
}


@dataclass(frozen=True, eq=False)
class ImageScores:
    """How the maps of every image were scored, image by image.

    Attributes:
        ids: of the N images.
        confusions: name of the maps, such as ``"seeds"``, -> (N, C + 1, C + 1) pixels; rows are
            the truth, 0 is background.
        thresholds: name of the maps -> the background threshold they were scored at.
        class_names: C names, without background.
    """

    ids: tuple[str, ...]
    confusions: dict[str, Int[ndarray, "N C+1 C+1"]]
    thresholds: dict[str, float]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self)

    def miou(self, name: str = "seeds") -> float:
        """mIoU in % of all images together, from their summed matrices."""
        return float(mean_iou(self.confusions[name].sum(axis=0)))

    def in_order(self, ids: Sequence[str], name: str = "seeds") -> Int[ndarray, "N C+1 C+1"]:
        """The matrices of these maps in the order of ``ids``, which must be those of ``self``."""
        place = {image_id: index for index, image_id in enumerate(self.ids)}
        return self.confusions[name][[place[image_id] for image_id in ids]]


def save_image_scores(
    folder: str | Path,
    ids: Sequence[str],
    confusions: Mapping[str, Int[ndarray, "N C+1 C+1"]],
    thresholds: Mapping[str, float],
    class_names: Sequence[str],
) -> None:
    """Write ``folder/image_scores.npz``; most entries are 0, so it is small.

    Args:
        folder: where it goes, beside ``result.json``.
        ids: of the images, all different.
        confusions: name of the maps -> each image's matrix, as ``image_confusions`` gives them.
        thresholds: name of the maps -> the threshold of that.
        class_names: C names, without background.

    Raises:
        ValueError: shapes, ids, names or thresholds that do not fit.
    """
    matrices = {name: np.asarray(of) for name, of in confusions.items()}
    limits = {name: float(value) for name, value in thresholds.items()}
    scores = ImageScores(tuple(map(str, ids)), matrices, limits, tuple(map(str, class_names)))
    arrays = {
        f"confusion_{name}": of.astype(np.min_scalar_type(of.max()))
        for name, of in scores.confusions.items()
    }
    with whole_file(Path(folder) / FILE) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, **arrays, ids=np.array(scores.ids, str), class_names=np.array(scores.class_names),
            names=np.array(list(limits), str), thresholds=np.array(list(limits.values())),
        )  # fmt: skip


def load_image_scores(folder: str | Path) -> ImageScores:
    """What ``save_image_scores`` wrote.

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
        confusions = {name: _wide(arrays[f"confusion_{name}"]) for name in names}
        ids, class_names = (tuple(arrays[name].tolist()) for name in ("ids", "class_names"))
        return ImageScores(ids, confusions, dict(zip(names, limits, strict=True)), class_names)
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} cannot be read ({error}); {AGAIN}") from error


def check_against(result: Mapping[str, Any], scores: ImageScores) -> None:
    """Refuse scores of images that are not those behind a result.

    The mIoU of the summed matrices must be the result's, for seeds and CAMs, at its thresholds.

    Raises:
        ValueError: another mIoU, threshold or number of images; a result without ``seed_miou``.
    """
    metrics = result["metrics"]
    if "seed_miou" not in metrics or "seeds" not in scores.confusions:
        raise ValueError("there is no seed_miou to compare with: the result or its seeds lack it")
    where = result.get("path", "the result")
    if metrics.get("images", len(scores.ids)) != len(scores.ids):
        raise ValueError(
            f"{where} is of {metrics['images']} images, {FILE} of {len(scores.ids)}; {AGAIN}"
        )
    for name, (miou, threshold) in METRICS.items():
        if name not in scores.confusions:
            continue
        for key, value in ((miou, scores.miou(name)), (threshold, scores.thresholds[name])):
            if key in metrics and not _near(metrics[key], value):
                raise ValueError(
                    f"{key} is {metrics[key]} in {where}, but {value} in {FILE}: they are not of "
                    f"one run; {AGAIN}"
                )


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


def _near(one: Any, other: float) -> bool:
    return isinstance(one, int | float) and abs(one - other) <= TOLERANCE  # a NaN is not


def _wide(matrix: ndarray) -> ndarray:
    """Integers so wide that sums over images fit; anything else stays, to be refused."""
    return matrix.astype(np.int64) if matrix.dtype.kind in "iu" else matrix


def _check(scores: ImageScores) -> None:
    """ValueError for what cannot be scores of images, with the first image or name at fault."""
    number, rows = len(scores.ids), len(scores.class_names) + 1
    if not number or not scores.confusions or rows < 2:
        raise ValueError("there must be at least one image, one kind of maps and one class")
    for what, names in (("image", scores.ids), ("class", scores.class_names)):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ValueError(f"the {what} {name!r} is there twice; each must have its own name")
            seen.add(name)
    if scores.confusions.keys() != scores.thresholds.keys():
        raise ValueError(
            f"matrices of {', '.join(scores.confusions)}, but thresholds of "
            f"{', '.join(scores.thresholds) or 'nothing'}; give both for the same maps"
        )
    truth: ndarray | None = None
    for name, matrix in scores.confusions.items():
        if matrix.shape != (number, rows, rows) or matrix.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be counts of shape {(number, rows, rows)}, for {number} images and "
                f"{rows - 1} classes; got {matrix.dtype} of shape {matrix.shape}"
            )
        if (matrix < 0).any():
            first = scores.ids[(matrix < 0).any(axis=(1, 2)).argmax()]
            raise ValueError(f"{name}: image {first} has a count below 0")
        if not 0 < scores.thresholds[name] < 1:
            raise ValueError(
                f"the threshold of {name} is {scores.thresholds[name]}; it must lie between 0 and 1"
            )
        own = matrix.sum(axis=2)
        differs = np.zeros(number, bool) if truth is None else (own != truth).any(axis=1)
        if differs.any():
            first = scores.ids[differs.argmax()]
            raise ValueError(f"the truth of image {first} is another for {name} than for the rest")
        truth = own
