"""What the self-checks are made of: an answer, the right one, and the usual wrong ones.

Each check calls the reader's function on a small example and compares what comes back with the
right answer. If it differs, it is compared with the answers of the usual mistakes, and the mistake
that fits is named. A check prints its verdict and returns whether all is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def verdict(
    name: str,
    fn: Callable[..., Any],
    arguments: Sequence[Any],
    right: Tensor,
    mistakes: Mapping[str, Tensor],
    axes: str = "",
    example: str = "the check's example",
    more: Sequence[tuple[Sequence[Any], Tensor, str]] = (),
) -> bool:
    """Print what is wrong with an answer, or that it is right; return whether it is.

    Args:
        name: of what the reader wrote.
        fn: the reader's function.
        arguments: of the example; tensors are copied, so that it may write into them.
        right: the right answer; if it has a gradient, the reader's must be the same.
        mistakes: what a mistake is, in words -> the answer that it gives.
        axes: names of the right answer's axes, such as ``"(H, W)"``.
        example: what the arguments are, for a mistake that is not known.
        more: further arguments, with their right answer and what is wrong without it.
    """

    def answer_to(given: Sequence[Any]) -> Any:
        return fn(*(one.clone() if isinstance(one, Tensor) else one for one in given))

    try:
        answer = answer_to(arguments)
        fault = difference(answer, right, mistakes, axes, example)
        if not fault and right.requires_grad:
            fault = _gradient_fault(answer, right, arguments)
        for others, its_right, words in more:
            fault = fault or (difference(answer_to(others), its_right, {}) and words)
    except NotImplementedError:
        fault = "it is not written yet"
    except Exception as error:  # a reader's code may raise anything; show what and go on
        fault = f"it raised {type(error).__name__}: {error}"
    print(f"{name}: {fault}." if fault else f"{name}: right.")
    return not fault


def difference(
    answer: Any, right: Tensor, mistakes: Mapping[str, Tensor], axes: str = "", example: str = ""
) -> str:
    """What is wrong with an answer, in words; an empty string if nothing is."""
    if answer is None:
        return "it returns nothing yet: end it with a return"
    try:
        value = torch.as_tensor(answer).detach().float()
    except (TypeError, ValueError, RuntimeError):
        return f"it returns a {type(answer).__name__}; a tensor or a number is expected"
    if value.shape != right.shape and (right.ndim or value.numel() != 1):
        expected = f"{axes} = {tuple(right.shape)}" if axes else f"{tuple(right.shape)}"
        return f"it returns the shape {tuple(value.shape)}; expected {expected}"
    value, right = value.reshape(right.shape), right.detach()
    if _alike(value, right):
        return ""
    for words, wrong in mistakes.items():
        if _alike(value, wrong):
            return words
    if right.numel() == 1:
        return f"for {example} it gives {value.item():.4g}; expected {right.item():.4g}"
    return f"for {example} it is off by up to {(value - right).abs().max().item():.3g}"


def _gradient_fault(answer: Any, right: Tensor, arguments: Sequence[Any]) -> str:
    if not (isinstance(answer, Tensor) and answer.requires_grad):
        return "the value is right, but it has no gradient: compute with tensors, without .item()"
    (leaf,) = [one for one in arguments if isinstance(one, Tensor) and one.requires_grad]
    slope, expected = (torch.autograd.grad(one.sum(), leaf)[0] for one in (answer, right))
    return "" if _alike(slope, expected) else "the value is right, the gradient is not"


def _alike(value: Tensor, other: Tensor) -> bool:
    """Whether two answers are equal within the precision of float32."""
    return torch.allclose(value.float(), other.float(), rtol=1e-4, atol=1e-6)


def generator() -> torch.Generator:
    """A new one, so that a check does not change the numbers of the cells that follow."""
    return torch.Generator().manual_seed(0)
