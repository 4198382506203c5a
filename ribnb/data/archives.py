"""Archives unpacked so that nothing leaves the folder meant for them."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from ribnb.core.progress import progress

_UNPACKING = ".unpacking"
_CHUNK = 1 << 20


@contextmanager
def unpacking_folder(beside: str | Path) -> Iterator[Path]:
    """A fresh folder in ``beside`` to unpack into, removed at the end.

    What is whole is moved out of it by renaming, so that nothing half unpacked ever stands under
    a final name. What a killed process left is removed first; only one may unpack at a time.
    """
    folder = Path(beside) / _UNPACKING
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def extract_archive(
    path: str | Path, folder: str | Path, wanted: Callable[[str], bool] | None = None
) -> int:
    """Unpack a tar archive, compressed or not, whose members all stay inside a folder.

    Names and targets of links must be relative and without ``..``, so that a link leads no
    further than to what lies beside or below it; devices and pipes are refused. Owners and
    permissions of the archive are left out.

    Args:
        path: the archive.
        folder: where to; best an empty one, which no link of others' leads out of.
        wanted: given a member's name, whether to unpack it; all are checked.

    Returns:
        How many files were unpacked.

    Raises:
        ValueError: a member that would leave the folder or is no file; names it. What came
            before it has been unpacked.
        OSError: the archive is damaged or cannot be read, or the folder not be written.
    """
    path, count = Path(path), 0
    try:
        with tarfile.open(path) as archive:
            for member in progress(archive, f"unpacking {path.name}"):
                _check(member, path)
                if wanted is None or wanted(member.name):
                    _extract(archive, member, Path(folder))
                    count += not member.isdir()
            _check_end(archive, path)
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise OSError(f"{_damaged(path)} ({error}); get it again") from error
    return count


def _check(member: tarfile.TarInfo, path: Path) -> None:
    """The rule of ``extract_archive``, on any version of Python."""
    name = f"member {member.name!r} of {path}"
    if _leaves(member.name):
        raise ValueError(f"{name} would be written outside the folder; this archive is not safe")
    if (member.issym() or member.islnk()) and _leaves(member.linkname):
        raise ValueError(
            f"{name} is a link to {member.linkname!r}, which may lie outside the folder; this "
            "archive is not safe"
        )
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise ValueError(f"{name} is a device or a pipe, not a file; this archive is not safe")


def _leaves(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    # A first part that is empty is the root; a drive is one on Windows.
    return parts[0] == "" or ".." in parts or bool(PureWindowsPath(name).drive)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if member.isdir():  # tarfile would make one that nobody else may read
        (folder / member.name).mkdir(parents=True, exist_ok=True)
        return
    # The library's own filter on top, where this Python has it (3.12, late 3.10 and 3.11).
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    archive.extract(member, folder, set_attrs=False, **safely)


def _check_end(archive: tarfile.TarFile, path: Path) -> None:
    """OSError if reading ended before the archive did, which tarfile does not tell.

    It takes a cut between two members, or a damaged header, for the archive's end. Reading on
    also has the sum of a compressed archive checked.
    """
    ended = archive.fileobj.tell() >= archive.offset + tarfile.BLOCKSIZE  # one of zeros was read
    while ended and (rest := archive.fileobj.read(_CHUNK)):
        ended = not any(rest)
    if not ended:
        raise OSError(f"{_damaged(path)} (it has no end); get it again")


def _damaged(path: Path) -> str:
    return f"the archive {path} is damaged or cut short"
