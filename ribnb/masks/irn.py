"""IRN: from maps to masks that end at objects' boundaries, learned from the maps alone.

``irn_labels`` keeps what the maps are sure of, ``train_irn`` learns from it where classes change,
and ``irn_masks`` lets the maps spread by a random walk that stops there. Written from the paper:
Ahn, Cho, Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations",
CVPR 2019. Of its two results these are the semantic masks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image
from pydantic import model_validator
from torch import Tensor

from ribnb.core.devices import Precision, evaluation, float32_mode, resolve_device
from ribnb.core.files import Maps, weights_digest
from ribnb.core.runner import Report
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.voc import ImageSet
from ribnb.masks.crf import CRFSettings, seed_of
from ribnb.masks.irn_net import IRN, boundary_map
from ribnb.masks.stages import Mask, masks_from_maps
from ribnb.masks.walk import random_walk
from ribnb.scores.confusion import IGNORED

# Settings ---------------------------------------------------------------------------------

# What the two kinds of maps differ in; the rest is the same.
_DIFFERENT = ("foreground_threshold", "background_threshold", "walk_background", "power")
PRESETS = {
    "rib": dict(zip(_DIFFERENT, (0.35, 0.17, 0.27, 1.3), strict=True)),
    "baseline": dict(zip(_DIFFERENT, (0.30, 0.05, 0.25, 1.0), strict=True)),
}
# For each kind of maps the best of one grid (5 pairs of label thresholds, 2 powers, 12 background
# scores) by mask mIoU, in the mean over training scenes of the seeds 10 and 11.
_SCENE_PRESETS = {
    "rib": dict(zip(_DIFFERENT, (0.20, 0.12, 0.13, 1.0), strict=True)),
    "baseline": dict(zip(_DIFFERENT, (0.10, 0.02, 0.13, 1.0), strict=True)),
}
# Chosen for each kind of maps by itself with the net of seed 10 on 16 images of the list
# book/settings/voc_animals/choose.txt: labels so that of both as many are as often right, after
# a CRF; power (of 1, 2, 3; CAMs: 1, 1.5) and background by mask mIoU, IRN after 24 small steps.
_PHOTO_PRESETS = {
    "rib": dict(zip(_DIFFERENT, (0.65, 0.36, 0.36, 2.0), strict=True)),
    "baseline": dict(zip(_DIFFERENT, (0.40, 0.12, 0.38, 1.0), strict=True)),
}
# The stage that a field belongs to; all others are the training's.
_LABELS = ("foreground_threshold", "background_threshold")
_WALK = ("walk_background", "power", "walk_radius", "beta", "walk_exponent")


class IRNSettings(Settings):
    """How maps become masks through IRN: confident labels, the training, the random walk.

    The defaults are those of IRN's code for maps of a plain CAM, ``baseline()``; ``rib()`` are
    those that RIB's authors take for their maps. Thresholds are in units of a map's maximum,
    radii in positions of the boundary map (4 pixels each in a ResNet, 2 in the net for scenes and
    in EfficientNets).
    """

    foreground_threshold: float = setting(
        0.30, "background's score where a map shows a class for sure", gt=0, le=1
    )
    background_threshold: float = setting(
        0.05, "background's score where all that is below it is background for sure", gt=0
    )
    walk_background: float = setting(0.25, "background's score after the walk", gt=0, le=1)
    power: float = setting(1.0, "of the maps before the walk", gt=0)
    walk_radius: float = setting(5.0, "positions nearer than this exchange values", gt=1, le=64)
    beta: float = setting(10.0, "power of the affinities in the walk", ge=0)
    walk_exponent: int = setting(8, "the walk has 2 ** this steps", ge=0, le=16)
    radius: float = setting(10.0, "gamma: pairs nearer than this are trained on", gt=1, le=64)
    crop_size: int = setting(512, "side of a random crop, pixels; 0: whole images", ge=0)
    batch_size: int = setting(32, "images a step", ge=1)
    epochs: int = setting(3, "passes over the images", ge=1)
    learning_rate: float = setting(0.1, "at the start", gt=0)
    momentum: float = setting(1e-4, "of SGD; 1e-4 is what reaches it in IRN's code", ge=0, le=1)
    weight_decay: float = setting(1e-4, "of all weights", ge=0)
    poly_power: float = setting(0.9, "of the polynomial decay of the rate", ge=0)
    scale_min: float = setting(0.5, "smallest random scale of an image", gt=0)
    scale_max: float = setting(1.5, "largest random scale of an image", gt=0)
    flip: bool = setting(True, "mirror one image in two")
    precision: Precision = setting("float32", "tf32 rounds on CUDA, bfloat16 is mixed precision")
    seed: int = setting(0, "of the first weights, the images' order and views", ge=0)

    @model_validator(mode="after")
    def _check(self):
        for low, high in (_LABELS[::-1], ("scale_min", "scale_max")):
            if getattr(self, low) > getattr(self, high):
                raise SettingsError(
                    f"{low} = {getattr(self, low)} must not be above {high} = {getattr(self, high)}"
                )
        return self

    @classmethod
    def rib(cls, **changes: Any) -> IRNSettings:
        """For RIB's maps, as its authors' code has them; ``changes`` are set on top."""
        return cls(**{**PRESETS["rib"], **changes})

    @classmethod
    def baseline(cls, **changes: Any) -> IRNSettings:
        """For a CAM, as IRN's code has them; ``changes`` are set on top."""
        return cls(**{**PRESETS["baseline"], **changes})

    @classmethod
    def scenes(cls, of: str = "rib", **changes: Any) -> IRNSettings:
        """For scenes of 96 x 96 pixels, maps ``"rib"`` or ``"baseline"``, and the net ``"scenes"``.

        Thresholds were chosen on training scenes of the seeds 10 and 11, for each kind of maps by
        itself, with confident labels that a dense CRF had refined (``CRFSettings.scenes()``).
        Without a CRF the labels of such coarse maps are wrong beside every object, and so is what
        is learned from them: expect no more than the seeds give.
        """
        recipe = {
            "radius": 5,
            "crop_size": 96,
            "batch_size": 16,
            "epochs": 8,
            "momentum": 0.9,
        }
        return cls(**{**recipe, **_SCENE_PRESETS[of], **changes})

    @classmethod
    def photographs(cls, of: str = "rib", **changes: Any) -> IRNSettings:
        """For ``timm/tf_efficientnet_lite0`` on photographs of 320 pixels; maps as for ``scenes``.

        A pass over a thousand images is a tenth of one over VOC, which the momentum makes up for.
        """
        recipe = {"crop_size": 256, "batch_size": 16, "momentum": 0.9}
        return cls(**{**recipe, **_PHOTO_PRESETS[of], **changes})

    @property
    def walk_steps(self) -> int:
        """Steps of the random walk."""
        return 2**self.walk_exponent

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at a step, from 0, of ``steps``."""
        return self.learning_rate * (1 - step / steps) ** self.poly_power

    def for_labels(self) -> dict[str, Any]:
        """What decides the confident labels, for their record."""
        return {name: getattr(self, name) for name in _LABELS}

    def for_walk(self) -> dict[str, Any]:
        """What decides the masks of a trained net, for their record."""
        return {name: getattr(self, name) for name in (*_WALK, "precision")}

    def for_training(self) -> dict[str, Any]:
        """What decides the training on given labels, for its record."""
        own = self.identity().items()
        return {name: value for name, value in own if name not in (*_LABELS, *_WALK)}


# Confident labels -------------------------------------------------------------------------


def irn_labels(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    settings: IRNSettings,
    crf: CRFSettings | None = None,
    workers: int = 1,
) -> Report:
    """The confident labels of each image, see ``confident``; a stage, see ``masks_from_maps``.

    Ahn et al. 2019, section 4.2.
    """
    record = {
        "stage": "confident labels",
        "settings": settings.for_labels(),
        "crf": "no CRF" if crf is None else crf.as_dict(),
    }
    label = partial(confident, settings=settings, crf=crf)
    return masks_from_maps(label, images, maps_dir, output_dir, record, workers)


def confident(
    maps: Maps,
    settings: IRNSettings,
    image: Image.Image | UInt8[ndarray, "H W 3"] | None = None,
    crf: CRFSettings | None = None,
) -> Mask:
    """Confident labels of one image: 0 background, class_id + 1, 255 where neither is sure.

    A pixel is of a class where the seed at the foreground threshold says so. It is background
    where that seed says background, and the one at the low background threshold does too. With
    settings of a CRF, which needs the image, both seeds are refined first. Where maps are 0
    everywhere, although the image has classes, nothing is known, and all is 255; an image without
    classes is background.
    """
    if len(maps.class_ids) and not maps.high_res.any():
        return np.full(maps.high_res.shape[1:], IGNORED, np.uint8)
    cuts = (settings.foreground_threshold, settings.background_threshold)
    sure, low = (seed_of(maps, image, cut, crf) for cut in cuts)
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
    """Each image's mask after the random walk; a stage, see ``masks_from_maps``.

    Args:
        net: a trained IRN; it is moved to ``device``.
        images, maps_dir, output_dir: see ``masks_from_maps``, as for errors.
        settings: of the walk.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device. On CUDA the walk runs there
            too, else on the CPU.
        workers: images that are worked on at a time, in threads of this process.

    Ahn et al. 2019, section 5.2.
    """
    record = {
        "stage": "IRN",
        "settings": settings.for_walk(),
        "net": {"branch": weights_digest(net.branch), "trunk": weights_digest(net.trunk)},
    }
    net.to(resolve_device(device))

    def walk(maps: Maps, image: Image.Image) -> Mask:
        return walked_mask(maps, boundary_map(net, image, settings.precision), settings)

    with evaluation(net), float32_mode(settings.precision):
        return masks_from_maps(walk, images, maps_dir, output_dir, record, threads=workers)


def walked_mask(maps: Maps, boundary: Float[Tensor, "h w"], settings: IRNSettings) -> Mask:
    """The mask of one image: the class with the largest score, where it beats background's.

    Without classes, or with maps that are all 0, everything is background.
    """
    if not maps.high_res.any():
        return np.zeros(maps.high_res.shape[1:], np.uint8)
    scores = walked_scores(maps, boundary, settings)
    names = (maps.class_ids + 1).astype(np.uint8)
    strongest = names[scores.argmax(axis=0)]
    return np.where(scores.max(axis=0) > settings.walk_background, strongest, np.uint8(0))


def walked_scores(
    maps: Maps, boundary: Float[Tensor, "h w"], settings: IRNSettings
) -> Float[ndarray, "n H W"]:
    """Scores of an image's classes after the walk, in [0, 1]: divided by the largest of all.

    The maps go to the boundary map's positions and to the power of the settings, walk (on a CUDA
    GPU if the boundary map is there), and come back to the image's size. A position is as wide as
    the net's stride, so that the last one may reach beyond the image, as in IRN's code.
    """
    size, values = tuple(boundary.shape), maps.strided
    if values.shape[1:] != size:  # they were stored at another resolution
        high_res = torch.from_numpy(maps.high_res.astype(np.float32))[None]
        values = F.interpolate(high_res, size, mode="bilinear", antialias=True)[0].clamp(0).numpy()
    values = torch.from_numpy(values.astype(np.float32) ** settings.power)
    how = (settings.walk_radius, settings.beta, settings.walk_steps)
    if boundary.device.type == "cuda":
        walked = random_walk(values.to(boundary.device), boundary, *how)
    else:
        walked = torch.from_numpy(random_walk(values.numpy(), boundary.cpu().numpy(), *how))
    height, width = maps.high_res.shape[1:]
    strides = -(-height // size[0]), -(-width // size[1])
    scores = F.interpolate(walked[None], scale_factor=strides, mode="bilinear")
    scores = scores[0, :, :height, :width]
    largest = scores.amax()
    return (scores / largest if largest > 0 else scores).cpu().numpy()
