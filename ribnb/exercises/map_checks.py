"""Self-checks for the exercises about maps: CAM, GNDRP, the sum over the steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ribnb.exercises.check_tools import difference, verdict
from ribnb.method.cam import normalize
from ribnb.method.pooling import gap, gndrp


def check_cam(fn: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Check ``fn(features, weights) -> cams``: (B, D, h, w) and (C, D) give (B, C, h, w).

    The CAM is the positive part of the class layer's output, not divided by its maximum.
    """
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, 4, 5, generator=generator)
    weights = torch.randn(4, 3, generator=generator)
    raw = torch.einsum("cd,bdhw->bchw", weights, features)
    right = raw.relu()
    mistakes = {
        "negative values are left: a CAM is the positive part (ReLU)": raw,
        "the map is divided by its maximum; leave it in units of the logit here": normalize(raw),
        "the ReLU comes before the sum over the channels; it belongs after it": (
            torch.einsum(
                "bcdhw->bchw", (weights[None, :, :, None, None] * features[:, None]).relu()
            )
        ),
        "the magnitude is taken; take the positive part": raw.abs(),
        "there is a sigmoid: a CAM has none": raw.sigmoid(),
        "the mean over the channels instead of their sum": right / features.shape[1],
    }

    def compare() -> str:
        found = fn(features.clone(), weights.clone())
        if isinstance(found, Tensor) and found.shape == raw.mean(dim=(2, 3)).shape:
            return "these are logits (B, C): the map keeps its positions, (B, C, h, w)"
        if isinstance(found, Tensor) and found.shape != right.shape:
            return (
                f"the shape is {tuple(found.shape)}; expected (B, C, h, w) = {tuple(right.shape)}"
            )
        return difference(found, right, mistakes, "random features and weights")

    return verdict("cam", compare)


def check_gndrp(fn: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``fn(features, cam, threshold) -> (B, C)`` against GNDRP as in the paper.

    ``features`` and ``cam`` are (B, C, h, w); the CAM is normalised to [0, 1].
    """
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 4, generator=generator)
    cam = normalize(features + torch.rand(features.shape, generator=generator))
    threshold = 0.4
    cam[0, 0, 1, 2] = threshold  # exactly on it
    kept = cam <= threshold
    total = torch.where(kept, features, 0.0).sum(dim=(2, 3))
    high = torch.where(~kept, features, 0.0).sum(dim=(2, 3)) / (~kept).sum(dim=(2, 3))
    everywhere = kept.all(dim=1, keepdim=True)
    shared = torch.where(everywhere, features, 0.0).sum(dim=(2, 3)) / everywhere.sum(dim=(2, 3))
    right = gndrp(features, cam, threshold)
    mistakes = {
        "this is GAP: leave out the positions where the CAM is above the threshold": gap(features),
        "the sum is divided by all positions; divide by those that are kept (this is what the "
        "authors' code does, not what the paper says)": gndrp(features, cam, threshold, "released"),
        "the sum is divided by all positions; divide by those that are kept": total / 16,
        "this is the sum; GNDRP is a mean": total,
        "the wrong side is kept: keep the positions where the CAM is low": high,
        "a position exactly on the threshold is kept: U_tau is where CAM <= tau": (
            torch.where(cam < threshold, features, 0.0).sum(dim=(2, 3))
            / (cam < threshold).sum(dim=(2, 3))
        ),
        "one mask for all classes: each class has its own CAM and its own U_tau": shared,
        "the CAM is averaged, not the features": (
            torch.where(kept, cam, 0.0).sum(dim=(2, 3)) / kept.sum(dim=(2, 3))
        ),
    }

    def compare() -> str:
        fault = difference(
            fn(features.clone(), cam.clone(), threshold), right, mistakes, "random features"
        )
        if fault:
            return fault
        if not torch.allclose(fn(features, cam, 1.0), gap(features), atol=1e-6):
            return "with a threshold of 1 every position is kept, so it must equal GAP"
        covered = fn(features, torch.ones_like(cam), threshold)
        if not torch.isfinite(covered).all():
            return "if no position is kept it gives NaN; give 0 then, so that nothing moves"
        return _gradient_fault(fn, features, cam, threshold)

    return verdict("gndrp", compare)


def check_localization_map(fn: Callable[[Tensor], Tensor]) -> bool:
    """Check ``fn(cams) -> (H, W)``: the sum of the steps' CAMs (K + 1, H, W), over its maximum."""
    generator = torch.Generator().manual_seed(0)
    cams = (
        torch.rand(4, 3, 5, generator=generator) * torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None, None]
    )
    total = cams.sum(dim=0)
    right = total / total.max()
    each = torch.stack([cam / cam.max() for cam in cams])
    mistakes = {
        "the sum is not divided by its maximum": total,
        "this is the mean, not divided by its maximum": cams.mean(dim=0),
        "the last step's CAM alone: M is the sum over all steps": cams[-1] / cams[-1].max(),
        "the first step's CAM alone: M is the sum over all steps": cams[0] / cams[0].max(),
        "the last step is missing: k goes from 0 to K": (
            cams[:-1].sum(dim=0) / cams[:-1].sum(dim=0).max()
        ),
        "theta_0's CAM is missing: k goes from 0 to K": (
            cams[1:].sum(dim=0) / cams[1:].sum(dim=0).max()
        ),
        "each step's CAM is divided by its maximum before the sum; here they are added as they "
        "are": (each.sum(dim=0) / each.sum(dim=0).max()),
        "this is the largest value over the steps, not their sum": (cams.amax(dim=0) / cams.amax()),
    }

    def compare() -> str:
        found = fn(cams.clone())
        if isinstance(found, Tensor) and found.shape == cams.shape:
            return "these are still all the steps (K + 1, H, W); M is one map, their sum"
        return difference(found, right, mistakes, "four random CAMs")

    return verdict("localization_map", compare)


def _gradient_fault(fn: Callable, features: Tensor, cam: Tensor, threshold: float) -> str:
    given, wanted = (features.clone().requires_grad_(True) for _ in range(2))
    pooled = fn(given, cam, threshold)
    if not pooled.requires_grad:
        return "the value is right, but it has no gradient: compute with tensors, without .item()"
    pooled.sum().backward()
    gndrp(wanted, cam, threshold).sum().backward()
    if not torch.allclose(given.grad, wanted.grad, atol=1e-6):
        return "the value is right, the gradient is not: is the mask built from the features?"
    return ""
