"""The networks of the book."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

POOLINGS = ("mean", "max")


class DigitNet(nn.Module):
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

    Raises:
        ValueError: an unknown pooling, or other than five numbers of channels.

    Lee et al. 2021, Figure 1.
    """

    strides = (1, 2, 2, 1, 1)

    def __init__(
        self,
        num_classes: int = 2,
        channels: tuple[int, ...] = (8, 16, 32, 32, 32),
        pooling: str = "mean",
        bias: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != len(self.strides):
            raise ValueError(f"channels must be {len(self.strides)} numbers; got {channels}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
        self.pooling = pooling
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=bias)
            for (inputs, outputs), stride in zip(
                pairwise((1, *channels)), self.strides, strict=True
            )
        )
        self.class_layer = nn.Linear(channels[-1], num_classes, bias=bias)

    def features(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C h w"]:
        """The last feature map T_5, at a quarter of the image's resolution."""
        for convolution in self.convolutions:
            images = torch.relu_(convolution(images))
        return images

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B num_classes"]:
        """Logits y, before any sigmoid."""
        features = self.features(images)
        over = (2, 3)
        pooled = features.mean(over) if self.pooling == "mean" else features.amax(over)
        return self.class_layer(pooled)
