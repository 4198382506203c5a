"""Backbones: residual networks and timm's, each a chain of a stem and four stages."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from types import ModuleType
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BeforeValidator
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ribnb.core.devices import autocast, evaluation
from ribnb.core.files import digest
from ribnb.core.own import Functions, nearest
from ribnb.data.views import IMAGENET_COLOURS, Normalization

TIMM = "timm/"  # before the name of one of timm's nets
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
STAGES = (("conv1", "bn1", "relu", "maxpool"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
_CHAINS = ("blocks", "stages", "features")  # modules of timm's nets that are chains themselves
HEADS = ("global_pool", "norm_head", "head_drop", "head", "fc", "classifier")  # after the map


def known_architecture(arch: Any) -> str:
    """What stands in settings and checkpoints for a net: its name, or that of a function of yours.

    ValueError, with the nearest name, if there is no such net.
    """
    if isinstance(arch, Backbone):  # its weights' shapes; no text can build it again
        return f"{type(arch.module).__qualname__}@{digest(repr(arch.module))}"
    if not isinstance(arch, str) or not arch.startswith(TIMM):
        return BACKBONES.text(arch)
    timm, name = timm_library(), arch.removeprefix(TIMM)
    tagged = "." in name  # a tag says which of a net's weights
    if not timm.is_model(name) or (tagged and not timm.is_model_pretrained(name)):
        hint = nearest(arch, [TIMM + each for each in timm.list_models(pretrained=tagged)])
        raise ValueError(f"timm {timm.__version__} has no net {name!r}{hint}")
    return arch


def timm_library() -> ModuleType:
    """timm, whose import takes seconds; in a notebook it would complain of missing widgets."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        import timm
    return timm


Architecture = Annotated[str, BeforeValidator(known_architecture)]


@dataclass(frozen=True)
class Backbone:
    """What a CAM net needs to know of the net below its class layer.

    One of your own is given to ``CAMNet`` as it is, or as a function of the output stride that
    returns one: that function, ``"module:function"``, or the name of an entry point in the group
    ``ribnb.backbones``. A checkpoint can be loaded again only where a text names the function.

    Attributes:
        module: the net without what follows its last feature map.
        stages: names of its modules, one applied to the output of the other: the stem's, then
            those of each of the stages that the adaptation may move, four as a rule.
        channels: D of the last feature map.
        output_stride: pixels of the image for one position of that map, at most 16.
        normalization: mean and deviation of the colours that the net was trained with.
    """

    module: nn.Module
    stages: tuple[tuple[str, ...], ...]
    channels: int
    output_stride: int
    normalization: Normalization = field(default=IMAGENET_COLOURS)


class SceneBackbone(nn.Module):
    """A residual net of four basic blocks for scenes: 98,000 weights, output stride 4.

    The stages have ResNet's names; the stem has stride 2 and no max pooling.
    """

    widths = (16, 32, 48, 48)
    strides = (2, 1, 1, 1)
    stride = 4

    def __init__(self) -> None:
        # torchvision brings torch's compiler along: two seconds that many commands do not need
        from torchvision.models.resnet import BasicBlock

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


