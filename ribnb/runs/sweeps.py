"""Ablations: YAML files that say with which parameters and seeds a chapter is to be run.

    name: k_and_pooling            # that of the file
    chapter: voc_rib
    question: one sentence         # optional
    parameters: {variant: paper}   # of every point; optional
    grid: {pooling: [gndrp, gap], iterations: [1, 2, 5]}   # every combination
    cases:                         # named points; with a grid, each with every combination
      the paper: {}
      a stop at the margin: {margin_rule: stop}
    seeds: [3, 4, 5]

From the command line, what they would run, or everything that is wrong with them::

    python -m ribnb.runs.sweeps book/settings/ablations
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ribnb.core.settings import SettingsError
from ribnb.runs.ablation import Ablation, Point
from ribnb.runs.sweep_file import SweepFile

FOLDER = Path("book") / "settings" / "ablations"  # in the repository, where a batch runs
SUFFIXES = (".yml", ".yaml")

__all__ = ["Ablation", "Point", "distinct_runs", "read_ablation", "read_ablations"]


def read_ablation(path: str | Path, common: Mapping[str, Any] | None = None) -> Ablation:
    """Read an ablation's file, and refuse whatever could only fail once it runs.

    Args:
        path: the file.
        common: parameters that lie beneath the file's own, such as a batch's; a mapping among
            them is the section of one chapter, see ``ribnb.core.settings_files``.

    Raises:
        SettingsError: one line, ``FILE:LINE: what, and what to do``, for each thing wrong.
    """
    return SweepFile(Path(path), common or {}).ablation()


def read_ablations(
    where: str | Path | Iterable[str | Path], common: Mapping[str, Any] | None = None
) -> dict[str, Ablation]:
    """Ablations by name, sorted by their files' names.

    Args:
        where: a folder, whose ``*.yml`` and ``*.yaml`` are read; or files and folders.
        common: see ``read_ablation``.

    Raises:
        SettingsError: what is wrong with any of them, a line each; two of one name (capital or
            small); a folder without any.
    """
    errors: list[str] = []
    ablations: dict[str, Ablation] = {}
    first: dict[str, Path] = {}
    for path in sorted(_files(where, errors), key=lambda path: (path.name, path)):
        other = first.setdefault(path.stem.lower(), path)
        if other != path:  # not by the names within, which are those of the files
            errors.append(f"{path}:1: the name {path.stem!r} is taken by {other}; rename one")
        try:
            ablations[path.stem] = read_ablation(path, common)
        except SettingsError as error:
            errors += str(error).splitlines()
    if errors:
        raise SettingsError("\n".join(dict.fromkeys(errors)))
    return ablations


def distinct_runs(ablations: Iterable[Ablation]) -> int:
    """How many runs there are in all, when those of the same settings are one."""
    return len(
        {
            (ablation.chapter, ablation.settings(point, seed).hash())
            for ablation in ablations
            for point in ablation.points
            for seed in ablation.seeds
        }
    )


def _files(where: str | Path | Iterable[str | Path], errors: list[str]) -> list[Path]:
    """The files, each once."""
    found: dict[Path, Path] = {}
    for path in map(Path, [where] if isinstance(where, str | Path) else where):
        inside = [path]
        if path.is_dir():
            inside = [file for file in path.iterdir() if file.suffix in SUFFIXES]
            if not inside:
                errors.append(f"{path}: there is no ablation (*.yml) in this folder")
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def main(words: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.sweeps",
        description="Check ablations and say what they would run.",
    )
    parser.add_argument("files", nargs="*", default=[FOLDER], help=f"or folders; default: {FOLDER}")
    parser.add_argument("--points", action="store_true", help="also every point of each")
    arguments = parser.parse_args(words)
    try:
        ablations = read_ablations(arguments.files)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    width = max(map(len, ablations))
    for ablation in ablations.values():
        points, seeds = len(ablation.points), ablation.seeds
        print(
            f"{ablation.name:{width}}  {ablation.chapter}  {points} points x seeds "
            f"{', '.join(map(str, seeds))} = {points * len(seeds)} runs"
        )
        if arguments.points:
            print("".join(f"  {point}\n" for point in ablation.points), end="")
    print(f"{distinct_runs(ablations.values())} runs in all, those of equal settings once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
