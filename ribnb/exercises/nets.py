"""Self-checks about nets: HGR, the gradient map G_6, L_RIB, a step along it, the loss on masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ribnb.exercises.tools import generator, verdict
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio
from ribnb.method.losses import rib_loss
from ribnb.nets.digit_net import DigitNet


def check_high_gradient_ratio(fn: Callable[[Tensor, Tensor, float], float]) -> bool:
    """Check ``fn(gradient_map, region, threshold) -> number`` against the HGR."""
    # Made so that no two of the mistakes below give the same number: a pixel of the region lies
    # on the threshold, the largest magnitude is negative and outside the region.
    gradient_map = torch.tensor(
        [[0.0, -4.0, -4.0, 1.0], [3.0, -5.0, -8.0, -5.0], [1.0, -2.0, 1.0, -2.0]]
    )
    region = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]).bool()
    threshold, size = 0.5, gradient_map.abs()
    high = size / size.max() > threshold

    def share(normalised: Tensor) -> Tensor:
        return (normalised[region] > threshold).float().mean()

    not_normalised = "the map is not normalised: divide it by its largest magnitude"
    mistakes = {
        "the threshold is not strict: a pixel exactly on it does not count (use >)": (
            (size[region] >= threshold * size.max()).float().mean()
        ),
        "the region is ignored: this is the share of the whole image": high.float().mean(),
        "this is the number of high pixels, not their share": high[region].sum(),
        "divide by the size of the region, not of the whole image": (high & region).float().mean(),
        not_normalised: share(size),
        "the sign counts: take the magnitude |G| first": share(gradient_map / gradient_map.max()),
        "the sign counts: a pixel of -5 is as high as one of 5": share(gradient_map / size.max()),
        "divide by the whole map's maximum, not the region's": share(size / size[region].max()),
        "this is the mean gradient, not the share of high pixels": size[region].mean() / size.max(),
    }
    right = torch.tensor(high_gradient_ratio(gradient_map, region, threshold))
    given, example = (gradient_map, region, threshold), f"the map {gradient_map.tolist()}, 0.5"
    even = torch.full((2, 2), 0.25), torch.ones(2, 2).bool(), 0.3  # each is its own maximum
    more = [(even, torch.tensor(1.0), not_normalised)]
    return verdict("high_gradient_ratio", fn, given, right, mistakes, "", example, more)


def check_logit_gradient(fn: Callable[[nn.Module, Tensor, int], Tensor]) -> bool:
    """Check ``fn(model, image, target) -> (H, W)``, the gradient map G_6 of one image.

    ``image`` is (1, H, W); ``target`` the class whose logit is followed.
    """
    model, image, target = _small_net(), torch.rand(1, 12, 12, generator=generator()), 1
    layers = gradient_maps(model, image[None], torch.tensor([target]))[:, 0]
    other = gradient_maps(model, image[None], torch.tensor([1 - target]))[-1, 0]
    leaf = image[None].clone().requires_grad_(True)
    chance = model(leaf).softmax(dim=1)[0, target]
    mistakes = {
        "this is the other class's logit": other,
        "this is the sum of both logits; follow the target's alone": layers[-1] + other,
        "this is the gradient of a probability: take the logit, before any softmax": (
            torch.autograd.grad(chance, leaf)[0][0, 0]
        ),
        "this is G_5, the map of the last convolution, not of the logit": layers[-2],
        "the magnitude is taken; G_6 keeps its sign": layers[-1].abs(),
    }
    return verdict("logit_gradient", fn, (model, image, target), layers[-1], mistakes, "(H, W)")


def check_rib_loss(fn: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``fn(logits, labels, margin) -> scalar`` against L_RIB, its value and its gradient."""
    logits = torch.tensor([[3.0, -2.0, 0.5], [9.0, 1.0, -4.0]])
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    margin = 5.0
    capped = logits.clamp(max=margin)
    total = -(labels * capped).sum()
    mistakes = {
        "the sign is turned: L_RIB is minus the sum": -total,
        "the margin is ignored: use min(m, y)": -(labels * logits).sum(),
        "max(m, y) instead of min(m, y)": -(labels * logits.clamp(min=margin)).sum(),
        "the mean over all entries instead of the sum": total / logits.numel(),
        "the mean over the images instead of the sum": total / len(logits),
        "the labels are ignored: only present classes (t = 1) count": -capped.sum(),
        "there is a sigmoid on the logits: L_RIB has none": -(labels * logits.sigmoid()).sum(),
        "this is L_BCE": F.binary_cross_entropy_with_logits(logits, labels, reduction="sum"),
    }
    leaf = logits.clone().requires_grad_(True)
    right, example = rib_loss(leaf, labels, margin), f"logits {logits.tolist()}, margin {margin:g}"
    words = "for logits of 700 and a margin of 800 the value is wrong: is the margin fixed?"
    more = [((torch.full_like(labels, 700), labels, 800.0), -(labels * 700).sum(), words)]
    return verdict("rib_loss", fn, (leaf, labels, margin), right, mistakes, "", example, more)


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
        net = _small_net()
        slopes = torch.autograd.grad(loss(net(images)), list(net.parameters()))
        return weights(net) + factor * torch.cat([slope.flatten() for slope in slopes])

    def total(logits: Tensor) -> Tensor:
        return rib_loss(logits, labels, margin)

    def after_step(*inputs: Tensor) -> Tensor:
        net = _small_net()
        fn(net, *inputs, rate, margin)
        return weights(net)

    mistakes = {
        "the weights did not change: change them in place, for example with an optimizer": (
            weights(_small_net())
        ),
        "the step goes up the loss: subtract lambda times the gradient": stepped(rate, total),
        "the step ignores the learning rate": stepped(-1, total),
        "the loss is a mean; L_RIB is a sum": stepped(-rate, lambda y: total(y) / len(y)),
        "the step follows L_BCE": stepped(
            -rate, lambda y: F.binary_cross_entropy_with_logits(y, labels, reduction="sum")
        ),
    }
    right = stepped(-rate, total)
    return verdict("rib_step", after_step, (images, labels), right, mistakes)


