"""GPUs of this machine, one for each job at a time."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ribnb.core.file_locks import hold

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-ctrl", "/dev/kfd")  # of GPUs


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` names; without it all GPUs that PyTorch counts."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name.strip()]
    if sys.platform == "linux" and not any(Path(file).exists() for file in DRIVERS):
        return []
    import torch  # takes seconds

    return [str(index) for index in range(torch.cuda.device_count())]


@contextmanager
def one_gpu(names: list[str], poll_s: float = 1.0) -> Iterator[str]:
    """Wait for one of the GPUs that no other job of this machine holds, and hold it.

    Args:
        names: as in ``CUDA_VISIBLE_DEVICES``; at least one.
        poll_s: seconds between looks.
    """
    folder = Path(tempfile.gettempdir()) / f"ribnb_gpus_{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for name in names:
            with hold(folder / name.strip().replace("/", "_"), wait=False) as held:
                if held:
                    yield name
                    return
        time.sleep(poll_s)
