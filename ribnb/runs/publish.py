"""Copy the results of a batch to where the book reads them.

    python -m ribnb.runs.publish runs/ablations book/results/ablations

Of every run that is whole ``result.json`` and its images' scores; the maps stay. What lies at the
other place and is of no run here is named, and left alone unless ``--prune`` is given.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ribnb.core.whole_files import whole_file
from ribnb.runs.result_files import RESULT, find_results, stale
from ribnb.scores.image_scores import FILE


def publish(source: str | Path, target: str | Path, prune: bool = False) -> tuple[list, list]:
    """Copy results; returns what was copied and what is said of the rest.

    Raises:
        FileNotFoundError: there is no result below ``source``.
    """
    source, target = Path(source), Path(target)
    found, problems = find_results(source)
    said = [f"{path} {reason}; left out" for path, reason in problems.items()]
    copied = []
    for result in found:
        folder = Path(result["path"]).parent
        why = stale(result)
        if why:
            said.append(f"{result['path']} {why}; left out")
            continue
        place = target / folder.relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in (FILE, RESULT):
            if (folder / name).is_file():
                with whole_file(place / name) as temporary:
                    shutil.copyfile(folder / name, temporary)
        copied.append(place)
    if not copied:
        raise FileNotFoundError(f"there is no whole result below {source}")
    others = [path.parent for path in sorted(target.rglob(RESULT)) if path.parent not in copied]
    if prune:
        for folder in others:
            shutil.rmtree(folder)
    if others:
        which = ", ".join(folder.name for folder in others[:3]) + (", ..." if others[3:] else "")
        done = "removed" if prune else "left alone"
        said.append(f"{len(others)} results in {target} are of no run here; {done}: {which}")
    return copied, said


def main(words: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.publish", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("source", help="a batch's folder")
    parser.add_argument("target", help="a folder below book/results")
    parser.add_argument("--prune", action="store_true", help="remove what is of no run here")
    given = parser.parse_args(words)
    try:
        copied, said = publish(given.source, given.target, given.prune)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    for line in said:
        print(line, file=sys.stderr)
    print(f"{len(copied)} results in {given.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
