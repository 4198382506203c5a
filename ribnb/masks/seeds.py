"""Seeds as masks on disk: the map files of a split, cut at one threshold."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ribnb.core.files import Maps
from ribnb.core.image_set import ImageSet
from ribnb.core.runner import Report
from ribnb.masks.stages import Mask, SplitImage, masks_from_maps
from ribnb.scores.confusion import checked_thresholds, seed_mask


def seed_masks(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    threshold: float,
    workers: int = 1,
) -> Report:
    """Each image's seed as a mask, without any refinement; a stage, see ``masks_from_maps``.

    Args:
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``.
        output_dir: where the masks ``<id>.png`` go.
        threshold: the background's score, in (0, 1).
        workers: processes.

    Raises:
        ValueError: a threshold outside (0, 1); see ``masks_from_maps`` for others.
        FileNotFoundError, OSError: see ``masks_from_maps``.
    """
    checked_thresholds([threshold])
    seed_of = partial(_seed, threshold=threshold)
    record = {"stage": "seeds", "threshold": threshold}
    return masks_from_maps(seed_of, images, maps_dir, output_dir, record, workers)


def _seed(image: SplitImage, maps: Maps, threshold: float) -> Mask:
    return seed_mask(maps, threshold)
