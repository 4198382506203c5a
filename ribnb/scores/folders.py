"""Folders of map files or of masks, scored against a split's truth, side by side.

An image counts in all folders or in none: one that lacks a file or a truth, or whose files are
damaged or of different sizes, is left out and named.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.core.files import read_maps
from ribnb.core.progress import progress
from ribnb.core.voc import ImageSet, read_mask
from ribnb.scores.boundary import COUNTS, TrueOutlines, boundary_f
from ribnb.scores.confusion import IGNORED, check_mask, map_confusions, mask_confusions
from ribnb.scores.image_scores import METRICS, RELEASED, ImageScores
from ribnb.scores.iou import RELEASED_RANGE, THRESHOLDS, MaskScore, SeedScore


@dataclass(frozen=True, eq=False)
class SplitScore:
    """Confusion matrices of the maps of a split, or of one shard of it.

    Attributes:
        scored: ids of the images in the matrices.
        failed: id -> why an image is not among them.
        class_names: C names, without background.
        confusions: name of the maps, such as ``"seeds"``, -> (T, C + 1, C + 1) pixels at each of
            ``THRESHOLDS``; rows are the truth.
    """

    scored: tuple[str, ...]
    failed: dict[str, str]
    class_names: tuple[str, ...]
    confusions: dict[str, Int[ndarray, "T C+1 C+1"]]

    def metrics(self) -> dict[str, Any]:
        """The scores that go into a ``result.json``, in %, each at its own oracle threshold.

        That is the best of ``THRESHOLDS``; with the prefix ``released_range_``, of those. Where
        there are no maps ``"cam"`` beside the seeds, the seeds are the CAMs. Classes in neither
        truth nor prediction are left out of ``seed_iou_per_class``.
        """
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

    def seeds(self, name: str = "seeds", thresholds: Sequence[float] = THRESHOLDS) -> SeedScore:
        """The seed scores of these maps.

        Args:
            name: which maps.
            thresholds: among which the best one is chosen; all of them in ``THRESHOLDS``.

        Raises:
            ValueError: no image was scored; says why the first one was not.
        """
        _refuse_none(self.scored, self.failed)
        names = ("background", *self.class_names)
        return SeedScore(np.array(THRESHOLDS), self.confusions[name], names).among(thresholds)

    def of_images(self, images: ImageSet, folders: Mapping[str, str | Path]) -> ImageScores:
        """Each image's own scores, at the best threshold of either range for all of them.

        The maps are read once more, since only the scores of all images tell the thresholds.

        Args:
            images: those that were scored are among them.
            folders: name -> folder of map files, as for ``score_split``.

        Raises:
            OSError: a map file or mask is no longer there.
            ValueError: it is damaged.
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
) -> SplitScore:
    """Score the map files of a split's images, with several folders of maps side by side.

    Args:
        images: an image set with masks.
        folders: name -> folder of map files; a folder alone is that of ``"seeds"``.
        shard: (i, n): every n-th image of all, starting from the i-th.
        only: ids of the images to score; None scores all.

    Raises:
        ValueError: a shard without images.
    """
    if not isinstance(folders, Mapping):
        folders = {"seeds": folders}
    first, step = shard
    wanted = [index for index, name in enumerate(images.ids) if only is None or name in only]
    chosen = [index for index in wanted if index % step == first]
    if not chosen:
        raise ValueError(f"shard {first}/{step} is empty: there are only {len(wanted)} images")
    rows = len(images.class_names) + 1
    totals = {name: np.zeros((len(THRESHOLDS), rows, rows), np.int64) for name in folders}
    scored, failed = [], {}
    for index in progress(chosen, "scoring"):
        image_id = images.ids[index]
        try:
            mask = images.mask(index)
            confusions = {
                name: _of_maps(Path(folder) / f"{image_id}.npz", mask, rows - 1)
                for name, folder in folders.items()
            }
        except (OSError, ValueError) as error:
            failed[image_id] = str(error)
            continue
        for name, confusion in confusions.items():
            totals[name] += confusion
        scored.append(image_id)
    return SplitScore(tuple(scored), failed, tuple(images.class_names), totals)


