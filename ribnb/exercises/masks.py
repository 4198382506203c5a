"""Self-checks of the exercises on masks: the kernels of a dense CRF, one step of a random walk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.exercises.tools import generator, verdict

_NUMBERS = {
    "smooth_width": 1.5,
    "near_width": 4.0,
    "colour_width": 20.0,
    "smooth_weight": 3.0,
    "near_weight": 10.0,
}


def check_crf_kernels(fn: Callable[..., Tensor]) -> bool:
    """Check a function that gives how strongly any two pixels of an image pull each other.

    ``fn(positions, colours, smooth_width, near_width, colour_width, smooth_weight, near_weight)``
    takes positions (N, 2) in pixels and colours (N, 3) from 0 to 255, and gives (N, N): the
    weighted sum of the smoothness and the appearance kernel, 0 on the diagonal.
    """
    positions = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    colours = torch.randint(100, 130, (len(positions), 3), generator=generator()).float()
    right, mistakes = _answers(_squares(positions), _squares(colours))
    given, example = (positions, colours), "an image of 3 x 4 pixels"
    kernels, axes = partial(fn, **_NUMBERS), "a strength for each two pixels, (N, N)"
    return verdict("crf_kernels", kernels, given, right, mistakes, example, axes)


def _answers(
    apart: Float[Tensor, "N N"], unlike: Float[Tensor, "N N"]
) -> tuple[Float[Tensor, "N N"], dict[str, Float[Tensor, "N N"]]]:
    """The right answer and the usual wrong ones, from squared distances and colour differences."""
    smooth_width, near_width, colour_width, smooth_weight, near_weight = _NUMBERS.values()

    def total(one: Tensor, other: Tensor) -> Tensor:
        return _no_self(smooth_weight * one + near_weight * other)

    def both(bell: Callable[[Tensor, float], Tensor]) -> Tensor:
        """The sum with another bell than the right one."""
        near = bell(apart, near_width) * bell(unlike, colour_width)
        return total(bell(apart, smooth_width), near)

    smooth, place = _bell(apart, smooth_width), _bell(apart, near_width)
    colour = _bell(unlike, colour_width)
    near, right = place * colour, both(_bell)
    return right, {
        "a pixel does not pull itself: the diagonal must be 0": (
            smooth_weight * smooth + near_weight * near
        ),
        "the 2 is missing: exp(-d^2 / (2 width^2))": both(lambda d2, w: torch.exp(-d2 / w**2)),
        "the distance is not squared: exp(-d^2 / (2 width^2))": (
            both(lambda d2, w: _bell(d2.sqrt(), w))
        ),
        "the width is not squared: exp(-d^2 / (2 width^2))": both(lambda d2, w: _bell(d2, w**0.5)),
        "neither distance nor width is squared: exp(-d^2 / (2 width^2))": (
            both(lambda d2, w: _bell(d2.sqrt(), w**0.5))
        ),
        "the minus in the exponent is missing: what is far away pulls less": (
            both(lambda d2, w: torch.exp(d2 / (2 * w**2)))
        ),
        "the weights are swapped: smooth_weight is that of the kernel without colours": (
            total(near_weight * smooth / smooth_weight, smooth_weight * near / near_weight)
        ),
        "the widths are swapped: near_width belongs to the kernel with colours": (
            total(place, smooth * colour)
        ),
        "the colours are in the smoothness kernel too, which knows the positions alone": (
            total(smooth * colour, near)
        ),
        "no kernel knows the colours; they belong into the appearance kernel": (
            total(smooth, place)
        ),
        "the appearance kernel knows the colours alone; it needs the positions as well": (
            total(smooth, colour)
        ),
        "in the appearance kernel two exponentials are added; it is one, of both distances": (
            total(smooth, place + colour)
        ),
        "this is the product of the two kernels; they are added": (
            _no_self(smooth_weight * smooth * near_weight * near)
        ),
        "the weights are missing": _no_self(smooth + near),
        "the smoothness kernel is missing": total(torch.zeros_like(near), near),
        "the appearance kernel is missing": total(smooth, torch.zeros_like(near)),
        "the sign is turned: alike pixels pull each other, with a positive strength": -right,
        "each row is divided by its sum; leave the strengths as they are": (
            right / right.sum(dim=1, keepdim=True)
        ),
    }


def _squares(points: Float[Tensor, "N D"]) -> Float[Tensor, "N N"]:
    return (points[:, None] - points[None]).square().sum(dim=2)


def _bell(squares: Float[Tensor, "N N"], width: float) -> Float[Tensor, "N N"]:
    return torch.exp(-squares / (2 * width**2))


def _no_self(strength: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    return strength * (1 - torch.eye(len(strength)))


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
        "the columns are normalised, not the rows: each position takes a mean over the others, "
        "so that a constant map stays as it is": weights / weights.sum(dim=0),
        "beta is ignored: the affinities go to its power first": _rows(affinity),
        "beta comes after the rows were normalised; it belongs before, so that the rows still add "
        "up to 1": _rows(affinity) ** beta,
        "a position is left out of its own mean: a_ii = 1 belongs to it": _rows(others),
        "the matrix is multiplied by itself; beta is the power of each affinity by itself": (
            _rows(torch.linalg.matrix_power(affinity, int(beta)))
        ),
        "the weights are divided by the sum of all of them; each row has its own sum": (
            weights / weights.sum()
        ),
        "the affinities are multiplied by beta; take their power": affinity * beta,
        "there is a softmax; divide the powers by their sum": (beta * affinity).softmax(dim=1),
        "these are two steps; one is asked for": _rows(weights) @ _rows(weights),
    }

    def step(matrix: Tensor) -> Tensor:
        return (matrix @ values.flatten()).view(3, 4)

    mistakes = {words: step(matrix) for words, matrix in matrices.items()}
    mistakes["the values are left as they are"] = values
    shapes = {
        (12, 12): "this is the matrix T; multiply it with the values, T @ values.flatten()",
        (12,): "this is flat, (h w,); give the map its shape back, (h, w)",
    }
    given, example = (values, affinity, beta), "random values and affinities"
    right = step(_rows(weights))
    return verdict("random_walk_step", fn, given, right, mistakes, example, "(h, w)", shapes)


def _rows(weights: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """Each row divided by its sum."""
    return weights / weights.sum(dim=1, keepdim=True)
