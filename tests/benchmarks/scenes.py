"""Scenes drawn and written a second, on one core, beside a yardstick measured in the same run.

    python tests/benchmarks/scenes.py [--images 300] [--size 96] [--repeats 3]

The yardstick is one JPEG encoding of 512 x 512 random pixels by Pillow: a ratio to it means the
same on a busy machine and on an idle one. Processor time does not count what other processes
take; wall time does.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time

import numpy as np
from PIL import Image

from ribnb.data.scenes.images import write_scenes


def seconds(work) -> tuple[float, float]:
    """Processor and wall time of a call."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - wall


def encode(times: int) -> None:
    """The yardstick, ``times`` times."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8))
    for _ in range(times):
        image.save(io.BytesIO(), "JPEG", quality=95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--size", default="96", help="side or WIDTHxHEIGHT, pixels")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    sides = [int(side) for side in arguments.size.split("x")]
    size, images = (sides[-1], sides[0]), arguments.images
    encode(3), write_to_nowhere(2, size)  # what is slow only the first time
    for _ in range(arguments.repeats):
        yardstick, _ = seconds(lambda: encode(20))
        processor, wall = seconds(lambda: write_to_nowhere(images, size))
        print(
            f"{arguments.size}: {images / processor:.0f} scenes a second of processor time, "
            f"{images / wall:.0f} of wall time; one costs {processor / images / yardstick * 20:.2f}"
            " JPEGs of 512 x 512"
        )


def write_to_nowhere(images: int, size: tuple[int, int]) -> None:
    """Write scenes to a folder that vanishes."""
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(folder, images, size)


if __name__ == "__main__":
    main()
