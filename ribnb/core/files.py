"""Files that are whole or not there, the maps of an image among them, and where numbers come from.

Short digests tell what went in; commit, versions and date what it was made with.
"""

from __future__ import annotations

import codecs
import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGES = ("ribnb", "torch", "torchvision", "numpy", "scipy", "scikit-learn")


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file, which appears under its name only when it is whole.

    So it is whole whenever the process was killed or the power went out. If writing raises, what
    was there before stays, and nothing else does; an OSError has the file's name.
    """
    path = Path(path)
    # the machine's name too: several machines may share the folder
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON; see ``write_whole``."""
    text = json.dumps(value, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def read_text(path: str | Path) -> str:
    """A text file's words: of UTF-8, or of UTF-16 if it begins with that mark.

    Raises:
        ValueError: it is neither; named with what to do.
    """
    data = Path(path).read_bytes()
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path} is no text in UTF-8: it holds zero bytes; save it as UTF-8")
    return text


def digest(value: Any) -> str:
    """12 hexadecimal digits that change with a value, which JSON must be able to hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def weights_digest(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """12 hexadecimal digits that change with any weight of a net or of its state dict."""
    state = hashlib.sha256()
    values = weights.state_dict() if hasattr(weights, "state_dict") else weights
    for name, value in values.items():
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:12]


class Maps(NamedTuple):
    """The localisation maps of one image, as ``maps/<image id>.npz`` holds them.

    Attributes:
        class_ids: (n,) present classes, 0-based; a mask holds class_id + 1.
        high_res: (n, H, W) in [0, 1], each class divided by its maximum.
        strided: (n, ceil(H / 4), ceil(W / 4)).
    """

    class_ids: Int[ndarray, " n"]
    high_res: Float[ndarray, "n H W"]
    strided: Float[ndarray, "n h w"]


def write_maps(path: str | Path, maps: Maps) -> None:
    """Write the maps of one image; see ``write_whole``."""
    write_whole(path, lambda file: np.savez(file, **maps._asdict()))


def read_maps(path: str | Path) -> Maps:
    """The maps of one image; FileNotFoundError, or ValueError for what is no whole file of maps."""
    try:
        with np.load(path, allow_pickle=False) as file:
            maps = Maps(**{name: file[name] for name in Maps._fields})
    except FileNotFoundError:
        raise FileNotFoundError(f"there are no maps at {path}") from None
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} is not a whole map file ({error})") from error
    n, *size = maps.high_res.shape or (0,)
    quarter = (n, *(-(-side // 4) for side in size))
    if len(size) != 2 or maps.class_ids.shape != (n,) or maps.strided.shape != quarter:
        raise ValueError(
            f"{path} is no map file: class_ids of shape {maps.class_ids.shape}, but maps of "
            f"{maps.high_res.shape} and {maps.strided.shape}"
        )
    return maps


# Where a number comes from ----------------------------------------------------------------


def provenance() -> dict[str, Any]:
    """``git_commit``, ``versions`` of what makes the numbers, and the ``date`` in UTC, ISO 8601."""
    now = datetime.datetime.now(datetime.timezone.utc)
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    date = now.isoformat(timespec="seconds")
    return {"git_commit": git_commit(), "versions": found, "date": date}


def git_commit() -> str | None:
    """The commit of the code in use, with ``+`` if files have changed since; None if unknown.

    A checkout is asked; a package that pip installed from a git URL remembers its commit.
    """
    folder = Path(__file__).resolve().parents[1]
    try:
        if _git(folder, "ls-files", "--", "__init__.py"):
            changed = _git(folder, "status", "--porcelain", "--", ".")
            return _git(folder, "rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        pass  # no git, or no repository; one without this file only holds the environment
    try:
        text = importlib.metadata.distribution("ribnb").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    return json.loads(text or "{}").get("vcs_info", {}).get("commit_id")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
