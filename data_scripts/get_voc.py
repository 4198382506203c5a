"""Get PASCAL VOC 2012 and SBD, and derive lists, labels and masks from them.

what is made, in ROOT/VOCdevkit/VOC2012:
  labels.npz                              image-level labels of all annotated images
  ImageSets/Segmentation/train_aug.txt    10,582 ids: VOC's train and SBD, less VOC's val
  SegmentationClassAug/*.png              12,031 masks: those of train_aug and val

A call that was broken off goes on where it stopped when it is repeated. What is there already,
unpacked by hand or by torchvision, is used. Look at the result with check_data.py ROOT.
"""

from __future__ import annotations

import argparse
import sys

from ribnb.data.voc_get import get_voc

SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="ROOT", help="folder for VOC and SBD; is made")
    parser.add_argument(
        "--voc-archive", metavar="FILE", help="VOCtrainval_11-May-2012.tar that is on this disk"
    )
    parser.add_argument("--sbd-archive", metavar="FILE", help="SBD's benchmark.tgz on this disk")
    parser.add_argument(
        "--no-sbd", action="store_true", help="VOC alone: neither train_aug nor its masks"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that make masks")
    given = parser.parse_args()
    try:
        problems = get_voc(
            given.root,
            given.voc_archive,
            given.sbd_archive,
            with_sbd=not given.no_sbd,
            workers=given.workers,
            say=lambda line: print(line, flush=True),
        )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run this again to go on from here", file=sys.stderr)
        return 130
    for line in problems[:SHOWN]:
        print(f"fault: {line}", file=sys.stderr)
    if problems:
        print(
            f"{given.root} is not complete: {len(problems):,} faults. Replace the files named, and "
            "run this again",
            file=sys.stderr,
        )
        return 1
    print(f"{given.root} is complete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
