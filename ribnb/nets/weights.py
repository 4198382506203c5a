"""Weights in and out: plain state dicts, and the book's own checkpoints."""

from __future__ import annotations

import json
import os
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ribnb.core.files import provenance, weights_digest, write_whole
from ribnb.core.parameters import differences

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"  # what comes with the package
FORMAT = 2
STATE = "training.pt"
START = "sum of the initial weights"
Net = TypeVar("Net", bound="StoredNet")


class StoredNet(nn.Module):
    """A net that can be stored in a checkpoint: safetensors, with JSON beside the weights."""

    kind: str  # such as "classifier"; ``fit`` names its file ``<kind>.safetensors``

    def design(self) -> dict[str, Any]:
        """What it takes to build the net anew, ready for JSON."""
        raise NotImplementedError

    @property
    def stored(self) -> nn.Module:
        """The part whose weights are stored, and that is trained; all of it."""
        return self

    def published(self) -> dict[str, Tensor]:
        """Weights that anyone can have, and that a checkpoint may leave out."""
        return {}

    def save(
        self,
        path: str | Path,
        metadata: Mapping[str, Any],
        dtype: torch.dtype = torch.float32,
        leave_out: bool = False,
    ) -> None:
        """Write a checkpoint. Under its final name the file is whole.

        Args:
            path: the file; its folder is made.
            metadata: ``class_names``, one a class, and whatever else tells how the net was made,
                ready for JSON.
            dtype: of the stored weights; ``torch.float16`` halves the file and rounds them.
            leave_out: the weights that are still those of ``published``.
        """
        names = list(metadata.get("class_names", ()))
        if len(names) != getattr(self, "num_classes", len(names)):
            raise ValueError(f"class_names must name the {self.num_classes} classes; got {names}")
        weights, rounded, known = {}, {}, self.published() if leave_out else {}
        for name, value in self.stored.state_dict().items():
            kept = value.to(dtype) if value.is_floating_point() else value
            if name in known and torch.equal(value.cpu(), known[name]):
                rounded[name] = value
            else:
                weights[name], rounded[name] = kept.cpu().contiguous(), kept.to(value.dtype)
        header = {
            **metadata,
            "format": FORMAT,
            "kind": self.kind,
            "design": self.design(),
            "class_names": names,
            "digest": weights_digest(rounded),
            **({"left_out": True} if leave_out else {}),
        }
        text = {key: json.dumps(value, allow_nan=False) for key, value in header.items()}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        content = save(weights, text)  # save_file would make it unreadable to others
        write_whole(path, lambda file: file.write(content))

    @classmethod
    def load(cls: type[Net], path: str | Path, **wanted: Any) -> Net:
        """The net of a checkpoint: on the CPU, in float32, in eval mode.

        ``wanted`` are parts of its design that it must have, such as ``arch``; None takes any.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, no checkpoint, or not of the kind asked for.
        """
        design = checkpoint_metadata(path, cls.kind)["design"]
        other = {key: value for key, value in wanted.items() if value not in (None, design[key])}
        if other:
            raise ValueError(f"{path} is another {cls.kind}: {differences(design, other)}")
        with torch.random.fork_rng(devices=[]):  # the initial weights that the file's replace
            net = cls(**design)
        net.load_weights(path)
        return net.eval()

    def load_weights(self, path: str | Path) -> None:
        """Take the weights of a checkpoint over; ValueError if damaged, or of another design."""
        metadata = checkpoint_metadata(path, self.kind)
        left_out = self.published() if metadata.get("left_out") else {}
        state = left_out | read_state_dict(path)
        load_state(self.stored, state, f"{path}", f"this {self.kind}")
        if weights_digest(self.stored) != metadata["digest"]:
            raise ValueError(f"{path} is damaged: its weights are not those that were written")


