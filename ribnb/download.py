"""Downloads that survive a broken line and never leave half a file under its final name."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte


def download_file(urls: Sequence[str], path: Path, sha256: str) -> Path:
    """Fetch a file from the first address that serves it whole.

    What a broken download left behind (``<name>.part``) is continued; the file gets its name
    only once its SHA-256 is right. A file that is there already is not fetched again.

    Args:
        urls: addresses of the same file, in order of preference.
        path: where it shall lie; folders are made.
        sha256: 64 hexadecimal digits.

    Returns:
        ``path``.

    Raises:
        OSError: no address worked; the message names each with its fault and what to do by hand.
    """
    path = Path(path)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    faults = []
    for url in urls:
        try:
            _fetch(url, part)
        except (OSError, ValueError, http.client.HTTPException) as error:
            faults.append(f"{url}: {error or type(error).__name__}")
            continue
        found = _sha256(part)
        if found == sha256:
            os.replace(part, path)
            return path
        part.unlink()  # what is wrong cannot be continued
        faults.append(f"{url}: SHA-256 is {found}, expected {sha256}")
    raise OSError(
        f"could not download {path.name}:\n  " + "\n  ".join(faults) + f"\nFetch it by hand from "
        f"one of these addresses and put it at {path} (SHA-256 {sha256})"
    )


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing left to send: the part is whole
            return
        raise
    with response:
        resumed = response.status == 206
        announced = response.headers.get("Content-Length")
        with open(part, "ab" if resumed else "wb") as file:
            received = 0
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                received += len(chunk)
    if announced is not None and received != int(announced):
        raise OSError(f"the line broke after {received} of {announced} bytes")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
