"""Training a net: one loop for every net, which goes on after a kill and loads what is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ribnb.core.devices import as_device, autocast, device_name, float32_mode, worker_init
from ribnb.core.progress import progress
from ribnb.data.views import ShuffledBatches, stack
from ribnb.nets.processes import Processes
from ribnb.nets.training_folder import TrainingFolder

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
        each_pass: takes the record after each pass, and may add to it.
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
    store = TrainingFolder(folder, net, identity or {})
    net.to(device)
    record = store.load()
    if record is not None:
        return Training(net.eval(), record, loaded=True)
    record = store.resume(optimizer) or {"history": [], "steps": 0, "seconds": 0.0}
    if channels_last and device.type in ("cpu", "cuda"):
        net.to(memory_format=torch.channels_last)
    step = _Step(processes.together(net, device), optimizer, loss, device, precision, processes)
    with float32_mode(precision):
        try:
            net.train()
            for module in still:
                module.eval()
            with _bar(label, ends[-1], record["steps"], processes) as bar:
                for _ in _passes(step, batches, ends, rate, record, advice, bar):
                    if each_pass is not None:
                        each_pass(record)
                    if processes.rank == 0:
                        store.keep(optimizer, record)
        finally:
            net.eval().to(memory_format=torch.contiguous_format)
        if at_end is not None:
            at_end(record)
    record["device"] = device_name(device)
    if processes.rank == 0:
        store.finish(record)
    processes.wait()
    return Training(net, record, loaded=False)


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


class _Step:
    """One update of the net, in one process or in several."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        device: torch.device,
        precision: str,
        processes: Processes,
    ) -> None:
        self.net, self.optimizer, self.loss = net, optimizer, loss
        self.device, self.precision, self.processes = device, precision, processes

    def __call__(self, batch: Sequence[Tensor], rate: float) -> float:
        """The mean loss of the whole batch; without an update if it is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        batch = [part.to(self.device, non_blocking=True) for part in batch]
        mean, items = self.loss(self._forward, *batch)
        value = mean.item()
        if self.processes.count > 1:
            items = torch.as_tensor(items, dtype=mean.dtype, device=self.device)
            sums = self.processes.sum(torch.stack([mean.detach() * items, items]))
            number = sums[1].clamp(min=1)  # a batch may have no items at all
            value = (sums[0] / number).item()
            # The gradients are averaged over the processes, whose parts have more and fewer
            # items: so each part counts in the sum, and the sum is divided by all items.
            mean = mean * (items * self.processes.count / number)
        if math.isfinite(value):
            self.optimizer.zero_grad()
            mean.backward()
            self.optimizer.step()
        return value

    def _forward(self, *inputs: Tensor) -> Any:
        with autocast(self.precision, self.device):
            return self.net(*inputs)


def _passes(
    step: _Step,
    batches: Callable[[int], Iterable[tuple[Tensor, ...]]],
    ends: Sequence[int],
    rate: Callable[[int], float],
    record: dict[str, Any],
    advice: str,
    bar: tqdm,
) -> Iterable[None]:
    """Make the passes that are still to do; the record is brought up to date after each."""
    done, start, total, images = record["steps"], time.perf_counter(), 0.0, 0
    if done == ends[-1]:
        return
    for number, batch in enumerate(batches(done), done + 1):
        value = step(batch, rate(number - 1))
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {number} of {ends[-1]}. {advice}, and train in "
                "another folder"
            )
        total, images = total + value * len(batch[0]), images + len(batch[0])
        bar.update()
        bar.set_postfix_str(f"loss {value:.3f}", refresh=False)
        if number in ends:
            record["history"].append(total / images)
            record["steps"] = number
            record["seconds"] += time.perf_counter() - start
            yield
            start, total, images = time.perf_counter(), 0.0, 0


def _bar(label: str, steps: int, done: int, processes: Processes) -> tqdm:
    return tqdm(disable=True) if processes.rank else progress(None, label, steps, done)
