"""The map files of several shards in one folder, for what comes after them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

RECORD = "maps.json"

# of a run's folder: where maps lie, with the steps and the record beside them
PLACES = (Path(), Path("cam"))


def gather_maps(folders: Sequence[str | Path], output_dir: str | Path) -> int:
    """Put the maps of several runs into one folder, as one run would have left them.

    Files are linked where the file system can, so that they take no more room; else copied.

    Args:
        folders: of the runs; those without maps add nothing.
        output_dir: gets ``maps``, ``steps`` and ``maps.json``, and the same below ``cam``.

    Returns:
        The number of files that were not there before.

    Raises:
        ValueError: runs whose maps were made in different ways.
        OSError: a file can be neither linked nor copied.
    """
    added = 0
    for place in PLACES:
        records = {
            str(path): path.read_bytes()
            for path in (Path(folder) / place / RECORD for folder in folders)
            if path.is_file()
        }
        for path, record in records.items():
            first = next(iter(records))
            if record != records[first]:
                raise ValueError(f"{path} and {first} differ: their maps do not belong together")
        for folder in folders:
            for kind in ("maps", "steps"):
                for path in sorted((Path(folder) / place / kind).glob("[!.]*")):
                    added += _link(path, Path(output_dir) / place / kind / path.name)
        for path in list(records)[:1]:  # last, as what says that maps are there
            _link(Path(path), Path(output_dir) / place / RECORD)
    return added


def _link(source: Path, target: Path) -> bool:
    """Whether there was anything to do."""
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(source, temporary)
        os.replace(temporary, target)
    return True
