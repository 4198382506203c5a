"""Self-checks of the exercises about maps: CAM, GNDRP, the sum over the steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ribnb.exercises.tools import generator, verdict
from ribnb.method.pooling import gap, gndrp


def check_cam(fn: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Check ``fn(features, weights) -> cams``: (B, D, h, w) and (C, D) give (B, C, h, w).

    The CAM is the positive part of the class layer's output, not divided by its maximum.
    """
    draws = generator()
    features = torch.rand(2, 3, 4, 5, generator=draws)
    weights = torch.randn(4, 3, generator=draws)
    raw = torch.einsum("cd,bdhw->bchw", weights, features)
    right = raw.relu()
    each = (weights[None, :, :, None, None] * features[:, None]).relu()
    mistakes = {
        "negative values are left: a CAM is the positive part (ReLU)": raw,
        "the map is divided by its maximum; leave it in units of the logit here": _scaled(right),
        "the ReLU comes before the sum over the channels; it belongs after it": each.sum(dim=2),
        "the magnitude is taken; take the positive part": raw.abs(),
        "there is a sigmoid: a CAM has none": raw.sigmoid(),
        "the mean over the channels instead of their sum": right / features.shape[1],
    }
    given, example = (features, weights), "random features and weights"
    return verdict("cam", fn, given, right, mistakes, example, "(B, C, h, w)")


def check_gndrp(fn: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``fn(features, cam, threshold) -> (B, C)`` against GNDRP as in the paper.

    ``features`` and ``cam`` are (B, C, h, w); the CAM is normalised to [0, 1].
    """
    draws = generator()
    features = torch.randn(2, 3, 4, 4, generator=draws)
    cam = _scaled((features + torch.rand(features.shape, generator=draws)).relu())
    threshold = 0.4
    cam[0, 0, 1, 2] = threshold  # exactly on it
    kept = cam <= threshold

    def mean(values: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, values, 0.0).sum(dim=(2, 3)) / where.sum(dim=(2, 3))

    total = torch.where(kept, features, 0.0).sum(dim=(2, 3))
    mistakes = {
        "this is GAP: leave out the positions where the CAM is above the threshold": gap(features),
        "divide by the positions that are kept, not by all": total / 16,
        "divide by the positions that are kept, not by all, as the authors' code does": (
            gndrp(features, cam, threshold, "released")
        ),
        "this is the sum; GNDRP is a mean": total,
        "the wrong side is kept: keep the positions where the CAM is low": mean(features, ~kept),
        "a position exactly on the threshold is kept": mean(features, cam < threshold),
        "one mask for all classes: each class has its own CAM and its own U_tau": (
            mean(features, kept.all(dim=1, keepdim=True))
        ),
        "the CAM is averaged, not the features": mean(cam, kept),
    }
    leaf = features.clone().requires_grad_(True)
    right = gndrp(leaf, cam, threshold)
    all_kept = "with a threshold of 1 every position is kept, so it must equal GAP"
    none_kept = "if no position is kept it gives NaN; give 0 then, so that nothing moves"
    more = [
        ((features, cam, 1.0), gap(features), all_kept),
        ((features, torch.ones_like(cam), threshold), torch.zeros(right.shape), none_kept),
    ]
    given, example = (leaf, cam, threshold), "random features"
    return verdict("gndrp", fn, given, right, mistakes, example, "(B, C)", more)


def check_released_gndrp(fn: Callable[[Tensor, float], Tensor]) -> bool:
    """Check ``fn(class_maps, tau)``, (B, C, h, w) to (B, C), against the released program's GNDRP.

    It divides a class map by its largest value, a negative one too, and the sum by all positions.
    """
    maps = torch.randn(2, 6, 8, 8, generator=generator())
    maps[0, 0] -= 10  # one is negative everywhere
    right = gndrp(maps, maps / maps.amax(dim=(2, 3), keepdim=True), 0.4, "released")
    mistakes = {"this is the paper's mean": gndrp(maps, _scaled(maps.relu()), 0.4)}
    example = "random class maps"
    return verdict("released_gndrp", fn, (maps, 0.4), right, mistakes, example, "(B, C)")


def check_localization_map(fn: Callable[[Tensor], Tensor]) -> bool:
    """Check ``fn(cams) -> (H, W)``: the sum of the steps' CAMs (K + 1, H, W), over its maximum."""
    growth = torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None, None]
    cams = torch.rand(4, 3, 5, generator=generator()) * growth

    def over_maximum(one: Tensor) -> Tensor:
        return one / one.max()

    total = cams.sum(dim=0)
    mistakes = {
        "the sum is not divided by its maximum": total,
        "this is the mean, not divided by its maximum": cams.mean(dim=0),
        "the last step's CAM alone: M is the sum over all steps": over_maximum(cams[-1]),
        "the first step's CAM alone: M is the sum over all steps": over_maximum(cams[0]),
        "the last step is missing: k goes from 0 to K": over_maximum(cams[:-1].sum(dim=0)),
        "theta_0's CAM is missing: k goes from 0 to K": over_maximum(cams[1:].sum(dim=0)),
        "each step's CAM is divided by its maximum; here they are added as they are": (
            over_maximum(sum(map(over_maximum, cams)))
        ),
        "this is the largest value over the steps, not their sum": over_maximum(cams.amax(dim=0)),
    }
    right, example = over_maximum(total), "four random CAMs"
    return verdict("localization_map", fn, (cams,), right, mistakes, example, "(H, W)")


def _scaled(cams: Tensor) -> Tensor:
    """Each map of (B, C, h, w) over its maximum."""
    return cams / cams.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
