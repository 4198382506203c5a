"""A stage: one function (image, maps) -> mask, over all images of a split, resumable.

Each stage leaves a folder of ``<id>.png`` with VOC's palette and ``masks.json``, the record of all
that decides the masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import Maps, images_digest, read_maps
from ribnb.core.image_set import ImageSet
from ribnb.core.runner import MASKS, RecordedFolder, Report, over_images
from ribnb.method.localization import maps_digest
from ribnb.scores.confusion import read_map


@dataclass(frozen=True)
class SplitImage:
    """One image of a split, decoded only when a stage asks for its pixels."""

    images: ImageSet
    index: int

    @property
    def id(self) -> str:
        """The image's name."""
        return self.images.ids[self.index]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width, from the header of the image's file where there is one.

        Raises:
            OSError: the image cannot be read.
        """
        if hasattr(self.images, "image_path"):
            try:
                with Image.open(self.images.image_path(self.index)) as image:
                    return image.height, image.width
            except OSError:
                pass  # reading all of it says what is wrong, and names the file
        image = self.read()
        return image.height, image.width

    def read(self) -> Image.Image:
        """The image, of mode RGB; OSError if it cannot be read."""
        return self.images.image(self.index)


Mask = UInt8[ndarray, "H W"]
MaskOf = Callable[[SplitImage, Maps], Mask]


def masks_from_maps(
    mask_of: MaskOf,
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    record: Mapping[str, Any],
    workers: int = 1,
    threads: int = 1,
) -> Report:
    """The masks of a split from its map files: ``output_dir/<id>.png``.

    Images that have masks are left alone, so that a call that was stopped goes on where it was
    when it is repeated. An image that fails (one that cannot be read, maps that are missing,
    damaged or of another image) is named in the report, and the rest goes on.

    Args:
        mask_of: what makes the mask of one image; one that can be pickled, if there are several
            workers.
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``, ``RUN/maps`` of ``localization_maps``.
        output_dir: for the masks; a folder of masks that were made otherwise is refused.
        record: ``stage``, its name, and all that decides its masks besides maps and images.
        workers: processes.
        threads: images at a time in this process, if it works alone.

    Raises:
        FileNotFoundError: no folder of maps.
        ValueError: maps of other images; masks there that were made otherwise; less than one
            worker.
        OSError: a mask cannot be written.
    """
    record = {**record, "maps": maps_digest(maps_dir, images), "images": images_digest(images)}
    folder = RecordedFolder(output_dir, MASKS, record)
    make = _FromMaps(mask_of, images, Path(maps_dir))
    label = record["stage"]
    return over_images(make, images.ids, folder, label=label, workers=workers, threads=threads)


@dataclass(frozen=True)
class _FromMaps:
    """Image id -> its mask, from its map file; a job for several processes."""

    mask_of: MaskOf
    images: ImageSet
    maps_dir: Path

    @cached_property
    def indices(self) -> dict[str, int]:
        return {image_id: index for index, image_id in enumerate(self.images.ids)}

    def __call__(self, image_id: str) -> Mask:
        image = SplitImage(self.images, self.indices[image_id])
        path = self.maps_dir / f"{image_id}.npz"
        return self.mask_of(image, read_maps_of(image, path))


def read_maps_of(image: SplitImage, path: str | Path) -> Maps:
    """An image's maps, refused where a mask would be made of something else.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, its maps are of another size than the image, hold classes that
            are none of its set's, or values that are none of a map's.
    """
    maps = read_maps(path)
    read_map(maps, len(image.images.class_names), f"the map file {path}")
    if maps.high_res.shape[1:] != image.size:
        found, wanted = (
            " x ".join(map(str, size)) for size in (maps.high_res.shape[1:], image.size)
        )
        raise ValueError(
            f"the maps {path} are {found} pixels, the image is {wanted}: they are of another "
            "image or another size; make them again"
        )
    return maps
