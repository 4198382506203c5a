"""The classifiers that class activation maps are made with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ribnb.nets.backbones import Backbone, known_architecture, new_backbone
from ribnb.nets.published import IMAGENET, split_head, starting_weights
from ribnb.nets.weights import StoredNet, load_state

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

MOVING = 2  # stages that the adaptation moves, in the paper's program: layer3 and layer4


class CAMNet(StoredNet):
    """A network whose class layer can be read at every position: made for CAMs.

    The class layer is a 1 x 1 convolution without bias on the last feature map. Averaging its
    output over the positions gives the logits, so the output itself says how much each position
    adds to them. A bias, where there is one, belongs to the logits and to no position.

    Args:
        arch: ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"`` (torchvision's),
            ``"timm/NAME"`` for a convolutional net of timm that takes an ``output_stride``,
            ``"scenes"``, a small one for the embedded scenes, or one of your own: ``Backbone``.
        num_classes: C.
        output_stride: 16, without dilation in torchvision's, as the authors' net, or 8;
            ``"scenes"`` has 4.
        weights: ``"imagenet"`` or torchvision's weights enum of ``arch`` (downloaded and cached;
            those of ``timm/tf_efficientnet_lite0`` are a package's), a path of a state dict
            (``.safetensors`` or torch's format; the backbone's or a CAMNet's), or None for
            random weights drawn from torch's global generator.
        bias: whether the logits have a bias, (C,), which starts at 0.

    Attributes:
        backbone: the net without its classifier; its parameters keep their library's names.
        stages: names of its modules, the stem's and those of four stages.
        class_layer: the 1 x 1 convolution.
        bias: (C,) or None.
        output_stride: pixels of the image for one position of the feature map.
        normalization: mean and deviation of the colours of the images that it takes.

    Raises:
        ValueError: an unknown ``arch`` or ``output_stride``, weights of another architecture or
            of another number of classes.
        OSError: published weights that are not here and cannot be downloaded.
    """

    kind = "classifier"

    def __init__(
        self,
        arch: str | Backbone | Callable[[int], Backbone],
        num_classes: int,
        output_stride: int = 16,
        weights: WeightsEnum | str | Path | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        face = new_backbone(arch, output_stride)
        arch = known_architecture(arch)
        self.backbone, self.stages = face.module, face.stages
        self.normalization = face.normalization
        self.arch, self.num_classes, self.output_stride = arch, num_classes, face.output_stride
        self.class_layer = nn.Conv2d(face.channels, num_classes, kernel_size=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None
        if weights is not None:
            state = starting_weights(arch, weights)
            own = any(name.startswith("backbone.") for name in state)
            state = state if own else split_head(state)[0]
            load_state(self if own else self.backbone, state, f"{weights}", arch)

    @classmethod
    def imagenet(cls, arch: str, output_stride: int = 16) -> CAMNet:
        """ImageNet's classifier of 1,000 classes as it is published, in eval mode.

        Raises:
            ValueError: ``arch`` has no such weights, or more than an average and one layer
                between its last feature map and its classes.
            OSError: the weights are not here and cannot be downloaded.
        """
        with torch.random.fork_rng(devices=[]):  # the initial weights that the file's replace
            net = cls(arch, 1000, output_stride, bias=True)
        state, head = split_head(starting_weights(arch, IMAGENET))
        load_state(net.backbone, state, IMAGENET, arch)
        layer = {name.split(".")[-1]: value for name, value in head.items()}
        if len(head) != 2 or layer["weight"].shape[1] != net.class_layer.in_channels:
            raise ValueError(f"{arch} does not classify by one layer after an average")
        with torch.no_grad():
            net.class_layer.weight.copy_(layer["weight"].view_as(net.class_layer.weight))
            net.bias.copy_(layer["bias"])
        return net.eval()

    def design(self) -> dict[str, Any]:
        """The arguments that build this net."""
        names = ("arch", "num_classes", "output_stride")
        bias = {} if self.bias is None else {"bias": True}
        return {name: getattr(self, name) for name in names} | bias

    def published(self) -> dict[str, Tensor]:
        """The backbone's, of ImageNet; errors are those of ``starting_weights``."""
        state, _ = split_head(starting_weights(self.arch, IMAGENET))
        return {f"backbone.{name}": value for name, value in state.items()}

    @property
    def frozen_stages(self) -> tuple[str, ...]:
        """Names of the modules that the paper's program leaves alone, of those with weights."""
        names = [name for stage in self.stages[:-MOVING] for name in stage]
        return tuple(n for n in names if [*self.backbone.get_submodule(n).parameters()])

    def split(self, moving: int | None = None) -> tuple[nn.Sequential, nn.Sequential]:
        """The backbone in two: what the adaptation leaves alone, then what it moves.

        The second part holds the last ``moving`` stages, 0 to 4; None is two, as in the paper's
        program, a ResNet's layer3 and layer4. Both are the net's own modules, not copies.
        """
        cut = max(0, len(self.stages) - (MOVING if moving is None else moving))
        first, last = (
            nn.Sequential(*(self.backbone.get_submodule(name) for part in parts for name in part))
            for parts in (self.stages[:cut], self.stages[cut:])
        )
        return first, last

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """The last feature map T_l."""
        frozen, moving = self.split()
        return moving(frozen(images))

    def class_maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The class layer's output at every position, before any ReLU; no bias is in it."""
        return self.class_layer(self.features(images))

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """Logits y, before any sigmoid: GAP of the class maps, plus the bias if there is one."""
        return self.with_bias(self.class_maps(images).mean(dim=(2, 3)))

    def with_bias(self, pooled: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Logits from pooled class maps."""
        return pooled if self.bias is None else pooled + self.bias

    forward = logits
