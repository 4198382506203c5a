"""The random walk on a boundary map: maps spread over regions and stop at boundaries.

``random_walk`` takes sparse steps with SciPy, for one image on a CPU; ``random_walks`` does the
same for a batch with torch, for a GPU. ``walk_step`` is one step written out, for a tiny grid.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from ribnb.masks.irn_pairs import affinities, pair_offsets

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def walk_step(
    values: Float[Tensor, "*n h w"], affinity: Float[Tensor, "h*w h*w"], beta: float
) -> Float[Tensor, "*n h w"]:
    """One step of the walk: each position takes the mean over the positions like it.

    Args:
        values: one or more maps.
        affinity: a_ij in [0, 1], symmetric, of all positions in the order of ``flatten``; a
            position is like itself, a_ii = 1.
        beta: power of the affinities; the larger, the less goes through a weak boundary.

    Ahn et al. 2019, equation 8: T = D^-1 A^beta, element by element, D_ii = sum_j a_ij^beta.
    """
    weights = affinity**beta
    transition = weights / weights.sum(dim=1, keepdim=True)
    return (values.flatten(-2) @ transition.T).view(values.shape)


def random_walk(
    values: Float[ndarray, "n h w"],
    boundary: Float[ndarray, "h w"],
    radius: float = 5.0,
    beta: float = 10.0,
    steps: int = 256,
) -> Float[ndarray, "n h w"]:
    """Maps after ``steps`` steps of the walk, by sparse products; one image.

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
    _check(values, boundary)
    transition = transition_matrix(boundary, radius, beta)
    walked = np.empty(values.shape, np.float32)
    for index, one in enumerate(values):  # by itself: SciPy takes six times as long for two columns
        spread = (one * (1 - boundary)).astype(np.float32).ravel()
        for _ in range(steps):
            spread = transition @ spread
        walked[index] = spread.reshape(boundary.shape)
    return walked


def random_walks(
    values: Float[Tensor, "B n h w"],
    boundary: Float[Tensor, "B h w"],
    radius: float = 5.0,
    beta: float = 10.0,
    steps: int = 256,
) -> Float[Tensor, "B n h w"]:
    """``random_walk`` for a batch of one size, where the tensors are: made for a GPU.

    One sparse matrix holds the whole batch, so that a step is one product. Images with fewer
    maps than others get maps of 0.

    Raises:
        ValueError: maps and boundary of different sizes.
    """
    _check(values, boundary)
    batch, maps, height, width = values.shape
    weights, inside = _neighbour_weights(boundary.float(), radius, beta)
    columns = _neighbours(height, width, radius, boundary.device)
    images = torch.arange(batch, device=boundary.device)[:, None, None] * (height * width)
    rows = inside.sum(dim=1).repeat(batch).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)  # in beta
        transition = torch.sparse_csr_tensor(
            torch.cat([rows.new_zeros(1), rows]),
            (images + columns)[:, inside].flatten(),
            weights[:, inside].flatten(),
            size=(batch * height * width,) * 2,
            check_invariants=False,
        )
    given = values.float() * (1 - boundary[:, None].float())
    walked = given.transpose(0, 1).flatten(1).T.contiguous()
    for _ in range(steps if maps else 0):
        walked = transition @ walked
    return walked.T.reshape(maps, batch, height, width).transpose(0, 1)


def transition_matrix(boundary: Float[ndarray, "h w"], radius: float, beta: float) -> csr_array:
    """T = D^-1 A^beta of one boundary map, with an entry for each position and its neighbours.

    (h w, h w), each row with the sum 1. A position reaches itself with affinity 1.
    """
    from scipy.sparse import csr_array

    given = torch.from_numpy(np.ascontiguousarray(boundary, np.float32))[None]
    weights, inside = _neighbour_weights(given, radius, beta)
    columns = _neighbours(*boundary.shape, radius, given.device)[inside].int()
    starts = torch.cat([torch.zeros(1, dtype=torch.int32), inside.sum(dim=1).cumsum(0).int()])
    parts = (weights[0][inside].numpy(), columns.numpy(), starts.numpy())
    return csr_array(parts, shape=(boundary.size,) * 2)


def _neighbour_weights(
    boundary: Float[Tensor, "B h w"], radius: float, beta: float
) -> tuple[Float[Tensor, "B N K"], Bool[Tensor, "N K"]]:
    """Rows of T of all N = h w positions: the weights of the K neighbours, and which exist.

    The neighbours are in the order of their positions, the position itself in the middle.
    """
    height, width = boundary.shape[-2:]
    ahead = affinities(boundary, radius) ** beta
    offsets = pair_offsets(radius).tolist()
    behind = torch.zeros_like(ahead)  # a_ij = a_ji, seen from the other end
    for pair, (dy, dx) in enumerate(offsets):
        if dy < height and abs(dx) < width:
            left, right = max(0, dx), min(width, width + dx)
            behind[:, pair, dy:, left:right] = ahead[:, pair, : height - dy, left - dx : right - dx]
    own = torch.ones_like(boundary)[:, None]
    weights = torch.cat([behind.flip(1), own, ahead], dim=1).flatten(2).transpose(1, 2)
    inside = _neighbours(height, width, radius, boundary.device) >= 0
    weights = torch.where(inside, weights, 0.0)  # 0 to the power of beta = 0 is 1
    return weights / weights.sum(dim=2, keepdim=True), inside


def _neighbours(height: int, width: int, radius: float, device: torch.device) -> Int[Tensor, "N K"]:
    """The number of each neighbour's position; -1 outside."""
    ahead = torch.from_numpy(pair_offsets(radius)).to(device)
    offsets = torch.cat([-ahead.flip(0), torch.zeros_like(ahead[:1]), ahead])
    rows = torch.arange(height, device=device).repeat_interleave(width)[:, None] + offsets[:, 0]
    columns = torch.arange(width, device=device).repeat(height)[:, None] + offsets[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return torch.where(inside, rows * width + columns, -1)


def _check(values: ndarray | Tensor, boundary: ndarray | Tensor) -> None:
    if values.shape[-2:] != boundary.shape[-2:] or values.ndim != boundary.ndim + 1:
        raise ValueError(
            f"maps of the shape {tuple(values.shape)} do not fit a boundary map of "
            f"{tuple(boundary.shape)}"
        )
