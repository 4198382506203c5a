"""Draw a data set of scenes into a folder, laid out as PASCAL VOC 2012 is.

Beside VOC's folders it has SegmentationPart, masks of heads and bodies, and Saliency, grey maps of
what a saliency detector would see. A folder that lacks some files is completed.
"""

from __future__ import annotations

import argparse
import sys
import time

from ribnb.data.scenes.images import write_scenes


def size(text: str) -> tuple[int, int]:
    """Height and width from S or WxH."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"a side or WIDTHxHEIGHT in pixels, not {text!r}")
    return int(sides[-1]), int(sides[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="the folder that stands for VOCdevkit/VOC2012")
    parser.add_argument("--images", type=int, required=True, help="in all splits together")
    parser.add_argument(
        "--size", type=size, default=(96, 96), help="side or WIDTHxHEIGHT, pixels: 96, 500x375"
    )
    parser.add_argument("--seed", type=int, default=0, help="another one gives other scenes")
    parser.add_argument("--classes", type=int, default=6, help="2 to 6, of the list in scenes")
    parser.add_argument("--workers", type=int, default=1, help="processes; the bytes are the same")
    arguments = parser.parse_args()
    start = time.perf_counter()
    try:
        drawn = write_scenes(
            arguments.root,
            arguments.images,
            arguments.size,
            arguments.seed,
            arguments.classes,
            arguments.workers,
        )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    seconds = time.perf_counter() - start
    print(f"{arguments.images} scenes in {arguments.root}, {drawn} drawn now in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
