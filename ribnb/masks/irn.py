"""IRN: from maps to masks that end at objects' boundaries, learned from the maps alone.

``irn_labels`` keeps what the maps are sure of, ``train_irn`` learns from it where classes change,
and ``irn_masks`` lets the maps spread by a random walk that stops there. Written from the paper:
Ahn, Cho, Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations",
CVPR 2019. Of its two results these are the semantic masks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from ribnb.core.devices import as_device, evaluation, float32_mode
from ribnb.core.files import Maps, weights_digest
from ribnb.core.runner import Report
from ribnb.core.voc import ImageSet
from ribnb.masks.crf import CRFSettings, refined_seed
from ribnb.masks.irn_net import IRN, boundary_map
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.stages import Mask, masks_from_maps
from ribnb.masks.walk import random_walk
from ribnb.scores.confusion import IGNORED, seed_mask

# Confident labels -------------------------------------------------------------------------


def irn_labels(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    settings: IRNSettings,
    crf: CRFSettings | None = None,
    workers: int = 1,
) -> Report:
    """Write the confident labels of each image to ``output_dir/<id>.png``; see ``confident``.

    A stage like any other, see ``masks_from_maps``.

    Args:
        images: the split that the maps are of.
        maps_dir: ``RUN/maps`` of ``localization_maps``.
        output_dir: for the labels.
        settings: the two thresholds.
        crf: settings of the dense CRF that refines both seeds; None leaves it out.
        workers: processes.

    Raises:
        ValueError, FileNotFoundError, OSError: see ``masks_from_maps``.

    Ahn et al. 2019, section 4.2.
    """
    record = {
        "stage": "confident labels",
        "settings": settings.for_labels(),
        "crf": "no CRF" if crf is None else crf.as_dict(),
    }
    label = partial(_labels, settings=settings, crf=crf)
    return masks_from_maps(label, images, maps_dir, output_dir, record, workers)


def _labels(
    images: ImageSet, index: int, maps: Maps, settings: IRNSettings, crf: CRFSettings | None
) -> Mask:
    # read without a CRF too: an image that cannot be read is no image to train on
    return confident(maps, settings, np.asarray(images.image(index)), crf)


def confident(
    maps: Maps,
    settings: IRNSettings,
    image: UInt8[ndarray, "H W 3"] | None = None,
    crf: CRFSettings | None = None,
) -> Mask:
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
    cuts = (settings.foreground_threshold, settings.background_threshold)
    sure, low = (
        seed_mask(maps, cut) if crf is None else refined_seed(image, maps, cut, crf) for cut in cuts
    )
    open_or_background = np.where(low == 0, 0, IGNORED)
    return np.where(sure > 0, sure, open_or_background).astype(np.uint8)


# Masks ------------------------------------------------------------------------------------


def irn_masks(
    net: IRN,
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    settings: IRNSettings,
    device: str | torch.device = "cpu",
    workers: int = 1,
) -> Report:
    """Write each image's mask after the random walk to ``output_dir/<id>.png``.

    A stage like any other, see ``masks_from_maps``. An image without classes, or whose maps are
    all 0, is background.

    Args:
        net: a trained IRN; it is moved to ``device``.
        images: the split that the maps are of.
        maps_dir: ``RUN/maps`` of ``localization_maps``.
        output_dir: for the masks.
        settings: of the walk.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device. On CUDA the walk runs there
            too, else on the CPU.
        workers: images that are worked on at a time, in threads of this process.

    Raises:
        ValueError, FileNotFoundError, OSError: see ``masks_from_maps``.

    Ahn et al. 2019, section 5.2.
    """
    record = {
        "stage": "IRN",
        "settings": settings.for_walk(),
        "net": {"branches": weights_digest(net.branches), "trunk": net.trunk_digest},
    }
    net.to(as_device(device))

    def walk(images: ImageSet, index: int, maps: Maps) -> Mask:
        boundary = boundary_map(net, images.image(index), settings.precision)
        return walked_mask(maps, boundary, settings)

    with evaluation(net), float32_mode(settings.precision):
        return masks_from_maps(walk, images, maps_dir, output_dir, record, threads=workers)


def walked_mask(maps: Maps, boundary: Float[Tensor, "h w"], settings: IRNSettings) -> Mask:
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
    values = torch.from_numpy(_at_positions(maps, tuple(boundary.shape)) ** settings.power)
    how = (settings.walk_radius, settings.beta, settings.walk_steps)
    if boundary.device.type == "cuda":
        walked = random_walk(values.to(boundary.device), boundary, *how)
    else:
        walked = torch.from_numpy(random_walk(values.numpy(), boundary.cpu().numpy(), *how))
    height, width = maps.high_res.shape[1:]
    strides = -(-height // boundary.shape[0]), -(-width // boundary.shape[1])
    scores = F.interpolate(walked[None], scale_factor=strides, mode="bilinear")
    scores = scores[0, :, :height, :width]
    largest = scores.amax()
    return (scores / largest if largest > 0 else scores).cpu().numpy()


def _at_positions(maps: Maps, size: tuple[int, int]) -> Float[ndarray, "n h w"]:
    """The maps at the boundary map's resolution: as they were stored, if that fits."""
    if maps.strided.shape[1:] == size:
        return maps.strided.astype(np.float32)
    high_res = torch.from_numpy(maps.high_res.astype(np.float32))[None]
    return F.interpolate(high_res, size, mode="bilinear", antialias=True)[0].clamp(0).numpy()
