"""Results that are handed on, in an archive that others can check.

It is a BagIt bag with the SHA-256 of every file. ``pack`` takes the results below a folder with
their scores, tables, settings, executed notebooks and logs. ``verify`` finds what was lost,
damaged, changed or added since; it cannot find what someone changed together with its hashes.
"""

from __future__ import annotations

import logging
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from ribnb.core.files import write_whole
from ribnb.core.settings import Settings
from ribnb.runs.results import RESULT, find_results
from ribnb.scores.image_scores import FILE as IMAGE_SCORES

PACKED = (RESULT, IMAGE_SCORES, "*.csv", "*.yml", "*.yaml", "*.log", "log.txt", "*.ipynb")


def pack(
    folder: str | Path,
    output: str | Path | None = None,
    chapters: Mapping[str, type[Settings]] | None = None,
) -> tuple[Path, int, dict[str, str]]:
    """Pack the results below a folder into one archive, which is whole or not there.

    Broken results and those that are stale for these ``chapters`` are left out with their scores.
    Hidden files are no part of it, and neither is what a symbolic link shows. Without an output
    it is ``NAME.tar.gz`` beside the folder.

    Returns:
        The archive's path, how many results it holds, and name -> why something is left out.

    Raises:
        FileNotFoundError: there is no result in the folder that could be packed.
        FileExistsError: ``output`` is there and is no archive.
        OSError: a file that cannot be read, or an archive that cannot be written.
    """
    import bagit

    folder = Path(folder).resolve(strict=True)
    output = Path(output) if output else folder.parent / f"{folder.name}.tar.gz"
    if output.exists() and not tarfile.is_tarfile(output):
        raise FileExistsError(f"{output} is there and is no archive; choose another name")
    paths, left_out = _chosen(folder, chapters or {})
    results = sum(path.name == RESULT for path in paths)
    if not results:
        problems = [f"{name} {why}" for name, why in left_out.items()]
        raise FileNotFoundError("\n".join([*problems, f"no {RESULT} to pack below {folder}"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pack_") as temporary:
        bag = Path(temporary).resolve() / folder.name  # a copy: bagit moves what it is given
        for path in paths:
            (bag / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, bag / path)
        information = {"Source-Organization": "ribnb", "Left-Out": sorted(left_out)}
        bagit.make_bag(str(bag), information, checksums=["sha256"])
        archive = shutil.make_archive(temporary + "/archive", "gztar", temporary, folder.name)
        with open(archive, "rb") as whole:
            write_whole(output, partial(shutil.copyfileobj, whole))
    return output, results, left_out


def verify(path: str | Path) -> tuple[int, list[str]]:
    """Check an archive that ``pack`` made, or the folder that it was unpacked to.

    Returns:
        How many results it holds, and its faults, a line each; none means that it is whole.

    Raises:
        FileNotFoundError: there is no archive and no folder.
        ValueError: the archive cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        return _verify_bag(path)
    with tempfile.TemporaryDirectory(prefix="ribnb_verify_") as temporary:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(temporary, filter="data")
        except FileNotFoundError:
            raise
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise ValueError(f"{path} is no archive, or only a part of one: {error}") from error
        folders = list(Path(temporary).iterdir())
        return _verify_bag(folders[0] if len(folders) == 1 else Path(temporary))


def _verify_bag(folder: Path) -> tuple[int, list[str]]:
    import bagit

    logging.getLogger("bagit").setLevel(logging.CRITICAL)  # the faults say it
    faults, data = [], folder / "data"
    try:
        bag = bagit.Bag(str(folder))
        bag.info.pop("Payload-Oxum", None)  # a sum over all files, which names none
        bag.validate()
    except bagit.BagValidationError as error:
        faults += map(str, error.details or [error])
    except bagit.BagError as error:
        return 0, [f"no archive that pack made, or only a part of one: {error}"]
    results, problems = find_results(data)
    faults += [f"{Path(name).relative_to(data)} {why}" for name, why in problems.items()]
    return len(results), faults


def _chosen(
    folder: Path, chapters: Mapping[str, type[Settings]]
) -> tuple[list[Path], dict[str, str]]:
    """Which files are packed, from ``folder``; and name -> why a result is not."""
    _, problems = find_results(folder, chapters)
    left_out = {Path(name).relative_to(folder).as_posix(): why for name, why in problems.items()}
    paths = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        fits = any(fnmatch(path.name, pattern) for pattern in PACKED)
        lost = path.name in (RESULT, IMAGE_SCORES) and str(path.parent / RESULT) in problems
        hidden = any(part.startswith(".") for part in inner.parts)
        if fits and path.is_file() and not (lost or hidden or path.is_symlink()):
            paths.append(inner)
    return paths, left_out
