"""Floating-point operations that each stage of the method takes, counted without running it.

Only convolutions and matrix products count, a multiplication and an addition as two. The rest
(batch norm, ReLU, pooling) is small in number, though not always in time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from ribnb.masks.irn import IRNSettings
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.deeplab import DeepLabV2
from ribnb.segmentation.training import SegmentationSettings


def count(run: Callable[[], object]) -> int:
    """FLOPs of a call: of its convolutions and matrix products, backward passes included."""
    backward = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        run()
    return counter.get_total_flops()


def _convolution_backward(made, maps, weight, *others, out_shape) -> int:
    """As many as forward for each gradient that is asked for; torch counts groups as one."""
    transposed, asked = others[4], others[-1]
    return conv_flop_count(maps, weight, made, transposed=transposed) * sum(asked[:2])


def classifier_flops(model: CAMNet, batch_size: int, crop_size: int) -> int:
    """FLOPs of one step of the classifier's training, forward and backward, no stage frozen."""
    model, images = _on_meta(model), _images(batch_size, crop_size, crop_size)
    return count(lambda: model.logits(images).sum().backward())


@torch.no_grad()
def cam_flops(model: CAMNet, size: tuple[int, int], settings: RIBSettings) -> int:
    """FLOPs of the multi-scale CAM of an image of (H, W) pixels; of the views of ``settings``."""
    model, views = _on_meta(model), _views(size, settings.scales, settings.flip)
    return count(lambda: [model.class_maps(view) for view in views])


def rib_flops(model: CAMNet, size: tuple[int, int], settings: RIBSettings) -> dict[str, int]:
    """FLOPs of the parts of an adaptation that does not stop early; their sum is the image's.

    The image has (H, W) pixels; the others are crops, so ``crop_size`` must not be 0. A pool's
    frozen passes, once for all images, are not in it.
    """
    looks = max(settings.iterations + settings.last_map, 1)
    updates = settings.num_updates
    model = _on_meta(model)
    others = _images(settings.num_others, settings.crop_size, settings.crop_size)
    *views, batch = (
        _passes(model, images, settings.moving_stages)
        for images in (*_views(size, settings.scales, settings.flip), others)
    )
    in_loss = [v for s, v in zip(settings.scales, views, strict=True) if s in settings.loss_scales]
    return {
        "frozen_target": sum(frozen for frozen, _, _ in views),
        "moving_target": looks * sum(moving for _, moving, _ in views),
        "frozen_batch": updates * batch[0] * (settings.others == "fresh"),
        "moving_batch": updates * batch[1],
        "backward": updates * (batch[2] + sum(backward for _, _, backward in in_loss)),
    }


def stage_flops(size: tuple[int, int] = (375, 500)) -> dict[str, int]:
    """FLOPs of each stage with the settings for VOC, for one image of (H, W) pixels or one step.

    A classifier's step sees 16 crops of 512; of IRN's step only the trunk's part counts, by far
    most of it; an image's CAM and DeepLab's answer are made at all scales and flips.
    """
    paper, released = RIBSettings.paper(), RIBSettings.released()
    irn, recipe = IRNSettings.rib(), SegmentationSettings.voc()
    with torch.device("meta"):
        model, net = CAMNet("resnet50", 20), DeepLabV2("resnet101", 20)
    crops = _images(irn.batch_size, irn.crop_size, irn.crop_size)
    batch = _images(recipe.batch_size, recipe.crop_size, recipe.crop_size)
    views = _views(size, recipe.test_scales, recipe.test_flip)
    with torch.no_grad():
        irn_step = count(lambda: model.features(crops))
        deeplab_image = count(lambda: [net(view) for view in views])
    return {
        "classifier_step": classifier_flops(model, 16, 512),
        "cam_image": cam_flops(model, size, released),
        "rib_image_paper": sum(rib_flops(model, size, paper).values()),
        "rib_image_released": sum(rib_flops(model, size, released).values()),
        "rib_image_fast": sum(rib_flops(model, size, RIBSettings.fast()).values()),
        "irn_step": irn_step,
        "deeplab_step": count(lambda: net(batch).sum().backward()),
        "deeplab_image": deeplab_image,
    }


def _on_meta(model: CAMNet) -> CAMNet:
    """A copy without values: what runs on it has shapes alone."""
    return copy.deepcopy(model).to("meta").eval().requires_grad_(True)


def _images(count: int, height: int, width: int) -> Tensor:
    return torch.empty(count, 3, height, width, device="meta")


def _views(size: tuple[int, int], scales: Iterable[float], flip: bool) -> list[Tensor]:
    return [_images(1 + flip, *(round(side * scale) for side in size)) for scale in scales]


def _passes(model: CAMNet, images: Tensor, moving: int | None) -> tuple[int, int, int]:
    """FLOPs of the frozen stages, of the moving ones forward, and of these backward."""
    first, last = model.split(moving)
    last.append(model.class_layer)
    first.requires_grad_(False)
    made = []
    return (
        count(lambda: made.append(first(images))),
        count(lambda: made.append(last(made[0]))),
        count(lambda: made[1].sum().backward()),
    )
