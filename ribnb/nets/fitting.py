"""Training a net: one loop for every net, which goes on after a kill and loads what is done."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ribnb.core.devices import autocast, data_loader, device_name, float32_mode, resolve_device
from ribnb.core.runner import progress
from ribnb.data.views import ShuffledBatches, stack
from ribnb.nets.weights import TrainingFolder

# What a step learns from: the mean loss of its items, and of how many items it is the mean.
Loss = Callable[..., tuple[Tensor, "int | Tensor"]]


@dataclass(frozen=True)
class Training:
    """What a training gave, now or, if it was ``loaded``, in an earlier run.

    ``net`` is the one that was handed in, in eval mode; ``record`` is what stands beside the
    weights in its file, and what callbacks added.
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
    each_pass: Callable[[dict[str, Any]], None] = lambda record: None,
    label: str = "training",
) -> Training:
    """Train a net, go on with a training that was killed, or load the net if it was trained before.

    In a process group (``torchrun``) each process takes its part of every batch, and the result
    is that of one process, up to rounding; the first process writes.

    Args:
        net: with its initial weights; trained in place. With a ``folder`` a ``StoredNet``.
        optimizer: of what is to move. A group's ``factor``, 1 if it has none, multiplies the rate.
        batches: a step, from 0 -> its batch and all that follow. What a batch holds must depend
            on its step alone; see ``shuffled``.
        ends: after how many steps each pass over the images is complete; the last ends it all.
        loss: ``(forward, *batch)`` -> the batch's mean loss and of how many items it is the mean;
            ``forward`` calls the net in ``precision``.
        rate: step -> learning rate.
        folder: keeps the state after each pass (``training.pt``), with which a killed training
            goes on, and at the end the net (``<kind>.safetensors``), which is loaded the next
            time. A state that cannot be read is warned of, and training starts anew.
        identity: what else decides the training, ready for JSON, ``class_names`` among it.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device; the net stays there.
        precision: ``"float32"``, ``"tf32"`` or ``"bfloat16"``.
        still: modules that stay in eval mode.
        channels_last: the memory format of images in the net; faster for large convolutions.
        each_pass: takes the record after each pass, after the last when the net is in eval mode,
            and may add to it.
        label: stands in front of the progress bar.

    Raises:
        ValueError: a folder with another training's files (what differs is named), or with a
            net that is not whole.
        FloatingPointError: a loss that is not finite; the state after the last pass is kept.
    """
    device, processes = resolve_device(device), Processes()
    store = TrainingFolder(folder, net, identity or {}) if folder else None
    net.to(device)
    if store and store.path.exists():
        return Training(net.eval(), store.load(), loaded=True)
    record = (store and store.resume(optimizer)) or {"history": [], "steps": 0, "seconds": 0.0}
    if channels_last and device.type in ("cpu", "cuda"):
        net.to(memory_format=torch.channels_last)
    parallel = net
    if processes.count > 1:  # gradients are averaged; all start as the first process's
        places = [device] if device.type == "cuda" else None
        parallel = DistributedDataParallel(net, device_ids=places, broadcast_buffers=False)

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
                f"the loss is {value} at step {step + 1} of {ends[-1]}. Lower learning_rate, and "
                "train in another folder"
            )
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        return value

    first = processes.rank == 0
    bar = progress(None, label, ends[-1], record["steps"]) if first else tqdm(disable=True)
    with float32_mode(precision), bar:
        try:
            net.train()
            for module in still:
                module.eval()
            start, total, images = time.perf_counter(), 0.0, 0
            left = batches(record["steps"]) if record["steps"] < ends[-1] else ()
            for step, batch in enumerate(left, record["steps"]):
                value = update(step, batch)
                total, images = total + value * len(batch[0]), images + len(batch[0])
                bar.update()
                bar.set_postfix_str(f"loss {value:.3f}", refresh=False)
                if step + 1 not in ends:
                    continue
                record["history"].append(total / images)
                record["steps"] = step + 1
                record["seconds"] += time.perf_counter() - start
                if record["steps"] < ends[-1]:
                    each_pass(record)
                if store and first:
                    store.keep(optimizer, record)
                start, total, images = time.perf_counter(), 0.0, 0
        finally:
            net.eval().to(memory_format=torch.contiguous_format)
        each_pass(record)
    record["device"] = device_name(device)
    if store and first:
        store.finish(record)
    if processes.count > 1:
        distributed.barrier()
    return Training(net, record, loaded=False)


def shuffled(
    dataset: Dataset, keys: ShuffledBatches, device: torch.device, workers: int = 0
) -> Callable[[int], DataLoader]:
    """The ``batches`` of ``fit``: items of a data set, drawn from nothing but each step's keys.

    ``workers`` are processes that make them ahead, for training on ``device``.
    """
    pin = device.type == "cuda"
    loader = data_loader(dataset, workers, batch_sampler=keys, collate_fn=stack, pin_memory=pin)

    def batches(first: int) -> DataLoader:
        keys.first = first
        return loader

    return batches


def logit_loss(
    forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> tuple[Tensor, int]:
    """L_BCE of a batch, the mean over images and classes, as ``fit`` takes it."""
    return F.binary_cross_entropy_with_logits(forward(images).float(), labels), len(labels)


class Processes:
    """The processes that train together, torch's process group: this one's rank of how many."""

    def __init__(self) -> None:
        group = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if group else 0
        self.count = distributed.get_world_size() if group else 1

    def mean(self, mean: Tensor, items: int | Tensor) -> tuple[float, Tensor]:
        """The mean over all processes' items from this one's, and what to differentiate for it."""
        if self.count == 1:
            return mean.item(), mean
        items = torch.as_tensor(items, dtype=mean.dtype, device=mean.device)
        sums = torch.stack([mean.detach() * items, items])
        distributed.all_reduce(sums)
        number = sums[1].clamp(min=1)  # a batch may have no items at all
        # The gradients are averaged over the processes, whose parts have more and fewer items: so
        # each part counts in the sum, and the sum is divided by all items.
        return (sums[0] / number).item(), mean * (items * self.count / number)


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """The device of this process; under ``torchrun`` with a process group around it.

    Several processes use NCCL and the GPU of their number, or Gloo on the CPU. ValueError for a
    device that this machine does not have, or several processes on MPS.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield resolve_device(device)
        return
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device = {device!r} with several processes: it must be cuda or cpu")
    place = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else "cpu")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    yield place
    # after an error it is left as it is: the others may wait for this process, and never answer
    distributed.destroy_process_group()
