"""Class activation maps (Zhou et al. 2016), and M, the sum of an image's over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ribnb.core.devices import evaluation
from ribnb.method.pooling import normalize
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet

EPSILON = 1e-5  # what the authors' code adds to the maximum


def class_activation_maps(
    model: CAMNet, images: Float[Tensor, "B 3 H W"]
) -> Float[Tensor, "B C h w"]:
    """CAM(x; theta) of every class: the positive part of the class layer's output.

    The model is evaluated in ``eval`` mode without gradients and left as it was.

    Args:
        model: made for CAMs.
        images: (B, 3, H, W), normalised, on the model's device.

    Returns:
        (B, C, h, w) at least 0, in units of the logit; not divided by the maximum.

    Lee et al. 2021 build on these maps; their sum over the steps is the localisation map M.
    """
    with evaluation(model), torch.no_grad():
        return model.class_maps(images).relu()


class MapSum:
    """Adds up one image's CAMs, given scale by scale, and brings them to the image's size.

    Raw maps are added at their own resolution and resized once, as in the authors' code; with
    ``normalize_maps`` each step's map is resized and divided by its maximum first.

    Args:
        size: (H, W) of the image.
        settings: ``normalize_maps`` and ``variant`` count.
        stride: of the feature map, in pixels: maps cover whole multiples of it, and are cropped.

    Lee et al. 2021: M = sum over k of CAM(x; theta_k).
    """

    def __init__(self, size: Sequence[int], settings: RIBSettings, stride: int = 16) -> None:
        height, width = size
        # (size to resize to, size to crop to) of the full and of the quarter resolution
        padded = -(-height // stride) * stride, -(-width // stride) * stride
        quarter = (height - 1) // 4 + 1, (width - 1) // 4 + 1
        self.targets = [(padded, (height, width)), (quarter, quarter)]
        self.settings = settings
        self.totals: list[Tensor] = []

    def add(self, cams: Sequence[Float[Tensor, "n h w"]]) -> None:
        """One step's maps, one for each scale that ran, at least 0."""
        if self.settings.normalize_maps:
            cams = [normalize(_resized_sum(cams, *target)) for target in self.targets]
        # after a flood only scale 1 ran: the others count as 0
        self.totals = [a + b for a, b in zip_longest(self.totals, cams, fillvalue=0)]

    def finish(self) -> tuple[Float[Tensor, "n H W"], Float[Tensor, "n h w"]]:
        """M on the CPU at full and at a quarter of the resolution, each class over its maximum."""
        sums = self.totals
        if not self.settings.normalize_maps:
            sums = [_resized_sum(sums, *target) for target in self.targets]
        if self.settings.variant == "released":
            sums = [total / (total.amax(dim=(1, 2), keepdim=True) + EPSILON) for total in sums]
        else:
            sums = [normalize(total) for total in sums]
        return sums[0].cpu(), sums[1].cpu()


def _resized_sum(
    cams: Sequence[Tensor], size: tuple[int, int], crop: tuple[int, int]
) -> Float[Tensor, "n H W"]:
    resized = [
        F.interpolate(cam[None], size, mode="bilinear", align_corners=False)[0] for cam in cams
    ]
    return torch.stack(resized).sum(dim=0)[:, : crop[0], : crop[1]]
