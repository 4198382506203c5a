"""Whether an archive of results is whole: ``python -m ribnb.runs.run verify FILE.zip``.

It finds what was lost, damaged, changed or added since it was packed. It cannot find what someone
changed together with its hashes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ribnb.runs.packing import FORMAT, MANIFEST, hash_of, unsafe
from ribnb.runs.result_files import RESULT, ResultError, parse_result, stale

MOST = 1 << 26  # bytes of a file that is read as a whole
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)


class NoArchiveError(ValueError):
    """What is neither a zip nor a folder."""


@dataclass
class Report:
    """What was found in an archive.

    Attributes:
        faults: one line each; none means that it is whole.
        results: the chapters of its results, one for each.
        stale: name of a result -> why it is not what the present version would make, no fault.
        files: how many files it has by its manifest, with the manifest.
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


def verify(path: str | Path) -> Report:
    """Check an archive that ``pack`` made, or the folder that it was unpacked to.

    Raises:
        NoArchiveError: there is no archive and no folder, or one that cannot be opened.
    """
    path, report = Path(path), Report()
    with _opened(path) as source:
        report.faults += source.faults()
        if MANIFEST not in source.sizes:
            report.faults.append(
                f"{MANIFEST} is not there: no archive that pack made, or only a part of one"
            )
            return report
        try:
            entries = _entries(_whole(source, MANIFEST))
        except (ValueError, *UNREADABLE) as error:
            report.faults.append(f"{MANIFEST} {error}")
            return report
        extra = source.sizes.keys() - entries.keys() - {MANIFEST}
        report.faults += [f"{name!r} is not in {MANIFEST}" for name in sorted(extra)]
        for name, entry in entries.items():
            fault = _fault(source, name, entry)
            if fault:
                report.faults.append(f"{name!r} {fault}")
            elif PurePosixPath(name).name == RESULT:
                _check_result(source, name, report)
        report.files = len(entries) + 1
    return report


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.infos = [info for info in archive.infolist() if not info.is_dir()]
        self.sizes = {info.filename: info.file_size for info in self.infos}

    def faults(self) -> Iterator[str]:
        seen = set()
        for info in self.archive.infolist():
            # zipfile ends a name at a null byte, and keeps what stood there
            if unsafe(info.orig_filename.rstrip("/")):
                yield f"{info.orig_filename!r} {unsafe(info.orig_filename.rstrip('/'))}"
            if info.filename in seen:
                yield f"{info.filename!r} is there twice"
            if stat.S_ISLNK(info.external_attr >> 16):
                yield f"{info.filename!r} is a link"
            seen.add(info.filename)

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self.archive.open(name)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = {
            (Path(where) / name).relative_to(folder).as_posix(): Path(where) / name
            for where, folders, names in os.walk(folder)
            for name in (*names, *(one for one in folders if (Path(where) / one).is_symlink()))
        }
        self.sizes = {name: path.lstat().st_size for name, path in self.paths.items()}

    def faults(self) -> Iterator[str]:
        for name, path in sorted(self.paths.items()):
            if not stat.S_ISREG(path.lstat().st_mode):
                yield f"{name!r} is a link, or no file"

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        if not stat.S_ISREG(self.paths[name].lstat().st_mode):
            raise OSError("it is a link, or no file")
        return open(self.paths[name], "rb")


def _whole(source: _Zip | _Folder, name: str) -> bytes:
    if source.sizes[name] > MOST:
        raise ValueError(f"is of {source.sizes[name]} bytes, more than any that was packed")
    with source.open(name) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[_Zip | _Folder]:
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise NoArchiveError(f"there is no {path}") from None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise NoArchiveError(f"{path} is no archive, or only a part of one: {error}") from error
    with archive:
        yield _Zip(archive)


def _entries(data: bytes) -> dict[str, dict[str, Any]]:
    """The manifest's files; ValueError for one that does not say what they should be."""
    try:
        manifest = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ValueError(
            f"is of format {found!r}; this version knows {FORMAT}. A newer ribnb may know it"
        )
    entries = manifest.get("files")
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        raise ValueError("does not give the size and the SHA-256 of every file")
    return entries


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, Mapping)
        and type(entry.get("size")) is int
        and isinstance(entry.get("sha256"), str)
        and re.fullmatch("[0-9a-f]{64}", entry["sha256"]) is not None
    )


def _fault(source: _Zip | _Folder, name: str, entry: Mapping[str, Any]) -> str:
    """What is wrong with a file of the manifest; empty if nothing is."""
    if unsafe(name):
        return unsafe(name)
    if name not in source.sizes:
        return "is not there"
    if source.sizes[name] != entry["size"]:
        return f"is of {source.sizes[name]} bytes, not {entry['size']}"
    try:
        with source.open(name) as file:
            _, digest = hash_of(file)
    except UNREADABLE as error:
        return f"cannot be read: {error}"
    return "" if digest == entry["sha256"] else "was changed: its SHA-256 differs"


def _check_result(source: _Zip | _Folder, name: str, report: Report) -> None:
    try:
        result = parse_result(_whole(source, name), name)
    except ResultError as error:
        report.faults.append(f"{name!r} {error.reason}")
        return
    except ValueError as error:
        report.faults.append(f"{name!r} {error}")
        return
    report.results.append(result["chapter"])
    if stale(result):
        report.stale[name] = stale(result)


def main(words: Sequence[str] | None = None) -> int:
    """Check that an archive of results, or the folder it was unpacked to, is whole.

    Returns 1 for one that is not, with a line for every fault, and 2 for what is no archive.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.run verify", description=(main.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("archive", metavar="FILE.zip", help="or a folder")
    given = parser.parse_args(words)
    try:
        report = verify(given.archive)
    except NoArchiveError as error:
        print(error, file=sys.stderr)
        return 2
    for name, why in report.stale.items():
        print(f"as it was packed, but {name!r} {why}", file=sys.stderr)
    print(report)
    return 1 if report.faults else 0