def checkpoint_metadata(path: str | Path, kind: str | None = None) -> dict[str, Any]:
    """What stands beside the weights of a checkpoint; the weights are not read.

    Returns:
        ``format``, ``kind``, ``design``, ``class_names``, ``digest`` of the weights and, after a
        training, ``identity``, ``history``, ``git_commit``, ``versions``, ``date`` and more.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, no checkpoint, or not of the ``kind`` asked for.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no {kind or 'checkpoint'} at {path}")
    if of_torch(path):
        raise ValueError(
            f"{path} is a file of torch.save, and no {kind or 'checkpoint'} of ribnb. Of a state "
            "dict load_classifier reads whole classifiers, net.weights and weights= a backbone's"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(text) for key, text in (file.metadata() or {}).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole {kind or 'checkpoint'} ({error}). Move it away, and fetch or "
            "train it anew"
        ) from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no checkpoint of format {FORMAT}, as save writes it; plain weights are "
            "read by CAMNet(..., weights=path) and DeepLabV2(..., weights=path)"
        )
    if kind not in (None, metadata["kind"]):
        raise ValueError(f"{path} is of the kind {metadata['kind']!r}, not {kind!r}")
    return metadata


def of_torch(path: str | Path) -> bool:
    """Whether ``torch.save`` wrote a file, by its first bytes; False if there is none."""
    with open(path if Path(path).is_file() else os.devnull, "rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a ``.safetensors`` file or one of torch's, without running any pickle.

    Of a training's state, which holds it as ``state_dict``, ``model`` or both, it is that.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there are no weights at {path}")
    try:
        if path.suffix == ".safetensors" and not of_torch(path):
            return load_file(path)
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
    except UnpicklingError as error:
        if "global" not in str(error).lower():
            raise ValueError(f"{path} is no whole file of weights ({error!r:.200})") from error
        raise ValueError(
            f"{path} is no file of weights alone, and the program in it is not run. Save it anew: "
            "torch.save(net.state_dict(), path)"
        ) from None
    except Exception as error:  # unpickling raises its own kinds
        raise ValueError(f"{path} is no whole file of weights ({error!r:.200})") from error
    for name in ("state_dict", "model_state_dict", "model"):
        state = state[name] if isinstance(state.get(name), Mapping) else state
    if not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in state.items()):
        raise ValueError(f"{path} is no state dict of names and tensors")
    return state


def load_state(module: nn.Module, state: Mapping[str, Tensor], source: str, arch: str) -> None:
    """Load all of a state, or raise ValueError that says what does not fit, or is no number."""
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"the weights of {source} are not all finite numbers: {name}")
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        faults = textwrap.shorten(str(error).partition(":")[2], 200, placeholder=" ...")
        raise ValueError(
            f"the weights of {source} do not fit {arch}: {faults} Is it of another architecture or "
            "another number of classes, or does it leave weights out or name them otherwise?"
        ) from error


class TrainingFolder:
    """What a training leaves in its folder, as long as it is the same training.

    ``training.pt`` is the state after a pass; the checkpoint of the trained net takes its place
    at the end. Both appear only when they are whole.
    """

    def __init__(self, folder: str | Path, net: StoredNet, identity: Mapping[str, Any]) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.net, self.path, self.state = net, folder / f"{net.kind}.safetensors", folder / STATE
        weights = [weight.detach().double().sum().item() for weight in net.stored.parameters()]
        identity = {
            **identity,
            **net.design(),
            "frozen parameters": sum(not p.requires_grad for p in net.stored.parameters()),
            # four digits tell seeds and pretrained weights apart, and are the same on machines
            # whose generators differ in the last bit
            START: f"{sum(weights):.4g}",
        }
        self.identity = json.loads(json.dumps(identity))  # lists for tuples, as it is read back

    def load(self) -> dict[str, Any]:
        """The finished training's record, its weights taken over."""
        record = checkpoint_metadata(self.path, self.net.kind)
        identity = record.get("identity", {})
        if weights_digest(self.net.stored) == record["digest"]:  # as when a cell runs twice
            identity = {**identity, START: self.identity[START]}
        self._refuse_other(self.path, identity)
        self.net.load_weights(self.path)
        return record

    def resume(self, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """The record of a training that was killed; net and optimizer get its state."""
        if not self.state.exists():
            return None
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            identity, record = state["identity"], state["record"]
            weights, moments = state["weights"], state["optimizer"]
        except Exception as error:  # what a broken file raises depends on where it breaks
            warnings.warn(
                f"{self.state} is not a whole training state ({error!r:.99}); training starts anew",
                stacklevel=4,
            )
            return None
        self._refuse_other(self.state, identity)
        self.net.stored.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        return record

    def keep(self, optimizer: torch.optim.Optimizer, record: dict[str, Any]) -> None:
        """Write the state after a pass, in place of the one before."""
        state = {
            "identity": self.identity,
            "record": record,
            "weights": self.net.stored.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        write_whole(self.state, lambda file: torch.save(state, file))

    def finish(self, record: dict[str, Any]) -> None:
        """Write the trained net with the record and its provenance; the state is removed."""
        metadata = {
            "class_names": self.identity["class_names"],
            "identity": self.identity,
            **provenance(),
            **record,
        }
        self.net.save(self.path, metadata)
        for left in [self.state, *self.state.parent.glob(f".{STATE}.*")]:  # killed in writing
            left.unlink(missing_ok=True)

    def _refuse_other(self, path: Path, identity: Mapping[str, Any]) -> None:
        other = differences(identity, self.identity)
        if other:
            raise ValueError(
                f"{path} is of another training: {other}. Choose another folder, move that file "
                "away, or build the net anew if it was trained since"
            )
