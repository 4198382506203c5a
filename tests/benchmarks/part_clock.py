"""Where the time goes: seconds by part, and a sign of life for who waits."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

from ribnb.method import adaptation, inputs, localization
from ribnb.method import walk as walking
from ribnb.method.cam import MapSum


class PartClock:
    """Seconds by part, of the calls inside ``part``.

    A GPU is waited for at both ends of a part, which slows the whole down: a run that is to be
    timed as a whole gets a clock that is switched off.
    """

    def __init__(self, device: torch.device, on: bool = True) -> None:
        self.device, self.on = device, on
        self.seconds: dict[str, float] = defaultdict(float)
        self.whose = "target"  # or batch: what runs through the net at the moment

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if not self.on:
            yield
            return
        start = self.now()
        try:
            yield
        finally:
            self.seconds[name] += self.now() - start

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def shares(self, total: float) -> dict[str, float]:
        """Of the total; ``other`` is pooling, losses, resetting weights and what is left."""
        parts = {**self.seconds, "other": total - sum(self.seconds.values())}
        return {name: round(seconds / total, 4) for name, seconds in parts.items()}


@contextmanager
def in_the_engine(clock: PartClock) -> Iterator[None]:
    """Let the clock count the parts of ``localization_maps``."""
    if not clock.on:
        yield
        return
    walk = walking.Walk
    places = [  # owner, name, part
        (inputs.Feed, "views", "decode_and_resize"),
        (adaptation, "_take", "decode_and_resize"),
        (walk, "frozen_features", "frozen_{}"),
        (walk, "class_maps", "moving_{}"),
        (torch.Tensor, "backward", "backward"),
        (torch.optim.SGD, "step", "optimizer"),
        (MapSum, "add", "map_sum"),
        (MapSum, "finish", "map_sum"),
        (localization._MapFolder, "write", "writing"),
    ]
    update = walk.update

    def update_of_the_batch(*arguments):
        clock.whose = "batch"
        try:
            return update(*arguments)
        finally:
            clock.whose = "target"

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(walk, "update", update_of_the_batch))
        for owner, name, part in places:
            timed = _timed(getattr(owner, name), clock, part)
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield


def _timed(function, clock: PartClock, part: str):
    def timed(*arguments, **options):
        with clock.part(part.format(clock.whose)):
            return function(*arguments, **options)

    return timed


@contextmanager
def alive(label: str, every: float = 15.0) -> Iterator[None]:
    """Say on the error stream what runs, and again while it goes on."""
    start, over = time.perf_counter(), threading.Event()

    def tell() -> None:
        while not over.wait(every):
            print(f"  {label}: {time.perf_counter() - start:.0f} s so far", file=sys.stderr)

    print(f"{label} ...", file=sys.stderr, flush=True)
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
