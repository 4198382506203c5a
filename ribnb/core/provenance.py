"""Where a number comes from: commit, versions, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

PACKAGES = ("ribnb", "torch", "torchvision", "numpy", "scipy", "scikit-learn")


def git_commit() -> str | None:
    """The commit of the code in use, with ``+`` if files have changed since; None if unknown.

    A checkout is asked; a package that pip installed from a git URL remembers its commit.
    """
    folder = Path(__file__).resolve().parents[1]
    try:
        if not _git(folder, "ls-files", "--", "__init__.py"):
            return _installed_commit()  # some other repository that holds the environment
        return _git(folder, "rev-parse", "HEAD") + (
            "+" if _git(folder, "status", "--porcelain", "--", ".") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return _installed_commit()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Date and time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _installed_commit() -> str | None:
    try:
        text = importlib.metadata.distribution("ribnb").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    return json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
