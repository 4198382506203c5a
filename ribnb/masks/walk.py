"""Pairs of positions and the random walk on a boundary map, which stops at boundaries.

Two positions nearer than a radius are a pair. Their affinity is 1 minus the largest boundary on the
path between them: IRN learns boundaries from it, and its powers are the steps of the walk.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from scipy.sparse import csr_array
from torch import Tensor

from ribnb.core.voc import IGNORED

Values = ndarray | Tensor


class PairKinds(NamedTuple):
    """What is known of each pair; a pair with an ignored position is in none of them."""

    foreground: Bool[Tensor, "B P h w"]  # both positions are of one class
    background: Bool[Tensor, "B P h w"]  # both are background
    different: Bool[Tensor, "B P h w"]  # they are of different classes, or one is background


def pair_offsets(radius: float) -> Int[ndarray, "P 2"]:
    """The offsets (dy, dx) nearer than the radius, one of each two opposite ones.

    Sorted by dy, then dx; dy > 0, or dy = 0 and dx > 0, so that each pair of positions comes
    once. Without (0, 0). A radius of at most 1 has no pairs.

    Ahn et al. 2019, section 4.2: P = {(i, j): ||x_i - x_j|| < gamma, i != j}.
    """
    reach = _reach(radius)
    offsets = [
        (dy, dx)
        for dy in range(reach + 1)
        for dx in range(-reach, reach + 1)
        if (dy, dx) > (0, 0) and dy * dy + dx * dx < radius * radius
    ]
    return np.array(offsets)


def path(dy: int, dx: int) -> Int[ndarray, "L 2"]:
    """The positions between (0, 0) and (dy, dx), both included.

    Those in the rectangle that the two span whose centre is less than 1 away from the straight
    line through both. So a path is never torn, and it cannot slip through a wall diagonally.
    """
    rows, columns = (np.arange(min(0, end), max(0, end) + 1) for end in (dy, dx))
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    across = (dy * grid[:, 1] - dx * grid[:, 0]) ** 2  # (distance times length) squared
    return grid[across < dy * dy + dx * dx]


def affinities(boundary: Float[Tensor, "B h w"], radius: float) -> Float[Tensor, "B P h w"]:
    """a_ij of each position i and its partner j = i + ``pair_offsets(radius)[p]``.

    It is 1 minus the largest boundary on the path between them, in [0, 1]; 0 where j lies
    outside. The gradient reaches the largest boundary of each path.

    Ahn et al. 2019, equation 3.
    """
    height, width = boundary.shape[-2:]
    reach = _reach(radius)
    padded = F.pad(boundary, (reach, reach, 0, reach), value=1.0)  # a wall around the image
    flat = padded.flatten(1)
    largest = _largest_on_paths(padded.detach(), float(radius), height, width)
    return 1 - flat.gather(1, largest.flatten(1)).view(largest.shape)


def pair_kinds(labels: UInt8[Tensor, "B h w"], radius: float) -> PairKinds:
    """Which pairs are of one class, both background, or of different classes.

    The labels are the confident ones at the boundary map's positions, see ``confident``.

    Ahn et al. 2019, section 4.2: P+ and P-.
    """
    partner = partners(labels, radius, fill=IGNORED)
    own = labels[:, None]
    known = (own != IGNORED) & (partner != IGNORED)
    same = known & (own == partner)
    return PairKinds(same & (own != 0), same & (own == 0), known & (own != partner))


def partners(values: Tensor, radius: float, fill: float = 0) -> Tensor:
    """(..., h, w) -> (..., P, h, w): the value at each position's partner; ``fill`` outside."""
    height, width = values.shape[-2:]
    reach = _reach(radius)
    padded = F.pad(values, (reach, reach, 0, reach), value=fill)
    shifted = [
        padded[..., dy : dy + height, reach + dx : reach + dx + width]
        for dy, dx in pair_offsets(radius).tolist()
    ]
    return torch.stack(shifted, dim=-3)


def _reach(radius: float) -> int:
    """The largest whole number below the radius."""
    return int(np.ceil(radius)) - 1


