"""Self-check for the exercise about the dense CRF: its two kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.exercises.check_tools import difference, verdict

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
    generator = torch.Generator().manual_seed(0)
    positions = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    colours = torch.randint(100, 130, (len(positions), 3), generator=generator).float()
    right, mistakes = _answers(_squares(positions), _squares(colours))

    def compare() -> str:
        found = fn(positions.clone(), colours.clone(), **_NUMBERS)
        if isinstance(found, Tensor) and found.shape != right.shape:
            return (
                f"the shape is {tuple(found.shape)}; expected a strength for each two pixels, "
                f"(N, N) = {tuple(right.shape)}"
            )
        return difference(found, right, mistakes, "an image of 3 x 4 pixels")

    return verdict("crf_kernels", compare)


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
