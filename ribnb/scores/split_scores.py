"""Map files of a split, scored against its masks; several shards' scores add up to one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from ribnb.core.files import read_maps, whole_file
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.scores.confusion import map_confusions
from ribnb.scores.image_scores import METRICS, WIDE, ImageScores
from ribnb.scores.iou import SeedScore
from ribnb.scores.metrics import THRESHOLDS, WIDE_THRESHOLDS

FILE = "scores.npz"


@dataclass(frozen=True, eq=False)
class SplitScore:
    """Confusion matrices of the maps of a split, or of one shard of it.

    Attributes:
        split: ids of the whole split.
        scored: ids of the images in the matrices.
        failed: id -> why an image is not among them.
        class_names: C names, without background.
        confusions: name of the maps, such as ``"seeds"``, -> (T, C + 1, C + 1) pixels at each of
            ``WIDE_THRESHOLDS``; rows are the truth.
    """

    split: tuple[str, ...]
    scored: tuple[str, ...]
    failed: dict[str, str]
    class_names: tuple[str, ...]
    confusions: dict[str, Int[ndarray, "T C+1 C+1"]]

    def metrics(self) -> dict[str, Any]:
        """The scores that go into a ``result.json``, in %, each at its own oracle threshold.

        That is the best of ``THRESHOLDS``; with the prefix ``wide_``, of ``WIDE_THRESHOLDS``. Where
        there are no maps ``"cam"`` beside the seeds, the seeds are the CAMs. Classes in neither
        truth nor prediction are left out of ``seed_iou_per_class``.
        """
        found: dict[str, Any] = {}
        for name, (miou, threshold) in METRICS.items():
            maps = name.removesuffix(WIDE)
            score = self.seeds(maps if maps in self.confusions else "seeds", _range(name))
            found |= {miou: score.best_miou, threshold: score.best_threshold}
        iou = self.seeds().at(found["seed_threshold"]).iou
        return {
            **found,
            "seed_iou_per_class": {name: one for name, one in iou.items() if not math.isnan(one)},
            "images": len(self.scored),
            "failed": len(self.failed),
        }

    def seeds(self, name: str = "seeds", thresholds: Sequence[float] = THRESHOLDS) -> SeedScore:
        """The seed scores of these maps.

        Args:
            name: which maps.
            thresholds: among which the best one is chosen; all of them in ``WIDE_THRESHOLDS``.

        Raises:
            ValueError: no image was scored; says why the first one was not.
        """
        if not self.confusions[name].any():
            why = next(iter(self.failed.items()), None)
            raise ValueError(
                "no image was scored" + (f"; {why[0]}, for example: {why[1]}" if why else "")
            )
        names = ("background", *self.class_names)
        rows = [WIDE_THRESHOLDS.index(one) for one in thresholds]
        return SeedScore(np.array(thresholds), self.confusions[name][rows], names)

    def of_images(self, images: ImageSet, folders: Mapping[str, str | Path]) -> ImageScores:
        """Each image's own scores, at the best threshold of either range for all of them.

        Args:
            images: those that were scored are among them.
            folders: name -> folder of map files, as for ``score_split``.

        Raises:
            OSError: a map file or mask is no longer there.
            ValueError: it is damaged.
        """
        place_of = {name: place for place, name in enumerate(images.ids)}
        thresholds, confusions = {}, {}
        for maps, folder in folders.items():
            names = (maps, f"{maps}{WIDE}")
            best = [self.seeds(maps, _range(name)).best_threshold for name in names]
            files = (read_maps(Path(folder) / f"{one}.npz") for one in self.scored)
            masks = (images.mask(place_of[one]) for one in self.scored)
            cuts = sorted(set(best))
            found = np.stack([*map_confusions(files, masks, cuts, len(self.class_names))])
            for name, cut in zip(names, best, strict=True):
                thresholds[name], confusions[name] = cut, found[:, cuts.index(cut)]
        return ImageScores(self.scored, confusions, thresholds, self.class_names)


def score_split(
    images: ImageSet,
    folders: Mapping[str, str | Path],
    shard: tuple[int, int] = (0, 1),
    only: Collection[str] | None = None,
) -> SplitScore:
    """Score the map files of a split's images, with several folders of maps side by side.

    An image counts in all folders or in none: one that lacks a map file or a mask, or whose files
    are damaged or of different sizes, is left out and named.

    Args:
        images: an image set with masks.
        folders: name -> folder of map files.
        shard: (i, n): every n-th image of all, starting from the i-th.
        only: ids of the images to score; None scores all.

    Raises:
        ValueError: a shard without images.
    """
    index, count = shard
    wanted = [place for place, name in enumerate(images.ids) if only is None or name in only]
    places = [place for place in wanted if place % count == index]
    if not places:
        raise ValueError(f"shard {index}/{count} is empty: there are only {len(wanted)} images")
    num_classes = len(images.class_names)
    size = (len(WIDE_THRESHOLDS), num_classes + 1, num_classes + 1)
    totals = {name: np.zeros(size, np.int64) for name in folders}
    scored, failed = [], {}
    for place in progress(places, "scoring"):
        image_id = images.ids[place]
        try:
            mask = images.mask(place)
            found = {
                name: _confusion(Path(folder) / f"{image_id}.npz", mask, num_classes)
                for name, folder in folders.items()
            }
        except (OSError, ValueError) as error:
            failed[image_id] = str(error)
            continue
        for name, confusion in found.items():
            totals[name] += confusion
        scored.append(image_id)
    names = tuple(images.class_names)
    split = tuple(images.ids[place] for place in wanted)
    return SplitScore(split, tuple(scored), failed, names, totals)


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


def merge_scores(scores: Sequence[SplitScore], names: Sequence[str]) -> SplitScore:
    """One score of shards that together are a split.

    Args:
        scores: of each shard.
        names: what to call the shards in a complaint.

    Raises:
        ValueError: shards of different splits or classes; images in two shards, or in none.
    """
    first = scores[0]
    for score, name in zip(scores, names, strict=True):
        if (score.split, score.class_names) != (first.split, first.class_names):
            raise ValueError(
                f"{name} is of another split or other classes than {names[0]} "
                f"({len(score.split)} and {len(first.split)} images)"
            )
        if score.confusions.keys() != first.confusions.keys():
            raise ValueError(f"{name} scored other maps than {names[0]}")
    owner: dict[str, str] = {}
    for score, name in zip(scores, names, strict=True):
        for image_id in (*score.scored, *score.failed):
            if image_id in owner:
                raise ValueError(f"image {image_id} is in {owner[image_id]} and in {name}")
            owner[image_id] = name
    missing = [image_id for image_id in first.split if image_id not in owner]
    if missing:
        raise ValueError(
            f"{len(missing)} of the split's {len(first.split)} images are in none of the runs, "
            f"such as {missing[0]}; add the shards that hold them"
        )
    scored = {image_id for score in scores for image_id in score.scored}
    return SplitScore(
        first.split,
        tuple(image_id for image_id in first.split if image_id in scored),
        {image_id: why for score in scores for image_id, why in score.failed.items()},
        first.class_names,
        {name: sum(score.confusions[name] for score in scores) for name in first.confusions},
    )


def _range(name: str) -> tuple[float, ...]:
    return WIDE_THRESHOLDS if name.endswith(WIDE) else THRESHOLDS


def _confusion(path: Path, mask: ndarray, num_classes: int) -> Int[ndarray, "T C+1 C+1"]:
    if not path.is_file():
        raise FileNotFoundError("it has no map file")
    maps = read_maps(path)
    if maps.high_res.shape[1:] != mask.shape:
        height, width = mask.shape
        raise ValueError(
            f"its maps are {maps.high_res.shape[1]} x {maps.high_res.shape[2]} pixels, its mask "
            f"is {height} x {width}"
        )
    (confusion,) = map_confusions([maps], [mask], WIDE_THRESHOLDS, num_classes)
    return confusion
