"""An archive of results that others can check: ``python -m ribnb.runs.run pack DIR``.

It is a zip of the results below a folder with their scores, tables, settings, executed notebooks
and logs, of ``environment.json``, the packages of the machine that packed, and of
``manifest.json``, which has every file's size and SHA-256. ``ribnb.runs.verifying`` checks one.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn

from ribnb.core import provenance
from ribnb.core.whole_files import whole_file
from ribnb.runs.result_files import RESULT, ResultError, read_result, stale
from ribnb.scores.image_scores import scores_fault

FORMAT = 1
MANIFEST, ENVIRONMENT = "manifest.json", "environment.json"
SCORES = ("scores.npz", "image_scores.npz")  # beside a result, and nothing without it
PACKED = (RESULT, *SCORES, "*.csv", "*.yml", "*.yaml", "*.log", "log.txt")
NOTEBOOKS = ("*.ipynb",)
MAPS = ("*/maps/*.npz", "*/steps/*.json", "*/maps.json")  # with what they were made from
OUTSIDE = "is a link to outside of the folder"
COMPRESSED = (".npz",)
BLOCK = 1 << 20
TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip knows; the same files make the same archive


class NoResultsError(ValueError):
    """A folder without a result to pack."""


@dataclass(frozen=True)
class Files:
    """What of a folder is packed.

    Attributes:
        paths: name in the archive -> file.
        results: how many of them are results.
        left_out: name -> why something is not among them.
    """

    paths: dict[str, Path]
    results: int
    left_out: dict[str, str] = field(default_factory=dict)


def pack(
    folder: str | Path,
    output: str | Path | None = None,
    maps: bool = False,
    notebooks: bool = True,
    broken: bool = False,
) -> tuple[Path, Files]:
    """Pack the results below a folder into one zip, which is whole or not there.

    But for the date in its manifest, the same files give the same archive. Hidden files and
    folders are no part of it, and neither is what a symbolic link shows outside of the folder.

    Args:
        folder: that holds results, at any depth.
        output: the archive; None puts ``NAME.zip`` beside the folder.
        maps: whether map files come along, which are many.
        notebooks: whether executed notebooks do.
        broken: whether results that are not whole, or stale, do, with their scores.

    Returns:
        The archive's path and what is in it.

    Raises:
        NoResultsError: there is no result in the folder that could be packed.
        FileNotFoundError: no such folder.
        FileExistsError: ``output`` is there and is no archive.
        OSError: a file that cannot be read, or an archive that cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    name = folder.resolve().name or "results"
    output = Path(output) if output else folder.resolve().parent / f"{name}.zip"
    if output.is_dir() or (output.exists() and not zipfile.is_zipfile(output)):
        raise FileExistsError(f"{output} is there and is no archive; choose another name")
    files = files_of(folder, maps, notebooks, broken, without=output)
    if not files.results:
        problems = [f"{name} {why}" for name, why in files.left_out.items()]
        raise NoResultsError("\n".join([*problems, f"no {RESULT} to pack below {folder}"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as temporary:
        _write(temporary, files)
    return output, files


def files_of(
    folder: Path, maps: bool = False, notebooks: bool = True, broken: bool = False,
    without: Path | None = None,
) -> Files:  # fmt: skip
    """What ``pack`` puts into an archive, but for the two files that it makes itself."""
    root, own = _real(folder), _real(without) if without else None
    wanted = (*PACKED, *(NOTEBOOKS if notebooks else ()))
    paths: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for where, folders, names in os.walk(folder, onerror=_raise):
        here = Path(where)
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for one in [one for one in folders if (here / one).is_symlink()]:
            if not _real(here / one).is_relative_to(root):
                left_out[f"{(here / one).relative_to(folder).as_posix()}/"] = OUTSIDE
        for one in sorted(names):
            path = here / one
            name = path.relative_to(folder).as_posix()
            fits = any(fnmatch(one, pattern) for pattern in wanted)
            fits = fits or (maps and any(fnmatch(f"/{name}", pattern) for pattern in MAPS))
            if not fits or one.startswith(".") or _real(path) == own:
                continue
            if not _real(path).is_relative_to(root):
                left_out[name] = OUTSIDE
            elif not path.is_file():
                left_out[name] = "is no file, or a link to none"
            elif unsafe(name):
                left_out[name] = f"has a name that {unsafe(name)}"
            else:
                paths[name] = path
    left_out |= {} if broken else _drop_broken(paths)
    results = sum(PurePosixPath(name).name == RESULT for name in paths)
    return Files(dict(sorted(paths.items())), results, left_out)


def unsafe(name: str) -> str:
    """Why a name has no place in an archive that others unpack; empty if it has."""
    if not name or name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is absolute"
    if {"", ".", ".."} & set(name.split("/")):
        return "leads out of its folder or is not in its shortest form"
    if "\\" in name or not name.isprintable():
        return "has characters that are none of a file's name everywhere"
    return ""


def environment() -> dict[str, Any]:
    """Python, the platform and the versions of all installed packages; no paths."""
    packages = {
        one.metadata["Name"]: one.version
        for one in importlib.metadata.distributions()
        if one.metadata["Name"]
    }
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "git_commit": provenance.git_commit(),
        "packages": dict(sorted(packages.items(), key=lambda one: (one[0].lower(), one[0]))),
    }


def hash_of(file: BinaryIO, copy: BinaryIO | None = None) -> tuple[int, str]:
    """Size and SHA-256 of what a file still holds, a block at a time; written to ``copy``."""
    size, found = 0, hashlib.sha256()
    while block := file.read(BLOCK):
        size += len(block)
        found.update(block)
        if copy is not None:
            copy.write(block)
    return size, found.hexdigest()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve() fails for a link to itself


def _raise(error: OSError) -> NoReturn:
    raise error


def _drop_broken(paths: dict[str, Path]) -> dict[str, str]:
    """Takes results that do not count out of the paths, and the scores beside them.

    They are not whole, or stale, or not those of their scores.
    """
    dropped = {}
    for name in [name for name in paths if PurePosixPath(name).name == RESULT]:
        try:
            result = read_result(paths[name])
            reason = stale(result) or scores_fault(result, paths[name].parent)
        except ResultError as error:
            reason = error.reason
        if reason:
            dropped[name] = reason
            del paths[name]
            for scores in SCORES:
                beside = PurePosixPath(name).with_name(scores).as_posix()
                if paths.pop(beside, None):
                    dropped[beside] = f"belongs to that {RESULT}"
    return dropped


def _write(path: Path, files: Files) -> None:
    entries = {}
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in files.paths.items():
            with open(source, "rb") as file:
                info = _entry(name, os.fstat(file.fileno()).st_size)
                with archive.open(info, "w") as copy:
                    size, digest = hash_of(file, copy)
            entries[name] = {"size": size, "sha256": digest}
        text = _json(environment())
        archive.writestr(_entry(ENVIRONMENT, len(text)), text)
        entries[ENVIRONMENT] = {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        manifest = {
            "format": FORMAT,
            "tool": f"ribnb {provenance.versions().get('ribnb', '')}".strip(),
            "date": provenance.now(),
            "results": files.results,
            "left_out": sorted(files.left_out),
            "files": dict(sorted(entries.items())),
        }
        text = _json(manifest)
        archive.writestr(_entry(MANIFEST, len(text)), text)


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, TIME)
    info.file_size = size
    info.create_system = 3  # Unix, wherever it is made
    info.external_attr = 0o100644 << 16
    packed = PurePosixPath(name).suffix in COMPRESSED
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    return info


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def main(words: Sequence[str] | None = None) -> int:
    """Pack the results below a folder into one zip, with a manifest that others can check.

    Returns 1 where there is no result to pack, 2 for what cannot be read or written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.run pack", description=(main.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("-o", "--output", metavar="FILE.zip", help="default: DIR.zip beside DIR")
    parser.add_argument("--maps", action="store_true", help="with the map files")
    parser.add_argument("--without-notebooks", action="store_true")
    parser.add_argument("--all", action="store_true", help="with broken and stale results")
    given = parser.parse_args(words)
    try:
        output, files = pack(
            given.folder, given.output, given.maps, not given.without_notebooks, given.all
        )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, NoResultsError) else 2
    for name, why in files.left_out.items():
        print(f"left out: {name} {why}", file=sys.stderr)
    print(f"{output}: {files.results} results, {len(files.paths) + 2} files")
    return 0
