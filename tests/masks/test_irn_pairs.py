"""Pairs within a radius, worked out by hand on 5 x 5 positions and by going through all pairs."""

import itertools
import math

import numpy as np
import pytest
import torch

from ribnb.masks.irn_pairs import affinities, pair_kinds, pair_offsets, partners, path

GRID = list(itertools.product(range(5), range(5)))


def as_set(positions):
    return {tuple(one) for one in positions.tolist()}


# Offsets and paths --------------------------------------------------------------------------


def test_offsets_by_hand():
    assert pair_offsets(1.5).tolist() == [[0, 1], [1, -1], [1, 0], [1, 1]]
    # a radius of 2 excludes positions that are exactly 2 away
    assert pair_offsets(2).tolist() == pair_offsets(1.5).tolist()
    assert as_set(pair_offsets(2.1)) == as_set(pair_offsets(2)) | {(0, 2), (2, 0)}


@pytest.mark.parametrize("radius", [1.5, 2, 3, 4.5, 10])
def test_each_pair_of_near_positions_comes_once(radius):
    reach = range(-10, 11)
    near = {(y, x) for y in reach for x in reach if 0 < math.hypot(y, x) < radius}
    found = as_set(pair_offsets(radius))
    turned = {(-y, -x) for y, x in found}
    assert found | turned == near
    assert not found & turned
    assert len(pair_offsets(radius)) == len(found)


def test_the_number_of_pairs_in_the_papers_radius():
    assert len(pair_offsets(10)) == (305 - 1) / 2  # lattice points inside a circle of radius 10


def test_a_radius_without_pairs_is_refused():
    with pytest.raises(ValueError, match="radius must be greater than 1; got 1"):
        pair_offsets(1)


def test_paths_by_hand():
    assert path(0, 3).tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert path(2, 0).tolist() == [[0, 0], [1, 0], [2, 0]]
    # the corners beside a diagonal belong to it, else a diagonal wall would leak
    assert as_set(path(1, 1)) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    # (0, 2) is 2 / sqrt(5) away from the line, (2, 0) of the next one is 4 / sqrt(8)
    assert as_set(path(1, 2)) == {(y, x) for y in range(2) for x in range(3)}
    assert as_set(path(2, -2)) == {(0, 0), (0, -1), (1, 0), (1, -1), (1, -2), (2, -1), (2, -2)}


def test_paths_are_symmetric_and_not_torn():
    for dy, dx in pair_offsets(7).tolist():
        steps = as_set(path(dy, dx))
        assert {(0, 0), (dy, dx)} <= steps
        assert steps == {(dy - y, dx - x) for y, x in steps}
        assert as_set(path(-dy, -dx)) == {(-y, -x) for y, x in steps}
        reached = {(0, 0)}  # one after the other, over edges only
        for _ in steps:
            reached |= {
                (y, x) for y, x in steps for v, u in reached if abs(y - v) + abs(x - u) == 1
            }
        assert reached == steps


# Affinities ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize("radius", [1.5, 3, 4, 6])
def test_affinities_are_those_of_all_pairs(radius):
    boundary = np.random.default_rng(0).random((2, 5, 5), np.float32)
    found = affinities(torch.from_numpy(boundary), radius).numpy()
    offsets = [tuple(offset) for offset in pair_offsets(radius).tolist()]
    seen = 0
    for (y, x), (v, u) in itertools.product(GRID, GRID):
        if (v - y, u - x) not in offsets:
            continue
        steps = [(y + a, x + b) for a, b in path(v - y, u - x).tolist()]
        for image in (0, 1):
            expected = 1 - max(boundary[image][step] for step in steps)
            assert found[image, offsets.index((v - y, u - x)), y, x] == expected
            seen += 1
    assert (found > 0).sum() == seen  # the others are 0


def test_the_gradient_reaches_the_largest_boundary_of_each_path():
    boundary = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    boundary.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda one: affinities(one, 3), boundary)
    alone = torch.zeros(1, 1, 3)
    alone[0, 0, 1] = 0.5
    alone.requires_grad_(True)
    affinities(alone, 3)[0, 1, 0, 0].backward()  # from the first to the third
    assert alone.grad.tolist() == [[[0, -1, 0]]]


# Kinds of pairs -----------------------------------------------------------------------------


def test_kinds_by_hand():
    labels = torch.tensor([[[0, 0, 1, 1, 2, 255, 0]]], dtype=torch.uint8)
    kinds = pair_kinds(labels, 1.5)
    beside = 0  # the offset (0, 1)
    assert kinds.background[0, beside, 0].tolist() == [True] + 6 * [False]
    assert kinds.foreground[0, beside, 0].tolist() == [False, False, True] + 4 * [False]
    assert kinds.different[0, beside, 0].tolist() == [False, True, False, True] + 3 * [False]
    assert not any(kind[:, 1:].any() for kind in kinds)  # one row only


@pytest.mark.parametrize("radius", [2, 3, 4])
def test_kinds_are_those_of_all_pairs(radius):
    labels = np.random.default_rng(1).choice(np.array([0, 1, 2, 255], np.uint8), (1, 5, 5))
    kinds = pair_kinds(torch.from_numpy(labels), radius)
    offsets = [tuple(offset) for offset in pair_offsets(radius).tolist()]
    count = [0, 0, 0]
    for (y, x), (v, u) in itertools.product(GRID, GRID):
        if (v - y, u - x) not in offsets:
            continue
        one, other = int(labels[0, y, x]), int(labels[0, v, u])
        known = 255 not in (one, other)
        expected = (known and one == other > 0, known and one == other == 0, known and one != other)
        place = offsets.index((v - y, u - x))
        assert tuple(bool(kind[0, place, y, x]) for kind in kinds) == expected
        count = [total + new for total, new in zip(count, expected, strict=True)]
    assert [int(kind.sum()) for kind in kinds] == count
    assert min(count) > 0


def test_partners_keep_the_leading_dimensions():
    values = torch.arange(24.0).view(2, 3, 2, 2)
    found = partners(values, 1.5, fill=-1)
    assert found.shape == (2, 3, 4, 2, 2)
    assert found[1, 2, 0].tolist() == [[21, -1], [23, -1]]  # to the right
    assert found[1, 2, 1].tolist() == [[-1, 22], [-1, -1]]  # down and left
