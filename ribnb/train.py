"""Training the classifiers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ribnb.models import DigitNet
from ribnb.progress import progress


def train_digit_net(
    images: Float[Tensor, "N 1 H W"],
    labels: Int[Tensor, " N"],
    epochs: int = 8,
    seed: int = 0,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    **design: Any,
) -> tuple[DigitNet, list[float]]:
    """Train a ``DigitNet`` with L_BCE (Adam, learning rate falling linearly to 0).

    Args:
        images: (N, 1, H, W) in [0, 1], on the device to train on.
        labels: (N,) class indices.
        epochs: passes over the images.
        seed: of the initial weights and the order of the images.
        batch_size: images a step.
        learning_rate: Adam's, at the start.
        design: ``pooling``, ``bias`` and ``channels`` of the ``DigitNet``.

    Returns:
        The net in eval mode and the mean loss of each epoch.

    Lee et al. 2021, Figure 1 (the classifier of the toy experiment).
    """
    with torch.random.fork_rng(devices=[]):  # initialisers draw from the CPU's global generator
        torch.manual_seed(seed)
        net = DigitNet(num_classes=2, **design).to(images.device)
    order = torch.Generator().manual_seed(seed)
    one_hot = F.one_hot(labels, 2).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    steps = epochs * -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, power=1.0)
    history = []
    for _ in progress(range(epochs), f"training, seed {seed}"):
        total = 0.0
        for batch in torch.randperm(len(images), generator=order).split(batch_size):
            loss = F.binary_cross_entropy_with_logits(net(images[batch]), one_hot[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        history.append(total / len(images))
    return net.eval(), history
