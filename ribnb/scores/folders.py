"""Folders of map files or of masks, scored against a split's truth, side by side.

An image counts in all folders or in none: one that lacks a file or a truth, or whose files are
damaged or of different sizes, is left out and named. ``score_folder`` takes any program's files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.core.files import read_maps
from ribnb.core.runner import progress
from ribnb.core.voc import ImageSet, read_mask
from ribnb.scores.confusion import check_mask, map_confusions, mask_confusions
from ribnb.scores.foreign import MASKS, files_of, reader
from ribnb.scores.image_scores import METRICS, RELEASED, ImageScores
from ribnb.scores.iou import RELEASED_RANGE, THRESHOLDS, MaskScore, SeedScore


@dataclass(frozen=True, eq=False)
class _Scored:
    """What was counted.

    ``confusions`` holds by name of the maps or masks pixels, whose rows are the truth: of maps,
    such as ``"seeds"``, (T, C + 1, C + 1) at each threshold, of masks (N, C + 1, C + 1).
    """

    scored: tuple[str, ...]  # ids of the N images that count
    failed: dict[str, str]  # id -> why an image does not
    class_names: tuple[str, ...]  # C, without background
    confusions: dict[str, Int[ndarray, "_ C+1 C+1"]]

    def _rows(self) -> tuple[str, ...]:
        """Names of a matrix's rows; ValueError if no image was scored, which says why."""
        if not self.scored:
            first = [*self.failed.items()][:1]
            why = "".join(f"; {name}, for example: {why}" for name, why in first)
            raise ValueError(f"no image was scored{why}")
        return "background", *self.class_names


@dataclass(frozen=True, eq=False)
class SplitScore(_Scored):
    """Confusion matrices of the maps of a split, or of one shard of it."""

    thresholds: tuple[float, ...] = THRESHOLDS

    def metrics(self) -> dict[str, Any]:
        """The scores that go into a ``result.json``, in %, each at its own oracle threshold.

        That is the best of ``THRESHOLDS``; with the prefix ``released_range_``, of those. Where
        there are no maps ``"cam"`` beside the seeds, the seeds are the CAMs. Classes in neither
        truth nor prediction are left out of ``seed_iou_per_class``; where masks ignore all, there
        are no scores, of 0 images.
        """
        if self.scored and not any(confusion.any() for confusion in self.confusions.values()):
            return {"images": 0, "failed": len(self.failed), "seed_iou_per_class": {}}
        metrics: dict[str, Any] = {}
        for name, (miou, threshold) in METRICS.items():
            maps = name.removesuffix(RELEASED)
            score = self.seeds(maps if maps in self.confusions else "seeds", _range(name))
            metrics |= {miou: score.best_miou, threshold: score.best_threshold}
        return {
            **metrics,
            "seed_iou_per_class": self.seeds().best.known_iou,
            "images": len(self.scored),
            "failed": len(self.failed),
        }

    def seeds(self, name: str = "seeds", thresholds: Sequence[float] | None = None) -> SeedScore:
        """The seed scores of these maps at all thresholds, or some of them.

        ValueError if no image was scored; it says why the first one was not.
        """
        score = SeedScore(np.array(self.thresholds), self.confusions[name], self._rows())
        return score if thresholds is None else score.among(thresholds)

    def of_images(self, images: ImageSet, folders: Mapping[str, str | Path]) -> ImageScores:
        """Each image's own scores, at the best threshold of either range for all of them.

        The maps are read once more, from the folders of ``score_split``, since only the scores of
        all images tell the thresholds. OSError or ValueError if a file is no longer there or whole.
        """
        index_of = {name: index for index, name in enumerate(images.ids)}
        thresholds, confusions = {}, {}
        for maps, folder in folders.items():
            names = (maps, f"{maps}{RELEASED}")
            best = [self.seeds(maps, _range(name)).best_threshold for name in names]
            files = (read_maps(Path(folder) / f"{name}.npz") for name in self.scored)
            masks = (images.mask(index_of[name]) for name in self.scored)
            cuts = sorted(set(best))
            counts = np.stack([*map_confusions(files, masks, cuts, len(self.class_names))])
            for name, cut in zip(names, best, strict=True):
                thresholds[name], confusions[name] = cut, counts[:, cuts.index(cut)]
        return ImageScores(self.scored, confusions, thresholds, self.class_names)