@torch.no_grad()
def _largest_on_paths(
    padded: Float[Tensor, "B H W"], radius: float, height: int, width: int
) -> Int[Tensor, "B P h w"]:
    """Where, in the flattened padded map, the largest boundary of each path lies."""
    reach, stride = _reach(radius), padded.shape[-1]
    rows = torch.arange(height, device=padded.device)[:, None] * stride
    start = rows + torch.arange(width, device=padded.device) + reach
    places = []
    for steps in _paths(radius):
        views = [
            padded[:, dy : dy + height, reach + dx : reach + dx + width]
            for dy, dx in steps.tolist()
        ]
        # by hand: argmax over a stack takes fifty times as long on a CPU
        best = views[0].clone()
        which = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
        for number, view in enumerate(views[1:], 1):
            which.masked_fill_(view > best, number)
            torch.maximum(best, view, out=best)
        far = torch.from_numpy(steps @ [stride, 1]).to(padded.device)
        places.append(start + far[which.long()])
    return torch.stack(places, dim=1)


@lru_cache(maxsize=8)
def _paths(radius: float) -> tuple[Int[ndarray, "L 2"], ...]:
    return tuple(path(dy, dx) for dy, dx in pair_offsets(radius).tolist())


def random_walk(
    values: Float[Values, "n h w"],
    boundary: Float[Values, "h w"],
    radius: float = 5.0,
    beta: float = 10.0,
    steps: int = 256,
) -> Float[Values, "n h w"]:
    """Maps after ``steps`` steps of the walk in float32, by sparse products.

    A step takes at each position the mean over the positions like it, itself included. Arrays
    walk on the CPU, with SciPy; tensors with torch where they are, which is meant for a GPU.

    Args:
        values: the maps, n may be 0.
        boundary: in [0, 1]; the maps are first multiplied by 1 - boundary.
        radius: positions nearer than this exchange values.
        beta: power of the affinities.
        steps: T^steps is applied, without ever being built.

    Raises:
        ValueError: maps and boundary of different sizes.

    Ahn et al. 2019, equation 9.
    """
    if values.shape[1:] != boundary.shape:
        raise ValueError(f"maps {tuple(values.shape)}, but a boundary map {tuple(boundary.shape)}")
    transition = transition_matrix(boundary, radius, beta)
    given = values * (1 - boundary)
    if isinstance(values, Tensor):
        walked = given.float().flatten(1).T.contiguous()
        for _ in range(steps if len(values) else 0):
            walked = transition @ walked
        return walked.T.reshape(values.shape)
    walked = given.astype(np.float32).reshape(len(values), boundary.size)
    for row in walked:  # each by itself: SciPy takes six times as long for two columns
        for _ in range(steps):
            row[:] = transition @ row
    return walked.reshape(values.shape)


def transition_matrix(
    boundary: Float[Values, "h w"], radius: float, beta: float
) -> csr_array | Tensor:
    """T = D^-1 A^beta of one boundary map, with an entry for each position and its neighbours.

    (h w, h w), each row with the sum 1: A^beta is element by element, D_ii = sum_j a_ij^beta, and
    a position reaches itself with affinity 1. A sparse array of SciPy for an array, of torch for a
    tensor. Ahn et al. 2019, equation 8.
    """
    tensor = isinstance(boundary, Tensor)
    given = (boundary if tensor else torch.from_numpy(np.array(boundary, np.float32))).float()
    own = torch.arange(given.numel(), device=given.device).view(given.shape)
    partner = partners(own, radius, fill=-1).flatten(1)
    behind = partners(own.flip(0, 1), radius, fill=-1).flip(-2, -1).flatten(1)  # the other way
    ahead = affinities(given[None], radius)[0].flatten(1) ** beta
    back = ahead.gather(1, behind.clamp(0))  # a_ij = a_ji
    # Each row's neighbours in the order of their positions, the position itself in the middle.
    weights = torch.cat([back.flip(0), torch.ones_like(given).view(1, -1), ahead]).T
    columns = torch.cat([behind.flip(0), own.view(1, -1), partner]).T.contiguous()
    inside, size = columns >= 0, (len(columns),) * 2
    weights = torch.where(inside, weights, 0.0)  # 0 to the power of 0 is 1
    weights = (weights / weights.sum(dim=1, keepdim=True))[inside]
    starts, columns = F.pad(inside.sum(dim=1).cumsum(0), (1, 0)), columns[inside]
    if not tensor:
        parts = (weights.numpy(), columns.int().numpy(), starts.int().numpy())
        return csr_array(parts, shape=size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)  # in beta
        return torch.sparse_csr_tensor(starts, columns, weights, size=size, check_invariants=False)
