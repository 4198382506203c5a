"""Masks from localisation maps with saliency maps as extra supervision.

Methods that add saliency to image-level labels (the paper's discussion; Lee et al., "Railroad is
not a train: saliency as pseudo-pixel supervision", CVPR 2021, for one) let each side say what it
knows: the saliency map where things end, the localisation map what they are. So here a pixel that
is not salient is background, and a salient one has the strongest of the image's classes. Outlines
get as sharp as the saliency map's, and objects that it misses are lost.

Where the two disagree, the saliency wins in masks that are scored, for these must decide every
pixel (``conflicts="decide"``). Masks that train a network need not: there a disagreement is 255
and teaches nothing (``conflicts="ignore"``). It is one if a salient pixel has no class above
``map_level``, or if a pixel that is not salient has one above ``high_level``, an object, it
seems, that the detector missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from pydantic import model_validator

from ribnb.core.files import Maps
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.masks.mask_maps import image_size, maps_for_masks
from ribnb.masks.saliency_maps import (
    OwnSaliency,
    Saliency,
    SaliencyFolder,
    by_index,
    check_saliency,
    read_saliency,
    saliency_of,
)
from ribnb.masks.stages import MaskFolder, MasksReport, make_masks
from ribnb.method.localization import maps_digest
from ribnb.scores.confusion import IGNORED

__all__ = [
    "OwnSaliency",
    "Saliency",
    "SaliencyFolder",
    "SaliencySettings",
    "by_index",
    "read_saliency",
    "saliency_mask",
    "saliency_masks",
    "saliency_of",
]


class SaliencySettings(Settings):
    """How maps and saliency make a mask; the defaults are for masks that are scored.

    ``training()`` is for masks that train a network.
    """

    salient_level: float = setting(0.5, "a pixel is salient above it", ge=0, le=1)
    conflicts: Literal["decide", "ignore"] = setting(
        "decide",
        "where map and saliency disagree: decide for the saliency, or ignore the pixel (255)",
    )
    map_level: float = setting(
        0.1,
        "if conflicts are ignored: a class may claim a salient pixel above it",
        ge=0,
        le=1,
    )
    high_level: float = setting(
        0.5,
        "if conflicts are ignored: a class above it speaks against a pixel that is not salient",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _check(self):
        if self.map_level > self.high_level:
            raise SettingsError(
                f"map_level = {self.map_level} must not exceed high_level = {self.high_level}: "
                "what is sure enough to doubt the saliency is sure enough to agree with it"
            )
        return self

    @classmethod
    def training(cls, **changes: Any) -> SaliencySettings:
        """For masks that train a network: conflicts are 255, with changes."""
        return cls(**{"conflicts": "ignore", **changes})


def saliency_mask(
    maps: Maps, saliency: Float32[ndarray, "H W"], settings: SaliencySettings
) -> UInt8[ndarray, "H W"]:
    """The mask of one image, by the rule at the top of this module.

    Where all maps are 0, the strongest class is that of the nearest pixel where one is not. If
    there is none, no class can be told: the image is background, and its salient pixels are 255
    if conflicts are ignored. Without any class all is background.

    Args:
        maps: of the image's classes.
        saliency: in [0, 1].
        settings: levels, and what becomes of conflicts.

    Returns:
        0 background, class_id + 1; 255 only if conflicts are ignored.

    Raises:
        ValueError: a saliency map of another size than the maps, or out of its range.
    """
    check_saliency(saliency, maps.high_res.shape[1:], "the saliency map")
    salient = saliency > settings.salient_level
    if not len(maps.class_ids):
        return np.zeros(salient.shape, np.uint8)
    strength = maps.high_res.max(axis=0)
    mask = np.where(salient, _strongest(maps, strength), 0).astype(np.uint8)
    if settings.conflicts == "ignore":
        mask[salient & (strength <= settings.map_level)] = IGNORED
        mask[~salient & (strength > settings.high_level)] = IGNORED
    return mask


def saliency_masks(
    images: ImageSet,
    maps_dir: str | Path,
    saliency: Saliency,
    output_dir: str | Path,
    settings: SaliencySettings | None = None,
    workers: int = 1,
) -> MasksReport:
    """Masks of all images of a split from its localisation maps and saliency maps.

    An image without maps or saliency map, or whose saliency map is damaged or of another size, is
    named in the report and the rest goes on. Images without labels are background, and need no
    saliency map. A call that was stopped goes on where it was when it is repeated.

    Args:
        images: an image set.
        maps_dir: folder of their map files, ``RUN/maps``.
        saliency: image id and size (H, W) -> map in [0, 1], see ``saliency_of``; one that can be
            pickled, if there are several workers.
        output_dir: for ``<id>.png`` and ``masks.json``.
        settings: see ``SaliencySettings``.
        workers: processes.

    Raises:
        FileNotFoundError: no maps.
        ValueError: maps of other images; an output folder that holds other masks.
        OSError: a mask cannot be written.
    """
    settings = settings or SaliencySettings()
    record = {
        "stage": "saliency",
        "settings": settings.as_dict(),
        "maps": maps_digest(maps_dir, images),
        "saliency": getattr(saliency, "name", None) or getattr(saliency, "__qualname__", "given"),
    }
    folder = MaskFolder(output_dir, record)
    make = _SalientMask(images, Path(maps_dir), saliency, settings)
    return make_masks(make, images.ids, folder, "saliency", workers)


@dataclass(frozen=True)
class _SalientMask:
    """Image id -> its mask; a job for several processes."""

    images: ImageSet
    maps_dir: Path
    saliency: Saliency
    settings: SaliencySettings

    @cached_property
    def places(self) -> dict[str, int]:
        return {image_id: place for place, image_id in enumerate(self.images.ids)}

    def __call__(self, image_id: str) -> UInt8[ndarray, "H W"]:
        size = image_size(self.images, self.places[image_id])
        path = self.maps_dir / f"{image_id}.npz"
        maps = maps_for_masks(path, len(self.images.class_names), size)
        if not len(maps.class_ids):
            return np.zeros(size, np.uint8)
        return saliency_mask(maps, self.saliency(image_id, size), self.settings)


def _strongest(maps: Maps, strength: Float32[ndarray, "H W"]) -> UInt8[ndarray, "H W"]:
    """class_id + 1 of the strongest map at each pixel or the nearest one that has any; else 0."""
    from scipy.ndimage import distance_transform_edt

    claimed = strength > 0
    if not claimed.any():
        return np.zeros(strength.shape, np.uint8)
    strongest = (maps.class_ids + 1).astype(np.uint8)[maps.high_res.argmax(axis=0)]
    if claimed.all():
        return strongest
    nearest = distance_transform_edt(~claimed, return_distances=False, return_indices=True)
    return strongest[tuple(nearest)]
