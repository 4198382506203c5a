"""Pairs of positions by hand; the walk: sparse against dense, and walls."""

import itertools
import math

import numpy as np
import pytest
import torch

from ribnb.masks.walk import (
    affinities,
    pair_kinds,
    pair_offsets,
    path,
    random_walk,
    transition_matrix,
)

GRID = list(itertools.product(range(5), range(5)))


def as_set(positions):
    return {tuple(one) for one in positions.tolist()}


def test_offsets_by_hand():
    assert pair_offsets(1.5).tolist() == [[0, 1], [1, -1], [1, 0], [1, 1]]
    # a radius of 2 excludes positions that are exactly 2 away
    assert pair_offsets(2).tolist() == pair_offsets(1.5).tolist()
    assert as_set(pair_offsets(2.1)) == as_set(pair_offsets(2)) | {(0, 2), (2, 0)}


@pytest.mark.parametrize("radius", [1.5, 3, 10])
def test_each_pair_of_near_positions_comes_once(radius):
    reach = range(-10, 11)
    near = {(y, x) for y in reach for x in reach if 0 < math.hypot(y, x) < radius}
    found = as_set(pair_offsets(radius))
    turned = {(-y, -x) for y, x in found}
    assert found | turned == near
    assert not found & turned
    assert len(pair_offsets(radius)) == len(found)


def test_paths_by_hand():
    assert path(0, 3).tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert path(2, 0).tolist() == [[0, 0], [1, 0], [2, 0]]
    # the corners beside a diagonal belong to it, else a diagonal wall would leak
    assert as_set(path(1, 1)) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    # (0, 2) is 2 / sqrt(5) away from the line, (2, 0) of the next one is 4 / sqrt(8)
    assert as_set(path(1, 2)) == {(y, x) for y in range(2) for x in range(3)}
    assert as_set(path(2, -2)) == {(0, 0), (0, -1), (1, 0), (1, -1), (1, -2), (2, -1), (2, -2)}


def test_an_affinity_by_hand():
    boundary = torch.zeros(1, 5, 5)
    boundary[0, 1, 2], boundary[0, 3, 2] = 0.75, 0.25
    found = affinities(boundary, 3)[0]
    number = {tuple(offset): index for index, offset in enumerate(pair_offsets(3).tolist())}
    assert found[number[0, 2], 1, 1] == 0.25  # over (1, 2)
    assert found[number[0, 2], 0, 1] == 1  # past it
    assert found[number[1, 0], 0, 2] == 0.25  # its own boundary counts
    assert found[number[2, -2], 1, 3] == 0.25  # diagonally, over (1, 2), (2, 2) and (3, 2)
    assert found[number[2, -2], 1, 4] == 0.75  # a column further, over (3, 2) alone
    assert found[number[2, 2], 2, 0] == 0.75  # the other way round
    assert found[number[0, 1], 1, 4] == 0  # nobody there


def test_the_gradient_reaches_the_largest_boundary_of_each_path():
    boundary = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    boundary.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda one: affinities(one, 3), boundary)
    alone = torch.zeros(1, 1, 3)
    alone[0, 0, 1] = 0.5
    alone.requires_grad_(True)
    affinities(alone, 3)[0, 1, 0, 0].backward()  # from the first to the third
    assert alone.grad.tolist() == [[[0, -1, 0]]]


@pytest.mark.parametrize("radius", [2, 4])
def test_kinds_are_those_of_all_pairs(radius):
    labels = np.random.default_rng(1).choice(np.array([0, 1, 2, 255], np.uint8), (1, 5, 5))
    kinds = pair_kinds(torch.from_numpy(labels), radius)
    offsets = [tuple(offset) for offset in pair_offsets(radius).tolist()]
    for (y, x), (v, u) in itertools.product(GRID, GRID):
        if (v - y, u - x) not in offsets:
            continue
        one, other = int(labels[0, y, x]), int(labels[0, v, u])
        known = 255 not in (one, other)
        expected = (known and one == other > 0, known and one == other == 0, known and one != other)
        pair = offsets.index((v - y, u - x))
        assert tuple(bool(kind[0, pair, y, x]) for kind in kinds) == expected
    assert all(kind.any() for kind in kinds)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def on_path(start, end):
    """Positions of the path between two; ``path`` itself is worked out by hand above."""
    (y, x), (v, u) = start, end
    return ((y + dy, x + dx) for dy, dx in path(v - y, u - x).tolist())


