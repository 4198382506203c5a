"""Files from the net, whole and checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from ribnb.core.runner import progress

_CHUNK = 1 << 20


def download_file(urls: Sequence[str], path: Path, sha256: str) -> Path:
    """Fetch a file from the first address that serves it whole.

    What a broken download left behind (``<name>.part``) is continued, from whichever address;
    as long as going through all addresses brings another megabyte or more, they are tried
    again. The file gets its name only once its sum is right. A file that is there already is
    neither fetched again nor checked.

    ``sha256`` has 64 hexadecimal digits; after a minute without a byte an address is given up.

    Raises:
        OSError: no address works; the message names each with its fault and what to do by hand.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    before, faults = -_CHUNK, []
    while _size(part) >= before + _CHUNK:
        before, faults = _size(part), []
        for url in urls:
            try:
                _fetch(url, part, sha256)
            except (OSError, http.client.HTTPException) as error:
                faults.append(f"{url}: {error}")
            else:
                os.replace(part, path)
                return path
    raise OSError(
        f"could not download {path.name}:\n  " + "\n  ".join(faults) + f"\nFetch it by hand from "
        f"one of these addresses, put it at {path} (SHA-256 {sha256}) and run this again"
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


def _fetch(url: str, part: Path, sha256: str) -> None:
    """Fetch what ``part`` lacks; OSError, and no ``part``, if that gives another file."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            _receive(response, part, have if response.status == 206 else 0)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: nothing left to send, the part is whole
            raise
    if (digest := file_sha256(part)) != sha256:
        part.unlink()  # what is wrong cannot be continued
        if not have:
            raise OSError(f"sent another file: SHA-256 is {digest}, expected {sha256}")
        _fetch(url, part, sha256)  # perhaps only its beginning was of another file


def _receive(response: http.client.HTTPResponse, part: Path, have: int) -> None:
    """Write what is sent behind the first ``have`` bytes; OSError if the line breaks."""
    announced = response.headers.get("Content-Length")
    total = have + int(announced) if announced else None
    with open(part, "ab" if have else "wb") as file:
        bar = progress(None, part.stem, total=total, done=have)
        bar.unit, bar.unit_scale = "B", True
        with bar:
            # Not read(): it would lose up to a chunk when the line breaks.
            while chunk := response.read1(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
        if total and file.tell() != total:
            raise OSError(f"the line broke after {file.tell() - have} of {announced} bytes")
