"""A net for timing: random weights, but maps that the method can change."""

from __future__ import annotations

import torch

from ribnb.core.devices import evaluation
from ribnb.nets.cam_net import CAMNet

CLASSES = 20


def net(arch: str, view: torch.Tensor) -> CAMNet:
    """Random weights, alive: each class is positive here and negative there, by about 1."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CAMNet(arch, CLASSES)
    last = "bn3" if arch in ("resnet50", "resnet101") else "bn2"
    with evaluation(model), torch.no_grad():
        for name, module in model.backbone.named_modules():
            if name.endswith(last):
                module.weight.fill_(0.2)
        mean = model.features(view).mean(dim=(0, 2, 3))
        rows = model.class_layer.weight[:, :, 0, 0]
        rows -= torch.outer(rows @ mean / (mean @ mean), mean)
        rows /= model.class_maps(view).std()
    return model
