"""IRN's network: a boundary branch and a displacement branch on a frozen classifier's stages."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from ribnb.core.devices import autocast, seeded
from ribnb.core.files import weights_digest
from ribnb.core.settings import differences
from ribnb.data.views import to_tensor
from ribnb.nets.cam_net import STAGES, CAMNet
from ribnb.nets.weights import StoredNet, checkpoint_metadata

# The stages whose features the branches see: the stem, then layer1 to layer4.
_PARTS = (STAGES[:4], *((stage,) for stage in STAGES[4:]))


class IRN(StoredNet):
    """Boundaries and displacements of an image, from the features of a net that stays as it is.

    Both outputs have the resolution of the net's first stage: a position every 4 pixels for a
    ResNet, every 2 for ``"scenes"``. A displacement is in positions: where the middle of a
    position's object lies, seen from there, (dy, dx).

    Args:
        model: a net with its weights; its stages are copied. For VOC a ResNet-50 with ImageNet's
            weights, ``CAMNet("resnet50", 20, weights=...)``.
        widths: channels of the boundary branch for each stage, and of the displacement branch;
            None is (16, 16) for ``"scenes"``, else (32, 256).
        seed: of the branches' first weights.

    Attributes:
        trunk: the frozen stages; always in eval mode, never with gradients.
        branches: all that is trained.

    Ahn et al. 2019, section 4.1.
    """

    kind = "irn"

    def __init__(self, model: CAMNet, widths: Sequence[int] | None = None, seed: int = 0) -> None:
        super().__init__()
        self.arch = model.arch
        self.widths = tuple(widths or ((16, 16) if model.arch == "scenes" else (32, 256)))
        self.trunk = nn.ModuleList(
            nn.Sequential(*(copy.deepcopy(getattr(model.backbone, name)) for name in names))
            for names in _PARTS
        )
        self.trunk.requires_grad_(False).eval()
        device = model.class_layer.weight.device
        with torch.no_grad():
            channels = [one.shape[1] for one in self.features(torch.zeros(1, 3, 64, 64).to(device))]
        with seeded(seed):
            self.branches = _Branches(channels, *self.widths).to(device)

    def design(self) -> dict[str, Any]:
        """What tells the net; the trunk's digest in place of the trunk, which is not stored."""
        return {"arch": self.arch, "widths": list(self.widths), "trunk": weights_digest(self.trunk)}

    @property
    def stored(self) -> nn.Module:
        """The branches."""
        return self.branches

    def train(self, mode: bool = True) -> IRN:
        """Training mode of the branches; the trunk stays in eval mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def features(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """What the trunk's five parts make of the images, from the finest on; no gradients."""
        found = []
        for part in self.trunk:
            images = part(images)
            found.append(images)
        return found

    def forward(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B 2 h w"]]:
        """Logits of the boundary map (its sigmoid is the map), and displacements in positions.

        h and w are a stride-th of H and W, rounded up.
        """
        features = self.features(images)
        shift = self.branches.mean_displacement[:, None, None]
        return self.branches.boundary(features)[:, 0], self.branches.displacement(features) - shift


class _Branches(nn.Module):
    """All of an IRN that is trained, with the mean displacement to take off."""

    def __init__(self, channels: Sequence[int], boundary: int, displacement: int) -> None:
        super().__init__()
        self.boundary = _BoundaryBranch(channels, boundary)
        self.displacement = _DisplacementBranch(channels, displacement)
        self.register_buffer("mean_displacement", torch.zeros(2))


class _BoundaryBranch(nn.Module):
    """Each stage reduced to a few channels, brought to one resolution, weighed up."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(_block(count, width) for count in channels)
        self.weigh = nn.Conv2d(width * len(channels), 1, 1)

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, "B 1 h w"]:
        reduced = [block(one) for block, one in zip(self.reduce, features, strict=True)]
        return self.weigh(torch.cat([_resized(one, features[0]) for one in reduced], dim=1))


class _DisplacementBranch(nn.Module):
    """From the coarsest stage to the finest: resize, put beside the next stage, mix."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(_block(count, width) for count in channels)
        self.mix = nn.ModuleList(_block(2 * width, width) for _ in channels[1:])
        self.weigh = nn.Conv2d(width, 2, 1, bias=False)

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, "B 2 h w"]:
        *finer, below = (block(one) for block, one in zip(self.reduce, features, strict=True))
        for block, beside in zip(self.mix, reversed(finer), strict=True):
            below = block(torch.cat([beside, _resized(below, beside)], dim=1))
        return self.weigh(below)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """A 1 x 1 convolution, group norm, ReLU; a group has 8 channels, or all if they are fewer."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.GroupNorm(max(1, outputs // 8), outputs),
        nn.ReLU(inplace=True),
    )


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def boundary_map(net: IRN, image: Image.Image, precision: str = "float32") -> Float[Tensor, "h w"]:
    """B of one image, in [0, 1], on the net's device: the mean of the image's and its flip's.

    The mean is taken of the logits. Put the net into eval mode first.
    """
    device = net.branches.mean_displacement.device
    view = to_tensor(image).to(device)
    with autocast(precision, device):
        logits, _ = net(torch.stack([view, view.flip(-1)]))
    there, back = logits.float()
    return ((there + back.flip(-1)) / 2).sigmoid()


def load_irn(path: str | Path, model: CAMNet) -> IRN:
    """The net of a checkpoint of branches, in eval mode; ``model`` has the stages below them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, no IRN, or was trained on another net's stages.
    """
    design = checkpoint_metadata(path, IRN.kind)["design"]
    net = IRN(model, design["widths"])
    if differ := differences(design, net.design()):
        raise ValueError(
            f"{path} was trained on the stages of another net: {differ}. Give the net that it was "
            "trained on, or train IRN anew"
        )
    net.load_weights(path)
    return net.eval()
