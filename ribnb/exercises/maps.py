"""Self-checks about maps and masks: CAM, GNDRP, the sum over the steps, dense CRF, random walk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
        "the mean over the channels instead of their sum": right / features.shape[1],
    }
    return verdict("cam", fn, (features, weights), right, mistakes, "(B, C, h, w)")


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
        "the wrong side is kept: keep the positions where the CAM is low": mean(features, ~kept),
        "a position exactly on the threshold is kept": mean(features, cam < threshold),
        "one mask for all classes: each class has its own CAM and its own U_tau": (
            mean(features, kept.all(dim=1, keepdim=True))
        ),
    }
    leaf = features.clone().requires_grad_(True)
    right = gndrp(leaf, cam, threshold)
    all_kept = "with a threshold of 1 every position is kept, so it must equal GAP"
    none_kept = "if no position is kept it gives NaN; give 0 then, so that nothing moves"
    more = [
        ((features, cam, 1.0), gap(features), all_kept),
        ((features, torch.ones_like(cam), threshold), torch.zeros(right.shape), none_kept),
    ]
    return verdict("gndrp", fn, (leaf, cam, threshold), right, mistakes, "(B, C)", more=more)


def check_released_gndrp(fn: Callable[[Tensor, float], Tensor]) -> bool:
    """Check ``fn(class_maps, tau)``, (B, C, h, w) to (B, C), against the released program's GNDRP.

    It divides a class map by its largest value, a negative one too, and the sum by all positions.
    """
    maps = torch.randn(2, 6, 8, 8, generator=generator())
    maps[0, 0] -= 10  # one is negative everywhere
    right = gndrp(maps, maps / maps.amax(dim=(2, 3), keepdim=True), 0.4, "released")
    mistakes = {"this is the paper's mean": gndrp(maps, _scaled(maps.relu()), 0.4)}
    return verdict("released_gndrp", fn, (maps, 0.4), right, mistakes, "(B, C)")


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
        "the last step is missing: k goes from 0 to K": over_maximum(cams[:-1].sum(dim=0)),
        "theta_0's CAM is missing: k goes from 0 to K": over_maximum(cams[1:].sum(dim=0)),
        "each step's CAM is divided by its maximum; here they are added as they are": (
            over_maximum(sum(map(over_maximum, cams)))
        ),
    }
    return verdict("localization_map", fn, (cams,), over_maximum(total), mistakes, "(H, W)")


# Masks ----------------------------------------------------------------------------------


def check_crf_kernels(fn: Callable[..., Tensor]) -> bool:
    """Check a function that gives how strongly any two pixels of an image pull each other.

    ``fn(positions, colours, smooth_width, near_width, colour_width, smooth_weight, near_weight)``
    takes positions (N, 2) in pixels and colours (N, 3) from 0 to 255, and gives (N, N): the
    weighted sum of the smoothness and the appearance kernel, 0 on the diagonal.
    """
    positions = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    colours = torch.randint(100, 130, (len(positions), 3), generator=generator()).float()
    apart, unlike = torch.cdist(positions, positions), torch.cdist(colours, colours)
    numbers = {"smooth_width": 1.5, "near_width": 4.0, "colour_width": 20.0}
    numbers |= {"smooth_weight": 3.0, "near_weight": 10.0}
    smooth_width, near_width, colour_width, smooth_weight, near_weight = numbers.values()

    def total(smooth: Tensor, near: Tensor, a: float = smooth_weight, b: float = near_weight):
        return (a * smooth + b * near).fill_diagonal_(0)

    def by(bell: Callable[[Tensor, float], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Smoothness, nearness and likeness of colour by a bell of distance and width."""
        near = bell(apart, near_width)
        return bell(apart, smooth_width), near, bell(unlike, colour_width)

    smooth, place, colour = by(lambda d, w: torch.exp(-(d**2) / (2 * w**2)))
    near = place * colour
    right, words = total(smooth, near), "exp(-d^2 / (2 width^2))"
    mistakes = {
        "a pixel does not pull itself: the diagonal must be 0": (
            smooth_weight * smooth + near_weight * near
        ),
        "the weights are swapped": total(smooth, near, near_weight, smooth_weight),
        "the widths are swapped": total(place, smooth * colour),
        "no kernel knows the colours; the appearance kernel needs them": total(smooth, place),
        "the appearance kernel needs the positions as well": total(smooth, colour),
        "the appearance kernel is one exponential, not a sum of two": total(smooth, place + colour),
        "the two kernels are added, not multiplied": total(smooth * near, near, 30, 0),
        "the weights are missing": total(smooth, near, 1, 1),
    }
    for said, bell in (
        ("the 2 is missing", lambda d, w: torch.exp(-(d**2) / w**2)),
        ("the distance is not squared", lambda d, w: torch.exp(-d / (2 * w**2))),
        ("the width is not squared", lambda d, w: torch.exp(-(d**2) / (2 * w))),
    ):
        smooth, place, colour = by(bell)
        mistakes[f"{said}: {words}"] = total(smooth, place * colour)
    axes = "a strength for each two pixels, (N, N)"
    given = partial(fn, **numbers), (positions, colours)
    return verdict("crf_kernels", *given, right, mistakes, axes)


def check_random_walk_step(fn: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``fn(values, affinity, beta) -> (h, w)``: one step of T = D^-1 A^beta.

    ``values`` is (h, w), ``affinity`` (h w, h w) and symmetric with 1 on its diagonal; positions
    are in the order of ``flatten``.
    """
    draws = generator()
    values = torch.rand(3, 4, generator=draws)
    half = torch.rand(12, 12, generator=draws)
    affinity = (half + half.T) / 2
    affinity.fill_diagonal_(1.0)
    beta = 3.0
    weights = affinity**beta
    others = weights - torch.diag(weights.diag())
    matrices = {
        "the rows are not normalised: divide each by its sum, D^-1": weights,
        "the columns are normalised, not the rows": weights / weights.sum(dim=0),
        "beta is ignored: the affinities go to its power first": _rows(affinity),
        "a position is left out of its own mean: a_ii = 1 belongs to it": _rows(others),
        "the matrix is multiplied by itself; beta is the power of each affinity": (
            _rows(torch.linalg.matrix_power(affinity, int(beta)))
        ),
    }

    def step(matrix: Tensor) -> Tensor:
        return (matrix @ values.flatten()).view(3, 4)

    mistakes = {words: step(matrix) for words, matrix in matrices.items()}
    given, right = (values, affinity, beta), step(_rows(weights))
    return verdict("random_walk_step", fn, given, right, mistakes, "(h, w)")


def _scaled(cams: Tensor) -> Tensor:
    """Each map of (B, C, h, w) over its maximum."""
    return cams / cams.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)


def _rows(weights: Tensor) -> Tensor:
    """Each row of (N, N) divided by its sum."""
    return weights / weights.sum(dim=1, keepdim=True)
