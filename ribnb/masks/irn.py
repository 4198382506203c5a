"""IRN: from maps to masks that end at objects' boundaries, learned from the maps alone.

``irn_labels`` keeps what the maps are sure of, ``train_irn`` learns from it where classes change,
and ``irn_masks`` lets the maps spread by a random walk that stops there. Written from the paper:
Ahn, Cho, Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations",
CVPR 2019. Of its two results these are the semantic masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from ribnb.core.devices import as_device, evaluation, float32_mode
from ribnb.core.files import Maps, images_digest, weights_digest
from ribnb.core.image_set import ImageSet
from ribnb.masks.irn_labels import confident, irn_labels
from ribnb.masks.irn_net import IRN, boundary_map, irn_metadata, load_irn, save_irn
from ribnb.masks.irn_pairs import affinities, pair_kinds, pair_offsets, path
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.irn_training import (
    IRNTraining,
    affinity_loss,
    displacement_losses,
    irn_losses,
    train_irn,
)
from ribnb.masks.mask_maps import maps_for_masks
from ribnb.masks.stages import MaskFolder, MasksReport, make_masks
from ribnb.masks.walk import random_walk, random_walks, transition_matrix, walk_step
from ribnb.method.localization import maps_digest

__all__ = [
    "IRN",
    "IRNSettings",
    "IRNTraining",
    "affinities",
    "affinity_loss",
    "boundary_map",
    "confident",
    "displacement_losses",
    "irn_labels",
    "irn_losses",
    "irn_masks",
    "irn_metadata",
    "load_irn",
    "pair_kinds",
    "pair_offsets",
    "path",
    "random_walk",
    "random_walks",
    "save_irn",
    "train_irn",
    "transition_matrix",
    "walk_step",
    "walked_mask",
    "walked_scores",
]

STAGE = "IRN"


def irn_masks(
    net: IRN,
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    settings: IRNSettings,
    device: str | torch.device = "cpu",
    workers: int = 1,
) -> MasksReport:
    """Write each image's mask after the random walk to ``output_dir/<id>.png``.

    Images that have masks are left alone, so that a call that was stopped goes on. An image that
    fails is named, and the rest goes on; one without classes, or whose maps are all 0, is
    background.

    Args:
        net: a trained IRN; it is moved to ``device``.
        images: the split that the maps are of.
        maps_dir: ``RUN/maps`` of ``localization_maps``.
        output_dir: for the masks; a folder of masks made otherwise is refused.
        settings: of the walk.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device. On CUDA the walk runs there
            too, else on the CPU.
        workers: images that are worked on at a time, in threads of this process.

    Raises:
        ValueError: maps of other images, masks that were made otherwise, less than one worker.
        FileNotFoundError: no maps.

    Ahn et al. 2019, section 5.2.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    record = {
        "stage": STAGE,
        "settings": settings.for_walk(),
        "net": {"branches": weights_digest(net.branches), "trunk": net.trunk_digest},
        "maps": maps_digest(maps_dir, images),
        "images": images_digest(images),
    }
    folder = MaskFolder(output_dir, record)
    net.to(as_device(device))
    places = {name: place for place, name in enumerate(images.ids)}

    def make(name: str) -> UInt8[ndarray, "H W"]:
        image = images.image(places[name])
        path, size = Path(maps_dir) / f"{name}.npz", (image.height, image.width)
        maps = maps_for_masks(path, len(images.class_names), size)
        boundary = boundary_map(net, image, settings.precision)
        return walked_mask(maps, boundary, settings)

    missing = [name for name in images.ids if not folder.has(name)]
    with (
        evaluation(net),
        float32_mode(settings.precision),
        ThreadPoolExecutor(workers) as pool,
    ):
        ahead = _Ahead(make, missing, pool, workers) if workers > 1 else make
        return make_masks(ahead, images.ids, folder, "IRN's masks")


def walked_scores(
    maps: Maps, boundary: Float[Tensor, "h w"], settings: IRNSettings
) -> Float[ndarray, "n H W"]:
    """Scores of an image's classes after the walk, in [0, 1]: divided by the largest of all.

    The maps go to the boundary map's positions and to the power of the settings, walk, and come
    back to the image's size. A position is as wide as the net's stride, so that the last one may
    reach beyond the image, as in IRN's code.

    Args:
        maps: of the image, with n classes.
        boundary: B, in [0, 1], on the device to walk on if that is a CUDA GPU.
        settings: of the walk.
    """
    values = torch.from_numpy(_at_positions(maps, boundary.shape) ** settings.power)
    how = {"radius": settings.walk_radius, "beta": settings.beta, "steps": settings.walk_steps}
    if boundary.device.type == "cuda":
        walked = random_walks(values[None].to(boundary.device), boundary[None], **how)
    else:
        alone = random_walk(values.numpy(), boundary.cpu().numpy(), **how)
        walked = torch.from_numpy(alone)[None]
    height, width = maps.high_res.shape[1:]
    strides = -(-height // boundary.shape[0]), -(-width // boundary.shape[1])
    scores = F.interpolate(walked, scale_factor=strides, mode="bilinear", align_corners=False)
    scores = scores[0, :, :height, :width]
    largest = scores.amax()
    return (scores / largest if largest > 0 else scores).cpu().numpy()


def walked_mask(
    maps: Maps, boundary: Float[Tensor, "h w"], settings: IRNSettings
) -> UInt8[ndarray, "H W"]:
    """The mask of one image: the class with the largest score, where it beats background's.

    Args:
        maps: of the image; without classes, or all 0, everything is background.
        boundary: B, in [0, 1].
        settings: of the walk.
    """
    if not len(maps.class_ids) or not maps.high_res.any():
        return np.zeros(maps.high_res.shape[1:], np.uint8)
    scores = walked_scores(maps, boundary, settings)
    names = (maps.class_ids + 1).astype(np.uint8)
    strongest = names[scores.argmax(axis=0)]
    return np.where(scores.max(axis=0) > settings.walk_background, strongest, np.uint8(0))


def _at_positions(maps: Maps, size: Sequence[int]) -> Float[ndarray, "n h w"]:
    """The maps at the boundary map's resolution: as they were stored, if that fits."""
    if maps.strided.shape[1:] == tuple(size):
        return maps.strided.astype(np.float32)
    high_res = torch.from_numpy(maps.high_res.astype(np.float32))[None]
    return F.interpolate(high_res, tuple(size), mode="bilinear", antialias=True)[0].clamp(0).numpy()


class _Ahead:
    """Calls a function for the next names too, in threads: most of its work holds no lock."""

    def __init__(
        self,
        make: Callable[[str], ndarray],
        names: Sequence[str],
        pool: ThreadPoolExecutor,
        count: int,
    ) -> None:
        self.pool, self.count = pool, count
        self.waiting = iter([(name, partial(make, name)) for name in names])
        self.running: dict[str, Future] = {}

    def __call__(self, name: str) -> ndarray:
        while len(self.running) < self.count and (following := next(self.waiting, None)):
            self.running[following[0]] = self.pool.submit(following[1])
        return self.running.pop(name).result()
