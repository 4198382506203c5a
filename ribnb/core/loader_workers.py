"""Worker processes of data loaders that end with the process that started them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial


def worker_init() -> Callable[[int], None]:
    """A ``worker_init_fn`` for a ``DataLoader`` of this process."""
    return partial(_start, os.getpid())


def _start(parent: int, _: int) -> None:
    """A worker ends when whoever started it ends, however that comes about."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to the workers too
    if os.getppid() != parent:  # killed by now: torch's watch begins later, and would see nothing
        os._exit(1)
