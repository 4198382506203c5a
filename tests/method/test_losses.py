"""L_RIB: the formula, its gradient, and what it refuses."""

import math

import pytest
import torch

from ribnb.method.losses import rib_loss


@pytest.fixture
def logits() -> torch.Tensor:
    """Random logits on both sides of a margin of 5."""
    return 10 * torch.randn(16, 20, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> torch.Tensor:
    return (torch.rand(16, 20, generator=torch.Generator().manual_seed(1)) < 0.3).long()


def formula(logits, labels, margin: float) -> list[list[float]]:
    """- t_c min(m, y^c), term by term, in plain Python."""
    rows = zip(labels.tolist(), logits.tolist(), strict=True)
    return [[-t * min(margin, y) for t, y in zip(*row, strict=True)] for row in rows]


def test_is_the_formula_in_every_reduction(logits, labels):
    terms = torch.tensor(formula(logits, labels, 5.0))
    torch.testing.assert_close(rib_loss(logits, labels, 5.0, reduction="none"), terms)
    torch.testing.assert_close(rib_loss(logits, labels, 5.0, reduction="mean"), terms.mean())
    for dtype in (torch.bool, torch.uint8, torch.float32):
        torch.testing.assert_close(rib_loss(logits, labels.to(dtype), 5.0), terms.sum())


def test_the_margin_is_600_unless_said_otherwise():
    ones = torch.ones(1, 2)
    assert rib_loss(torch.tensor([[599.0, 601.0]]), ones).item() == -(599 + 600)


def test_gradient_is_minus_one_below_the_margin_and_nothing_elsewhere():
    """Exactly at the margin a logit is pushed no further."""
    logits = torch.tensor([[4.9, 5.0, 5.1, -80.0, 2.0, 7.0]], requires_grad=True)
    labels = torch.tensor([[1, 1, 1, 1, 0, 0]])
    rib_loss(logits, labels, margin=5.0).backward()
    assert logits.grad.tolist() == [[-1, 0, 0, -1, 0, 0]]


def test_absent_classes_pass_nothing_on_even_if_infinite():
    logits = torch.tensor([[1.0, math.inf, -math.inf]], requires_grad=True)
    loss = rib_loss(logits, torch.tensor([[1, 0, 0]]))
    loss.backward()
    assert loss.item() == -1
    assert logits.grad.tolist() == [[-1, 0, 0]]


def test_refuses_wrong_tensors_in_words():
    for logits, labels, message in (
        (torch.zeros(2, 3), torch.zeros(2, 4), r"shape \(B, C\).*\(2, 3\).*\(2, 4\)"),
        (torch.zeros(1, 2), torch.tensor([[0, 0.5]]), "labels must be 0 or 1"),
        (torch.tensor([[0, 1], [2, math.nan]]), torch.zeros(2, 2), "no logit NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            rib_loss(logits, labels)
    with pytest.raises(ValueError, match=r"margin must be positive.*got nan"):
        rib_loss(torch.zeros(1, 2), torch.zeros(1, 2), math.nan)
