"""What the self-checks are made of: an answer, the right one, and the usual wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def difference(found: Any, right: Tensor, mistakes: Mapping[str, Tensor], example: str) -> str:
    """What is wrong with ``found``, in words; an empty string if nothing is."""
    if found is None:
        return "it returns nothing yet: end it with a return"
    try:
        value = torch.as_tensor(found).detach().float()
    except (TypeError, ValueError, RuntimeError):
        return f"it returns a {type(found).__name__}; a tensor or a number is expected"
    if value.numel() != right.numel():
        return f"it returns the shape {tuple(value.shape)}; expected {tuple(right.shape)}"
    value = value.reshape(right.shape)
    if torch.allclose(value, right.float(), rtol=1e-4, atol=1e-6):
        return ""
    for words, wrong in mistakes.items():
        if torch.allclose(value, wrong.detach().float(), rtol=1e-4, atol=1e-6):
            return words
    if right.numel() == 1:
        return f"for {example} it gives {value.item():.4g}; expected {right.item():.4g}"
    worst = (value - right).abs().max().item()
    return f"for {example} it is off by up to {worst:.3g}"


def verdict(name: str, compare: Callable[[], str]) -> bool:
    try:
        fault = compare()
    except NotImplementedError:
        fault = "it is not written yet"
    except Exception as error:  # a reader's code may raise anything; show what and go on
        fault = f"it raised {type(error).__name__}: {error}"
    print(f"{name}: {fault}." if fault else f"{name}: right.")
    return not fault
