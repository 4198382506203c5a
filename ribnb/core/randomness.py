"""Draws that can be drawn again, without a trace on torch's global generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, what draws from the CPU's global generator draws from this seed; afterwards it goes
    on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the GPU's generators too, which are not forked
        torch.default_generator.manual_seed(seed)
        yield
