"""Self-checks of the exercises on masks: the kernels of a dense CRF, one step of a random walk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.exercises.tools import generator, verdict


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

    def gauss(distance: Tensor, width: float) -> Tensor:
        return torch.exp(-(distance**2) / (2 * width**2))

    def by(bell: Callable[[Tensor, float], Tensor]) -> Tensor:
        """The sum with another bell than the right one."""
        near = bell(apart, near_width) * bell(unlike, colour_width)
        return total(bell(apart, smooth_width), near)

    smooth, place = gauss(apart, smooth_width), gauss(apart, near_width)
    colour = gauss(unlike, colour_width)
    near, right = place * colour, by(gauss)
    bell = "exp(-d^2 / (2 width^2))"
    mistakes = {
        "a pixel does not pull itself: the diagonal must be 0": (
            smooth_weight * smooth + near_weight * near
        ),
        f"the 2 is missing: {bell}": by(lambda d, w: torch.exp(-(d**2) / w**2)),
        f"the distance is not squared: {bell}": by(lambda d, w: torch.exp(-d / (2 * w**2))),
        f"the width is not squared: {bell}": by(lambda d, w: torch.exp(-(d**2) / (2 * w))),
        "the minus in the exponent is missing": by(lambda d, w: 1 / gauss(d, w)),
        "the weights are swapped": total(smooth, near, near_weight, smooth_weight),
        "the widths are swapped": total(place, smooth * colour),
        "the smoothness kernel knows the positions alone": total(smooth * colour, near),
        "no kernel knows the colours; the appearance kernel needs them": total(smooth, place),
        "the appearance kernel needs the positions as well": total(smooth, colour),
        "the appearance kernel is one exponential, not a sum of two": total(smooth, place + colour),
        "the two kernels are added, not multiplied": total(smooth * near, near, 30, 0),
        "the weights are missing": total(smooth, near, 1, 1),
        "the smoothness kernel is missing": total(smooth, near, 0),
        "the appearance kernel is missing": total(smooth, near, b=0),
    }
    given, example = (positions, colours), "an image of 3 x 4 pixels"
    kernels, axes = partial(fn, **numbers), "a strength for each two pixels, (N, N)"
    return verdict("crf_kernels", kernels, given, right, mistakes, example, axes)


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
        "beta comes after the rows were normalised; it belongs before": _rows(affinity) ** beta,
        "a position is left out of its own mean: a_ii = 1 belongs to it": _rows(others),
        "the matrix is multiplied by itself; beta is the power of each affinity": (
            _rows(torch.linalg.matrix_power(affinity, int(beta)))
        ),
        "each row has its own sum; this is the sum of all of them": weights / weights.sum(),
        "these are two steps; one is asked for": _rows(weights) @ _rows(weights),
    }

    def step(matrix: Tensor) -> Tensor:
        return (matrix @ values.flatten()).view(3, 4)

    mistakes = {words: step(matrix) for words, matrix in matrices.items()}
    mistakes["the values are left as they are"] = values
    given, example = (values, affinity, beta), "random values and affinities"
    return verdict("random_walk_step", fn, given, step(_rows(weights)), mistakes, example, "(h, w)")


def _rows(weights: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """Each row divided by its sum."""
    return weights / weights.sum(dim=1, keepdim=True)
