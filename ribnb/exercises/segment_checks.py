"""The self-check of the exercise on training a segmentation network."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ribnb.exercises.check_tools import difference, verdict


def check_mask_loss(fn: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Check ``fn(logits, mask) -> scalar``: cross entropy over the pixels that are not 255.

    ``logits`` (C + 1, H, W), ``mask`` (H, W) uint8: 0 background, class_id + 1, 255 ignored.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 6, generator=generator)
    mask = torch.randint(0, 4, (5, 6), generator=generator, dtype=torch.uint8)
    mask[1, 2:] = mask[4, :3] = 255
    target, labelled = mask.long(), mask != 255
    right = F.cross_entropy(logits[None], target[None], ignore_index=255)
    background = torch.where(labelled, target, 0)
    each = F.cross_entropy(logits[None], background[None], reduction="none")[0]
    own_share = logits.softmax(0).gather(0, background[None])[0][labelled].mean()
    mistakes = {
        "pixels of 255 count as background; leave them out": each.mean(),
        "the sum over the labelled pixels; take the mean": each[labelled].sum(),
        "the sum is divided by all pixels; divide by the labelled ones": (
            each[labelled].sum() / labelled.numel()
        ),
        "the sign is turned": -right,
        "the background is left out: pixels of 0 count as well": (
            each[labelled & (target > 0)].mean()
        ),
        "the softmax is taken twice: cross entropy takes logits": F.cross_entropy(
            logits.softmax(0)[None], target[None], ignore_index=255
        ),
        "the logarithm is missing": -own_share,
        "the logarithm is missing and so is the sign": own_share,
    }

    def compare() -> str:
        given = logits.clone().requires_grad_(True)
        loss = fn(given, mask.clone())
        fault = difference(loss, right, mistakes, "4 x 5 x 6 logits and a mask with some 255")
        if fault:
            return fault
        if not (isinstance(loss, Tensor) and loss.requires_grad):
            return "the value is right, but it has no gradient: compute with tensors"
        return ""

    return verdict("mask_loss", compare)
