"""The adaptation of one image, written out plainly: what `ribnb.method.adaptation` must equal.

One loop, no savings: every step runs everything, the whole net keeps its graph, classes are
pooled one by one, and the steps of SGD are written by hand. Before it, small nets and images
for all tests of the adaptation.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from small_split import net

from ribnb.method.adaptation import adapt
from ribnb.method.settings import RIBSettings

LABELS = torch.tensor([0, 1, 0, 1, 0])
VARIANT = pytest.mark.parametrize("variant", ["paper", "released"])


def settings_of(variant, **changes):
    """Steps large enough to change a small net's map, without the flood rule."""
    few = {"iterations": 3, "learning_rate": 1e-3, "scales": (1, 0.5), "loss_scales": (1,)}
    return getattr(RIBSettings, variant)(**{**few, "flood_share": None, **changes})


def run(settings, model=None, views=None, labels=LABELS, batches=None, **options):
    """`adapt`, with what is not given made up."""
    batches = some_batches(settings.iterations) if batches is None else batches
    views = some_views(settings) if views is None else views
    return adapt(model or small_net(), views, labels, batches, settings, **options)


def small_net(num_classes=5, **options):
    return net(num_classes, **options)


def some_views(settings, height=48, width=16, seed=1):
    """One image at each scale, with its flip if the settings want it."""
    generator = torch.Generator().manual_seed(seed)
    image, views = torch.randn(1, 3, height, width, generator=generator), []
    for scale in settings.scales:
        size = round(height * scale), round(width * scale)
        view = F.interpolate(image, size, mode="bilinear", align_corners=False)
        views.append(torch.cat([view, view.flip(-1)]) if settings.flip else view)
    return views


def some_batches(count, size=3, num_classes=5, side=32, seed=2):
    """Other images, each of one or two classes."""
    generator, batches = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        images = torch.randn(size, 3, side, side, generator=generator)
        first, second = torch.randint(num_classes, (2, size), generator=generator)
        labels = F.one_hot(first, num_classes) | F.one_hot(second, num_classes)
        batches.append((images, labels))
    return batches


def plain_adaptation(model, views, labels, batches, settings):
    """(high_res, losses with every step's, target losses, reason of the stop)."""
    net, moving = copy.deepcopy(model).eval(), settings.moving_stages
    stages = range(5 - (2 if moving is None else moving), 5)
    prefixes = (*(f"backbone.layer{stage}." for stage in stages), "class_layer.")
    weights = {
        name: weight.requires_grad_()
        for name, weight in net.named_parameters()
        if name.startswith(prefixes)
    }
    present = [c for c, label in enumerate(labels.tolist()) if label]
    steps, losses, target_losses, speeds, stop = [], [], [], {}, None
    for k in range(max(settings.iterations + (1 if settings.last_map else 0), 1)):
        cams, rows = [], []
        for scale, view in zip(settings.scales, views, strict=True):
            maps = net.class_maps(view)
            cam = maps[:, present].relu().detach()
            cams.append(cam[0] + torch.flip(cam[1], dims=[-1]) if settings.flip else cam[0])
            if scale in settings.loss_scales:
                rows.append(pooled(maps, settings))
        if k > 0 and is_flooded(cams[0], settings):
            steps.append(cams[:1])
            stop = "flood"
            break
        steps.append(cams)
        logits = torch.cat(rows)
        target_losses.append(logits[:, present].sum().item())
        if k < settings.iterations:
            images, others = batches[k]
            loss = summed_loss(logits, labels.expand_as(logits), settings)
            loss = loss + summed_loss(pooled(net.class_maps(images), settings), others, settings)
            losses.append(loss.item())
        if settings.margin_rule == "stop" and abs(target_losses[-1]) > settings.margin:
            stop = "margin"
            break
        if k < settings.iterations:
            descend(weights, loss, speeds, k, settings)
    return summed_maps(steps, views[0].shape[-2:], settings), losses, target_losses, stop


def pooled(maps, settings):
    """(rows, C) logits, a class of an image at a time; of GAP and GNDRP alone."""
    assert settings.pooling in ("gap", "gndrp")
    logits = []
    for one in maps.flatten(0, 1):
        top = one.max().item()
        if settings.pooling == "gap":
            logits.append(one.mean())
        elif settings.pooling_variant == "paper":
            cam = one.clamp(min=0) / top if top > 0 else torch.zeros_like(one)
            kept = one[cam <= settings.threshold]
            logits.append(kept.mean() if len(kept) else 0 * one.sum())
        else:
            kept = one[one / top < settings.threshold] if top > 0 else one[:0]
            logits.append(kept.sum() / one.numel())
    return torch.stack(logits).reshape(maps.shape[:2])


def summed_loss(logits, labels, settings):
    if settings.loss == "bce":
        chances = logits.double().sigmoid()
        return -torch.where(labels == 1, chances, 1 - chances).log().sum()
    cap = settings.margin if settings.margin_rule == "cap" else float("inf")
    return -(labels * logits.clamp(max=cap)).sum()


def is_flooded(cams, settings):
    if settings.flood_level is None or settings.flood_share is None:
        return False
    high = [cam > settings.flood_level * cam.max() for cam in cams]
    return torch.stack(high).any(dim=0).float().mean().item() > settings.flood_share


def descend(weights, loss, speeds, k, settings):
    rate = settings.learning_rate * (1 - k / settings.iterations) ** settings.power
    gradients = torch.autograd.grad(loss, list(weights.values()))
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        gradient = gradient + settings.weight_decay * weight.detach()
        speeds[name] = settings.momentum * speeds.get(name, 0) + gradient
        factor = settings.class_layer_factor if name.startswith("class_layer.") else 1
        weight.data -= rate * factor * speeds[name]


def summed_maps(steps, size, settings):
    """Every scale of every step resized by itself, which is the same as resizing their sum."""
    height, width = size
    padded = [-(-side // 16) * 16 for side in size]
    total = 0
    for cams in steps:
        resized = [F.interpolate(cam[None], padded, mode="bilinear")[0] for cam in cams]
        step = sum(resized)[:, :height, :width]
        total = total + (over_maximum(step) if settings.normalize_maps else step)
    return over_maximum(total, 1e-5 if settings.variant == "released" else 0)


def over_maximum(maps, epsilon=0.0):
    return torch.stack([one / (one.max() + epsilon) if one.max() > 0 else one for one in maps])
