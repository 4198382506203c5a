"""Result files: ``result.json``, signed with a digest, and refused in words when it is not whole.

The digest tells what was damaged or edited by hand from what a run wrote. It is no signature:
who edits a file can compute the digest anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ribnb.core.files import whole_file
from ribnb.core.settings import Settings, SettingsError, differences
from ribnb.scores.image_scores import FILE as IMAGE_SCORES
from ribnb.scores.image_scores import scores_fault

PACKAGE = Path(__file__).resolve().parents[1]
FORMAT = 3
RESULT = "result.json"
ORIGIN = ("images", "device", "git_commit", "date")
SCORED = ("split", "post_processing", "threshold_choice")  # as telling as a setting
NEEDED = ("chapter", "metrics", "settings", "settings_hash", "seed", *SCORED, *ORIGIN, "digest")
AGAIN = "run its chapter again"


class ResultError(ValueError):
    """A file that is no whole result; ``reason`` says why, the message also which file."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path, self.reason = str(path), reason


def digest(result: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal digits, of a result without its field ``digest``.

    It is that of canonical JSON: sorted names, no spaces. A file may so be indented anew.

    Raises:
        ValueError: a number that JSON does not know.
    """
    rest = {name: value for name, value in result.items() if name != "digest"}
    # once forth and back: names are text in a file, and lists stand for tuples
    plain = json.loads(json.dumps(rest, allow_nan=False))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def signed(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result of the present format, with its digest."""
    result = {**result, "format": FORMAT}
    return {**result, "digest": digest(result)}


def write_result(folder: str | Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``folder/result.json``, whole or not at all; gives what is written, digest included."""
    result = signed(result)
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    with whole_file(Path(folder) / RESULT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return result


def read_result(path: str | Path) -> dict[str, Any]:
    """A whole result of the present format.

    Raises:
        ResultError: a file that is not there or cannot be read; no whole JSON; no result; of
            another format; edited after it was written.
    """
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        why = f"is not whole JSON ({error}): half-written or damaged; {AGAIN}"
        raise ResultError(path, why) from error
    version = result.get("format") if isinstance(result, dict) else None
    if version != FORMAT:
        raise ResultError(path, f"is of format {version}, not this version's {FORMAT}; {AGAIN}")
    if missing := [name for name in NEEDED if name not in result]:
        raise ResultError(path, f"is no whole result of a run: it lacks {', '.join(missing)}")
    try:
        edited = result["digest"] != digest(result)
    except (ValueError, RecursionError):  # NaN, 1e999
        edited = True
    if edited:
        raise ResultError(path, f"was edited after it was written: its digest differs; {AGAIN}")
    return result


def find_results(
    folder: str | Path, chapters: Mapping[str, type[Settings]] | None = None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """All results below a folder, and what is no whole one.

    Args:
        folder: where they lie, at any depth.
        chapters: chapter -> the class of its settings, which says what is stale; without them
            nothing is.

    Returns:
        The results, each with its ``path``, in the order of their paths; and path -> reason of
        each ``result.json`` that cannot be read, has the scores of other images beside it, or is
        stale.
    """
    results, problems = [], {}
    for path in sorted(Path(folder).rglob(RESULT)):
        try:
            result = {**read_result(path), "path": str(path)}
        except ResultError as error:
            problems[str(path)] = error.reason
            continue
        if fault := scores_fault(result, path.parent) or stale(result, chapters or {}):
            problems[str(path)] = fault
        else:
            results.append(result)
    return results, problems


def load_results(folder: str | Path) -> list[dict[str, Any]]:
    """All results below a folder, each with its ``path``; what cannot be read is warned of."""
    results, problems = find_results(folder)
    for path, reason in problems.items():
        warnings.warn(f"{path} {reason}. It is left out", stacklevel=2)
    return results


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Metrics of any depth by dotted names; list entries by their index from 0."""
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {name: value}
    return {
        dotted: leaf
        for key, inner in items
        for dotted, leaf in flat(inner, f"{name}.{key}" if name else str(key)).items()
    }


def stale(result: Mapping[str, Any], chapters: Mapping[str, type[Settings]]) -> str:
    """Why the present version would not make this result; empty if it would.

    Its settings are read as its chapter reads them.

    Args:
        result: of any chapter.
        chapters: chapter -> the class of its settings. A result of another is never stale.
    """
    chapter, there = result["chapter"], result["settings"]
    if chapter not in chapters:
        return ""
    try:
        settings = chapters[chapter].from_mapping(there)
    except SettingsError as error:
        return f"is stale: {chapter} refuses its settings now: {error}; {AGAIN}"
    other = differences(there, settings.identity())
    if settings.hash() == result["settings_hash"] and not other:
        return ""
    return f"is stale: {chapter} reads its settings otherwise now ({other or 'hash'}); {AGAIN}"


def book_folder(name: str) -> Path:
    """The folder ``"results"`` or ``"settings"`` of the book.

    In the repository they lie in ``book``; a package that was installed without it has copies.

    Raises:
        FileNotFoundError: it is neither in a repository around the package nor in the package.
    """
    for folder in (PACKAGE.parent / "book" / name, PACKAGE / "book" / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"this installation of ribnb has no book/{name}; install it anew with pip, or run in a "
        "clone of the repository"
    )


def publish(
    source: str | Path,
    target: str | Path,
    chapters: Mapping[str, type[Settings]],
    prune: bool = False,
) -> tuple[list[Path], list[str]]:
    """Copy results, with the scores of their images, to where the book reads them.

    What lies there and is of no run here is named, and left alone unless ``prune``.

    Args:
        source: a batch's folder.
        target: a folder below ``book/results``.
        chapters: see ``stale``.
        prune: remove results in ``target`` that are of no run here.

    Returns:
        The folders that were filled, and what is to be said of the rest.

    Raises:
        FileNotFoundError: there is no result below ``source``.
    """
    source, target = Path(source), Path(target)
    results, problems = find_results(source, chapters)
    said = [f"{path} {reason}; left out" for path, reason in problems.items()]
    copied = []
    for folder in [Path(result["path"]).parent for result in results]:
        copy = target / folder.relative_to(source)
        copy.mkdir(parents=True, exist_ok=True)
        for name in (IMAGE_SCORES, RESULT):
            if (folder / name).is_file():
                with whole_file(copy / name) as temporary:
                    shutil.copyfile(folder / name, temporary)
        copied.append(copy)
    if not copied:
        raise FileNotFoundError(f"there is no whole result below {source}")
    others = [path.parent for path in sorted(target.rglob(RESULT)) if path.parent not in copied]
    for folder in others if prune else []:
        shutil.rmtree(folder)
    if others:
        which = ", ".join(folder.name for folder in others[:3]) + (", ..." if others[3:] else "")
        done = "removed" if prune else "left alone"
        said.append(f"{len(others)} results in {target} are of no run here; {done}: {which}")
    return copied, said
