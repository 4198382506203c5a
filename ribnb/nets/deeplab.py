"""DeepLab-v2: a residual network with dilated convolutions and four atrous branches."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor, nn

from ribnb.nets.backbones import RESNETS, known_architecture, new_backbone
from ribnb.nets.published import split_head, starting_weights
from ribnb.nets.weights import StoredNet, load_state

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

ATROUS_RATES = (6, 12, 18, 24)
# They reach as far in a scene's small map as the above in the map of a crop of 321 pixels.
SCENE_RATES = (3, 6, 9, 12)  # for output stride 4
RESNET_SCENE_RATES = (2, 3, 5, 6)  # for output stride 8
PHOTO_RATES = (4, 8, 12, 16)  # the same for a crop of 193 pixels
DILATIONS = {"layer3": 2, "layer4": 4}
_CLASS_LAYER = ("class_layer.", "bias")  # a CAM net's, which has no use here


class DeepLabV2(StoredNet):
    """Class scores at every position of a dense feature map.

    The backbone keeps its resolution from layer2 on: layer3 and layer4 have stride 1, and *all*
    their 3 x 3 convolutions are dilated by 2 and by 4, those of each stage's first block too, as
    in DeepLab (torchvision would give the first block the dilation of the stage before). Four
    3 x 3 convolutions with bias, dilated by the atrous rates, read the last feature map side by
    side; their sum is the logits. They start at N(0, 0.01), bias 0, from torch's global generator.

    Args:
        arch: ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"`` (torchvision's),
            ``"timm/NAME"``, which timm dilates, or ``"scenes"``, the small backbone of the embedded
            scenes, which is not dilated.
        num_classes: C, without the background.
        atrous_rates: dilations of the branches, in positions of the feature map.
        weights: of the backbone at the start, as ``CAMNet`` takes them; a class layer is left out.

    Attributes:
        backbone, normalization: as of a ``CAMNet``.
        branches: the atrous convolutions.
        output_stride: pixels of the image for one position of the logits, 8 (``"scenes"``: 4).
            Position i sees the image around pixel ``i * output_stride``.

    Raises:
        ValueError: an unknown ``arch``, weights of another architecture.

    Chen et al. 2018 (TPAMI), "DeepLab", sections 3.1 and 3.2 (ASPP-L).
    """

    kind = "segmentation"

    def __init__(
        self,
        arch: str = "resnet101",
        num_classes: int = 20,
        atrous_rates: tuple[int, ...] = ATROUS_RATES,
        weights: WeightsEnum | str | Path | None = None,
    ) -> None:
        super().__init__()
        face = new_backbone(arch, output_stride=8)
        self.backbone, self.stages = face.module, face.stages
        self.normalization = face.normalization
        self.output_stride = face.output_stride
        self.arch, self.num_classes = known_architecture(arch), num_classes
        self.atrous_rates = tuple(atrous_rates)
        for stage, dilation in DILATIONS.items() if arch in RESNETS else ():
            for module in getattr(self.backbone, stage).modules():
                if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                    module.dilation = module.padding = (dilation, dilation)
        if weights is not None:
            state = {
                name.removeprefix("backbone."): value
                for name, value in split_head(starting_weights(arch, weights))[0].items()
                if not name.startswith(_CLASS_LAYER)
            }
            load_state(self.backbone, state, f"{weights}", arch)
        self.branches = nn.ModuleList(
            nn.Conv2d(face.channels, num_classes + 1, 3, padding=rate, dilation=rate)
            for rate in self.atrous_rates
        )
        for branch in self.branches:
            nn.init.normal_(branch.weight, 0, 0.01)
            nn.init.zeros_(branch.bias)

    @classmethod
    def scenes(cls, arch: str = "scenes", num_classes: int = 6, **options: Any) -> DeepLabV2:
        """With rates that fit into the feature map of a scene of 96 x 96 pixels."""
        rates = SCENE_RATES if arch == "scenes" else RESNET_SCENE_RATES
        return cls(arch, num_classes, **{"atrous_rates": rates, **options})

    @classmethod
    def photographs(cls, arch: str, num_classes: int, **options: Any) -> DeepLabV2:
        """With rates that fit into the feature map of a crop of 193 pixels."""
        return cls(arch, num_classes, **{"atrous_rates": PHOTO_RATES, **options})

    def design(self) -> dict[str, Any]:
        """The arguments that build this net."""
        rates = list(self.atrous_rates)
        return {"arch": self.arch, "num_classes": self.num_classes, "atrous_rates": rates}

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """The last feature map; h = ceil(H / output_stride)."""
        for name in chain.from_iterable(self.stages):
            images = self.backbone.get_submodule(name)(images)
        return images

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C+1 h w"]:
        """Logits, before any softmax; channel 0 is the background, c + 1 class c."""
        features = self.features(images)
        return sum(branch(features) for branch in self.branches)
