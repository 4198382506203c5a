"""The networks of the book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from ribnb.nets.pretrained import pretrained_state

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


Architecture = Literal["scenes", "resnet18", "resnet34", "resnet50", "resnet101"]
ARCHITECTURES = get_args(Architecture)
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
FROZEN_STAGES = ("conv1", "bn1", "layer1", "layer2")  # the method moves all that comes after


class SceneBackbone(nn.Module):
    """A residual net of four basic blocks for scenes: 98,000 weights, output stride 4.

    The stages have ResNet's names; the stem has stride 2 and no max pooling, so that a scene of
    96 x 96 pixels has a feature map of 24 x 24.
    """

    widths = (16, 32, 48, 48)
    strides = (2, 1, 1, 1)
    output_stride = 4

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


class CAMNet(nn.Module):
    """A residual network whose class layer can be read at every position: made for CAMs.

    The class layer is a 1 x 1 convolution without bias on the last feature map. Averaging its
    output over the positions gives the logits, so the output itself says how much each position
    adds to them.

    Args:
        arch: ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"`` (torchvision's), or
            ``"scenes"``, a small one for the embedded scenes.
        num_classes: C.
        output_stride: 16 (stride 1 in layer4, without dilation, as the authors' net) or 8
            (stride 1 in layer3 too). ``"scenes"`` always has 4, and does not use this.
        weights: torchvision's weights enum of ``arch`` (downloaded and cached), a path of a
            state dict (``.safetensors`` or torch's format; a torchvision ResNet or a CAMNet),
            or None for random weights drawn from torch's global generator.

    Attributes:
        backbone: the ResNet without its fc; its parameters keep torchvision's names.
        class_layer: the 1 x 1 convolution.
        frozen_stages: leading stages of the backbone, which the adaptation leaves alone.
        output_stride: pixels of the image for one position of the feature map.

    Raises:
        ValueError: an unknown ``arch`` or ``output_stride``, fewer than one class, weights of
            another architecture or of another number of classes.
    """

    def __init__(
        self,
        arch: str,
        num_classes: int,
        output_stride: int = 16,
        weights: torchvision.models.WeightsEnum | str | Path | None = None,
    ) -> None:
        super().__init__()
        if arch not in ARCHITECTURES:
            raise ValueError(f"arch must be one of {', '.join(ARCHITECTURES)}; got {arch!r}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1; got {num_classes}")
        own = SceneBackbone.output_stride if arch == "scenes" else output_stride
        if output_stride not in ((4, 8, 16) if arch == "scenes" else (8, 16)):
            raise ValueError(f"output_stride must be 16 or 8; got {output_stride}")
        self.arch, self.num_classes = arch, num_classes
        self.output_stride = own
        self.frozen_stages = FROZEN_STAGES
        if arch == "scenes":
            self.backbone, channels = SceneBackbone(), SceneBackbone.widths[-1]
        else:
            self.backbone = torchvision.models.get_model(arch, weights=None)
            channels = self.backbone.fc.in_features
            del self.backbone.fc, self.backbone.avgpool
            for stage in ("layer4", "layer3")[: 1 if output_stride == 16 else 2]:
                _remove_stride(getattr(self.backbone, stage)[0])
        self.class_layer = nn.Conv2d(channels, num_classes, kernel_size=1, bias=False)
        if weights is not None:
            self._load(weights)

    @property
    def channels(self) -> int:
        """D, the number of channels of the last feature map."""
        return self.class_layer.in_channels

    def frozen_features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B F h w"]:
        """What the leading frozen stages make of the images; without gradients."""
        with torch.no_grad():
            return self._run(STAGES[: self._first_moving()], images)

    def moving_features(self, frozen: Float[Tensor, "B F h w"]) -> Float[Tensor, "B D h w"]:
        """The last feature map T_l, from what ``frozen_features`` gave."""
        return self._run(STAGES[self._first_moving() :], frozen)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """The last feature map T_l."""
        return self._run(STAGES, images)

    def class_maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The class layer's output at every position, before any ReLU."""
        return self.class_layer(self.features(images))

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """Logits y, before any sigmoid: GAP of the class maps."""
        return self.class_maps(images).mean(dim=(2, 3))

    forward = logits

    def moving_parameters(self) -> list[nn.Parameter]:
        """The backbone's parameters that the adaptation moves; those of the class layer aside."""
        return [
            parameter
            for stage in STAGES[self._first_moving() :]
            for parameter in getattr(self.backbone, stage).parameters()
        ]

    def frozen_modules(self) -> nn.Sequential:
        """The leading frozen stages in a row: the net's own modules, not copies."""
        return nn.Sequential(
            *(getattr(self.backbone, stage) for stage in STAGES[: self._first_moving()])
        )

    @contextmanager
    def stages_moving(self, count: int | None) -> Iterator[None]:
        """Within it the last ``count`` residual stages move, 0 to 4; None changes nothing."""
        before = self.frozen_stages
        if count is not None:
            residual = [f"layer{stage}" for stage in range(1, 5 - count)]
            self.frozen_stages = ("conv1", "bn1", *residual)
        try:
            yield
        finally:
            self.frozen_stages = before

    def _first_moving(self) -> int:
        still = {*self.frozen_stages, "relu", "maxpool"}  # those two have nothing to move
        moving = (index for index, stage in enumerate(STAGES) if stage not in still)
        return next(moving, len(STAGES))

    def _run(self, stages: tuple[str, ...], features: Tensor) -> Tensor:
        for stage in stages:
            features = getattr(self.backbone, stage)(features)
        return features

    def _load(self, weights: torchvision.models.WeightsEnum | str | Path) -> None:
        state = starting_weights(self.arch, weights)
        own = any(name.startswith("backbone.") for name in state)
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        load_checked(self if own else self.backbone, state, f"{weights}", self.arch)


def starting_weights(
    arch: str, weights: torchvision.models.WeightsEnum | str | Path
) -> dict[str, Tensor]:
    """The state dict of torchvision's weights of an architecture, or the one in a file.

    Raises:
        ValueError: weights of another architecture; a file that holds no whole state dict.
        OSError: there is no such file, or published weights cannot be had.
    """
    if isinstance(weights, torchvision.models.WeightsEnum):
        known = () if arch == "scenes" else torchvision.models.get_model_weights(arch)
        if weights not in known:
            raise ValueError(f"{weights} are not weights of {arch}: {list(known)}")
        state = pretrained_state(weights)
    else:
        state = read_state_dict(weights)
    if not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in state.items()):
        raise ValueError(f"{weights} is no state dict of names and tensors")
    return state


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a ``.safetensors`` file or one of torch's, without running any pickle.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a whole state dict.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there are no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a whole file of weights ({error})") from error
    except Exception as error:  # unpickling raises its own kinds
        raise ValueError(f"{path} is no state dict that is safe to read ({error})") from error


def load_checked(module: nn.Module, state: Mapping[str, Tensor], source: str, arch: str) -> None:
    """Load strictly; say in one line what does not fit.

    Raises:
        ValueError: names that are missing or unknown, or tensors of another shape.
    """
    wanted = module.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = wanted.keys() - state.keys() - counters  # old files lack the counters
    surplus = state.keys() - wanted.keys()
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted.keys() & state.keys()
        if state[name].shape != wanted[name].shape
    ]
    faults = [f"no {min(missing)}"] if missing else []
    faults += [f"{min(surplus)} is unknown"] if surplus else []
    faults += sorted(shapes)[:1]
    if faults:
        raise ValueError(
            f"the weights of {source} do not fit {arch}: {'; '.join(faults)}. Is it of another "
            "architecture or another number of classes?"
        )
    module.load_state_dict(dict(state), strict=False)


def _remove_stride(block: nn.Module) -> None:
    """Stride 1 in the first block of a stage, so that its feature map keeps its resolution."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)


def __getattr__(name: str) -> type:
    """The segmentation network is built on these, in a file of its own."""
    if name == "DeepLabV2":
        from ribnb.nets.deeplab import DeepLabV2

        return DeepLabV2
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
