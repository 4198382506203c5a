"""Load or train: a folder that keeps a training's state, then its net, and knows whose they are."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ribnb.core import provenance
from ribnb.core.files import whole_file
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import Settings, differences
from ribnb.nets.classifier import classifier_metadata, save_classifier
from ribnb.nets.models import CAMNet, load_checked, read_state_dict

STATE = "training.pt"
START = "sum of the initial weights"


@dataclass(frozen=True)
class ResultFile:
    """The file of a trained net, which ends a training.

    Attributes:
        name: in the training's folder.
        save: writes net, path, metadata.
        metadata: path -> what was written beside the weights.
        weights: path -> the weights' state dict.
    """

    name: str
    save: Callable[[nn.Module, Path, Mapping[str, Any]], None]
    metadata: Callable[[Path], dict[str, Any]]
    weights: Callable[[Path], dict[str, Tensor]] = read_state_dict


CLASSIFIER = ResultFile("classifier.safetensors", save_classifier, classifier_metadata)


def training_identity(model: CAMNet, images: ImageSet, settings: Settings) -> dict[str, Any]:
    """All that decides what a training gives, ready for JSON: settings, net, start and data."""
    identity = {
        **settings.identity(),
        "arch": model.arch,
        "num_classes": model.num_classes,
        "output_stride": model.output_stride,
        "class_names": list(images.class_names),
        "images": image_set_digest(images),
        "frozen parameters": sum(not p.requires_grad for p in model.parameters()),
        START: weight_sum(model),
    }
    return json.loads(json.dumps(identity))  # lists for tuples, as it will be read back


def image_set_digest(images: ImageSet) -> str:
    """12 hexadecimal digits of an image set's ids, classes and labels, and its first image's size.

    The pixels stay out: JPEG decoders differ by machine.
    """
    text = json.dumps([list(images.ids), list(images.class_names), images.image(0).size])
    labels = images.labels.to(torch.uint8).contiguous().numpy().tobytes()
    return hashlib.sha256(text.encode() + labels).hexdigest()[:12]


def weight_sum(model: nn.Module) -> str:
    """The sum of all weights to four digits: enough to tell seeds and pretrained weights apart.

    Unlike a hash it is the same on machines whose generators differ in the last bit.
    """
    with torch.no_grad():
        return f"{sum(weight.double().sum().item() for weight in model.parameters()):.4g}"


class TrainingFolder:
    """What a training leaves in its folder, as long as it is the same training.

    ``training.pt`` is the state after an epoch; the file of the trained net,
    ``classifier.safetensors``, takes its place at the end. Both are written beside their names
    and renamed, so that a kill leaves whole files.

    Args:
        folder: made if need be; None keeps nothing.
        identity: of the training, see ``training_identity``; ``class_names`` and ``START`` are
            among it.
        result: the file of another kind of net.

    Raises:
        OSError: the folder cannot be made; said before anything is computed.
    """

    def __init__(
        self,
        folder: str | Path | None,
        identity: dict[str, Any],
        result: ResultFile = CLASSIFIER,
    ) -> None:
        self.folder, self.identity = Path(folder) if folder else None, identity
        self.result = result
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, model: nn.Module) -> dict[str, Any] | None:
        """The finished training's record, its weights copied into the model; None if there is none.

        A model that has these weights already, as when a notebook's cell runs twice, is welcome.

        Raises:
            ValueError: the file is of another training (what differs is named) or not whole.
        """
        if self.folder is None or not (self.folder / self.result.name).exists():
            return None
        path = self.folder / self.result.name
        record = self.result.metadata(path)
        if "identity" not in record:
            raise ValueError(f"{path} does not say how it was trained. Choose another folder")
        there = record["identity"]
        if self.identity[START] == record["sum of the weights"]:
            there = {**there, START: self.identity[START]}
        self._refuse_other(path, there)
        load_checked(model, self.result.weights(path), f"{path}", f"{record['arch']}")
        return record

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """The record of a training that was killed; model and optimizer get its state.

        A state that cannot be read is named in a warning, and the training starts anew.

        Raises:
            ValueError: the state is of another training; what differs is named.
        """
        if self.folder is None or not (self.folder / STATE).exists():
            return None
        path = self.folder / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            there, record = state["identity"], state["record"]
            weights, moments = state["model"], state["optimizer"]
        except Exception as error:  # what a broken file raises depends on where it breaks
            reason = str(error).partition("\n")[0]
            message = f"{path} is not a whole training state ({reason}); training starts anew"
            warnings.warn(message, stacklevel=4)
            return None
        self._refuse_other(path, there)
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        return record

    def keep(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, record: dict[str, Any]
    ) -> None:
        """Write the state after an epoch, in place of the one before."""
        if self.folder is None:
            return
        state = {
            "identity": self.identity,
            "record": record,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        with whole_file(self.folder / STATE) as temporary:
            torch.save(state, temporary)

    def finish(self, model: nn.Module, record: dict[str, Any]) -> None:
        """Write the trained net with the record and its provenance; the state is removed."""
        if self.folder is None:
            return
        metadata = {
            "class_names": self.identity["class_names"],
            "identity": self.identity,
            "sum of the weights": weight_sum(model),
            "git_commit": provenance.git_commit(),
            "versions": provenance.versions(),
            "date": provenance.now(),
            **record,
        }
        self.result.save(model, self.folder / self.result.name, metadata)
        for left in [self.folder / STATE, *self.folder.glob(f".{STATE}.*")]:  # killed in writing
            left.unlink(missing_ok=True)

    def _refuse_other(self, path: Path, there: dict[str, Any]) -> None:
        other = differences(there, self.identity)
        if not other:
            return
        again = "; or build the net anew, if it was trained since" if START in other else ""
        raise ValueError(
            f"{path} is of another training: {other}. Choose another folder, or move that file "
            f"away{again}"
        )
