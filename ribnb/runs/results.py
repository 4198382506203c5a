"""A run of a chapter and its ``result.json``, signed with a digest, refused when it is not whole.

The digest tells what was damaged or edited by hand from what a run wrote. It is no signature:
who edits a file can compute the digest anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ribnb.core.files import provenance, write_json
from ribnb.core.parameters import differences, flat
from ribnb.core.runner import WHOLE
from ribnb.core.settings import Settings, SettingsError
from ribnb.scores.image_scores import AGAIN, scores_fault

PACKAGE = Path(__file__).resolve().parents[1]
FORMAT = 3
RESULT = "result.json"
ORIGIN = ("images", "device", "git_commit", "date")
SCORED = ("split", "post_processing", "threshold_choice")  # as telling as a setting


class Run:
    """One run of a chapter: starts the clock, checks the output folder, writes ``result.json``.

    Args:
        chapter: its name, such as ``"toy_bottleneck"``.
        settings: the chapter's settings; their fields ``output_dir`` ("" writes nothing) and
            ``device`` are used.

    Attributes:
        device: the torch device to compute on.

    Raises:
        ValueError: an unknown or absent device; an output folder that holds the result of other
            settings.
        OSError: the output folder cannot be written; said now, before anything is computed.
    """

    def __init__(self, chapter: str, settings: Settings) -> None:
        from ribnb.core.devices import resolve_device  # loads torch

        self.chapter, self.settings = chapter, settings
        self.device = resolve_device(settings.device)
        self.folder = Path(settings.output_dir) if settings.output_dir else None
        if self.folder:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self.folder).close()
            except OSError as error:
                where = f"output_dir = '{self.folder}'"
                raise OSError(f"cannot write to {where}: {error.strerror}") from error
            shared = "shard" in type(settings).model_fields  # that of all shards is welcome, too
            self._refuse_other_result(settings.replace(shard=WHOLE) if shared else settings)
        self._start = time.perf_counter()

    @cached_property
    def work_folder(self) -> Path:
        """``output_dir``; without one a temporary folder that vanishes with the run."""
        if self.folder:
            return self.folder
        self._temporary = tempfile.TemporaryDirectory(prefix="ribnb_")
        return Path(self._temporary.name)

    def finish(
        self,
        metrics: Mapping[str, Any],
        *,
        split: str,
        images: int,
        seed: int | Sequence[int],
        spread: Mapping[str, Any] | None = None,
        per_class_iou: Mapping[str, float] | None = None,
        threshold: float | None = None,
        threshold_choice: str | None = None,
        post_processing: str = "none",
        inputs: Mapping[str, str] | None = None,
        failures: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The result with its provenance; written to ``output_dir/result.json`` if there is one.

        Args:
            metrics: name -> number, list of numbers, or a mapping of such.
            split: what the metrics were measured on.
            images: how many images that was.
            seed: the seed, or the seeds that the metrics average over.
            spread: standard deviations over seeds, in the shape of ``metrics``.
            per_class_iou: class name -> IoU in %.
            threshold: the threshold behind the metrics, if any.
            threshold_choice: how it was chosen.
            post_processing: what was done to maps or masks before scoring.
            inputs: digests of what was read, such as the net's weights.
            failures: image id -> why it is not among the images.

        Raises:
            ValueError: a metric that is not a finite number.
        """
        from ribnb.core.devices import device_name

        for name, value in flat(metrics, lists=True).items():
            if not math.isfinite(value):
                raise ValueError(f"the metric {name} is {value}; no result is written")
        result = {
            "chapter": self.chapter,
            "metrics": metrics,
            "spread": spread,
            "per_class_iou": per_class_iou,
            "split": split,
            "images": images,
            "threshold": threshold,
            "threshold_choice": threshold_choice,
            "post_processing": post_processing,
            "inputs": inputs,
            "failures": failures,
            "settings": {k: v for k, v in self.settings.as_dict().items() if k != "output_dir"},
            "settings_hash": self.settings.hash(),
            "seed": seed,
            **provenance(),
            "device": device_name(self.device),
            "seconds": round(time.perf_counter() - self._start, 1),
        }
        result = signed(result)
        if self.folder:
            self._refuse_other_result(self.settings)  # another run may have ended there meanwhile
            write_json(self.folder / RESULT, result)
        return result

    def _refuse_other_result(self, as_good: Settings) -> None:
        path, remedy = self.folder / RESULT, "Choose another output_dir, or move that one away"
        if not path.exists():
            return
        try:
            previous = read_result(path)
        except ValueError as error:
            raise ValueError(f"{path} is there already, and {error}. {remedy}") from error
        same = previous["settings_hash"] in (self.settings.hash(), as_good.hash())
        if previous["chapter"] != self.chapter or not same:
            now = self.settings.as_dict()
            now = {name: now.get(name) for name in previous["settings"] if name != "device"}
            other = differences(previous["settings"], now) or previous["chapter"]
            raise ValueError(f"{path} is a result of other settings ({other}). {remedy}")


# Files ------------------------------------------------------------------------------------


def digest(result: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal digits, of a result without its field ``digest``.

    It is that of canonical JSON: sorted names, no spaces. A file may so be indented anew. A number
    that JSON does not know is a ValueError.
    """
    rest = {name: value for name, value in result.items() if name != "digest"}
    # once forth and back: names are text in a file, and lists stand for tuples
    plain = json.loads(json.dumps(rest, allow_nan=False))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def signed(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result of the present format, with its digest."""
    result = {"format": FORMAT, **result}
    return {**result, "digest": digest(result)}


def read_result(path: str | Path) -> dict[str, Any]:
    """A whole result of the present format.

    Raises:
        ValueError: a file that cannot be read, is no whole JSON, no result, of another format, or
            was edited after it was written. It says so without the path, as of a subject.
    """
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        why = f"is not whole JSON ({error}): half-written or damaged; {AGAIN}"
        raise ValueError(why) from error
    version = result.get("format") if isinstance(result, dict) else None
    if version != FORMAT:
        raise ValueError(f"is of format {version}, not this version's {FORMAT}; {AGAIN}")
    try:
        edited = result.get("digest") != digest(result)
    except ValueError:  # NaN, 1e999
        edited = True
    if edited:
        raise ValueError(f"was edited after it was written: its digest differs; {AGAIN}")
    return result


def find_results(
    folder: str | Path, chapters: Mapping[str, type[Settings]] | None = None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """All results below a folder, and what is no whole one.

    Returns:
        The results, each with its ``path``, in the order of their paths; and path -> reason of
        each ``result.json`` that cannot be read, has the scores of other images beside it, or is
        stale for these chapters (name -> the class of its settings).
    """
    results, problems = [], {}
    for path in sorted(Path(folder).rglob(RESULT)):
        try:
            result = {**read_result(path), "path": str(path)}
            fault = scores_fault(result, path.parent) or stale(result, chapters or {})
        except ValueError as error:
            fault = str(error)
        if fault:
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


def stale(result: Mapping[str, Any], chapters: Mapping[str, type[Settings]]) -> str:
    """Why the present version would not make this result; empty if it would, or if the chapter
    is none of these (chapter -> the class of its settings)."""
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
    """The folder ``"results"`` or ``"settings"`` of the book, in the repository around the package;
    a package that was installed without it has copies. FileNotFoundError if neither is there."""
    for folder in (PACKAGE.parent / "book" / name, PACKAGE / "book" / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of ribnb has no book/{name}; install it anew")
