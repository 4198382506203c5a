"""The network of the toy experiment on digits, and its training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ribnb.core.devices import seeded
from ribnb.nets.fitting import fit, logit_loss
from ribnb.nets.weights import StoredNet


class DigitNet(StoredNet):
    """Five convolutions and one fully connected layer, for digit scenes.

    The 3 x 3 convolutions keep the resolution, halve it twice (the second and third) and are
    each followed by a ReLU; the last feature map is pooled over its positions and enters the
    fully connected layer. Without biases a black image gives the logits 0, and black background
    passes on nothing. The paper gives only the number of layers (Figure 1); channels, strides,
    pooling and the missing biases are this book's.

    Args:
        num_classes: length of the logits.
        channels: output channels of the five convolutions.
        pooling: ``"mean"`` (GAP, as in a network made for class activation maps) or ``"max"``.
        bias: give every layer a bias.

    Lee et al. 2021, Figure 1.
    """

    kind = "digits"
    strides = (1, 2, 2, 1, 1)

    def __init__(
        self,
        num_classes: int = 2,
        channels: tuple[int, ...] = (8, 16, 32, 32, 32),
        pooling: str = "mean",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.given = {"channels": [*channels], "pooling": pooling, "bias": bias}
        self.pool = {"mean": torch.mean, "max": torch.amax}[pooling]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=bias)
            for (inputs, outputs), stride in zip(
                pairwise((1, *channels)), self.strides, strict=True
            )
        )
        self.class_layer = nn.Linear(channels[-1], num_classes, bias=bias)

    def design(self) -> dict[str, Any]:
        """The arguments that build this net."""
        return {"num_classes": self.num_classes, **self.given}

    def features(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C h w"]:
        """The last feature map T_5, at a quarter of the image's resolution."""
        for convolution in self.convolutions:
            images = torch.relu_(convolution(images))
        return images

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B num_classes"]:
        """Logits y, before any sigmoid."""
        return self.class_layer(self.pool(self.features(images), dim=(2, 3)))


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
        epochs, batch_size, learning_rate: passes, images a step, Adam's rate at the start.
        seed: of the initial weights and the order of the images.
        design: ``pooling``, ``bias`` and ``channels`` of the ``DigitNet``.

    Returns:
        The net in eval mode and the mean loss of each epoch.

    Lee et al. 2021, Figure 1 (the classifier of the toy experiment).
    """
    with seeded(seed):  # initialisers draw from the CPU's global generator
        net = DigitNet(num_classes=2, **design).to(images.device)
    order = torch.Generator().manual_seed(seed)
    one_hot = F.one_hot(labels, 2).float()
    each = -(-len(images) // batch_size)
    steps = epochs * each
    rates = [learning_rate]
    for step in range(1, steps):  # as PolynomialLR multiplies it down
        rates.append(rates[-1] * ((1 - step / steps) / (1 - (step - 1) / steps)))

    def batches(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=order).split(batch_size):
                yield images[rows], one_hot[rows]

    training = fit(
        net,
        torch.optim.Adam(net.parameters(), lr=learning_rate),
        batches,
        range(each, steps + 1, each),
        logit_loss,
        rates.__getitem__,
        device=images.device,
        label=f"training, seed {seed}",
    )
    return training.net, training.history
