"""Pairs of positions and the random walk on a boundary map, which stops at boundaries.

Two positions nearer than a radius are a pair. Their affinity is 1 minus the largest boundary on the
path between them: IRN learns boundaries from it, and its powers are the steps of the walk.
``random_walk`` takes sparse steps with SciPy, for one image on a CPU; ``random_walks`` does the
same for a batch with torch, for a GPU.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from ribnb.core.voc import IGNORED

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class PairKinds(NamedTuple):
    """What is known of each pair; a pair with an ignored position is in none of them.

    Attributes:
        foreground: both positions are of one class.
        background: both are background.
        different: they are of different classes, or one is background.
    """

    foreground: Bool[Tensor, "B P h w"]
    background: Bool[Tensor, "B P h w"]
    different: Bool[Tensor, "B P h w"]


def pair_offsets(radius: float) -> Int[ndarray, "P 2"]:
    """The offsets (dy, dx) nearer than the radius, one of each two opposite ones.

    Sorted by dy, then dx; dy > 0, or dy = 0 and dx > 0, so that each pair of positions comes
    once. Without (0, 0).

    Raises:
        ValueError: a radius of at most 1, which has no pairs.

    Ahn et al. 2019, section 4.2: P = {(i, j): ||x_i - x_j|| < gamma, i != j}.
    """
    if not radius > 1:
        raise ValueError(f"the radius must be greater than 1; got {radius}")
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

    Args:
        boundary: in [0, 1].
        radius: positions nearer than this are pairs.

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

    Args:
        labels: confident labels at the boundary map's positions: 0 background, class_id + 1,
            255 ignored.
        radius: as for ``affinities``.

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
    values: Float[ndarray, "n h w"],
    boundary: Float[ndarray, "h w"],
    radius: float = 5.0,
    beta: float = 10.0,
    steps: int = 256,
) -> Float[ndarray, "n h w"]:
    """Maps after ``steps`` steps of the walk, by sparse products; one image.

    A step takes at each position the mean over the positions like it, itself included.

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

    (h w, h w), each row with the sum 1: A^beta is element by element, D_ii = sum_j a_ij^beta, and
    a position reaches itself with affinity 1. Ahn et al. 2019, equation 8.
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