def dense_affinity(boundary, radius):
    """a_ij of all pairs of positions, one by one; 0 from the radius on, 1 with itself."""
    places = [*np.ndindex(boundary.shape)]
    affinity = np.eye(len(places))
    for (i, start), (j, end) in itertools.permutations(enumerate(places), 2):
        if math.dist(start, end) < radius:
            affinity[i, j] = 1 - max(boundary[place] for place in on_path(start, end))
    return affinity


def dense_transition(boundary, radius, beta):
    near = dense_affinity(np.zeros(boundary.shape), radius) > 0
    weights = near * dense_affinity(boundary.astype(float), radius) ** beta
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [(5, 5), (4, 9), (1, 8), (7, 2)])
@pytest.mark.parametrize("radius", [1.5, 3, 5])
def test_the_sparse_matrix_is_the_dense_one(size, radius):
    boundary = noise(*size)
    sparse = transition_matrix(boundary, radius, 4.0)
    assert sparse.toarray() == pytest.approx(dense_transition(boundary, radius, 4.0), abs=1e-6)
    assert sparse.has_canonical_format  # sorted, nothing twice: products rely on it
    reachable = (dense_affinity(np.zeros(size), radius) > 0).sum()
    assert sparse.nnz == reachable  # no entry beyond the radius or the border


@pytest.mark.parametrize(("beta", "steps"), [(10, 8), (2, 64), (0, 3), (1, 0)])
def test_the_walk_is_the_dense_matrix_s_power(beta, steps):
    values, boundary = noise(2, 6, 7), noise(6, 7, seed=1)
    walked = random_walk(values, boundary, 3, beta, steps)
    power = np.linalg.matrix_power(dense_transition(boundary, 3, beta), steps)
    expected = (values * (1 - boundary)).reshape(2, -1) @ power.T
    assert walked == pytest.approx(expected.reshape(values.shape), abs=1e-5)
    assert walked.dtype == np.float32


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tensors_walk_where_they_are_as_arrays_do(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    values, boundary = noise(3, 19, 16), noise(19, 16, seed=1) ** 2
    given = torch.from_numpy(values).to(device), torch.from_numpy(boundary).to(device)
    walked = random_walk(*given, 4, 5, 32)
    assert walked.device.type == device
    expected = random_walk(values, boundary, 4, 5, 32)
    assert walked.cpu().numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def walls():
    straight, diagonal, thin = (np.zeros((9, 9), np.float32) for _ in range(3))
    straight[:, 4] = 1
    diagonal[np.arange(9), np.arange(9)] = 1  # corner to corner: no edge is shared
    thin[2:7, [2, 6]] = thin[[2, 6], 2:7] = 1
    return {"straight": straight, "diagonal": diagonal, "a box": thin}


@pytest.mark.parametrize("wall", walls())
@pytest.mark.parametrize("radius", [1.5, 3, 5])
def test_a_walk_does_not_cross_a_wall(wall, radius):
    boundary = walls()[wall]
    start = {"straight": (4, 1), "diagonal": (1, 6), "a box": (4, 4)}[wall]
    other = {"straight": np.s_[:, 4:], "diagonal": np.tril_indices(9), "a box": np.s_[:2]}[wall]
    values = np.zeros((1, 9, 9), np.float32)
    values[0][start] = 1
    walked = random_walk(values, boundary, radius, 10, 256)[0]
    assert (walked[other] == 0).all()
    assert (walked > 0).sum() > 8  # but on its own side it spreads


def test_no_maps_give_no_maps_and_sizes_that_do_not_fit_are_named():
    assert random_walk(np.zeros((0, 4, 5), np.float32), noise(4, 5)).shape == (0, 4, 5)
    assert random_walk(torch.zeros(0, 4, 5), torch.rand(4, 5)).shape == (0, 4, 5)
    with pytest.raises(ValueError, match=r"maps \(1, 4, 5\), but a boundary map \(5, 4\)"):
        random_walk(noise(1, 4, 5), noise(5, 4))
