"""Files from the net, whole and checked, and archives unpacked inside one folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ribnb.core.progress import progress

_CHUNK = 1 << 20


class DownloadError(OSError):
    """No address worked; the message names each with its fault and what to do by hand."""


def download_file(urls: Sequence[str], path: Path, sha256: str, timeout: float = 60.0) -> Path:
    """Fetch a file from the first address that serves it whole.

    What a broken download left behind (``<name>.part``) is continued, from whichever address;
    as long as going through all addresses brings another megabyte or more, they are tried
    again. The file gets its name only once its sum is right. A file that is there already is
    neither fetched again nor checked.

    Args:
        urls: addresses of the same file, in order of preference.
        path: where it shall lie; folders are made.
        sha256: of the file, 64 hexadecimal digits.
        timeout: seconds without a byte after which an address is given up.

    Raises:
        DownloadError: an OSError: no address worked; says what to do by hand.
        OSError: the folder cannot be made.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    most = _size(part)
    while True:
        faults = []
        for url in urls:
            try:
                _fetch_checked(url, part, sha256.lower(), timeout)
            except (OSError, ValueError, http.client.HTTPException) as error:
                cause = error.reason if type(error) is urllib.error.URLError else error
                faults.append(f"{url}: {cause or type(cause).__name__}")
                continue
            os.replace(part, path)
            return path
        if _size(part) < most + _CHUNK:
            break
        most = _size(part)
    raise DownloadError(
        f"could not download {path.name}:\n  " + "\n  ".join(faults) + f"\nFetch it by hand from "
        f"one of these addresses and put it at {path} (SHA-256 {sha256})"
    )


def file_sha256(path: Path) -> str:
    """64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_checked(url: str, part: Path, sha256: str, timeout: float) -> None:
    """Fetch what ``part`` lacks; OSError, and no ``part``, if that gives another file."""
    continued = _size(part) > 0
    _fetch(url, part, timeout)
    if continued and file_sha256(part) != sha256:  # perhaps its beginning is of another file
        part.unlink()
        _fetch(url, part, timeout)
    if (digest := file_sha256(part)) != sha256:
        part.unlink()  # what is wrong cannot be continued
        raise OSError(f"sent another file: SHA-256 is {digest}, expected {sha256}")


def _fetch(url: str, part: Path, timeout: float) -> None:
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing left to send: the part is whole
            return
        raise
    with response:
        if response.status == 206:
            sent = response.headers.get("Content-Range", "")
            start = re.match(r"bytes (\d+)-", sent)
            if sent and not (start and int(start[1]) == have):
                raise OSError(f"sent {sent!r} when asked for {have}-")
        else:
            have = 0
        announced = response.headers.get("Content-Length")
        total = have + int(announced) if announced else None
        bar = progress(None, part.stem, total=total, done=have)
        bar.unit, bar.unit_scale = "B", True
        received = 0
        with open(part, "ab" if have else "wb") as file, bar:
            try:
                # Not read(): it would lose up to a chunk when the line breaks.
                while chunk := response.read1(_CHUNK):
                    file.write(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
            except TimeoutError:
                raise OSError(
                    f"sent nothing for {timeout:g} s after {received} of {announced} bytes"
                ) from None
    if announced and received != int(announced):
        raise OSError(f"the line broke after {received} of {announced} bytes")


@contextmanager
def unpacking_folder(beside: Path) -> Iterator[Path]:
    """A fresh folder in ``beside`` to unpack into, removed at the end.

    What is whole is moved out of it by renaming, so that nothing half unpacked ever stands under
    a final name. What a killed process left is removed first; only one may unpack at a time.
    """
    folder = beside / ".unpacking"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def extract_archive(
    path: Path, folder: Path, wanted: Callable[[str], bool] = lambda name: True
) -> int:
    """Unpack a tar archive, compressed or not, whose members all stay inside a folder.

    The standard library's filter "data" sees to that: it refuses names and links that lead out,
    devices and pipes. Owners and permissions of the archive are left out.

    Args:
        path: the archive.
        folder: where to; an empty one.
        wanted: given a member's name, whether to unpack it; all are checked.

    Returns:
        How many members were unpacked, without folders.

    Raises:
        ValueError: a member that would leave the folder or is no file; names it. What came
            before it has been unpacked.
        OSError: the archive is damaged or cannot be read, or the folder not be written.
    """
    count = 0

    def checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        nonlocal count
        member = tarfile.data_filter(member, folder)
        if not wanted(member.name):
            return None
        count += not member.isdir()
        return member

    try:
        with tarfile.open(path) as archive:
            members = progress(archive, f"unpacking {path.name}")
            archive.extractall(folder, members, filter=checked)
            if not _has_end(archive):
                raise EOFError("it has no end")
    except tarfile.FilterError as error:
        raise ValueError(f"{path} is not safe to unpack: {error}") from error
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise OSError(f"{path} is damaged or cut short ({error}); get it again") from error
    return count


def _has_end(archive: tarfile.TarFile) -> bool:
    """Whether a block of zeros follows what was read, and nothing but zeros behind it.

    tarfile takes a cut between two members, or a damaged header, for the archive's end. Reading
    on also has the sum of a compressed archive checked.
    """
    ended = archive.fileobj.tell() >= archive.offset + tarfile.BLOCKSIZE
    while ended and (rest := archive.fileobj.read(_CHUNK)):
        ended = not any(rest)
    return ended