def check_mask_loss(fn: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Check ``fn(logits, mask) -> scalar``: cross entropy over the pixels that are not 255.

    ``logits`` (C + 1, H, W), ``mask`` (H, W) uint8: 0 background, class_id + 1, 255 ignored.
    """
    draws = generator()
    logits = torch.randn(4, 5, 6, generator=draws)
    mask = torch.randint(0, 4, (5, 6), generator=draws, dtype=torch.uint8)
    mask[1, 2:] = mask[4, :3] = 255
    labelled = mask != 255
    background = torch.where(labelled, mask.long(), 0)
    each = F.cross_entropy(logits[None], background[None], reduction="none")[0]
    mistakes = {
        "pixels of 255 count as background; leave them out": each.mean(),
        "the sum over the labelled pixels; take the mean": each[labelled].sum(),
        "divide by the labelled pixels, not by all": each[labelled].sum() / mask.numel(),
        "the background is left out: pixels of 0 count as well": each[labelled & (mask > 0)].mean(),
        "the softmax is taken twice: cross entropy takes logits": F.cross_entropy(
            logits.softmax(0)[None], mask.long()[None], ignore_index=255
        ),
    }
    leaf = logits.clone().requires_grad_(True)
    right = F.cross_entropy(leaf[None], mask.long()[None], ignore_index=255)
    return verdict("mask_loss", fn, (leaf, mask), right, mistakes)


def _small_net() -> DigitNet:
    """The same small net at every call."""
    with torch.random.fork_rng(devices=[]):  # a check does not change the numbers that follow it
        net = DigitNet(channels=(4, 4, 4, 4, 4))
    draws = generator()
    with torch.no_grad():
        for weight in net.parameters():
            weight.uniform_(-0.5, 0.6, generator=draws)
    return net.eval()
