"""Floating-point operations that each stage of the method takes, counted without running it.

Only convolutions and matrix products count, a multiplication and an addition as two. The rest
(batch norm, ReLU, pooling) is small in number, though not always in time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ribnb.masks.irn_settings import IRNSettings
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.deeplab import DeepLabV2
from ribnb.segmentation.settings import SegmentationSettings

TRAINING_BATCH, TRAINING_CROP = 16, 512  # of the recipe for VOC


def count(run: Callable[[], object]) -> int:
    """FLOPs of a call: of its convolutions and matrix products, backward passes included."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def classifier_flops(model: CAMNet, batch_size: int, crop_size: int) -> int:
    """FLOPs of one step of the classifier's training, forward and backward, no stage frozen."""
    model = _on_meta(model).requires_grad_(True)
    images = torch.empty(batch_size, 3, crop_size, crop_size, device="meta")
    return count(lambda: model.logits(images).sum().backward())


def cam_flops(model: CAMNet, size: tuple[int, int], settings: RIBSettings) -> int:
    """FLOPs of an image's multi-scale CAM.

    Args:
        model: the net.
        size: (H, W) of the image in pixels.
        settings: ``scales`` and ``flip`` count.
    """
    model = _on_meta(model)
    with torch.no_grad():
        return sum(count(lambda v=v: model.class_maps(v)) for v in _views(size, settings))


def rib_flops(
    model: CAMNet, size: tuple[int, int], settings: RIBSettings, plain: bool = False
) -> dict[str, int]:
    """FLOPs of the adaptation to an image that does not stop early, by part.

    Args:
        model: the net.
        size: (H, W) of the image in pixels.
        settings: how; the other images are crops, so ``crop_size`` must not be 0.
        plain: nothing is spared: each step takes every view through all stages, and has its
            batch and its update, as in the authors' code. Else as ``adapt`` does it.

    Returns:
        Of the parts ``frozen_target``, ``moving_target``, ``frozen_batch``, ``moving_batch``
        and ``backward``; their sum is the image's.

    Raises:
        ValueError: ``crop_size=0``, with which the size of the other images is not known.
    """
    if not settings.crop_size:
        raise ValueError("crop_size = 0: the size of the other images is unknown; set crop_size")
    looks = max(settings.iterations + settings.last_map, 1)
    updates = settings.iterations if plain else settings.num_updates
    model = _on_meta(model)
    crop = settings.crop_size
    others = torch.empty(settings.num_others, 3, crop, crop, device="meta")
    with model.stages_moving(settings.moving_stages):
        views = [_passes(model, view) for view in _views(size, settings)]
        batch = _passes(model, others)
    in_loss = [v for s, v in zip(settings.scales, views, strict=True) if s in settings.loss_scales]
    return {
        "frozen_target": (looks if plain else 1) * sum(frozen for frozen, _, _ in views),
        "moving_target": looks * sum(moving for _, moving, _ in views),
        "frozen_batch": updates * batch[0],
        "moving_batch": updates * batch[1],
        "backward": updates * (batch[2] + sum(backward for _, _, backward in in_loss)),
    }


def stage_flops(
    arch: str = "resnet50", num_classes: int = 20, size: tuple[int, int] = (375, 500)
) -> dict[str, int]:
    """FLOPs of each stage with the settings for VOC, for one image or one step.

    Args:
        arch: of ``CAMNet``.
        num_classes: C.
        size: (H, W) of the image in pixels.

    Returns:
        ``classifier_step``: a training step, 16 crops of 512; ``cam_image``: the CAM at all
        scales and flips; ``rib_image_paper`` and ``rib_image_released``: the adaptation with
        K = 10; ``released_loop_image``: the same where nothing is spared.
    """
    with torch.device("meta"):
        model = CAMNet(arch, num_classes)
    paper, released = RIBSettings.paper(), RIBSettings.released()
    return {
        "classifier_step": classifier_flops(model, TRAINING_BATCH, TRAINING_CROP),
        "cam_image": cam_flops(model, size, released),
        "rib_image_paper": sum(rib_flops(model, size, paper).values()),
        "rib_image_released": sum(rib_flops(model, size, released).values()),
        "released_loop_image": sum(rib_flops(model, size, released, plain=True).values()),
    }


def mask_flops(
    trunk: str = "resnet50", arch: str = "resnet101", size: tuple[int, int] = (375, 500)
) -> dict[str, int]:
    """FLOPs of the stages after the maps with the settings for VOC, for one image or one step.

    Args:
        trunk: of ``CAMNet``, that IRN's branches sit on.
        arch: of ``DeepLabV2``.
        size: (H, W) of the image in pixels.

    Returns:
        ``irn_step``: the trunk's part of a training step of IRN, which is by far most of it;
        ``deeplab_step``: a training step; ``deeplab_image``: an image at all test scales.
    """
    irn, recipe = IRNSettings.rib(), SegmentationSettings.voc()
    with torch.device("meta"):
        model, net = CAMNet(trunk, 20), DeepLabV2(arch, 20)
        crops = torch.empty(irn.batch_size, 3, irn.crop_size, irn.crop_size)
        batch = torch.empty(recipe.batch_size, 3, recipe.crop_size, recipe.crop_size)
        sizes = [[round(side * scale) for side in size] for scale in recipe.test_scales]
        views = [torch.empty(2 if recipe.test_flip else 1, 3, *one) for one in sizes]
    step = count(lambda: net(batch).sum().backward())
    with torch.no_grad():
        return {
            "irn_step": count(lambda: model.features(crops)),
            "deeplab_step": step,
            "deeplab_image": sum(count(lambda v=view: net(v)) for view in views),
        }


def _on_meta(model: CAMNet) -> CAMNet:
    """A copy without values: what runs on it has shapes alone."""
    return copy.deepcopy(model).to("meta").eval()


def _views(size: tuple[int, int], settings: RIBSettings) -> list[Tensor]:
    rows = 2 if settings.flip else 1
    sizes = [[round(side * scale) for side in size] for scale in settings.scales]
    return [torch.empty(rows, 3, height, width, device="meta") for height, width in sizes]


def _passes(model: CAMNet, images: Tensor) -> tuple[int, int, int]:
    """FLOPs of the frozen stages, of the moving ones forward, and of these backward."""
    model.requires_grad_(False)
    for weight in [*model.moving_parameters(), *model.class_layer.parameters()]:
        weight.requires_grad_(True)
    frozen = model.frozen_features(images)
    maps = model.class_layer(model.moving_features(frozen))
    return (
        count(lambda: model.frozen_features(images)),
        count(lambda: model.class_layer(model.moving_features(frozen))),
        count(lambda: maps.sum().backward()),
    )