@dataclass(frozen=True, eq=False)
class MaskScores:
    """What several folders of masks score on the same images, counted image by image.

    Attributes:
        scored: ids of the N images that count, in all folders alike.
        failed: id -> why an image counts in none.
        class_names: C names, without background.
        confusions: name of the masks -> (N, C + 1, C + 1) pixels, rows are the truth.
        outlines: name -> (N, C, 4) pixels, see ``ribnb.scores.boundary.COUNTS``.
    """

    scored: tuple[str, ...]
    failed: dict[str, str]
    class_names: tuple[str, ...]
    confusions: dict[str, Int[ndarray, "N C+1 C+1"]]
    outlines: dict[str, Int[ndarray, "N C 4"]]

    def score(self, name: str) -> MaskScore:
        """mIoU and scores by class of these masks, over all images.

        Raises:
            KeyError: no masks of that name.
            ValueError: no image was scored; says why the first one was not.
        """
        _refuse_none(self.scored, self.failed)
        names = ("background", *self.class_names)
        return MaskScore(self.confusions[name].sum(axis=0), names)

    def metrics(self) -> dict[str, Any]:
        """The scores that go into a ``result.json``, in %, by name of the masks.

        ``boundary_f`` is left out for masks without any outline.

        Raises:
            ValueError: see ``score``.
        """
        outlines = {name: boundary_f(counts) for name, counts in self.outlines.items()}
        return {
            "mask_miou": {name: self.score(name).miou for name in self.confusions},
            "boundary_f": {name: f for name, f in outlines.items() if not math.isnan(f)},
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
) -> MaskScores:
    """Score folders of masks, ``<id>.png`` each, side by side against the images' truth.

    A mask to be scored decides each pixel: one with undecided pixels (255) leaves its image out.

    Args:
        images: an image set with masks.
        folders: name -> folder of masks.
        indices: which of the images; None for all.

    Raises:
        FileNotFoundError: one of the folders does not exist.
        ValueError: no folder.
    """
    if not folders:
        raise ValueError("there are no masks to score: folders is empty")
    for name, folder in folders.items():
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder {folder} of the masks {name!r}")
    counts: dict[str, dict[str, tuple[ndarray, ndarray]]] = {}
    failed: dict[str, str] = {}
    for index in progress(range(len(images)) if indices is None else indices, "scoring masks"):
        try:
            counts[images.ids[index]] = _of_masks(images, folders, index)
        except (OSError, ValueError) as error:
            failed[images.ids[index]] = str(error)
    number, size = len(counts), len(images.class_names)
    confusions, outlines = (
        {
            # int32 holds any image's pixels, and a split's matrices in half the memory
            name: np.array([of[name][part] for of in counts.values()], np.int32).reshape(
                number, *shape
            )
            for name in folders
        }
        for part, shape in enumerate(((size + 1, size + 1), (size, len(COUNTS))))
    )
    return MaskScores(tuple(counts), failed, tuple(images.class_names), confusions, outlines)


def _of_maps(path: Path, mask: ndarray, num_classes: int) -> Int[ndarray, "T C+1 C+1"]:
    if not path.is_file():
        raise FileNotFoundError("it has no map file")
    (confusion,) = map_confusions([read_maps(path)], [mask], THRESHOLDS, num_classes)
    return confusion


def _of_masks(
    images: ImageSet, folders: Mapping[str, str | Path], index: int
) -> dict[str, tuple[Int[ndarray, "C+1 C+1"], Int[ndarray, "C 4"]]]:
    """Confusion and outlines of each folder's mask of one image."""
    image_id, num_classes = images.ids[index], len(images.class_names)
    truth = check_mask(images.mask(index), num_classes, f"the truth of image {image_id}")
    outlines = TrueOutlines(truth, num_classes)
    counts = {}
    for name, folder in folders.items():
        path = Path(folder) / f"{image_id}.png"
        mask = read_mask(path, num_classes)
        if mask.shape != truth.shape:
            raise ValueError(f"the mask {path} is {mask.shape}, the truth {truth.shape} (H, W)")
        if (mask == IGNORED).any():
            raise ValueError(
                f"the mask {path} leaves pixels undecided ({IGNORED}), as masks for training may; "
                "one to be scored must decide each"
            )
        (confusion,) = mask_confusions([mask], [truth], num_classes)
        counts[name] = confusion, outlines.compare(mask)
    return counts


def _range(name: str) -> tuple[float, ...]:
    return RELEASED_RANGE if name.endswith(RELEASED) else THRESHOLDS


def _refuse_none(scored: Collection[str], failed: Mapping[str, str]) -> None:
    if not scored:
        why = next(iter(failed.items()), None)
        raise ValueError(
            "no image was scored" + (f"; {why[0]}, for example: {why[1]}" if why else "")
        )
