"""Training a net: one loop for every net, which goes on after a kill and loads what is done."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ribnb.core import provenance
from ribnb.core.devices import as_device, autocast, device_name, float32_mode, worker_init
from ribnb.core.files import weights_digest, whole_file
from ribnb.core.progress import progress
from ribnb.core.settings import differences
from ribnb.data.views import ShuffledBatches, stack
from ribnb.nets.processes import Processes
from ribnb.nets.weights import StoredNet, checkpoint_metadata

STATE = "training.pt"
START = "sum of the initial weights"

# What a step learns from: the mean loss of its items, and of how many items it is the mean.
Loss = Callable[..., tuple[Tensor, "int | Tensor"]]


@dataclass(frozen=True)
class Training:
    """What a training gave, now or in an earlier run.

    Attributes:
        net: the net that was handed in, trained and in eval mode.
        record: what stands beside the weights in the net's file, and what callbacks added.
        loaded: whether the weights came from a file, without training.
    """

    net: nn.Module
    record: dict[str, Any]
    loaded: bool

    @property
    def history(self) -> list[float]:
        """Mean loss of each pass over the images; the last may be a part of one."""
        return self.record.get("history", [])

    @property
    def seconds(self) -> float:
        """That the training took, whenever it ran."""
        return self.record.get("seconds", 0.0)

    @property
    def mean_average_precision(self) -> float | None:
        """Of a classifier on its validation images, in [0, 1]; None without any."""
        return self.record.get("mean_average_precision")

    @property
    def validation_history(self) -> list[float]:
        """The same after each pass, if that was asked for; else empty."""
        return self.record.get("validation_history", [])

    @property
    def skipped(self) -> dict[str, str]:
        """id -> why an image was not trained on."""
        return self.record.get("skipped", {})


def fit(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Iterable[tuple[Tensor, ...]]],
    ends: Sequence[int],
    loss: Loss,
    rate: Callable[[int], float],
    *,
    folder: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    still: Iterable[nn.Module] = (),
    channels_last: bool = False,
    each_pass: Callable[[dict[str, Any]], None] | None = None,
    at_end: Callable[[dict[str, Any]], None] | None = None,
    advice: str = "Lower the learning rate",
    label: str = "training",
) -> Training:
    """Train a net, go on with a training that was killed, or load the net if it was trained before.

    In a process group (``torchrun``) each process takes its part of every batch, and the result
    is that of one process, up to rounding; the first process writes.

    Args:
        net: with its initial weights; trained in place. With a ``folder`` a ``StoredNet``.
        optimizer: of what is to move. A group's ``factor``, 1 if it has none, multiplies the rate.
        batches: the first step, from 0 -> that step's batch and all that follow. What a batch
            holds must depend on its step alone; see ``shuffled``.
        ends: after how many steps each pass over the images is complete; the last one ends the
            training.
        loss: (forward, *batch) -> the batch's mean loss and of how many items it is the mean,
            where ``forward`` calls the net in ``precision``.
        rate: step -> learning rate.
        folder: keeps the state after each pass (``training.pt``), with which a killed training
            goes on, and at the end the net (``<kind>.safetensors``), which is loaded the next
            time. A state that cannot be read is warned of, and training starts anew.
        identity: all that decides what the training gives besides the net and its start, ready
            for JSON; ``class_names`` is among it.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device; the net stays there.
        precision: ``"float32"``, ``"tf32"`` or ``"bfloat16"``.
        still: modules that stay in eval mode.
        channels_last: the memory format of images in the net; faster for large convolutions.
        each_pass: takes the record after each pass but the last, and may add to it.
        at_end: takes the record when the net is trained and in eval mode, and may add to it.
        advice: what to do about a loss that is not finite.
        label: stands in front of the progress bar.

    Returns:
        The net and how it was trained.

    Raises:
        ValueError: a folder with another training's files (what differs is named), or with a
            net that is not whole.
        FloatingPointError: a loss that is not finite; the state after the last pass is kept.
        OSError: the folder cannot be made; said before anything is computed.
    """
    device, processes = as_device(device), Processes()
    store = _Folder(folder, net, identity or {}) if folder else None
    net.to(device)
    if store and store.path.exists():
        record = store.load()
        return Training(net.eval(), record, loaded=True)
    record = (store and store.resume(optimizer)) or {"history": [], "steps": 0, "seconds": 0.0}
    if channels_last and device.type in ("cpu", "cuda"):
        net.to(memory_format=torch.channels_last)
    parallel = processes.together(net, device)

    def forward(*inputs: Tensor) -> Any:
        with autocast(precision, device):
            return parallel(*inputs)

    def update(step: int, batch: Sequence[Tensor]) -> float:
        for group in optimizer.param_groups:
            group["lr"] = rate(step) * group.get("factor", 1.0)
        mean, items = loss(forward, *(part.to(device, non_blocking=True) for part in batch))
        value, mean = processes.mean(mean, items)
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {step + 1} of {ends[-1]}. {advice}, and train in "
                "another folder"
            )
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        return value

    def end_pass() -> None:
        if each_pass is not None and record["steps"] < ends[-1]:
            each_pass(record)
        if store and processes.rank == 0:
            store.keep(optimizer, record)

    first = processes.rank == 0
    bar = progress(None, label, ends[-1], record["steps"]) if first else tqdm(disable=True)
    with float32_mode(precision), bar:
        try:
            net.train()
            for module in still:
                module.eval()
            _go_through(batches, ends, update, end_pass, record, bar)
        finally:
            net.eval().to(memory_format=torch.contiguous_format)
        if at_end is not None:
            at_end(record)
    record["device"] = device_name(device)
    if store and first:
        store.finish(record)
    processes.wait()
    return Training(net, record, loaded=False)


def _go_through(
    batches: Callable[[int], Iterable[tuple[Tensor, ...]]],
    ends: Sequence[int],
    update: Callable[[int, Sequence[Tensor]], float],
    end_pass: Callable[[], None],
    record: dict[str, Any],
    bar: tqdm,
) -> None:
    """Make the passes that are still to do; the record is brought up to date after each."""
    start, total, images = time.perf_counter(), 0.0, 0
    left = batches(record["steps"]) if record["steps"] < ends[-1] else ()
    for number, batch in enumerate(left, record["steps"] + 1):
        value = update(number - 1, batch)
        total, images = total + value * len(batch[0]), images + len(batch[0])
        bar.update()
        bar.set_postfix_str(f"loss {value:.3f}", refresh=False)
        if number in ends:
            record["history"].append(total / images)
            record["steps"] = number
            record["seconds"] += time.perf_counter() - start
            end_pass()
            start, total, images = time.perf_counter(), 0.0, 0


def shuffled(
    dataset: Dataset, keys: ShuffledBatches, device: torch.device, workers: int = 0
) -> Callable[[int], DataLoader]:
    """The ``batches`` of ``fit``: a data set's items by their keys, the same ones again.

    Args:
        dataset: key -> tensors, drawn from nothing but the key.
        keys: of each step.
        device: on which the net is trained.
        workers: processes that make the items ahead; 0 makes them in this one.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=keys,
        collate_fn=stack,
        num_workers=workers,
        worker_init_fn=worker_init(),
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )

    def batches(first: int) -> DataLoader:
        keys.first = first
        return loader

    return batches


