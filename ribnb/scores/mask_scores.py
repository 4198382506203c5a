"""Folders of masks scored side by side: mIoU, boundary F-score, recall of non-salient objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ribnb.core.files import whole_file
from ribnb.core.image_set import ImageSet
from ribnb.core.mask_files import read_mask_file
from ribnb.core.progress import progress
from ribnb.scores.boundary import COUNTS, TrueOutlines, boundary_f
from ribnb.scores.confusion import IGNORED, mask_confusions, read_mask
from ribnb.scores.iou import MaskScore, share
from ribnb.scores.non_salient import non_salient_objects

FILE = "mask_scores.npz"


@dataclass(frozen=True, eq=False)
class MaskScores:
    """What several folders of masks score on the same images, counted image by image.

    Attributes:
        scored: ids of the N images that count, in all folders alike.
        failed: id -> why an image counts in none.
        class_names: C names, without background.
        confusions: name of the masks -> (N, C + 1, C + 1) pixels, rows are the truth; what
            ``ribnb.scores.metrics.bootstrap_difference`` takes.
        outlines: name -> (N, C, 4) pixels, see ``ribnb.scores.boundary.COUNTS``.
        non_salient_found: name -> (N,) pixels of non-salient objects that have their class; empty
            if there was no saliency.
        non_salient: (N,) pixels of non-salient objects.
    """

    scored: tuple[str, ...]
    failed: dict[str, str]
    class_names: tuple[str, ...]
    confusions: dict[str, Int[ndarray, "N C+1 C+1"]]
    outlines: dict[str, Int[ndarray, "N C 4"]]
    non_salient_found: dict[str, Int[ndarray, " N"]]
    non_salient: Int[ndarray, " N"]

    def score(self, name: str) -> MaskScore:
        """mIoU and scores by class of these masks, over all images.

        Raises:
            KeyError: no masks of that name.
            ValueError: no image was scored; says why the first one was not.
        """
        self._refuse_none()
        names = ("background", *self.class_names)
        return MaskScore(self._of(self.confusions, name).sum(axis=0), names)

    def boundary_f(self, name: str) -> float:
        """See ``ribnb.scores.boundary.boundary_f``; in %, NaN if no image has an outline.

        Raises:
            KeyError, ValueError: see ``score``.
        """
        self._refuse_none()
        return boundary_f(self._of(self.outlines, name))

    def non_salient_recall(self, name: str) -> float:
        """Of the pixels of non-salient objects, the share in % that has its class.

        NaN without saliency, or if all objects are salient; see
        ``ribnb.scores.non_salient.non_salient_objects``.

        Raises:
            KeyError: no masks of that name.
        """
        self._of(self.confusions, name)
        if name not in self.non_salient_found:
            return math.nan
        return float(share(self.non_salient_found[name].sum(), self.non_salient.sum()))

    def metrics(self) -> dict[str, Any]:
        """The scores that go into a ``result.json``, in %, by name of the masks.

        A score without a value is left out: ``non_salient_recall`` without saliency or without
        such objects, ``boundary_f`` without any outline.

        Raises:
            ValueError: see ``score``.
        """
        by_name = {
            "mask_miou": {name: self.score(name).miou for name in self.confusions},
            "boundary_f": {name: self.boundary_f(name) for name in self.confusions},
            "non_salient_recall": {name: self.non_salient_recall(name) for name in self.confusions},
        }
        known = {
            metric: {name: value for name, value in values.items() if not math.isnan(value)}
            for metric, values in by_name.items()
        }
        counts = {"images": len(self.scored), "failed": len(self.failed)}
        return {metric: values for metric, values in known.items() if values} | counts

    def _of(self, counts: Mapping[str, ndarray], name: str) -> ndarray:
        if name not in self.confusions:
            raise KeyError(f"no masks {name!r} were scored, only {', '.join(self.confusions)}")
        return counts[name]

    def _refuse_none(self) -> None:
        if not self.scored:
            why = next(iter(self.failed.items()), None)
            raise ValueError(
                "no image was scored" + (f"; {why[0]}, for example: {why[1]}" if why else "")
            )


def score_masks(
    images: ImageSet,
    folders: Mapping[str, str | Path],
    saliency: Callable[[int], Float[ndarray, "H W"]] | None = None,
    indices: Sequence[int] | None = None,
) -> MaskScores:
    """Score folders of masks, ``<id>.png`` each, side by side against the images' truth.

    An image counts in all folders or in none: one that lacks a mask somewhere, or whose masks are
    damaged, of another size than the truth, of a class that the list does not know, or undecided
    (255), is left out and named.

    Args:
        images: an image set with masks.
        folders: name -> folder of masks.
        saliency: index of an image -> (H, W) in [0, 1], for the recall of non-salient objects; an
            image without saliency is left out as well.
        indices: which of the images; None for all.

    Raises:
        FileNotFoundError: one of the folders does not exist.
        ValueError: no folder; an index that is none of the images'.
    """
    if not folders:
        raise ValueError("there are no masks to score: folders is empty")
    for name, folder in folders.items():
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder {folder} of the masks {name!r}")
    places = range(len(images)) if indices is None else [int(index) for index in indices]
    wrong = [index for index in places if not 0 <= index < len(images)]
    if wrong:
        raise ValueError(
            f"there is no image {wrong[0]}: the indices go from 0 to {len(images) - 1}"
        )
    found: dict[str, tuple[dict[str, _Counts], int]] = {}
    failed: dict[str, str] = {}
    for index in progress(places, "scoring masks"):
        try:
            found[images.ids[index]] = _score_image(images, folders, saliency, index)
        except (OSError, ValueError) as error:
            failed[images.ids[index]] = str(error)
    return _stack(found, failed, folders, tuple(images.class_names), saliency is not None)


# What one folder's mask of one image counts: confusion, outlines, non-salient pixels found.
_Counts = tuple[Int[ndarray, "C+1 C+1"], Int[ndarray, "C 4"], int]


def _score_image(
    images: ImageSet,
    folders: Mapping[str, str | Path],
    saliency: Callable[[int], ndarray] | None,
    index: int,
) -> tuple[dict[str, _Counts], int]:
    """What each folder's mask counts, and the pixels of non-salient objects."""
    image_id, num_classes = images.ids[index], len(images.class_names)
    truth = read_mask(images.mask(index), num_classes, f"the truth of image {image_id}")
    predictions = {
        name: _prediction(Path(folder) / f"{image_id}.png", truth.shape, num_classes)
        for name, folder in folders.items()
    }
    missed = np.zeros(truth.shape, bool)
    if saliency is not None:
        missed = non_salient_objects(truth, np.asarray(saliency(index)))
    outlines = TrueOutlines(truth, num_classes)
    counts = {}
    for name, predicted in predictions.items():
        (confusion,) = mask_confusions([predicted], [truth], num_classes)
        right = int((predicted == truth)[missed].sum())
        counts[name] = confusion, outlines.compare(predicted), right
    return counts, int(missed.sum())


