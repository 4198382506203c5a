"""A stage: the mask of one image from its maps, over all images of a split, resumable.

Each stage leaves a folder of ``<id>.png`` with VOC's palette and ``masks.json``, the record of all
that decides the masks. Masks of scenes that come with the package leave such folders too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.files import read_maps
from ribnb.core.runner import MASKS, RecordedFolder, Report, over_images
from ribnb.core.voc import ImageSet, images_digest
from ribnb.method.localization import maps_digest
from ribnb.nets.weights import CHECKPOINTS
from ribnb.scores.confusion import read_map

Mask = UInt8[ndarray, "H W"]
NUM_MASKS = 400  # scenes of train with packaged masks, for each seed


def masks_from_maps(
    mask_of: Callable[..., Mask],
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    record: Mapping[str, Any],
    workers: int = 1,
    threads: int = 1,
    look: Callable[[str], Any] | None = None,
) -> Report:
    """The masks of a split from its map files: ``output_dir/<id>.png``.

    Images that have masks are left alone, so that a call that was stopped goes on where it was
    when it is repeated. An image that fails (one that cannot be read, maps that are missing,
    damaged or of another image) is named in the report, and the rest goes on.

    Args:
        mask_of: (maps, image=image) -> the mask of an image; can be pickled, if there are several
            workers.
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``, ``RUN/maps`` of ``localization_maps``.
        output_dir: for the masks; a folder of masks that were made otherwise is refused.
        record: ``stage``, its name, and all that decides its masks besides maps and images.
        workers: processes.
        threads: images at a time in this process, if it works alone.
        look: id -> what ``mask_of`` gets in place of the image.

    Raises:
        FileNotFoundError: no folder of maps.
        ValueError: maps of other images; masks there that were made otherwise.
        OSError: a mask cannot be written.
    """
    record = {**record, "maps": maps_digest(maps_dir, images), "images": images_digest(images)}
    folder = RecordedFolder(output_dir, MASKS, record)
    make = partial(_from_file, mask_of, images, Path(maps_dir), look)
    label = record["stage"]
    return over_images(make, images.ids, folder, label=label, workers=workers, threads=threads)


def _from_file(
    mask_of: Callable[..., Mask],
    images: ImageSet,
    maps_dir: Path,
    look: Callable[[str], Any] | None,
    image_id: str,
) -> Mask:
    """The mask of one image; maps that are none of it are refused."""
    path, image = maps_dir / f"{image_id}.npz", images.image(images.ids.index(image_id))
    maps = read_maps(path)
    read_map(maps, len(images.class_names), f"the map file {path}")
    made, wanted = maps.high_res.shape[1:], image.size[::-1]
    if made != wanted:
        raise ValueError(f"the maps {path} are {made} pixels, the image is {wanted} (H, W)")
    return mask_of(maps, image=look(image_id) if look else image)


# Masks that come with the package ---------------------------------------------------------
# data_scripts/train_scene_masks.py makes them, and the networks that learned from them, with the
# chapters themselves.


def network_path(seed: int, kind: str) -> Path:
    """Where the network of a seed lies that was trained on one kind of masks."""
    return CHECKPOINTS / f"scenes_{seed}_deeplab_{kind}.safetensors"


def packaged_masks(seed: int) -> tuple[list[str], dict[str, UInt8[ndarray, "N H W"]]]:
    """Ids of a seed's scenes, and their masks by kind; FileNotFoundError if none come along."""
    with np.load(CHECKPOINTS / f"scenes_{seed}_masks.npz", allow_pickle=False) as file:
        return file["ids"].tolist(), {kind: file[kind] for kind in file["kinds"].tolist()}


def unpack_masks(seed: int, kind: str, images: ImageSet, folder: str | Path) -> Path:
    """Write packaged masks as a stage leaves them, one PNG an image.

    FileNotFoundError for a seed without masks, ValueError if one of the images has none.
    """
    ids, kinds = packaged_masks(seed)
    lacking = [name for name in images.ids if kind not in kinds or name not in ids]
    if lacking:
        raise ValueError(
            f"{len(lacking)} of the {len(images)} images have no mask {kind!r} in the package, "
            f"such as {lacking[0]}: it holds {', '.join(kinds)} of the first {len(ids)} scenes of "
            "train. Take at most so many, or masks=FOLDER of a run of voc_masks"
        )
    digest = hashlib.sha256(kinds[kind].tobytes()).hexdigest()[:12]
    record = {"stage": f"the package's {kind}", "seed": seed, "masks": digest}
    masks = dict(zip(ids, kinds[kind], strict=True))
    return over_images(masks.__getitem__, images.ids, RecordedFolder(folder, MASKS, record)).folder
