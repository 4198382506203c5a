"""Downloads that survive a broken line and never leave half a file under its final name."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ribnb.core.progress import progress

_CHUNK = 1 << 20
_TIMEOUT = 60.0
_NAMES = {"sha256": "SHA-256", "md5": "MD5"}


class DownloadError(OSError):
    """No address worked; the message names each with its fault and what to do by hand."""


def download_file(
    urls: Sequence[str],
    path: Path,
    sha256: str | None = None,
    md5: str | None = None,
    timeout: float = _TIMEOUT,
) -> Path:
    """Fetch a file from the first address that serves it whole.

    What a broken download left behind (``<name>.part``) is continued, from whichever address;
    as long as going through all addresses brings another megabyte or more, they are tried
    again. The file gets its name only once its sums are right. A file that is there already is
    neither fetched again nor checked.

    Args:
        urls: addresses of the same file, in order of preference.
        path: where it shall lie; folders are made.
        sha256: 64 hexadecimal digits.
        md5: 32 hexadecimal digits. At least one sum must be given; all that are given count.
        timeout: seconds without a byte after which an address is given up.

    Returns:
        ``path``.

    Raises:
        ValueError: no sum to check the file by.
        DownloadError: an OSError: no address worked; says what to do by hand.
        OSError: the folder cannot be made.
    """
    path, sums = Path(path), _sums(sha256, md5)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    most = _size(part)
    while True:
        faults = []
        for url in urls:
            try:
                _fetch_checked(url, part, sums, timeout)
            except (OSError, ValueError, http.client.HTTPException) as error:
                faults.append(f"{url}: {_in_words(error)}")
                continue
            os.replace(part, path)
            return path
        if _size(part) < most + _CHUNK:
            break
        most = _size(part)
    known = ", ".join(f"{_NAMES[kind]} {value}" for kind, value in sums.items())
    raise DownloadError(
        f"could not download {path.name}:\n  " + "\n  ".join(faults) + f"\nFetch it by hand from "
        f"one of these addresses and put it at {path} ({known})"
    )


def wrong_sums(path: Path, sha256: str | None = None, md5: str | None = None) -> str:
    """What is wrong with a file's sums, such as ``"MD5 is ..., expected ..."``; empty if nothing.

    Raises:
        ValueError: no sum to check the file by.
        OSError: the file cannot be read.
    """
    sums = _sums(sha256, md5)
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in sums}
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return "; ".join(
        f"{_NAMES[kind]} is {digests[kind].hexdigest()}, expected {value}"
        for kind, value in sums.items()
        if digests[kind].hexdigest() != value
    )


def _sums(sha256: str | None, md5: str | None) -> dict[str, str]:
    sums = {"sha256": sha256, "md5": md5}
    sums = {kind: value.lower() for kind, value in sums.items() if value}
    if not sums:
        raise ValueError("a download needs a sum to check it by: give sha256, md5 or both")
    return sums


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_checked(url: str, part: Path, sums: dict[str, str], timeout: float) -> None:
    """Fetch what ``part`` lacks; OSError, and no ``part``, if that gives another file."""
    continued = _size(part) > 0
    _fetch(url, part, timeout)
    wrong = wrong_sums(part, **sums)
    if wrong and continued:  # perhaps its beginning came from an address with another file
        part.unlink()
        _fetch(url, part, timeout)
        wrong = wrong_sums(part, **sums)
    if wrong:
        part.unlink()  # what is wrong cannot be continued
        raise OSError(f"sent another file: {wrong}")


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
        resumed = response.status == 206
        if resumed and not _starts_at(response.headers.get("Content-Range"), have):
            raise OSError(f"sent {response.headers['Content-Range']!r} when asked for {have}-")
        announced = response.headers.get("Content-Length")
        total = None if announced is None else int(announced)
        bar = _bar(part, total, have if resumed else 0)
        received = 0
        with open(part, "ab" if resumed else "wb") as file, bar:
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
    if total is not None and received != total:
        raise OSError(f"the line broke after {received} of {announced} bytes")


def _in_words(error: Exception) -> str:
    cause = error.reason if type(error) is urllib.error.URLError else error
    return str(cause) or type(cause).__name__


def _starts_at(content_range: str | None, place: int) -> bool:
    found = re.match(r"bytes (\d+)-", content_range or f"bytes {place}-")
    return bool(found) and int(found[1]) == place


def _bar(part: Path, rest: int | None, have: int):
    total = None if rest is None else rest + have
    bar = progress(None, part.stem, total=total, done=have)
    bar.unit, bar.unit_scale = "B", True
    return bar
