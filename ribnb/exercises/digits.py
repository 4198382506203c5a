"""Self-checks of the exercises on digits: the high gradient ratio, the gradient map G_6."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ribnb.exercises.tools import difference, generator, verdict
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio
from ribnb.nets.digit_net import DigitNet


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
    not_normalised = "the map is not normalised: divide it by its largest magnitude"
    mistakes = {
        "the threshold is not strict: a pixel exactly on it does not count (use >)": (
            (inside >= threshold).float().mean()
        ),
        "the region is ignored: this is the share of the whole image": high.float().mean(),
        "this is the number of high pixels, not their share": high[region].sum(),
        "the high pixels of the region are divided by the size of the whole image": (
            high[region].sum() / region.numel()
        ),
        not_normalised: (gradient_map.abs()[region] > threshold).float().mean(),
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

    def also(_: object) -> str:
        flat, whole = torch.full((2, 2), 0.25), torch.ones(2, 2, dtype=torch.bool)
        wrong = {not_normalised: torch.tensor(0.0)}  # every pixel is its own maximum
        words = "a map that is 0.25 everywhere, threshold 0.3"
        return difference(fn(flat, whole, 0.3), torch.tensor(1.0), wrong, words)

    return verdict(
        "high_gradient_ratio",
        fn,
        (gradient_map, region, threshold),
        torch.tensor(high_gradient_ratio(gradient_map, region, threshold)),
        mistakes,
        f"the map {gradient_map.tolist()}, threshold {threshold:g}",
        also=also,
    )


def check_logit_gradient(fn: Callable[[nn.Module, Tensor, int], Tensor]) -> bool:
    """Check ``fn(model, image, target) -> (H, W)``, the gradient map G_6 of one image.

    ``image`` is (1, H, W); ``target`` the class whose logit is followed.
    """
    model, image, target = small_net(), torch.rand(1, 12, 12, generator=generator()), 1
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
    arguments, example = (model, image, target), "a small net and one image of 12 x 12"
    return verdict("logit_gradient", fn, arguments, layers[-1], mistakes, example, "(H, W)")


def small_net() -> DigitNet:
    """The same small net at every call."""
    with torch.random.fork_rng(devices=[]):  # a check does not change the numbers that follow it
        net = DigitNet(channels=(4, 4, 4, 4, 4))
    draws = generator()
    with torch.no_grad():
        for weight in net.parameters():
            weight.uniform_(-0.5, 0.6, generator=draws)
    return net.eval()
