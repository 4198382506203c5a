"""Masks from localisation maps with saliency maps as extra supervision.

Methods that add saliency to image-level labels (the paper's discussion; Lee et al., "Railroad is
not a train: saliency as pseudo-pixel supervision", CVPR 2021, for one) let each side say what it
knows: the saliency map where things end, the localisation map what they are. So here a pixel that
is not salient is background, and a salient one has the strongest of the image's classes. Outlines
get as sharp as the saliency map's, and objects that it misses are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from scipy.ndimage import distance_transform_edt

from ribnb.core.files import Maps
from ribnb.core.runner import Report
from ribnb.core.voc import ImageSet, read_image
from ribnb.masks.stages import Mask, masks_from_maps

SALIENT = 0.5  # a pixel is salient above it
FOLDER = "Saliency"  # of an image set's own maps, beside JPEGImages
_LARGEST = {"1": 1, "L": 255, "I": 65_535, "I;16": 65_535, "I;16B": 65_535}  # by Pillow's mode


class Saliency(NamedTuple):
    """Where saliency maps come from."""

    name: str  # in a record
    of: Callable[[str], Float32[ndarray, "H W"]]  # image id -> map in [0, 1]; can be pickled


def saliency_masks(
    images: ImageSet,
    maps_dir: str | Path,
    saliency: Saliency,
    output_dir: str | Path,
    workers: int = 1,
) -> Report:
    """Each image's mask from its localisation maps and a saliency map; see ``masks_from_maps``.

    An image whose saliency map is missing, damaged or of another size fails too.
    """
    record = {"stage": "saliency", "saliency": saliency.name}
    record["settings"] = {"salient_level": SALIENT}
    given = images, maps_dir, output_dir, record, workers
    return masks_from_maps(saliency_mask, *given, look=saliency.of)


def saliency_mask(maps: Maps, image: Float32[ndarray, "H W"]) -> Mask:
    """The mask of one image, by the rule at the top of this module.

    Where all maps are 0, the strongest class is that of the nearest pixel where one is not. If
    there is none, no class can be told, and the image is background; so it is without any class.

    ``image`` is the saliency map; ValueError for one of another size than the maps, or that does
    not lie in [0, 1].
    """
    size = maps.high_res.shape[1:]
    if image.shape != size:
        raise ValueError(f"the saliency map is {image.shape}, the image {size} (H, W)")
    if not ((image >= 0) & (image <= 1)).all():  # greys up to 255, or NaN
        raise ValueError("a saliency map must lie in [0, 1]")
    claimed = (maps.high_res > 0).any(axis=0)
    if not claimed.any():
        return np.zeros(size, np.uint8)
    strongest = (maps.class_ids + 1).astype(np.uint8)[maps.high_res.argmax(axis=0)]
    nearest = distance_transform_edt(~claimed, return_distances=False, return_indices=True)
    return np.where(image > SALIENT, strongest[tuple(nearest)], np.uint8(0))


def saliency_of(images: ImageSet, folder: str | Path = "") -> Saliency | None:
    """Where the saliency maps of an image set come from; None if it has none.

    Args:
        images: an image set, or a part of one.
        folder: of grey PNGs ``<id>.png``, as any detector may have written them; if empty, the
            image set's own are taken: those that scenes draw, or the folder ``Saliency`` beside
            JPEGImages.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if str(folder):
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder of saliency maps {folder}")
        return Saliency(str(Path(folder).resolve()), partial(read_saliency, Path(folder)))
    own = "the image set's own"  # wherever the data set lies
    if hasattr(images, "saliency"):
        return Saliency(own, partial(_drawn, images))
    if hasattr(images, "root") and (Path(images.root) / FOLDER).is_dir():
        return Saliency(own, partial(read_saliency, Path(images.root) / FOLDER))
    # of a Part, whose ids are the whole's
    return saliency_of(images.images) if hasattr(images, "images") else None


def _drawn(images: ImageSet, image_id: str) -> Float32[ndarray, "H W"]:
    return images.saliency(images.ids.index(image_id))


def read_saliency(folder: Path, image_id: str) -> Float32[ndarray, "H W"]:
    """``folder/<id>.png``, greys of 8 or 16 bits, in [0, 1]; errors as of ``read_mask``."""
    path = folder / f"{image_id}.png"
    mode, values, *_ = read_image(path, "saliency map")
    if mode not in _LARGEST:
        raise ValueError(
            f"{path} is no saliency map: it is of mode {mode}, not of 8 or 16-bit grey"
        )
    return values.astype(np.float32) / np.float32(_LARGEST[mode])
