"""From a map to one number for each channel: GAP and GNDRP, and what GNDRP holds against tau."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.core.own import Functions

Variant = Literal["paper", "released"]
VARIANTS = get_args(Variant)


def normalize(cam: Float[Tensor, "*B h w"]) -> Float[Tensor, "*B h w"]:
    """A CAM between 0 and 1: its positive part divided by its maximum over the positions.

    A map without a positive value becomes 0 everywhere. A NaN stays NaN.
    """
    positive = cam.relu()
    maximum = positive.amax(dim=(-2, -1), keepdim=True)
    return positive / torch.where(maximum <= 0, 1.0, maximum)


def gap(features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C"]:
    """Global average pooling: the mean over all positions U."""
    return features.mean(dim=(2, 3))


def gndrp(
    features: Float[Tensor, "B C h w"],
    cam: Float[Tensor, "B C h w"] | Float[Tensor, "B 1 h w"],
    threshold: float = 0.4,
    variant: str = "paper",
) -> Float[Tensor, "B C"]:
    """Global non-discriminative region pooling: the mean where the CAM is low.

    Only positions that the CAM does not yet cover may move the logit. With class maps for
    ``features`` this gives the logits: the class layer is linear, so it does not matter whether
    features are pooled before it or its output after it.

    Args:
        features: (B, C, h, w) features, or class maps, to pool.
        cam: the CAM of the same positions, normalised to [0, 1]; one for each channel, or one,
            (B, 1, h, w), for all of them. No gradient flows into it.
        threshold: tau in [0, 1].
        variant: ``"paper"``: U_tau is where CAM <= tau, and the mean is over U_tau;
            ``"released"``, as the authors' code: CAM < tau, and the sum over those positions is
            divided by the number of *all* positions.

    Returns:
        (B, C). A channel without a single such position pools to 0, without a gradient, in both
        variants. With ``threshold=1`` and ``"paper"`` this is GAP.

    Raises:
        ValueError: shapes that do not match, a threshold outside [0, 1], an unknown variant.

    Lee et al. 2021, the definition of GNDRP.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}; got {variant!r}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0, 1]; got {threshold}")
    if features.ndim != 4 or cam.shape not in (features.shape, features[:, :1].shape):
        raise ValueError(
            "features must be (B, C, h, w) and cam (B, C, h, w) or (B, 1, h, w); got "
            f"{tuple(features.shape)} and {tuple(cam.shape)}"
        )
    cam = cam.detach()
    kept = cam <= threshold if variant == "paper" else cam < threshold
    # where, not a product: a NaN or infinity outside U_tau must not get in.
    total = torch.where(kept, features, 0).sum(dim=(2, 3))
    if variant == "released":
        return total / (features.shape[2] * features.shape[3])
    return total / kept.sum(dim=(2, 3)).clamp_min(1)


def _by_own_cam(class_maps: Float[Tensor, "B C h w"], settings: Any) -> Tensor:
    """GNDRP by each row's own CAM."""
    maps = class_maps.detach()
    if settings.pooling_variant == "paper":
        cam = normalize(maps)
    else:  # a class that is negative everywhere becomes >= 1 everywhere: nothing is kept
        cam = maps / maps.amax(dim=(2, 3), keepdim=True)
    return gndrp(class_maps, cam, settings.threshold, settings.pooling_variant)


# What ``RIBSettings.pooling`` may be: class maps (B, C, h, w), those settings -> logits (B, C).
POOLINGS = Functions(
    "poolings",
    {"gndrp": _by_own_cam, "gap": lambda class_maps, _: gap(class_maps)},
    ("class_maps", "settings"),
)
