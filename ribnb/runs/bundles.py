"""An archive of results that others can check: a BagIt bag with the SHA-256 of every file.

``pack`` takes the results below a folder with their scores, tables, settings, executed notebooks
and logs, and ``environment.json``, the packages of the machine that packed. ``verify`` finds what
was lost, damaged, changed or added since; it cannot find what someone changed together with its
hashes.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ribnb.core import provenance
from ribnb.core.files import whole_file
from ribnb.core.settings import Settings
from ribnb.runs.results import IMAGE_SCORES, RESULT, ResultError, find_results, read_result, stale
from ribnb.scores.image_scores import scores_fault

ENVIRONMENT = "environment.json"
ENDING = ".tar.gz"
SCORES = ("scores.npz", IMAGE_SCORES)  # beside a result, and nothing without it
PACKED = (RESULT, *SCORES, "*.csv", "*.yml", "*.yaml", "*.log", "log.txt")
MAPS = ("*/maps/*.npz", "*/steps/*.json", "*/maps.json")  # with what they were made from


class BundleError(ValueError):
    """What is no archive of results, or a folder without a result to pack."""


@dataclass
class Report:
    """What was found in an archive.

    Attributes:
        faults: one line each; none means that it is whole.
        results: the chapters of its results, one for each.
        stale: name of a result -> why it is not what the present version would make, no fault.
        files: how many files it holds.
    """

    faults: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)
    files: int = 0

    def __str__(self) -> str:
        if self.faults:
            return "\n".join(self.faults)
        chapters = ", ".join(sorted(set(self.results)))
        count = f"{len(self.results)} result{'' if len(self.results) == 1 else 's'}"
        return f"whole: {count} of chapters {chapters}, {self.files} files"


def pack(
    folder: str | Path,
    output: str | Path | None = None,
    chapters: Mapping[str, type[Settings]] | None = None,
    maps: bool = False,
    notebooks: bool = True,
    broken: bool = False,
) -> tuple[Path, int, dict[str, str]]:
    """Pack the results below a folder into one archive, which is whole or not there.

    Hidden files are no part of it, and neither is what a symbolic link shows outside of the
    folder.

    Args:
        folder: that holds results, at any depth.
        output: the archive; None puts ``NAME.tar.gz`` beside the folder.
        chapters: chapter -> the class of its settings, to tell which results are stale.
        maps: whether map files come along, which are many.
        notebooks: whether executed notebooks do.
        broken: whether results that are not whole, or stale, do, with their scores.

    Returns:
        The archive's path, how many results it holds, and name -> why something is left out.

    Raises:
        BundleError: there is no result in the folder that could be packed.
        FileNotFoundError: no such folder.
        FileExistsError: ``output`` is there and is no archive.
        OSError: a file that cannot be read, or an archive that cannot be written.
    """
    import bagit

    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    name = folder.resolve().name or "results"
    output = Path(output) if output else folder.resolve().parent / f"{name}{ENDING}"
    if output.is_dir() or (output.exists() and not tarfile.is_tarfile(output)):
        raise FileExistsError(f"{output} is there and is no archive; choose another name")
    left_out = {} if broken else _broken(folder, chapters or {})
    paths = _chosen(folder, maps, notebooks, left_out)
    results = sum(path.name == RESULT for path in paths)
    if not results:
        problems = [f"{name} {why}" for name, why in left_out.items()]
        raise BundleError("\n".join([*problems, f"no {RESULT} to pack below {folder}"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pack_") as temporary:
        bag = Path(temporary).resolve() / name  # a copy, because bagit moves what it is given
        for path in paths:
            (bag / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, bag / path)
        (bag / ENVIRONMENT).write_text(json.dumps(environment(), indent=1) + "\n")
        information = {"Source-Organization": "ribnb", "Left-Out": sorted(left_out)}
        bagit.make_bag(str(bag), information, checksums=["sha256"])
        archive = shutil.make_archive(temporary + "/archive", "gztar", temporary, name)
        with whole_file(output) as whole:
            Path(archive).rename(whole)
    return output, results, left_out


def verify(path: str | Path, chapters: Mapping[str, type[Settings]] | None = None) -> Report:
    """Check an archive that ``pack`` made, or the folder that it was unpacked to.

    Args:
        path: the archive, or the folder.
        chapters: chapter -> the class of its settings, to tell which results are stale.

    Raises:
        BundleError: there is no archive and no folder, or one that cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        return _verify_bag(path, chapters or {})
    with tempfile.TemporaryDirectory(prefix="ribnb_verify_") as temporary:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(temporary, filter="data")
        except FileNotFoundError:
            raise BundleError(f"there is no {path}") from None
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise BundleError(f"{path} is no archive, or only a part of one: {error}") from error
        bags = list(Path(temporary).iterdir())
        if len(bags) != 1 or not bags[0].is_dir():
            raise BundleError(f"{path} is no archive that pack made: it holds {len(bags)} folders")
        return _verify_bag(bags[0], chapters or {})


