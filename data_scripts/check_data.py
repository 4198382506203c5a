"""Tell what of a data set in VOC's layout is there, damaged, or of the wrong size."""

from __future__ import annotations

import argparse
import sys

from ribnb.data.voc_check import check_table, check_voc

_EPILOG = """\
The exit status is 0 if all that the lists of images need is there and whole, else 1. Other
counts than the official ones are shown but are no fault: a data set may be a part, or made up.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "root", metavar="ROOT", help="folder that holds VOCdevkit/VOC2012, or itself one; or scenes"
    )
    parser.add_argument("--quick", action="store_true", help="look at names and headers only")
    parser.add_argument("--workers", type=int, default=1, help="processes that read files")
    arguments = parser.parse_args()
    try:
        report = check_voc(arguments.root, arguments.quick, arguments.workers)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(check_table(report))
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
