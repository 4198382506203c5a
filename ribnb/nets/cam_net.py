"""The classifiers that class activation maps are made with: residual networks."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from ribnb.nets.weights import StoredNet, load_state, starting_weights

Architecture = Literal["scenes", "resnet18", "resnet34", "resnet50", "resnet101"]
ARCHITECTURES = get_args(Architecture)
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
MOVING = 2  # residual stages that the adaptation moves, in the paper's program: layer3 and layer4


class SceneBackbone(nn.Module):
    """A residual net of four basic blocks for scenes: 98,000 weights, output stride 4.

    The stages have ResNet's names; the stem has stride 2 and no max pooling.
    """

    widths = (16, 32, 48, 48)
    strides = (2, 1, 1, 1)
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        channels = self.widths[0]
        self.conv1 = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity()
        for stage, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True), 1):
            shortcut = None
            if stride != 1 or width != channels:
                convolution = nn.Conv2d(channels, width, 1, stride=stride, bias=False)
                shortcut = nn.Sequential(convolution, nn.BatchNorm2d(width))
            block = BasicBlock(channels, width, stride, shortcut)
            setattr(self, f"layer{stage}", nn.Sequential(block))
            channels = width


def new_backbone(arch: str, output_stride: int) -> tuple[nn.Module, int, int]:
    """A backbone with random weights and stages ``STAGES``, its channels, its output stride.

    The stride is 16 (stride 1 in layer4) or 8 (in layer3 too); ``"scenes"`` always has 4.
    torchvision's ResNets keep the names of their parameters.
    """
    if arch not in ARCHITECTURES:
        raise ValueError(f"arch must be one of {', '.join(ARCHITECTURES)}; got {arch!r}")
    if arch == "scenes":
        return SceneBackbone(), SceneBackbone.widths[-1], SceneBackbone.stride
    if output_stride not in (8, 16):
        raise ValueError(f"output_stride must be 16 or 8; got {output_stride}")
    resnet = torchvision.models.get_model(arch, weights=None)
    channels = resnet.fc.in_features
    del resnet.fc, resnet.avgpool
    for stage in ("layer4", "layer3")[: 16 // output_stride]:
        for module in getattr(resnet, stage)[0].modules():  # the shortcut's convolution too
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return resnet, channels, output_stride


class CAMNet(StoredNet):
    """A residual network whose class layer can be read at every position: made for CAMs.

    The class layer is a 1 x 1 convolution without bias on the last feature map. Averaging its
    output over the positions gives the logits, so the output itself says how much each position
    adds to them.

    Args:
        arch: ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"`` (torchvision's), or
            ``"scenes"``, a small one for the embedded scenes.
        num_classes: C.
        output_stride: 16, without dilation, as the authors' net, or 8; ``"scenes"`` has 4.
        weights: torchvision's weights enum of ``arch`` (downloaded and cached), a path of a
            state dict (``.safetensors`` or torch's format; a torchvision ResNet or a CAMNet),
            or None for random weights drawn from torch's global generator.

    Attributes:
        backbone: the ResNet without its fc; its parameters keep torchvision's names.
        class_layer: the 1 x 1 convolution.
        output_stride: pixels of the image for one position of the feature map.

    Raises:
        ValueError: an unknown ``arch`` or ``output_stride``, weights of another architecture or
            of another number of classes.
    """

    kind = "classifier"
    frozen_stages = ("conv1", "bn1", "layer1", "layer2")  # in the paper's program

    def __init__(
        self,
        arch: str,
        num_classes: int,
        output_stride: int = 16,
        weights: torchvision.models.WeightsEnum | str | Path | None = None,
    ) -> None:
        super().__init__()
        self.backbone, channels, self.output_stride = new_backbone(arch, output_stride)
        self.arch, self.num_classes = arch, num_classes
        self.class_layer = nn.Conv2d(channels, num_classes, kernel_size=1, bias=False)
        if weights is not None:
            state = starting_weights(arch, weights)
            own = any(name.startswith("backbone.") for name in state)
            state = {name: value for name, value in state.items() if not name.startswith("fc.")}
            load_state(self if own else self.backbone, state, f"{weights}", arch)

    def design(self) -> dict[str, Any]:
        """The arguments that build this net."""
        return {name: getattr(self, name) for name in ("arch", "num_classes", "output_stride")}

    def split(self, moving: int | None = None) -> tuple[nn.Sequential, nn.Sequential]:
        """The backbone in two: what the adaptation leaves alone, then what it moves.

        The second part holds the last ``moving`` residual stages, 0 to 4; None is layer3 and
        layer4, all but ``frozen_stages``. Both are the net's own modules, not copies.
        """
        stages = [getattr(self.backbone, stage) for stage in STAGES]
        cut = len(STAGES) - (MOVING if moving is None else moving)
        return nn.Sequential(*stages[:cut]), nn.Sequential(*stages[cut:])

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """The last feature map T_l."""
        frozen, moving = self.split()
        return moving(frozen(images))

    def class_maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The class layer's output at every position, before any ReLU."""
        return self.class_layer(self.features(images))

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """Logits y, before any sigmoid: GAP of the class maps."""
        return self.class_maps(images).mean(dim=(2, 3))

    forward = logits


def folded(module: nn.Module) -> nn.Module:
    """A twin, for evaluation, whose convolutions do the work of the batch norms after them.

    With its running statistics batch norm is a factor and a shift for each channel, so the
    convolution's weights can hold both; one pass over every feature map is saved. Rounding
    apart, the outputs are the same. The new weights do not follow later changes of the module's.

    Args:
        module: in eval mode; where a convolution and a batch norm are neighbours among a
            module's children, the one must feed the other, as in torchvision's ResNets.
    """
    children = {name: folded(child) for name, child in module.named_children()}
    for (name, first), (after, second) in pairwise(list(children.items())):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(first, second)
            children[name] = fused.to(memory_format=torch.channels_last)
            children[after] = nn.Identity()
    # Not a deep copy: that takes longer than what is saved in a step on a fast GPU.
    twin = copy.copy(module)
    twin._modules = children
    return twin