class DilatedDepthwise(nn.Conv2d):
    """A dilated depthwise convolution whose gradient takes a quarter of the time on a CPU.

    torch has no fast kernel for it there. Without dilation it has, and the positions that a
    dilation of d keeps apart can be images of their own: the same products, d x d maps of them.
    """

    @staticmethod
    def can_replace(module: nn.Conv2d) -> bool:
        """Whether it is one, of stride 1, that keeps a map's size."""
        dilation = module.dilation[0]
        size = module.kernel_size[0]
        return (
            module.in_channels == module.out_channels == module.groups
            and dilation > 1
            and module.stride == (1, 1)
            and module.dilation == (dilation, dilation)
            and module.kernel_size == (size, size)
            and module.padding == (size // 2 * dilation, size // 2 * dilation)
            and module.bias is None
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) from (B, C, h, w)."""
        if maps.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(maps)
        (batch, channels, height, width), d = maps.shape, self.dilation[0]
        padded = F.pad(maps, (0, -width % d, 0, -height % d)).permute(0, 2, 3, 1)
        rows, columns = padded.shape[1] // d, padded.shape[2] // d
        apart = padded.reshape(batch, rows, d, columns, d, channels).permute(0, 2, 4, 1, 3, 5)
        apart = apart.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)  # channels last
        made = F.conv2d(apart, self.weight, padding=self.kernel_size[0] // 2, groups=channels)
        made = made.permute(0, 2, 3, 1).reshape(batch, d, d, rows, columns, channels)
        made = made.permute(0, 3, 1, 4, 2, 5).reshape(padded.shape)
        return made[:, :height, :width].permute(0, 3, 1, 2)


def new_backbone(arch: Any, output_stride: int) -> Backbone:
    """A backbone with random weights, drawn from torch's global generator.

    Args:
        arch: ``"scenes"``, which always has stride 4, a ResNet of torchvision, ``"timm/NAME"``, or
            one of your own, see ``Backbone``. The parameters keep the names that they have there.
        output_stride: 16 or 8. A ResNet of torchvision has stride 1 in layer4, in layer3 too for
            8, and no dilation, as the authors' net; timm's nets dilate their last stages.

    Raises:
        ValueError: an unknown ``arch`` or stride, or a net without such a stride or whose
            feature map is not made by one module after the other.
    """
    if isinstance(arch, Backbone):
        return _checked(arch, "given")
    arch = known_architecture(arch)
    if (arch in RESNETS or arch.startswith(TIMM)) and output_stride not in (8, 16):
        raise ValueError(f"output_stride must be 16 or 8; got {output_stride}")
    if arch.startswith(TIMM):
        return _of_timm(arch.removeprefix(TIMM), output_stride)
    face = BACKBONES.of(arch)(output_stride)
    return face if arch in BACKBONES.known else _checked(face, arch)


@torch.no_grad()
def _checked(face: Any, name: str) -> Backbone:
    """A reader's own; else what a position is of the image, and what moves, would be a guess."""
    if not isinstance(face, Backbone):
        raise ValueError(f"{name} must return a Backbone; it is a {type(face).__name__}")
    device = next((each.device for each in face.module.parameters()), None)
    maps = torch.zeros(1, 3, 64, 64, device=device)
    maps = _chained(face.module, chain.from_iterable(face.stages), maps, f"the backbone {name}")
    stride, shape = face.output_stride, tuple(maps.shape)
    if stride > 16 or shape != (1, face.channels, *(-(-64 // stride),) * 2):
        raise ValueError(
            f"the backbone {name} has no output stride of 8 or 16 to give, or other channels than "
            f"it says: with output_stride = {stride} and {face.channels} channels its map of "
            f"64 x 64 pixels is {shape}. Let its last stages have stride 1"
        )
    return face


def _resnet(arch: str, output_stride: int) -> Backbone:
    from torchvision.models import get_model  # slow, see SceneBackbone

    resnet = get_model(arch, weights=None)
    channels = resnet.fc.in_features
    del resnet.fc, resnet.avgpool
    for stage in ("layer4", "layer3")[: 16 // output_stride]:
        for module in getattr(resnet, stage)[0].modules():  # the shortcut's convolution too
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return Backbone(resnet, STAGES, channels, output_stride)


def _scenes(_: int) -> Backbone:
    return Backbone(SceneBackbone(), STAGES, SceneBackbone.widths[-1], SceneBackbone.stride)


# What a net may be besides timm's: the output stride that is asked for -> a Backbone.
BACKBONES = Functions(
    "backbones",
    {"scenes": _scenes, **{name: partial(_resnet, name) for name in RESNETS}},
    ("output_stride",),
    (f"{TIMM}NAME",),
)


def _of_timm(name: str, output_stride: int) -> Backbone:
    options: dict[str, Any] = {"num_classes": 0, "global_pool": "", "output_stride": output_stride}
    try:
        net = timm_library().create_model(name, pretrained=False, **options)
    except (TypeError, AssertionError, NotImplementedError) as error:
        why = f"{error}" or type(error).__name__
        raise ValueError(
            f"timm's {name} has no output stride of {output_stride} to give, so that its map would "
            f"be too coarse or none at all ({why}); take a convolutional "
            "net such as tf_efficientnet_lite0"
        ) from error
    for head in HEADS:
        if hasattr(net, head):
            setattr(net, head, nn.Identity())
    parts = []
    for child, module in net.named_children():
        inner = [f"{child}.{part}" for part, _ in module.named_children()]
        parts += inner if child in _CHAINS else [child] if child not in HEADS else []
    image, whose = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64), f"timm's {name}"
    found = _chained(net, parts, image, whose)
    with torch.no_grad(), evaluation(net):
        if found.ndim != 4 or not torch.equal(found, net.forward_features(image)):
            raise ValueError(f"{whose} must make its map by one module after the other")
    for module in net.modules():
        if type(module) is nn.Conv2d and DilatedDepthwise.can_replace(module):
            module.__class__ = DilatedDepthwise  # its weights and its name stay
    # Its stages end where timm says that a resolution does; what follows belongs to the last.
    ends = [_place(info["module"], parts) for info in net.feature_info]
    cuts = [0, *(end + 1 for end in ([0, *ends] if len(ends) < 5 else ends)[-5:-1]), len(parts)]
    return Backbone(
        net,
        tuple(tuple(parts[begin:end]) for begin, end in pairwise(cuts)),
        net.num_features,
        output_stride,
        Normalization(net.default_cfg["mean"], net.default_cfg["std"]),
    )


def _place(module: str, parts: list[str]) -> int:
    """Which of the parts it is, or lies in."""
    return next(i for i, one in enumerate(parts) if f"{module}.".startswith(f"{one}."))


@torch.no_grad()
def _chained(net: nn.Module, parts: Iterable[str], maps: Tensor, whose: str) -> Tensor:
    """What these modules, one after the other, make of an image."""
    with evaluation(net):
        for part in parts:
            try:
                maps = net.get_submodule(part)(maps)
            except (AttributeError, RuntimeError, TypeError, NotImplementedError) as error:
                raise ValueError(
                    f"{whose} must make its map by one module of its stages after the other; at "
                    f"{part!r}: {error}"
                ) from error
    return maps


def folded(module: nn.Module) -> nn.Module:
    """A twin, for evaluation, whose convolutions do the work of the batch norms after them.

    With its running statistics batch norm is a factor and a shift for each channel, so the
    convolution's weights can hold both; one pass over every feature map is saved. Rounding
    apart, the outputs are the same. The new weights do not follow later changes of the module's.

    Args:
        module: in eval mode; where a convolution and a batch norm are neighbours among a
            module's children, the one must feed the other, as in torchvision's and timm's nets.
    """
    children = {name: folded(child) for name, child in module.named_children()}
    for (name, first), (after, second) in pairwise(list(children.items())):
        # a subclass that overrides the weights, such as a standardised convolution, is left alone
        plain = type(first).__name__ in ("Conv2d", "Conv2dSame", "DilatedDepthwise")
        if plain and isinstance(second, nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(first, second)
            children[name] = fused.to(memory_format=torch.channels_last)
            # timm's batch norms hold the activation that follows them
            children[after] = getattr(second, "act", nn.Identity())
    # Not a deep copy: that takes longer than what is saved in a step on a fast GPU.
    twin = copy.copy(module)
    twin._modules = children
    return twin


def frozen_pass(
    frozen: nn.Module, device: torch.device, precision: str
) -> Callable[[Float[Tensor, "b 3 H W"]], Float[Tensor, "b D h w"]]:
    """What frozen stages, in eval mode, make of images; batch norm is folded into them."""
    stages = folded(frozen)

    def features(images: Tensor) -> Tensor:
        images = images.to(device, non_blocking=True)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), autocast(precision, device):
            return stages(images)

    return features
