"""Result files: ``result.json``, signed with a digest, and refused in words when it is not whole.

The digest tells what was damaged or edited by hand from what a run wrote. It is no signature:
who edits a file can compute the digest anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ribnb.book.chapter_settings import WHERE, chapter_settings, settings_class
from ribnb.core.settings import SettingsError, differences
from ribnb.core.whole_files import whole_file
from ribnb.scores.image_scores import scores_fault

FORMAT = 2
RESULT = "result.json"
FOLDER = "output_dir"  # the one setting that no result holds
TYPES = {"chapter": str, "metrics": dict, "settings": dict, "settings_hash": str, "digest": str}
ORIGIN = ("images", "device", "git_commit", "date")
NEEDED = (*TYPES, "seed", "split", "threshold_choice", "post_processing", *ORIGIN)
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
            another format; edited after it was written; of settings that do not give its hash.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ResultError(path, f"is not there; {AGAIN}") from None
    except OSError as error:
        raise ResultError(path, f"cannot be read: {error.strerror}") from error
    return parse_result(data, path)


def parse_result(data: bytes, path: str | Path) -> dict[str, Any]:
    """What ``read_result`` gives, from a file's content; ``path`` is for the messages.

    Raises:
        ResultError: as ``read_result``.
    """
    try:
        result = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        what = "is empty" if not data.strip() else f"is not whole JSON ({error})"
        raise ResultError(path, f"{what}: half-written or damaged; {AGAIN}") from error
    if not isinstance(result, dict) or type(result.get("format")) is not int:
        raise ResultError(path, "is no result of a run: it has no format")
    if result["format"] != FORMAT:
        older = result["format"] < FORMAT
        todo = AGAIN if older else "read it with a newer version of ribnb"
        age = f"{'older' if older else 'newer'} than this version's {FORMAT}"
        raise ResultError(path, f"is of format {result['format']}, {age}; {todo}")
    missing = [name for name in NEEDED if name not in result]
    missing += [
        name for name, kind in TYPES.items() if not isinstance(result.get(name, kind()), kind)
    ]
    if missing:
        raise ResultError(path, f"is no whole result of a run: it lacks {', '.join(missing)}")
    if not _has_its_digest(result):
        raise ResultError(path, f"was edited after it was written: its digest differs; {AGAIN}")
    given = _recorded_hash(result)
    if given not in (None, result["settings_hash"]):
        raise ResultError(
            path,
            f"has settings that do not give its settings_hash ({given}, not "
            f"{result['settings_hash']}): one of them was changed; {AGAIN}",
        )
    return result


def find_results(folder: str | Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """All results below a folder, and what is no whole one.

    Returns:
        The results, each with its ``path``, in the order of their paths; and path -> reason of
        each ``result.json`` that cannot be read, or has the scores of other images beside it.
    """
    results, problems = [], {}
    for path in sorted(Path(folder).rglob(RESULT)):
        try:
            result = {**read_result(path), "path": str(path)}
        except ResultError as error:
            problems[str(path)] = error.reason
            continue
        if fault := scores_fault(result, path.parent):
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


def stale(result: Mapping[str, Any]) -> str:
    """Why the present version would not make this result; empty if it would.

    Its settings are read as its chapter reads them. A chapter that is not of this book has none
    to compare with, and is never stale.
    """
    chapter, there = result["chapter"], result["settings"]
    if chapter not in WHERE:
        return ""
    fields = dataclasses.fields(settings_class(chapter))
    gone = there.keys() - {field.name for field in fields}
    new = {field.name for field in fields if field.metadata["identity"]} - there.keys()
    if gone or new:
        changes = (
            f"no longer knows {', '.join(sorted(gone))}" if gone else "",
            f"has got {', '.join(sorted(new))} since" if new else "",
        )
        return f"is stale: {chapter} {' and '.join(filter(None, changes))}; {AGAIN}"
    try:
        here = chapter_settings(chapter, there)
    except SettingsError as error:
        return f"is stale: {chapter} refuses its settings now: {error}; {AGAIN}"
    if here.hash() == result["settings_hash"]:
        return ""
    other = differences(there, {name: here.as_dict()[name] for name in there})
    return f"is stale: {chapter} reads its settings otherwise now ({other or 'hash'}); {AGAIN}"


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _has_its_digest(result: Mapping[str, Any]) -> bool:
    try:
        return result["digest"] == digest(result)
    except (ValueError, RecursionError):  # 1e999
        return False


def _recorded_hash(result: Mapping[str, Any]) -> str | None:
    """The hash of the settings as they stand there; None if the chapter has others now.

    ``Settings.hash`` is not asked: a settings object fills in and converts what it is given.
    """
    if result["chapter"] not in WHERE:
        return None
    kind = settings_class(result["chapter"])
    fields = dataclasses.fields(kind)
    if {field.name for field in fields} - {FOLDER} != result["settings"].keys():
        return None
    identity = {
        field.name: result["settings"][field.name] for field in fields if field.metadata["identity"]
    }
    text = json.dumps([kind.__name__, identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
