"""A stage: one function of an image and its maps, over all images of a split, resumable.

Each stage leaves a folder of ``<id>.png`` with VOC's palette and ``masks.json``, the record of all
that decides the masks. The simplest one, ``seed_masks``, is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import Maps, images_digest, read_maps
from ribnb.core.runner import MASKS, RecordedFolder, Report, over_images
from ribnb.core.voc import ImageSet
from ribnb.method.localization import maps_digest
from ribnb.scores.confusion import checked_thresholds, read_map, seed_mask

Mask = UInt8[ndarray, "H W"]
# An image set, the index of one of its images, and that image's maps -> its mask. The set comes
# undecoded, because some stages never look at pixels.
MaskOf = Callable[[ImageSet, int, Maps], Mask]


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
        mask_of: makes the mask of one image; can be pickled, if there are several workers.
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
    make = partial(_from_file, mask_of, images, Path(maps_dir))
    label = record["stage"]
    return over_images(make, images.ids, folder, label=label, workers=workers, threads=threads)


def _from_file(mask_of: MaskOf, images: ImageSet, maps_dir: Path, image_id: str) -> Mask:
    """The mask of one image; maps that are none of it are refused."""
    index, path = images.ids.index(image_id), maps_dir / f"{image_id}.npz"
    maps = read_maps(path)
    read_map(maps, len(images.class_names), f"the map file {path}")
    sizes = maps.high_res.shape[1:], image_size(images, index)
    if sizes[0] != sizes[1]:
        made, wanted = (f"{height} x {width}" for height, width in sizes)
        raise ValueError(
            f"the maps {path} are {made} pixels, the image is {wanted}: they are of another "
            "image or another size; make them again"
        )
    return mask_of(images, index, maps)


def image_size(images: ImageSet, index: int) -> tuple[int, int]:
    """Height and width of an image, from the header of its file where there is one.

    Raises:
        OSError: the image cannot be read.
    """
    if hasattr(images, "image_path"):
        try:
            with Image.open(images.image_path(index)) as image:
                return image.height, image.width
        except OSError:
            pass  # reading all of it says what is wrong, and names the file
    image = images.image(index)
    return image.height, image.width


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
    record = {"stage": "seeds", "threshold": threshold}
    seed = partial(_seed, threshold=threshold)
    return masks_from_maps(seed, images, maps_dir, output_dir, record, workers)


def _seed(images: ImageSet, index: int, maps: Maps, threshold: float) -> Mask:
    return seed_mask(maps, threshold)
