"""Get PASCAL VOC 2012 and SBD, and derive lists, labels and masks from them."""

from __future__ import annotations

import argparse
import sys

from ribnb.data.voc_get import GetReport, get_voc

_EPILOG = """\
what is made, in ROOT/VOCdevkit/VOC2012:
  labels.npz                              image-level labels of all annotated images
  ImageSets/Segmentation/train_aug.txt    10,582 ids: VOC's train and SBD, less VOC's val
  SegmentationClassAug/*.png              12,031 masks: those of train_aug and val

A call that was broken off goes on where it stopped when it is repeated. What is there already,
unpacked by hand or by torchvision, is used. Look at the result with check_data.py ROOT.
"""
_SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="ROOT", help="folder for VOCdevkit and SBD; is made")
    parser.add_argument(
        "--voc-archive", metavar="FILE", help="VOCtrainval_11-May-2012.tar that is on this disk"
    )
    parser.add_argument("--sbd-archive", metavar="FILE", help="SBD's benchmark.tgz on this disk")
    parser.add_argument(
        "--no-sbd", action="store_true", help="VOC alone: neither train_aug nor its masks"
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="keep downloaded archives once unpacked"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that make masks")
    arguments = parser.parse_args()
    try:
        report = get_voc(
            arguments.root,
            arguments.voc_archive,
            arguments.sbd_archive,
            with_sbd=not arguments.no_sbd,
            keep_archives=arguments.keep_archives,
            workers=arguments.workers,
            say=lambda line: print(line, flush=True),
        )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run this again to go on from here", file=sys.stderr)
        return 130
    _show(report)
    return 1 if report.problems else 0


def _show(report: GetReport) -> None:
    for line in report.done:
        print(line)
    for line in report.warnings:
        print(f"note: {line}", file=sys.stderr)
    for line in report.problems[:_SHOWN]:
        print(f"fault: {line}", file=sys.stderr)
    if len(report.problems) > _SHOWN:
        print(f"... and {len(report.problems) - _SHOWN:,} more faults", file=sys.stderr)
    if report.problems:
        print(
            f"{report.folder} is not complete. Replace the files named, or remove the folder SBD "
            "if it is at fault, and run this again",
            file=sys.stderr,
        )
    elif report.done:
        print(f"{report.folder} is complete")
    else:
        print(f"nothing to do: {report.folder} is complete")


if __name__ == "__main__":
    sys.exit(main())
