"""The authors' loop over images, written out from its description: nothing is spared.

Every view of every step runs through the whole net with a graph, the frozen stages and the scale
that is not in the loss too; so does the batch, also at the last step, whose update no map looks
at. Gradients end at the frozen stages. Classes are pooled one after the other; before each image
the whole state is set to a copy of theta_0; the batch is decoded where it is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from part_clock import PartClock
from torch import Tensor

from ribnb.core.files import Maps, write_maps
from ribnb.method.inputs import VIEWS, AdaptationInputs
from ribnb.nets.cam_net import CAMNet


def released_loop(
    model: CAMNet, inputs: AdaptationInputs, targets: Sequence[int], folder: Path, clock: PartClock
) -> None:
    """Maps of the targets, one file each, as ``localization_maps`` writes them."""
    theta_0 = copy.deepcopy(model.state_dict())
    device = model.class_layer.weight.device
    folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        model.load_state_dict(copy.deepcopy(theta_0))
        with clock.part("decode_and_resize"):
            views = [view.to(device) for view in inputs[target, VIEWS][1]]
        labels = inputs.images.labels[target].to(device)
        maps = _maps(model, inputs, target, views, labels, clock)
        ids = labels.nonzero()[:, 0].cpu().numpy()
        with clock.part("writing"):
            name = f"{inputs.images.ids[target]}.npz"
            write_maps(folder / name, Maps(ids, *(one.cpu().numpy() for one in maps)))
    model.load_state_dict(theta_0)


def _maps(
    model: CAMNet,
    inputs: AdaptationInputs,
    target: int,
    views: list[Tensor],
    labels: Tensor,
    clock: PartClock,
) -> list[Tensor]:
    """M at the full and at a quarter of the resolution."""
    settings, size = inputs.settings, views[0].shape[-2:]
    stride = model.output_stride
    padded = [-(-side // stride) * stride for side in size]
    quarter = [(side - 1) // 4 + 1 for side in size]
    groups = [model.moving_parameters(), list(model.class_layer.parameters())]
    optimizer = torch.optim.SGD([{"params": g} for g in groups], momentum=settings.momentum)
    totals = [0, 0]
    for k in range(settings.iterations):
        cams, rows = [], []
        for scale, view in zip(settings.scales, views, strict=True):
            maps = _class_maps(model, view, "target", clock)
            cam = maps[:, labels == 1].relu().detach()
            cams.append(cam[0] + cam[1].flip(-1))
            if scale in settings.loss_scales:
                rows.append(_pooled(maps, settings.threshold))
        with clock.part("map_sum"):
            totals[0] = totals[0] + _resized(cams, padded)[:, : size[0], : size[1]]
            totals[1] = totals[1] + _resized(cams, quarter)
        with clock.part("decode_and_resize"):
            images, others = (part.to(device_of(model)) for part in inputs[target, k][1])
        rows.append(_pooled(_class_maps(model, images, "batch", clock), settings.threshold))
        logits = torch.cat(rows)
        target_rows = labels.expand(len(logits) - len(others), -1)
        loss = -(torch.cat([target_rows, others]) * logits).sum()
        optimizer.zero_grad()
        with clock.part("backward"):
            loss.backward()
        loss.item()
        rate = settings.learning_rate * (1 - k / settings.iterations) ** settings.power
        optimizer.param_groups[0]["lr"] = rate
        optimizer.param_groups[1]["lr"] = rate * settings.class_layer_factor
        with clock.part("optimizer"):
            optimizer.step()
    return [total / (total.amax(dim=(1, 2), keepdim=True) + 1e-5) for total in totals]


def device_of(model: CAMNet) -> torch.device:
    return model.class_layer.weight.device


def _class_maps(model: CAMNet, images: Tensor, whose: str, clock: PartClock) -> Tensor:
    with clock.part(f"frozen_{whose}"):
        features = model.frozen_modules()(images).detach()  # the graph before it is for nothing
    with clock.part(f"moving_{whose}"):
        return model.class_layer(model.moving_features(features))


def _pooled(maps: Tensor, threshold: float) -> Tensor:
    """(b, C) logits, a class at a time, the images of the batch together."""
    logits = []
    for c in range(maps.shape[1]):
        one = maps[:, c]
        low = one.detach() / one.detach().amax(dim=(1, 2), keepdim=True) < threshold
        logits.append((one * low).mean(dim=(1, 2)))
    return torch.stack(logits, dim=1)


def _resized(cams: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    return sum(F.interpolate(cam[None], size, mode="bilinear")[0] for cam in cams)
