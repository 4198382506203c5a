"""Self-checks of what trains a net: L_RIB, a step along it, the loss on masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ribnb.exercises.digits import small_net
from ribnb.exercises.tools import generator, gradient_fault, verdict
from ribnb.method.losses import rib_loss


def check_rib_loss(fn: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``fn(logits, labels, margin) -> scalar`` against L_RIB, its value and its gradient."""
    logits = torch.tensor([[3.0, -2.0, 0.5], [9.0, 1.0, -4.0]])
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    margin = 5.0
    capped = logits.clamp(max=margin)
    total = -(labels * capped).sum()
    mistakes = {
        "the sign is turned: L_RIB is minus the sum, so that a smaller loss is a larger logit": (
            -total
        ),
        "the margin is ignored: use min(m, y), so that a logit above m no longer counts": (
            -(labels * logits).sum()
        ),
        "max(m, y) instead of min(m, y)": -(labels * logits.clamp(min=margin)).sum(),
        "the mean over all entries instead of the sum": total / logits.numel(),
        "the mean over the images instead of the sum": total / len(logits),
        "the mean over the present classes instead of the sum": total / labels.sum(),
        "the labels are ignored: only present classes (t = 1) count": -capped.sum(),
        "the labels are turned: absent classes count instead of present ones": (
            -((1 - labels) * capped).sum()
        ),
        "there is a sigmoid on the logits: L_RIB has none, that is its point": (
            -(labels * logits.sigmoid().clamp(max=margin)).sum()
        ),
        "this is L_BCE": F.binary_cross_entropy_with_logits(logits, labels, reduction="sum"),
    }
    leaf = logits.clone().requires_grad_(True)

    def also(loss: Any) -> str:
        slope = -labels * (logits < margin)
        wrong = "it must be -1 for a present class below the margin and 0 elsewhere"
        fault = gradient_fault(loss, leaf, slope, wrong)
        tall, total = torch.full_like(labels, 700.0), -(labels * 700).sum()
        if not fault and not torch.isclose(fn(tall, labels.clone(), 800.0), total):
            fault = "for logits of 700 and a margin of 800 the value is wrong: is the margin fixed?"
        return fault

    example = f"logits {logits.tolist()}, margin {margin:g}"
    return verdict("rib_loss", fn, (leaf, labels, margin), total, mistakes, example, also=also)


def check_rib_step(fn: Callable[[nn.Module, Tensor, Tensor, float, float], Any]) -> bool:
    """Check ``fn(model, images, labels, learning_rate, margin)``: one step on the model, in place.

    ``images`` (B, 1, H, W), ``labels`` (B, C); the step is theta - lambda grad L_RIB.
    """
    rate, margin = 0.05, 600.0
    images = torch.rand(2, 1, 12, 12, generator=generator())
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def weights(net: nn.Module) -> Tensor:
        return torch.cat([weight.flatten() for weight in net.parameters()]).detach()

    def stepped(factor: float, loss: Callable[[Tensor], Tensor]) -> Tensor:
        net = small_net()
        slopes = torch.autograd.grad(loss(net(images)), list(net.parameters()))
        return weights(net) + factor * torch.cat([slope.flatten() for slope in slopes])

    def total(logits: Tensor) -> Tensor:
        return rib_loss(logits, labels, margin)

    def after_step(*inputs: Tensor) -> Tensor:
        net = small_net()
        fn(net, *inputs, rate, margin)
        return weights(net)

    mistakes = {
        "the weights did not change: change them in place, for example with an optimizer": (
            weights(small_net())
        ),
        "the step goes up the loss: subtract lambda times the gradient": stepped(rate, total),
        "the step ignores the learning rate": stepped(-1, total),
        "the loss is a mean; L_RIB is a sum": stepped(-rate, lambda y: total(y) / len(y)),
        "the step follows L_BCE": stepped(
            -rate, lambda y: F.binary_cross_entropy_with_logits(y, labels, reduction="sum")
        ),
    }
    right, example = stepped(-rate, total), "a small net and two images"
    return verdict("rib_step", after_step, (images, labels), right, mistakes, example)


def check_mask_loss(fn: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Check ``fn(logits, mask) -> scalar``: cross entropy over the pixels that are not 255.

    ``logits`` (C + 1, H, W), ``mask`` (H, W) uint8: 0 background, class_id + 1, 255 ignored.
    """
    draws = generator()
    logits = torch.randn(4, 5, 6, generator=draws)
    mask = torch.randint(0, 4, (5, 6), generator=draws, dtype=torch.uint8)
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

    def also(loss: Any) -> str:
        fine = isinstance(loss, Tensor) and loss.requires_grad
        return "" if fine else "the value is right, but it has no gradient: compute with tensors"

    example = "4 x 5 x 6 logits and a mask with some 255"
    given = logits.requires_grad_(True), mask
    return verdict("mask_loss", fn, given, right.detach(), mistakes, example, also=also)
