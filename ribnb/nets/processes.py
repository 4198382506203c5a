"""One training in several processes, as ``torchrun`` starts them; or in this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ribnb.core.devices import resolve_device


class Processes:
    """The processes that train together: torch's process group, if there is one.

    Attributes:
        rank: this process's number, from 0.
        count: how many there are.
    """

    def __init__(self) -> None:
        group = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if group else 0
        self.count = distributed.get_world_size() if group else 1

    def together(self, net: nn.Module, device: torch.device) -> nn.Module:
        """The net, which averages its gradients over the processes and starts as the first's."""
        if self.count == 1:
            return net
        places = [device] if device.type == "cuda" else None
        return DistributedDataParallel(net, device_ids=places, broadcast_buffers=False)

    def mean(self, mean: Tensor, items: int | Tensor) -> tuple[float, Tensor]:
        """A loss over the parts of all processes, and what to differentiate for its gradient.

        Args:
            mean: of the items of this process's part.
            items: how many they are.
        """
        if self.count == 1:
            return mean.item(), mean
        items = torch.as_tensor(items, dtype=mean.dtype, device=mean.device)
        sums = torch.stack([mean.detach() * items, items])
        distributed.all_reduce(sums)
        number = sums[1].clamp(min=1)  # a batch may have no items at all
        # The gradients are averaged over the processes, whose parts have more and fewer items: so
        # each part counts in the sum, and the sum is divided by all items.
        return (sums[0] / number).item(), mean * (items * self.count / number)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """The device of this process; under ``torchrun`` with a process group around it.

    Several processes use NCCL and one GPU each, or Gloo on the CPU.

    Args:
        device: ``"auto"``, or any that ``resolve_device`` knows; of several processes on CUDA
            each takes the GPU of its number.

    Raises:
        ValueError: a device that this machine does not have, or several processes on MPS.
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
