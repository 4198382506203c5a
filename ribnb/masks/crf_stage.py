"""The stage of the dense CRF: the seeds of a split, refined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.image_set import ImageSet
from ribnb.masks.crf import crf_mask, require_crf
from ribnb.masks.crf_settings import CRFSettings
from ribnb.masks.seeds import SeedOf
from ribnb.masks.stages import MaskFolder, MasksReport, make_masks
from ribnb.method.localization import maps_digest
from ribnb.scores.confusion import checked_thresholds, seed_mask


def crf_masks(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    threshold: float,
    settings: CRFSettings | None = None,
    workers: int = 1,
) -> MasksReport:
    """Each image's seed, refined by a dense CRF, as a mask ("seed + CRF" of the paper's table).

    A pixel may become background or any class of the image's map file. An image that fails is
    named in the report, and the rest goes on; a call that was stopped goes on where it was when
    it is repeated.

    Args:
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``.
        output_dir: where the masks ``<id>.png`` go.
        threshold: the background's score in the seed, in (0, 1).
        settings: the CRF's; IRN's if None.
        workers: processes.

    Raises:
        CRFMissing: the library of the dense CRF is not there; nothing was made.
        FileNotFoundError: no folder of maps.
        ValueError: maps of other images; masks there that were made otherwise; a threshold
            outside (0, 1); less than one worker.
        OSError: a mask cannot be written.
    """
    settings = CRFSettings() if settings is None else settings
    require_crf()
    checked_thresholds([threshold])
    record = {
        "stage": "crf",
        "settings": settings.as_dict(),
        "threshold": threshold,
        "maps": maps_digest(maps_dir, images),
    }
    make = _RefinedSeed(images, SeedOf(images, Path(maps_dir), threshold), settings)
    return make_masks(make, images.ids, MaskFolder(output_dir, record), "CRF", workers)


@dataclass(frozen=True)
class _RefinedSeed:
    """Image id -> its seed after the CRF; a job for several processes."""

    images: ImageSet
    seeds: SeedOf
    settings: CRFSettings

    def __call__(self, image_id: str) -> UInt8[ndarray, "H W"]:
        maps, place = self.seeds.maps(image_id), self.seeds.places[image_id]
        image = np.asarray(self.images.image(place))
        seed = seed_mask(maps, self.seeds.threshold)
        return crf_mask(image, seed, [0, *(maps.class_ids + 1).tolist()], self.settings)
