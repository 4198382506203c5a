"""IRN's network: a boundary branch on a frozen classifier's stages.

The other branch of the paper, of displacements, tells objects of one class apart. Semantic masks do
not need it, and it shares no weight with this one, so it is left out.
"""

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
from ribnb.core.parameters import differences
from ribnb.data.views import to_tensor
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.weights import StoredNet, checkpoint_metadata


class IRN(StoredNet):
    """Boundaries in an image, from the features of a net that stays as it is.

    The output has the resolution of the net's first stage: a position every 4 pixels for a ResNet,
    every 2 for ``"scenes"``.

    Args:
        model: a net with its weights; its stages are copied. For VOC a ResNet-50 with ImageNet's
            weights, ``CAMNet("resnet50", 20, weights=...)``.
        width: channels of the branch for each stage; None is 16 for ``"scenes"``, else 32.
        seed: of the branch's first weights.

    Attributes:
        trunk: the frozen stages; always in eval mode, never with gradients.
        branch: all that is trained.

    Ahn et al. 2019, section 4.1.
    """

    kind = "irn"

    def __init__(self, model: CAMNet, width: int | None = None, seed: int = 0) -> None:
        super().__init__()
        self.arch, self.normalization = model.arch, model.normalization
        self.width = width or (16 if model.arch == "scenes" else 32)
        self.trunk = nn.ModuleList(
            nn.Sequential(*(copy.deepcopy(model.backbone.get_submodule(name)) for name in names))
            for names in model.stages
        )
        self.trunk.requires_grad_(False).eval()
        device = model.class_layer.weight.device
        with torch.no_grad():
            channels = [one.shape[1] for one in self.features(torch.zeros(1, 3, 64, 64).to(device))]
        with seeded(seed):
            self.branch = _BoundaryBranch(channels, self.width).to(device)

    def design(self) -> dict[str, Any]:
        """What tells the net; the trunk's digest in place of the trunk, which is not stored."""
        return {"arch": self.arch, "width": self.width, "trunk": weights_digest(self.trunk)}

    @property
    def stored(self) -> nn.Module:
        """The branch."""
        return self.branch

    def train(self, mode: bool = True) -> IRN:
        """Training mode of the branch; the trunk stays in eval mode."""
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

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
        """Logits of the boundary map (its sigmoid is the map).

        h and w are a stride-th of H and W, rounded up.
        """
        return self.branch(self.features(images))[:, 0]


class _BoundaryBranch(nn.Module):
    """Each stage reduced to a few channels, brought to one resolution, weighed up."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(_block(count, width) for count in channels)
        self.weigh = nn.Conv2d(width * len(channels), 1, 1)

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, "B 1 h w"]:
        size, pairs = features[0].shape[2:], zip(self.reduce, features, strict=True)
        reduced = [F.interpolate(block(one), size, mode="bilinear") for block, one in pairs]
        return self.weigh(torch.cat(reduced, dim=1))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """A 1 x 1 convolution, group norm, ReLU; a group has 8 channels, or all if they are fewer."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.GroupNorm(max(1, outputs // 8), outputs),
        nn.ReLU(inplace=True),
    )


@torch.no_grad()
def boundary_map(net: IRN, image: Image.Image, precision: str = "float32") -> Float[Tensor, "h w"]:
    """B of one image, in [0, 1], on the net's device: the mean of the image's and its flip's.

    The mean is taken of the logits. Put the net into eval mode first.
    """
    device = net.branch.weigh.weight.device
    view = to_tensor(image, net.normalization).to(device)
    with autocast(precision, device):
        there, back = net(torch.stack([view, view.flip(-1)])).float()
    return ((there + back.flip(-1)) / 2).sigmoid()


def load_irn(path: str | Path, model: CAMNet) -> IRN:
    """The net of a branch's checkpoint, in eval mode; ``model`` has the stages below it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, no IRN, or was trained on another net's stages.
    """
    design = checkpoint_metadata(path, IRN.kind)["design"]
    net = IRN(model, design.get("width"))
    if differ := differences(design, net.design()):
        raise ValueError(
            f"{path} was trained on the stages of another net: {differ}. Give the net that it was "
            "trained on, or train IRN anew"
        )
    net.load_weights(path)
    return net.eval()
