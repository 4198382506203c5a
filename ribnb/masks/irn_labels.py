"""Confident labels: where maps say for sure that there is a class, or that there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.files import Maps, images_digest
from ribnb.core.image_set import ImageSet
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.mask_maps import maps_for_masks
from ribnb.masks.stages import MaskFolder, MasksReport, make_masks
from ribnb.method.localization import maps_digest
from ribnb.scores.confusion import seed_mask

if TYPE_CHECKING:
    from ribnb.masks.crf import CRFSettings

STAGE = "confident labels"
NO_CRF = "no CRF"
IGNORED = 255


def irn_labels(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    settings: IRNSettings,
    crf: CRFSettings | None = None,
    workers: int = 1,
) -> MasksReport:
    """Write the confident labels of each image to ``output_dir/<id>.png``; see ``confident``.

    Images that have labels are left alone, so that a call that was stopped goes on. An image that
    fails (maps that are missing, damaged or of another size) is named, and the rest goes on.

    Args:
        images: the split that the maps are of.
        maps_dir: ``RUN/maps`` of ``localization_maps``.
        output_dir: for the labels; a folder of labels made otherwise is refused.
        settings: the two thresholds.
        crf: settings of the dense CRF that refines both seeds; None leaves it out.
        workers: processes.

    Raises:
        ValueError: maps of other images, or labels that were made otherwise.
        FileNotFoundError: no maps.

    Ahn et al. 2019, section 4.2.
    """
    record = {
        "stage": STAGE,
        "settings": settings.for_labels(),
        "crf": NO_CRF if crf is None else crf.as_dict(),
        "maps": maps_digest(maps_dir, images),
        "images": images_digest(images),
    }
    make = _Labels(images, Path(maps_dir), settings, crf)
    folder = MaskFolder(output_dir, record)
    return make_masks(make, images.ids, folder, "confident labels", workers)


def confident(
    maps: Maps,
    settings: IRNSettings,
    image: UInt8[ndarray, "H W 3"] | None = None,
    crf: CRFSettings | None = None,
) -> UInt8[ndarray, "H W"]:
    """Confident labels of one image: 0 background, class_id + 1, 255 where neither is sure.

    A pixel is of a class where the seed at the foreground threshold says so. It is background
    where that seed says background, and the one at the low background threshold does too. With
    a CRF both seeds are refined first. Where maps are 0 everywhere, although the image has
    classes, nothing is known, and all is 255; an image without classes is background.

    Args:
        maps: of the image.
        settings: the two thresholds.
        image: needed for the CRF.
        crf: its settings; None leaves it out.
    """
    if len(maps.class_ids) and not maps.high_res.any():
        return np.full(maps.high_res.shape[1:], IGNORED, np.uint8)
    seeds = [
        seed_mask(maps, threshold)
        for threshold in (settings.foreground_threshold, settings.background_threshold)
    ]
    if crf is not None and len(maps.class_ids):
        from ribnb.masks.crf import crf_mask

        values = [0, *(int(class_id) + 1 for class_id in maps.class_ids)]
        seeds = [crf_mask(image, seed, values, crf) for seed in seeds]
    sure, low = seeds
    open_or_background = np.where(low == 0, 0, IGNORED)
    return np.where(sure > 0, sure, open_or_background).astype(np.uint8)


@dataclass(frozen=True)
class _Labels:
    """Makes the labels of one image, in any process."""

    images: ImageSet
    maps_dir: Path
    settings: IRNSettings
    crf: CRFSettings | None

    @cached_property
    def places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.images.ids)}

    def __call__(self, name: str) -> UInt8[ndarray, "H W"]:
        image = np.asarray(self.images.image(self.places[name]))
        path = self.maps_dir / f"{name}.npz"
        maps = maps_for_masks(path, len(self.images.class_names), image.shape[:2])
        return confident(maps, self.settings, image, self.crf)
