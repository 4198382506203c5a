"""What a device could do if it did nothing but multiply matrices, in TFLOP/s."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

PEAKS = {  # NVIDIA's data sheets, dense, the SXM version where there are two
    "H200": {"float32": 67.0, "tf32": 494.5, "bfloat16": 989.0},
    "H100 PCIe": {"float32": 51.0, "tf32": 378.0, "bfloat16": 756.0},
    "H100": {"float32": 67.0, "tf32": 494.5, "bfloat16": 989.0},
    "A100": {"float32": 19.5, "tf32": 156.0, "bfloat16": 312.0},
    "L4": {"float32": 30.3, "tf32": 60.0, "bfloat16": 121.0},
    "V100": {"float32": 15.7, "tf32": 15.7},  # neither it nor the T4 has TF32 or bfloat16
    "T4": {"float32": 8.1, "tf32": 8.1},
}


def matrix_peak(device: torch.device, precision: str) -> tuple[float | None, str]:
    """TFLOP/s, or None where it is unknown, and where the number comes from.

    A GPU's stands in ``PEAKS``. The CPU's is the better of a product of large matrices and a
    large convolution, both measured here, because the libraries behind them differ.
    """
    if device.type == "cpu":
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        return _measured(dtype), "measured in this run: the better of a matmul and a convolution"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for known, peaks in PEAKS.items():
            if set(known.split()) <= set(name.replace("-", " ").split()):
                return peaks.get(precision), f"data sheet of the {known}"
    return None, "unknown"


def _measured(dtype: torch.dtype) -> float:
    with torch.no_grad():
        one = torch.ones(2048, 2048, dtype=dtype)
        images = torch.ones(4, 256, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
        weight = torch.ones(256, 256, 3, 3, dtype=dtype)
        product = 2 * 2048**3 / _seconds(lambda: one @ one)
        work = 2 * images.numel() * 256 * 9
        convolution = work / _seconds(lambda: F.conv2d(images, weight, padding=1))
    return max(product, convolution) / 1e12


def _seconds(run: Callable[[], object], times: int = 4) -> float:
    """The quickest of a few calls."""
    quickest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        quickest = min(quickest, time.perf_counter() - start)
    return quickest