def logit_loss(
    forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> tuple[Tensor, int]:
    """L_BCE of a batch, the mean over images and classes, as ``fit`` takes it."""
    return F.binary_cross_entropy_with_logits(forward(images).float(), labels), len(labels)


class _Folder:
    """What a training leaves in its folder, as long as it is the same training.

    ``training.pt`` is the state after a pass; the checkpoint of the trained net takes its place
    at the end. Both are written beside their names and renamed, so that a kill leaves whole files.
    """

    def __init__(self, folder: str | Path, net: nn.Module, identity: Mapping[str, Any]) -> None:
        if not isinstance(net, StoredNet):
            raise ValueError(f"a {type(net).__name__} cannot be kept in a folder; see StoredNet")
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
        """The finished training's record, its weights taken over.

        A net that has these weights already, as when a notebook's cell runs twice, is welcome.
        """
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
        if not self.state.exists():
            return None
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            identity, record = state["identity"], state["record"]
            weights, moments = state["weights"], state["optimizer"]
        except Exception as error:  # what a broken file raises depends on where it breaks
            reason = str(error).partition("\n")[0]
            message = f"{self.state} is not a whole training state ({reason}); training starts anew"
            warnings.warn(message, stacklevel=4)
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
        with whole_file(self.state) as temporary:
            torch.save(state, temporary)

    def finish(self, record: dict[str, Any]) -> None:
        """Write the trained net with the record and its provenance; the state is removed."""
        metadata = {
            "class_names": self.identity["class_names"],
            "identity": self.identity,
            "git_commit": provenance.git_commit(),
            "versions": provenance.versions(),
            "date": provenance.now(),
            **record,
        }
        self.net.save(self.path, metadata)
        for left in [self.state, *self.state.parent.glob(f".{STATE}.*")]:  # killed in writing
            left.unlink(missing_ok=True)

    def _refuse_other(self, path: Path, identity: Mapping[str, Any]) -> None:
        other = differences(identity, self.identity)
        if other:
            again = "; or build the net anew, if it was trained since" if START in other else ""
            raise ValueError(
                f"{path} is of another training: {other}. Choose another folder, or move that file "
                f"away{again}"
            )
