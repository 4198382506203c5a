"""The folder of a training: its state, then its net, and whose they are."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ribnb.core import provenance
from ribnb.core.files import weights_digest, whole_file
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import differences
from ribnb.nets.weights import StoredNet, checkpoint_metadata

STATE = "training.pt"
START = "sum of the initial weights"


class TrainingFolder:
    """What a training leaves in its folder, as long as it is the same training.

    ``training.pt`` is the state after a pass; the checkpoint of the trained net takes its place
    at the end. Both are written beside their names and renamed, so that a kill leaves whole files.

    Args:
        folder: made if need be; None keeps nothing.
        net: at its start.
        identity: what decides the training besides the net; ``class_names`` is among it.

    Raises:
        OSError: the folder cannot be made.
        ValueError: a net that has no checkpoint.
    """

    def __init__(
        self, folder: str | Path | None, net: nn.Module, identity: Mapping[str, Any]
    ) -> None:
        self.folder, self.net = Path(folder) if folder else None, net
        if self.folder is None:
            return
        if not isinstance(net, StoredNet):
            raise ValueError(f"a {type(net).__name__} cannot be kept in a folder; see StoredNet")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"{net.kind}.safetensors"
        identity = {
            **identity,
            **net.design(),
            "frozen parameters": sum(not p.requires_grad for p in net.stored.parameters()),
            START: weight_sum(net.stored),
        }
        self.identity = json.loads(json.dumps(identity))  # lists for tuples, as it is read back

    def load(self) -> dict[str, Any] | None:
        """The finished training's record, its weights taken over; None if there is none.

        A net that has these weights already, as when a notebook's cell runs twice, is welcome.
        """
        if self.folder is None or not self.path.exists():
            return None
        record = checkpoint_metadata(self.path, self.net.kind)
        if "identity" not in record:
            raise ValueError(f"{self.path} does not say how it was trained. Choose another folder")
        identity = record["identity"]
        if weights_digest(self.net.stored) == record["digest"]:
            identity = {**identity, START: self.identity[START]}
        self._refuse_other(self.path, identity)
        self.net.load_weights(self.path)
        return record

    def resume(self, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """The record of a training that was killed; net and optimizer get its state."""
        if self.folder is None or not (self.folder / STATE).exists():
            return None
        path = self.folder / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            identity, record = state["identity"], state["record"]
            weights, moments = state["weights"], state["optimizer"]
        except Exception as error:  # what a broken file raises depends on where it breaks
            reason = str(error).partition("\n")[0]
            message = f"{path} is not a whole training state ({reason}); training starts anew"
            warnings.warn(message, stacklevel=4)
            return None
        self._refuse_other(path, identity)
        self.net.stored.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        return record

    def keep(self, optimizer: torch.optim.Optimizer, record: dict[str, Any]) -> None:
        """Write the state after a pass, in place of the one before."""
        if self.folder is None:
            return
        state = {
            "identity": self.identity,
            "record": record,
            "weights": self.net.stored.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        with whole_file(self.folder / STATE) as temporary:
            torch.save(state, temporary)

    def finish(self, record: dict[str, Any]) -> None:
        """Write the trained net with the record and its provenance; the state is removed."""
        if self.folder is None:
            return
        metadata = {
            "class_names": self.identity["class_names"],
            "identity": self.identity,
            "git_commit": provenance.git_commit(),
            "versions": provenance.versions(),
            "date": provenance.now(),
            **record,
        }
        self.net.save(self.path, metadata)
        for left in [self.folder / STATE, *self.folder.glob(f".{STATE}.*")]:  # killed in writing
            left.unlink(missing_ok=True)

    def _refuse_other(self, path: Path, identity: Mapping[str, Any]) -> None:
        other = differences(identity, self.identity)
        if other:
            again = "; or build the net anew, if it was trained since" if START in other else ""
            raise ValueError(
                f"{path} is of another training: {other}. Choose another folder, or move that file "
                f"away{again}"
            )


def image_set_digest(images: ImageSet, labels: bool = True) -> str:
    """12 hexadecimal digits that tell an image set, with its labels or without.

    They are of its ids and classes and, with the labels, of those and of its first image's size.
    The pixels stay out: JPEG decoders differ by machine.
    """
    named = [list(images.ids), list(images.class_names)]
    if not labels:
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:12]
    text = json.dumps([*named, images.image(0).size])
    present = images.labels.to(torch.uint8).contiguous().numpy().tobytes()
    return hashlib.sha256(text.encode() + present).hexdigest()[:12]


def weight_sum(module: nn.Module) -> str:
    """The sum of all weights to four digits: enough to tell seeds and pretrained weights apart.

    Unlike a hash it is the same on machines whose generators differ in the last bit.
    """
    with torch.no_grad():
        return f"{sum(weight.double().sum().item() for weight in module.parameters()):.4g}"
