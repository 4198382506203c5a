"""Make a classifier's checkpoint small enough to come along with results.

    python data_scripts/halve_classifier.py runs/net/classifier.safetensors theta_0/0.safetensors

Weights that its training left as ImageNet's are left out, and the others are rounded to half
precision. `load_classifier` reads the file like any other; the rounded net *is* the theta_0 of what
is made with it. Both mAPs, where the images are at hand, are for the note beside it.
"""

from __future__ import annotations

import argparse

import torch

from ribnb.nets import CAMNet, checkpoint_metadata


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="as a training leaves it")
    parser.add_argument("small", help="the file to write")
    given = parser.parse_args()
    net, metadata = CAMNet.load(given.checkpoint), checkpoint_metadata(given.checkpoint)
    net.save(given.small, metadata, torch.float16, leave_out=True)
    print(f"{given.small}: {checkpoint_metadata(given.small)['digest']}")


if __name__ == "__main__":
    main()
