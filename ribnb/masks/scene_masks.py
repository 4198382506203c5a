"""Masks and segmentation networks of scenes that come with the package.

``data_scripts/train_scene_masks.py`` makes them with the chapters themselves: maps of ``voc_rib``,
masks and IRN of ``voc_masks``, networks of ``voc_segmentation``, for each of the trained seeds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.files import write_whole
from ribnb.core.runner import MASKS, RecordedFolder, over_images, read_record
from ribnb.core.voc import ImageSet, read_mask
from ribnb.nets.weights import CHECKPOINTS

NUM_MASKS = 400  # scenes of train, for each seed


def masks_path(seed: int) -> Path:
    """Where the masks of a seed's scenes lie."""
    return CHECKPOINTS / f"scenes_{seed}_masks.npz"


def network_path(seed: int, kind: str) -> Path:
    """Where the network of a seed lies that was trained on one kind of masks."""
    return CHECKPOINTS / f"scenes_{seed}_deeplab_{kind}.safetensors"


def pack_masks(path: str | Path, ids: list[str], folders: dict[str, Path]) -> None:
    """Write several kinds of masks of the same images into one file.

    Args:
        path: the file.
        ids: of the images.
        folders: name of the kind -> folder of ``<id>.png``.

    Raises:
        FileNotFoundError: an image without a mask.
    """
    arrays = {
        kind: np.stack([read_mask(Path(folder) / f"{name}.png") for name in ids])
        for kind, folder in folders.items()
    }
    stages = [str(read_record(folder, MASKS)["stage"]) for folder in folders.values()]
    names = {"ids": np.array(ids), "kinds": np.array(list(folders)), "stages": np.array(stages)}
    write_whole(path, lambda file: np.savez_compressed(file, **names, **arrays))


def packaged_masks(seed: int) -> tuple[list[str], dict[str, UInt8[ndarray, "N H W"]]]:
    """Ids of a seed's scenes, and their masks by kind.

    Raises:
        FileNotFoundError: no masks of that seed come with the package.
    """
    path = masks_path(seed)
    if not path.is_file():
        raise FileNotFoundError(f"no masks of scenes of the seed {seed} come with the package")
    with np.load(path, allow_pickle=False) as file:
        return file["ids"].tolist(), {kind: file[kind] for kind in file["kinds"].tolist()}


def unpack_masks(seed: int, kind: str, images: ImageSet, folder: str | Path) -> Path:
    """Write packaged masks as a stage leaves them, one PNG an image.

    Args:
        seed: of the scenes.
        kind: of the masks.
        images: those whose masks are wanted.
        folder: for the masks.

    Raises:
        FileNotFoundError: no masks of that seed come with the package.
        ValueError: no masks of that kind, or of one of the images.
    """
    ids, kinds = packaged_masks(seed)
    if kind not in kinds:
        raise ValueError(
            f"no masks {kind!r} come with the package, only {', '.join(kinds)}; others are in the "
            "folder of a run of voc_masks, masks=FOLDER"
        )
    masks = dict(zip(ids, kinds[kind], strict=True))
    lacking = [name for name in images.ids if name not in masks]
    if lacking:
        raise ValueError(
            f"{len(lacking)} of the {len(images)} images have no mask in the package, such as "
            f"{lacking[0]}: it holds the first {len(ids)} scenes of train. Take at most so many, "
            "or masks=FOLDER of a run of voc_masks"
        )
    digest = hashlib.sha256(kinds[kind].tobytes()).hexdigest()[:12]
    record = {"stage": f"the package's {kind}", "seed": seed, "masks": digest}
    target = RecordedFolder(folder, MASKS, record)
    return over_images(masks.__getitem__, images.ids, target).folder
