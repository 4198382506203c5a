"""Self-check for the exercise about one step of a random walk."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ribnb.exercises.check_tools import difference, verdict
from ribnb.masks.walk import walk_step


def check_random_walk_step(fn: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``fn(values, affinity, beta) -> (h, w)``: one step of T = D^-1 A^beta.

    ``values`` is (h, w), ``affinity`` (h w, h w) and symmetric with 1 on its diagonal; positions
    are in the order of ``flatten``.
    """
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 4, generator=generator)
    half = torch.rand(12, 12, generator=generator)
    affinity = (half + half.T) / 2
    affinity.fill_diagonal_(1.0)
    beta = 3.0
    weights, flat = affinity**beta, values.flatten()
    rows, columns = weights.sum(dim=1, keepdim=True), weights.sum(dim=0, keepdim=True)
    plain = affinity / affinity.sum(dim=1, keepdim=True)
    others = weights - torch.diag(weights.diag())
    matrix_power = torch.linalg.matrix_power(affinity, int(beta))
    matrices = {
        "the rows are not normalised: divide each by its sum, D^-1": weights,
        "the columns are normalised, not the rows: each position takes a mean over the others, "
        "so that a constant map stays as it is": weights / columns,
        "beta is ignored: the affinities go to its power first": plain,
        "beta comes after the rows were normalised; it belongs before, so that the rows still add "
        "up to 1": plain**beta,
        "a position is left out of its own mean: a_ii = 1 belongs to it": others
        / others.sum(dim=1, keepdim=True),
        "the matrix is multiplied by itself; beta is the power of each affinity by itself": (
            matrix_power / matrix_power.sum(dim=1, keepdim=True)
        ),
        "the weights are divided by the sum of all of them; each row has its own sum": weights
        / weights.sum(),
        "the affinities are multiplied by beta; take their power": affinity * beta,
        "there is a softmax; divide the powers by their sum": (beta * affinity).softmax(dim=1),
        "these are two steps; one is asked for": (weights / rows) @ (weights / rows),
    }
    mistakes = {words: (matrix @ flat).view(3, 4) for words, matrix in matrices.items()}
    mistakes["the values are left as they are"] = values

    def compare() -> str:
        found = fn(values.clone(), affinity.clone(), beta)
        if isinstance(found, Tensor) and found.shape == affinity.shape:
            return "this is the matrix T; multiply it with the values, T @ values.flatten()"
        if isinstance(found, Tensor) and found.shape == flat.shape:
            return "this is flat, (h w,); give the map its shape back, (h, w)"
        if isinstance(found, Tensor) and found.shape != values.shape:
            return f"the shape is {tuple(found.shape)}; expected (h, w) = (3, 4)"
        right = walk_step(values, affinity, beta)
        return difference(found, right, mistakes, "random values and affinities")

    return verdict("random_walk_step", compare)