def score_split(
    images: ImageSet,
    folders: Mapping[str, str | Path] | str | Path,
    shard: tuple[int, int] = (0, 1),
    only: Collection[str] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    read: Callable[[Path], Any] = read_maps,
) -> SplitScore:
    """Score the map files of a split's images, with several folders of maps side by side.

    Args:
        images: an image set with masks.
        folders: name -> folder of map files; a folder alone is that of ``"seeds"``.
        shard: (i, n): every n-th image of all, starting from the i-th.
        only: ids of the images to score; None scores all.
        thresholds: the background's scores; others than these have no ``metrics``.
        read: what reads ``<id>.npz`` of a folder, or what is there in its place.
    """
    if not isinstance(folders, Mapping):
        folders = {"seeds": folders}
    first, step = shard
    size = len(images.class_names)
    totals = {name: np.zeros((len(thresholds), size + 1, size + 1), np.int64) for name in folders}
    shares = range(first, len(images), step)
    chosen = [index for index in shares if only is None or images.ids[index] in only]
    scored, failed = [], {}
    for index in progress(chosen, "scoring"):
        image_id = images.ids[index]
        try:
            mask = images.mask(index)
            files = [read(Path(folder) / f"{image_id}.npz") for folder in folders.values()]
            counts = [*map_confusions(files, [mask] * len(files), thresholds, size)]
        except (OSError, ValueError) as error:
            failed[image_id] = str(error)
            continue
        for name, confusion in zip(folders, counts, strict=True):
            totals[name] += confusion
        scored.append(image_id)
    return SplitScore(tuple(scored), failed, tuple(images.class_names), totals, tuple(thresholds))


class MaskScores(_Scored):
    """What several folders of masks score on the same images, counted image by image."""

    def score(self, name: str) -> MaskScore:
        """mIoU and scores by class over all images; ValueError as of ``SplitScore.seeds``."""
        return MaskScore(self.confusions[name].sum(axis=0), self._rows())

    def metrics(self) -> dict[str, Any]:
        """The scores that go into a ``result.json``, in %, by name of the masks."""
        return {
            "mask_miou": {name: self.score(name).miou for name in self.confusions},
            "images": len(self.scored),
            "failed": len(self.failed),
        }

    def of_images(self) -> ImageScores:
        """Each image's own scores, to be kept beside a result."""
        return ImageScores(self.scored, self.confusions, {}, self.class_names)


def score_masks(
    images: ImageSet,
    folders: Mapping[str, str | Path],
    indices: Sequence[int] | None = None,
    read: Callable[[Path], Any] = read_mask,
) -> MaskScores:
    """Score folders of masks, ``<id>.png`` each, side by side against the images' truth.

    A mask to be scored decides each pixel: one with undecided pixels (255) leaves its image out.

    Args:
        images: an image set with masks.
        folders: name -> folder of masks.
        indices: which of the images; None for all.
        read: what reads ``<id>.png`` of a folder, or what is there in its place.
    """
    size, scored, failed = len(images.class_names), [], {}
    confusions = {name: [] for name in folders}
    for index in progress(range(len(images)) if indices is None else indices, "scoring masks"):
        image_id = images.ids[index]
        try:
            truth, counted = images.mask(index), []
            for folder in folders.values():
                path = Path(folder) / f"{image_id}.png"
                mask = check_mask(read(path), size, f"the mask {path}", may_ignore=False)
                counted += mask_confusions([mask], [truth], size)
        except (OSError, ValueError) as error:
            failed[image_id] = str(error)
            continue
        scored.append(image_id)
        for name, confusion in zip(folders, counted, strict=True):
            confusions[name].append(confusion)
    # int32 holds any image's pixels, and a split's matrices in half the memory
    matrices = {
        name: np.array(of, np.int32).reshape(-1, size + 1, size + 1)
        for name, of in confusions.items()
    }
    return MaskScores(tuple(scored), failed, tuple(images.class_names), matrices)


def score_folder(
    images: ImageSet,
    folder: str | Path,
    thresholds: Sequence[float] = THRESHOLDS,
    allow_pickle: bool = False,
) -> tuple[str, SplitScore | MaskScores]:
    """Score a folder of ``<id>.npz``, ``.npy`` or ``.png`` of any program as IRN's evaluation does.

    It holds files of one kind: this package's maps; dictionaries as IRN's, with ``high_res``
    (n, H, W) and class ids ``keys`` (n,), or n + 1 that begin with 0 for the background and count
    classes from 1; arrays (C, H, W) in the order of a ``class_names.txt`` or ``classes.txt`` beside
    them, else of the images' classes; grey or palette masks, in which 255 is background. Maps lie
    in [0, 1] and have their mask's size, since nothing is resized.

    Args:
        images: an image set with masks.
        folder: of the files, or of a run with ``maps``.
        thresholds: the background's scores, increasing, within (0, 1).
        allow_pickle: run whatever program is in a dictionary's file; without, one that needs more
            than arrays and tensors is left out.

    Returns:
        The kind in words, and the score, of maps called ``"seeds"`` or of masks ``"masks"``.

    Raises:
        FileNotFoundError: no such folder, or no map or mask of these images in it.
        ValueError: files of several kinds; a list of other classes.
    """
    folder = Path(folder)
    folder = folder / "maps" if (folder / "maps").is_dir() else folder
    kind, paths = files_of(folder, images.ids)
    parse = reader(kind, folder, images.class_names, allow_pickle)

    def read(path: Path) -> Any:
        if path.stem not in paths:
            raise FileNotFoundError(f"there is no map or mask of it in {folder}")
        return parse(paths[path.stem])

    if kind == MASKS:
        return kind, score_masks(images, {"masks": folder}, read=read)
    return kind, score_split(images, folder, thresholds=thresholds, read=read)


def _range(name: str) -> tuple[float, ...]:
    return RELEASED_RANGE if name.endswith(RELEASED) else THRESHOLDS
