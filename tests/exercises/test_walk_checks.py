"""The self-check about the random walk: right answers pass, and each usual mistake is named."""

import pytest
import torch
from checking import assert_accepts, assert_names_the_mistake

from ribnb.exercises.walk_checks import check_random_walk_step
from ribnb.masks.walk import walk_step


def step(matrix, values):
    return (matrix @ values.flatten()).view(values.shape)


def by_rows(values, affinity, beta):
    weights = affinity**beta
    return step(weights / weights.sum(dim=1, keepdim=True), values)


def by_loops(values, affinity, beta):
    flat, found = values.flatten(), []
    for row in affinity:
        weights = row**beta
        found.append((weights * flat).sum() / weights.sum())
    return torch.stack(found).view(values.shape)


def by_division_at_the_end(values, affinity, beta):
    weights = affinity**beta
    return ((weights @ values.flatten()) / weights.sum(dim=1)).view(values.shape)


def by_columns_of_the_transposed(values, affinity, beta):
    """As IRN's code: a row of values from the left, columns of sum 1."""
    weights = affinity**beta
    return (values.view(1, -1) @ (weights / weights.sum(dim=0))).view(values.shape)


@pytest.mark.parametrize(
    "fn", [by_rows, by_loops, by_division_at_the_end, by_columns_of_the_transposed, walk_step]
)
def test_right_answers_are_accepted(fn, capsys):
    assert_accepts(check_random_walk_step, fn, capsys)


def without_self(values, affinity, beta):
    weights = affinity**beta
    weights.fill_diagonal_(0)
    return step(weights / weights.sum(dim=1, keepdim=True), values)


def normalised_first(values, affinity, beta):
    return step((affinity / affinity.sum(dim=1, keepdim=True)) ** beta, values)


def matrix_power(values, affinity, beta):
    weights = torch.linalg.matrix_power(affinity, int(beta))
    return step(weights / weights.sum(dim=1, keepdim=True), values)


MISTAKES = [
    ("rows are not normalised", lambda v, a, b: step(a**b, v)),
    ("columns are normalised", lambda v, a, b: step(a**b / (a**b).sum(dim=0), v)),
    ("beta is ignored", lambda v, a, b: by_rows(v, a, 1.0)),
    ("beta comes after the rows", normalised_first),
    ("left out of its own mean", without_self),
    ("matrix is multiplied by itself", matrix_power),
    ("sum of all of them", lambda v, a, b: step(a**b / (a**b).sum(), v)),
    ("multiplied by beta", lambda v, a, b: step(a * b, v)),
    ("there is a softmax", lambda v, a, b: step((a * b).softmax(dim=1), v)),
    ("these are two steps", lambda v, a, b: by_rows(by_rows(v, a, b), a, b)),
    ("left as they are", lambda v, a, b: v),
    ("this is the matrix T", lambda v, a, b: a**b / (a**b).sum(dim=1, keepdim=True)),
    ("this is flat", lambda v, a, b: by_rows(v, a, b).flatten()),
    ("expected (h, w) = (3, 4)", lambda v, a, b: by_rows(v, a, b).T),
    ("off by up to", lambda v, a, b: 2 * by_rows(v, a, b)),
    ("not written yet", lambda v, a, b: (_ for _ in ()).throw(NotImplementedError)),
    ("returns nothing yet", lambda v, a, b: None),
]


@pytest.mark.parametrize(("words", "fn"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistakes_are_named(words, fn, capsys):
    assert_names_the_mistake(check_random_walk_step, words, fn, capsys)
