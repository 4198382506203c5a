"""A trained segmentation network in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ribnb.core.files import whole_file
from ribnb.core.settings import differences
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.models import load_checked, read_state_dict

FORMAT = "segmentation 1"
NEEDED = {"format", "arch", "num_classes", "atrous_rates", "class_names", "digest"}
_COUNTER = "num_batches_tracked"  # of batch norm; nothing reads it


def save_segmentation(
    net: DeepLabV2,
    path: str | Path,
    metadata: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the weights as safetensors, with what is needed to build the net around them.

    Under its final name the file is whole: it is written beside it and renamed.

    Args:
        net: the net.
        path: the file; its folder is made.
        metadata: ``class_names`` and whatever else tells how the net was made, ready for JSON.
        dtype: of the stored weights; ``torch.float16`` halves the file and rounds them.

    Raises:
        ValueError: class names missing, or not as many as the net has classes.
    """
    names = list(metadata.get("class_names", ()))
    if len(names) != net.num_classes:
        raise ValueError(
            f"metadata['class_names'] must name the {net.num_classes} classes; got {names}"
        )
    weights = {name: value.to(dtype).cpu().contiguous() for name, value in _weights(net).items()}
    header = {
        **metadata,
        "format": FORMAT,
        "arch": net.arch,
        "num_classes": net.num_classes,
        "atrous_rates": list(net.atrous_rates),
        "digest": _digest(weights),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {key: json.dumps(value, allow_nan=False) for key, value in header.items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(weights, text))  # save_file makes it unreadable to others


def segmentation_metadata(path: str | Path) -> dict[str, Any]:
    """What ``save_segmentation`` wrote beside the weights; the weights are not read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, or not from ``save_segmentation``.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no segmentation network at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(text) for key, text in (file.metadata() or {}).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole segmentation network ({error}). Move it away, and fetch or "
            "train it anew"
        ) from error
    if metadata.get("format") != FORMAT or not metadata.keys() >= NEEDED:
        raise ValueError(
            f"{path} is no file of the format {FORMAT!r}, as save_segmentation writes it; a "
            "classifier to start from is read by DeepLabV2(..., weights=path)"
        )
    return metadata


def segmentation_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights that ``save_segmentation`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: they are not those that were written, or no file of this kind.
    """
    weights = read_state_dict(path)
    if _digest(weights) != segmentation_metadata(path)["digest"]:
        raise ValueError(
            f"{path} is damaged: its weights are not those that were written. Move it away, and "
            "fetch or train it anew"
        )
    return weights


def load_segmentation(
    path: str | Path, arch: str | None = None, num_classes: int | None = None
) -> DeepLabV2:
    """The net that ``save_segmentation`` wrote: on the CPU, in float32, in eval mode.

    Args:
        path: the file.
        arch: the architecture that it must have, if that matters.
        num_classes: the number of classes that it must have, if that matters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, no segmentation network, or not of the kind asked for.
    """
    metadata = segmentation_metadata(path)
    wanted = {"arch": arch, "num_classes": num_classes}
    other = {key: value for key, value in wanted.items() if value not in (None, metadata[key])}
    if other:
        raise ValueError(
            f"{path} is another segmentation network: {differences(metadata, other)}. "
            "Ask for the one that is there, or name another file"
        )
    weights = segmentation_weights(path)
    kind = (metadata["arch"], metadata["num_classes"], tuple(metadata["atrous_rates"]))
    with torch.random.fork_rng(devices=[]):  # the initial weights that the file's replace
        net = DeepLabV2(*kind)
    load_checked(net, weights, f"{path}", net.arch)
    return net.eval()


def segmentation_digest(net: DeepLabV2) -> str:
    """12 hexadecimal digits that change with any weight; those in the net's float32 file."""
    return _digest(_weights(net))


def _weights(net: DeepLabV2) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if _COUNTER not in name}


def _digest(weights: Mapping[str, Tensor]) -> str:
    state = hashlib.sha256()
    for name in sorted(weights):
        state.update(name.encode())
        state.update(weights[name].detach().float().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:12]
