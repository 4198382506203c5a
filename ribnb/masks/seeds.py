"""Seeds as masks on disk: the map files of a split, cut at one threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.files import Maps
from ribnb.core.image_set import ImageSet
from ribnb.masks.mask_maps import image_size, maps_for_masks
from ribnb.masks.stages import MaskFolder, MasksReport, make_masks
from ribnb.method.localization import maps_digest
from ribnb.scores.confusion import checked_thresholds, seed_mask


def seed_masks(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    threshold: float,
    workers: int = 1,
) -> MasksReport:
    """Each image's seed as a mask, without any refinement.

    An image that fails is named in the report, and the rest goes on; a call that was stopped goes
    on where it was when it is repeated.

    Args:
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``.
        output_dir: where the masks ``<id>.png`` go.
        threshold: the background's score, in (0, 1).
        workers: processes.

    Raises:
        FileNotFoundError: no folder of maps.
        ValueError: maps of other images; masks there that were made otherwise; a threshold
            outside (0, 1); less than one worker.
        OSError: a mask cannot be written.
    """
    checked_thresholds([threshold])
    record = {"stage": "seeds", "threshold": threshold, "maps": maps_digest(maps_dir, images)}
    make = SeedOf(images, Path(maps_dir), threshold)
    return make_masks(make, images.ids, MaskFolder(output_dir, record), "seeds", workers)


@dataclass(frozen=True)
class SeedOf:
    """Image id -> its seed, from its map file; a job for several processes.

    Args:
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``.
        threshold: the background's score, in (0, 1).
    """

    images: ImageSet
    maps_dir: Path
    threshold: float

    @cached_property
    def places(self) -> dict[str, int]:
        """Image id -> index."""
        return {image_id: place for place, image_id in enumerate(self.images.ids)}

    def maps(self, image_id: str) -> Maps:
        """The image's maps; see ``maps_for_masks``."""
        size = image_size(self.images, self.places[image_id])
        path = self.maps_dir / f"{image_id}.npz"
        return maps_for_masks(path, len(self.images.class_names), size)

    def __call__(self, image_id: str) -> UInt8[ndarray, "H W"]:
        """0 background, class_id + 1.

        Raises:
            FileNotFoundError: the image has no map file.
            OSError: the image cannot be read.
            ValueError: see ``maps_for_masks``.
        """
        return seed_mask(self.maps(image_id), self.threshold)