def environment() -> dict[str, Any]:
    """Python, the platform and the versions of all installed packages; no paths."""
    packages = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": provenance.git_commit(),
        "packages": dict(sorted(packages.items(), key=lambda one: str(one[0]).lower())),
    }


def _verify_bag(folder: Path, chapters: Mapping[str, type[Settings]]) -> Report:
    import bagit

    logging.getLogger("bagit").setLevel(logging.CRITICAL)  # the report says it
    report = Report()
    try:
        bag = bagit.Bag(str(folder))
        bag.info.pop("Payload-Oxum", None)  # a sum over all files, which names none
        bag.validate()
    except bagit.BagValidationError as error:
        report.faults += [str(one) for one in error.details] or [str(error)]
    except bagit.BagError as error:
        report.faults.append(f"no archive that pack made, or only a part of one: {error}")
        return report
    data = folder / "data"
    for path in sorted(data.rglob(RESULT)):
        name = path.relative_to(data).as_posix()
        try:
            result = read_result(path)
        except ResultError as error:
            report.faults.append(f"{name} {error.reason}")
            continue
        if fault := scores_fault(result, path.parent):
            report.faults.append(f"{name} {fault}")
        report.results.append(result["chapter"])
        if why := stale(result, chapters):
            report.stale[name] = why
    report.files = sum(1 for _ in bag.payload_files())
    return report


def _broken(folder: Path, chapters: Mapping[str, type[Settings]]) -> dict[str, str]:
    """Results that are not whole, not those of their scores, or stale; and the scores beside."""
    results, problems = find_results(folder)
    problems |= {one["path"]: why for one in results if (why := stale(one, chapters))}
    left_out = {}
    for path, why in problems.items():
        left_out[Path(path).relative_to(folder).as_posix()] = why
        for scores in SCORES:
            if Path(path).with_name(scores).exists():
                name = Path(path).with_name(scores).relative_to(folder).as_posix()
                left_out[name] = f"belongs to that {RESULT}"
    return left_out


def _chosen(folder: Path, maps: bool, notebooks: bool, left_out: dict[str, str]) -> list[Path]:
    """Which files are packed, from ``folder``; what should be and cannot is said to be left out."""
    wanted = (*PACKED, *(["*.ipynb"] if notebooks else []))
    root, paths = folder.resolve(), []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        name = inner.as_posix()
        fits = any(fnmatch(path.name, pattern) for pattern in wanted)
        fits = fits or (maps and any(fnmatch(f"/{name}", pattern) for pattern in MAPS))
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.is_dir():
            if path.is_symlink() and not hidden:
                left_out[f"{name}/"] = "is a link to a folder"
            continue
        if not fits or hidden or name in left_out:
            continue
        if not path.is_file():
            left_out[name] = "is no file, or a link to none"
        elif not path.resolve().is_relative_to(root):
            left_out[name] = "is a link to outside of the folder"
        else:
            paths.append(inner)
    return paths
