"""Each image's own confusion matrices: what is kept of a run's scores, beside its result.

A split's score is their sum, a paired interval draws from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.core.files import write_whole
from ribnb.core.parameters import flat
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

    ``confusions`` and ``thresholds`` go by name of the maps, such as ``"seeds"``, or of the masks,
    which have no threshold. ValueError for shapes, ids, names or truths that do not fit.
    """

    ids: tuple[str, ...]  # of the N images
    confusions: dict[str, Int[ndarray, "N C+1 C+1"]]  # pixels; rows are the truth, 0 background
    thresholds: dict[str, float]  # the background's, at which the maps were scored
    class_names: tuple[str, ...]  # C, without background

    def __post_init__(self) -> None:
        number, rows = len(self.ids), len(self.class_names) + 1
        if not number or len(set(self.ids)) < number or not self.confusions:
            raise ValueError("there must be images, each with an id of its own, and scores of them")
        for name, matrix in self.confusions.items():
            whole = matrix.shape == (number, rows, rows) and matrix.dtype.kind in "iu"
            if not whole or (matrix < 0).any():
                raise ValueError(
                    f"{name} must be counts of shape {(number, rows, rows)}; got {matrix.dtype} of "
                    f"shape {matrix.shape}"
                )
        first, *others = (matrix.sum(axis=2) for matrix in self.confusions.values())
        if any((other != first).any() for other in others):
            raise ValueError("the truth of an image is not the same for all maps or masks")

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
        texts = {"ids": self.ids, "class_names": self.class_names, "names": [*self.confusions]}
        arrays |= {key: np.array(values, str) for key, values in texts.items()}
        cuts = [self.thresholds.get(name, np.nan) for name in self.confusions]
        arrays["thresholds"] = np.array(cuts, float)
        write_whole(Path(folder) / FILE, lambda file: np.savez_compressed(file, **arrays))


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
        names, cuts = arrays["names"].tolist(), arrays["thresholds"].tolist()
        return ImageScores(
            tuple(arrays["ids"].tolist()),
            # wide, so that sums over images fit
            {
                name: arrays[f"confusion_{name}"].astype(np.int64, casting="same_kind")
                for name in names
            },
            {name: cut for name, cut in zip(names, cuts, strict=True) if cut == cut},
            tuple(arrays["class_names"].tolist()),
        )
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} cannot be read ({error}); {AGAIN}") from error


def scores_fault(result: Mapping[str, Any], folder: str | Path) -> str:
    """Why the scores of images beside a result are not its own; empty if they are, or are none.

    The mIoU of the summed matrices must be that of ``folder/result.json``, and so must the
    thresholds and the number of images.
    """
    if not (Path(folder) / FILE).exists() or result.get("images") == 0:  # there were no masks
        return ""
    beside = f"does not go with the {FILE} beside it"
    try:
        scores = load_image_scores(folder)
    except (OSError, ValueError) as error:
        return f"{beside}: {error}"
    expected: dict[str, float] = {}
    for name in scores.confusions:
        miou = scores.miou(name)
        expected |= {f"{key}.{name}": miou for key in OF_MASKS}
        if name in METRICS:
            expected |= zip(METRICS[name], (miou, scores.thresholds.get(name, np.nan)), strict=True)
    recorded = flat(result["metrics"])
    if not expected.keys() & recorded.keys():
        return f"{beside}: it has no mIoU of {', '.join(scores.confusions)} to compare with"
    expected["images"] = len(scores.ids)
    for key in expected.keys() & recorded.keys():
        own, value = recorded[key], expected[key]
        if not isinstance(own, int | float) or not abs(own - value) <= TOLERANCE:  # a NaN is not
            return f"{beside}: {key} is {own}, there {value}: they are not of one run; {AGAIN}"
    return ""
