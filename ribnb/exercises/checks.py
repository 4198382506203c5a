"""Self-checks for the exercises: hand in a function, read what is wrong with it.

Each check calls the function on small examples and compares what comes back with the right
answer. If it differs, it also compares it with the answers of the usual mistakes, and names the
mistake that fits. A check prints its verdict and returns whether all is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ribnb.exercises.check_tools import difference, verdict
from ribnb.exercises.map_checks import check_cam, check_gndrp, check_localization_map
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio
from ribnb.method.losses import rib_loss
from ribnb.nets.models import DigitNet

__all__ = [
    "check_cam",
    "check_gndrp",
    "check_high_gradient_ratio",
    "check_localization_map",
    "check_logit_gradient",
    "check_rib_loss",
    "check_rib_step",
]


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

    def compare() -> str:
        given = logits.clone().requires_grad_(True)
        loss = fn(given, labels, margin)
        fault = difference(loss, total, mistakes, f"logits {logits.tolist()}, margin {margin:g}")
        return fault or _gradient_fault(loss, given, labels * (logits < margin), fn, labels)

    return verdict("rib_loss", compare)


def check_high_gradient_ratio(fn: Callable[[Tensor, Tensor, float], float]) -> bool:
    """Check ``fn(gradient_map, region, threshold) -> number`` against the HGR."""
    # Made so that no two of the mistakes below give the same number: a pixel of the region lies
    # on the threshold, the largest magnitude is negative and outside the region.
    gradient_map = torch.tensor(
        [[0.0, -4.0, -4.0, 1.0], [3.0, -5.0, -8.0, -5.0], [1.0, -2.0, 1.0, -2.0]]
    )
    region = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]).bool()
    threshold = 0.5
    normalised = gradient_map.abs() / gradient_map.abs().max()
    inside, high = normalised[region], normalised > threshold
    own_maximum = gradient_map.abs() / gradient_map[region].abs().max()
    shifted = (gradient_map - gradient_map.min()) / (gradient_map.max() - gradient_map.min())
    mistakes = {
        "the threshold is not strict: a pixel exactly on it does not count (use >)": (
            (inside >= threshold).float().mean()
        ),
        "the region is ignored: this is the share of the whole image": high.float().mean(),
        "this is the number of high pixels, not their share": high[region].sum(),
        "the high pixels of the region are divided by the size of the whole image": (
            high[region].sum() / region.numel()
        ),
        "the map is not normalised: divide it by its largest magnitude": (
            (gradient_map.abs()[region] > threshold).float().mean()
        ),
        "the sign counts: take the magnitude |G| first": (
            (gradient_map[region] / gradient_map.max() > threshold).float().mean()
        ),
        "the sign counts: a pixel of -5 is as high as one of 5": (
            (gradient_map[region] / gradient_map.abs().max() > threshold).float().mean()
        ),
        "the map is divided by its largest value; divide by its largest magnitude, max |G|": (
            (gradient_map.abs()[region] / gradient_map.max() > threshold).float().mean()
        ),
        "the map is divided by a maximum within the region; divide by the whole map's": (
            (own_maximum[region] > threshold).float().mean()
        ),
        "the map is shifted to [0, 1]; a gradient of 0 must stay 0, so take |G| / max |G|": (
            (shifted[region] > threshold).float().mean()
        ),
        "this is the mean gradient, not the share of high pixels": inside.mean(),
        "this is the share that is low": (~high)[region].float().mean(),
    }
    right = torch.tensor(high_gradient_ratio(gradient_map, region, threshold))

    def compare() -> str:
        ratio = fn(gradient_map.clone(), region.clone(), threshold)
        example = f"the map {gradient_map.tolist()}, threshold {threshold:g}"
        fault = difference(ratio, right, mistakes, example)
        if fault:
            return fault
        flat = torch.full((2, 2), 0.25)  # every pixel is its own maximum
        whole = torch.ones(2, 2, dtype=torch.bool)
        return difference(
            fn(flat, whole, 0.3),
            torch.tensor(1.0),
            {"the map is not normalised: divide it by its largest magnitude": torch.tensor(0.0)},
            "a map that is 0.25 everywhere, threshold 0.3",
        )

    return verdict("high_gradient_ratio", compare)


def check_logit_gradient(fn: Callable[[nn.Module, Tensor, int], Tensor]) -> bool:
    """Check ``fn(model, image, target) -> (H, W)``, the gradient map G_6 of one image.

    ``image`` is (1, H, W); ``target`` the class whose logit is followed.
    """
    model, image, target = _small_net(), torch.rand(1, 12, 12, generator=_generator()), 1
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
        "the magnitude is taken; G_6 keeps its sign (the HGR takes the magnitude)": (
            layers[-1].abs()
        ),
        "this is gradient times image": layers[-1] * image[0],
        "the sign is turned": -layers[-1],
    }

    def compare() -> str:
        found = fn(model, image.clone(), target)
        if isinstance(found, Tensor) and found.ndim > 2 and found.numel() == layers[-1].numel():
            return f"the shape is {tuple(found.shape)}; a gradient map is (H, W)"
        return difference(found, layers[-1], mistakes, "a small net and one image of 12 x 12")

    return verdict("logit_gradient", compare)


def check_rib_step(fn: Callable[[nn.Module, Tensor, Tensor, float, float], Any]) -> bool:
    """Check ``fn(model, images, labels, learning_rate, margin)``: one step on the model, in place.

    ``images`` (B, 1, H, W), ``labels`` (B, C); the step is theta - lambda grad L_RIB.
    """
    rate, margin = 0.05, 600.0
    images = torch.rand(2, 1, 12, 12, generator=_generator())
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def stepped(factor: float, loss: Callable[[Tensor], Tensor]) -> Tensor:
        model = _small_net()
        gradients = torch.autograd.grad(loss(model(images)), list(model.parameters()))
        pairs = zip(model.parameters(), gradients, strict=True)
        return torch.cat([(weight + factor * slope).flatten() for weight, slope in pairs]).detach()

    def total(logits: Tensor) -> Tensor:
        return rib_loss(logits, labels, margin)

    before = torch.cat([weight.flatten() for weight in _small_net().parameters()]).detach()
    mistakes = {
        "the weights did not change: change them in place, for example with an optimizer": before,
        "the step goes up the loss: subtract lambda times the gradient": stepped(rate, total),
        "the step ignores the learning rate": stepped(-1, total),
        "the loss is a mean; L_RIB is a sum": stepped(-rate, lambda y: total(y) / len(y)),
        "the step follows L_BCE": stepped(
            -rate, lambda y: F.binary_cross_entropy_with_logits(y, labels, reduction="sum")
        ),
    }

    def compare() -> str:
        model = _small_net()
        fn(model, images.clone(), labels.clone(), rate, margin)
        after = torch.cat([weight.flatten() for weight in model.parameters()]).detach()
        return difference(after, stepped(-rate, total), mistakes, "a small net and two images")

    return verdict("rib_step", compare)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _small_net() -> DigitNet:
    """The same small net at every call."""
    with torch.random.fork_rng(devices=[]):  # a check does not change the numbers that follow it
        net = DigitNet(channels=(4, 4, 4, 4, 4))
    generator = _generator()
    with torch.no_grad():
        for weight in net.parameters():
            weight.uniform_(-0.5, 0.6, generator=generator)
    return net.eval()


def _gradient_fault(
    loss: Tensor, logits: Tensor, counted: Tensor, fn: Callable, labels: Tensor
) -> str:
    if not (isinstance(loss, Tensor) and loss.requires_grad):
        return "the value is right, but it has no gradient: compute with tensors, without .item()"
    loss.backward()
    if not torch.allclose(logits.grad, -counted):
        return (
            "the value is right, the gradient is not: it must be -1 for a present class below the "
            f"margin and 0 elsewhere, but it is {logits.grad.tolist()}"
        )
    tall = torch.full_like(labels, 700.0)
    if not torch.isclose(fn(tall, labels, 800.0), -(labels * 700).sum()):
        return "for logits of 700 and a margin of 800 the value is wrong: is the margin fixed?"
    return ""