def _prediction(path: Path, shape: tuple[int, int], num_classes: int) -> ndarray:
    mask = read_mask_file(path, num_classes)
    if mask.shape != shape:
        raise ValueError(
            f"the mask {path} is {mask.shape[1]} x {mask.shape[0]} pixels, the truth "
            f"{shape[1]} x {shape[0]}"
        )
    if (mask == IGNORED).any():
        raise ValueError(
            f"the mask {path} leaves pixels undecided ({IGNORED}), as masks for training may; one "
            "to be scored must decide each"
        )
    return mask


def _stack(
    found: Mapping[str, tuple[dict[str, _Counts], int]],
    failed: dict[str, str],
    names: Mapping[str, Any],
    class_names: tuple[str, ...],
    with_saliency: bool,
) -> MaskScores:
    number, size = len(found), len(class_names)
    shapes = ((size + 1, size + 1), (size, len(COUNTS)), ())
    confusions, outlines, right = (
        {
            # int32 holds any image's pixels, and a split's matrices in half the memory
            name: np.array([of[name][part] for of, _ in found.values()], np.int32).reshape(
                number, *shape
            )
            for name in names
        }
        for part, shape in enumerate(shapes)
    )
    pixels = np.array([pixels for _, pixels in found.values()], np.int32)
    right = right if with_saliency else {}
    return MaskScores(tuple(found), failed, class_names, confusions, outlines, right, pixels)


def save_mask_scores(scores: MaskScores, folder: str | Path) -> None:
    """Write them to ``folder/mask_scores.npz``.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {
        "scored": np.array(scores.scored, str),
        "failed": np.array(list(scores.failed.items()), str).reshape(-1, 2),
        "class_names": np.array(scores.class_names, str),
        "names": np.array(list(scores.confusions), str),
        "confusions": np.stack(list(scores.confusions.values())),
        "outlines": np.stack(list(scores.outlines.values())),
        "non_salient": scores.non_salient,
    }
    if scores.non_salient_found:
        arrays["non_salient_found"] = np.stack(list(scores.non_salient_found.values()))
    with whole_file(Path(folder) / FILE) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_mask_scores(folder: str | Path) -> MaskScores:
    """What ``save_mask_scores`` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {FILE}: no masks were scored there")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names, scored, class_names = (
            tuple(arrays[key].tolist()) for key in ("names", "scored", "class_names")
        )
        number, size = len(scored), len(class_names)
        shapes = {
            "confusions": (number, size + 1, size + 1),
            "outlines": (number, size, len(COUNTS)),
            "non_salient_found": (number,),
        }
        by_name = {}
        for key, shape in shapes.items():
            there = arrays.get(key, ()) if key == "non_salient_found" else arrays[key]
            if len(there) and there.shape != (len(names), *shape):
                raise ValueError(f"{key} are of shape {there.shape}")
            by_name[key] = dict(zip(names, there, strict=len(there) > 0))
        failed = dict(arrays["failed"].tolist())
        return MaskScores(scored, failed, class_names, non_salient=arrays["non_salient"], **by_name)
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} cannot be read ({error}); score the masks again") from error
