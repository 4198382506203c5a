"""Fetch one of MNIST's two splits for the toy chapters."""

from __future__ import annotations

import argparse
import sys

from ribnb.data.digits import SPLITS, download_mnist


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="files go to ROOT/MNIST/raw")
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="test (t10k, 1.7 MB) or train (9.9 MB)"
    )
    arguments = parser.parse_args()
    try:
        paths = download_mnist(arguments.root, arguments.split)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(map(str, paths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
