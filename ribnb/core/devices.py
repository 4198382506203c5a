"""Where and how the computation runs: device, precision, mode, random seed, worker processes."""

from __future__ import annotations

import os
import platform
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.utils.data import DataLoader

Precision = Literal["float32", "tf32", "bfloat16"]
PRECISIONS = get_args(Precision)
DRAWING = threading.RLock()


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device meant by ``name``, or as it is: "auto" picks CUDA, then MPS, then the CPU.

    Raises:
        ValueError: a name other than auto, cpu, mps, cuda or cuda:N, or a device that this
            machine does not have.
    """
    if isinstance(name, torch.device):
        return name
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError(f"device = {name!r}: it must be 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'")
    counts = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        return torch.device(next(kind for kind, count in counts.items() if count))
    device = torch.device(name)
    if (device.index or 0) >= counts[device.type]:
        raise ValueError(
            f"device = {name!r}, but PyTorch sees {counts[device.type]} of this kind on this "
            "machine; device = 'auto' takes the best there is"
        )
    return device


@contextmanager
def float32_mode(precision: str) -> Iterator[None]:
    """What CUDA makes of float32 in convolutions and matrix products, there and back.

    ``"tf32"`` lets it round their inputs to TF32's 10 bits, which is many times as fast; in the
    other of ``PRECISIONS`` float32 means float32, although PyTorch's own default rounds in
    convolutions. On other devices nothing changes.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    value = "tf32" if precision == "tf32" else "ieee"
    places = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = value
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A context for forward passes in ``precision``; it lowers them for ``"bfloat16"`` alone."""
    # Without the cache of rounded weights: inside a caller's autocast it would outlive an update.
    lower = precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=lower, cache_enabled=False)


def device_name(device: torch.device) -> str:
    """A name for the record: the GPU's, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.machine()})"
    return f"CPU ({_processor()}, {torch.get_num_threads()} threads)"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.split(":", 1)[1].strip() for line in lines if line[:10] == "model name")
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """``eval`` mode, undone module by module."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, what draws from the CPU's global generator draws from this seed; afterwards it goes
    on as if nothing had been drawn. One thread at a time, for all share that generator."""
    with DRAWING, torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the GPU's generators too, which are not forked
        torch.default_generator.manual_seed(seed)
        yield


def data_loader(data: Any, workers: int, **options: Any) -> DataLoader:
    """torch's, whose workers end with this process, and which draws from no global generator."""
    start = partial(_start_worker, os.getpid())
    private = {"worker_init_fn": start, "generator": torch.Generator()}
    return DataLoader(data, num_workers=workers, **private, **options)


def _start_worker(parent: int, _: int) -> None:
    """A worker ends when whoever started it ends, however that comes about."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to the workers too
    if os.getppid() != parent:  # killed by now: torch's watch begins later, and would see nothing
        os._exit(1)
