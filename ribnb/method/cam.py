"""Class activation maps (Zhou et al. 2016)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.core.devices import evaluation
from ribnb.nets.cam_net import CAMNet


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

    Raises:
        ValueError: images that are not (B, 3, H, W).

    Lee et al. 2021 build on these maps; their sum over the steps is the localisation map M.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must have the shape (B, 3, H, W); got {tuple(images.shape)}")
    with evaluation(model), torch.no_grad():
        return model.class_maps(images).relu()


def normalize(cam: Float[Tensor, "*B h w"]) -> Float[Tensor, "*B h w"]:
    """A CAM between 0 and 1: its positive part divided by its maximum over the positions.

    A map without a positive value becomes 0 everywhere. A NaN stays NaN.
    """
    positive = cam.relu()
    maximum = positive.amax(dim=(-2, -1), keepdim=True)
    return positive / torch.where(maximum <= 0, 1.0, maximum)
