"""Runs: execute a chapter, keep its result with its provenance, read results back.

From the command line::

    python -m ribnb.runs.run book/toy_bottleneck.ipynb -p seeds=5 -p output_dir=runs/five
    python -m ribnb.runs.run table runs --by digits,seeds
    python -m ribnb.runs.run merge runs/shard_0 runs/shard_1 --output-dir runs/whole
    python -m ribnb.runs.run pack runs --output runs.zip
    python -m ribnb.runs.run verify runs.zip
"""

from __future__ import annotations

import argparse
import importlib
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ribnb.core import provenance
from ribnb.core.devices import device_name, resolve_device
from ribnb.core.settings import Settings, differences, name_and_value
from ribnb.core.settings_files import for_chapter, read_settings_file
from ribnb.runs.execution import execute_chapter
from ribnb.runs.result_files import (
    FORMAT,
    RESULT,
    ResultError,
    find_results,
    load_results,
    read_result,
    signed,
    stale,
    write_result,
)
from ribnb.runs.result_tables import flat, results_table

__all__ = [
    "FORMAT",
    "RESULT",
    "ResultError",
    "Run",
    "execute_chapter",
    "find_results",
    "load_results",
    "read_result",
    "results_table",
    "stale",
    "write_result",
]

# The other commands, looked up when called for.
COMMANDS = {
    "table": "ribnb.runs.result_tables",
    "merge": "ribnb.runs.merging",
    "pack": "ribnb.runs.packing",
    "verify": "ribnb.runs.verifying",
}


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
        self.chapter, self.settings = chapter, settings
        self.device = resolve_device(settings.device)
        self.folder = Path(settings.output_dir) if settings.output_dir else None
        if self.folder:
            _check_writable(self.folder)
            self._refuse_other_result()
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
        for name, value in flat(metrics).items():
            if not math.isfinite(value):
                raise ValueError(f"the metric {name} is {value}; no result is written")
        result = {
            "format": FORMAT,
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
            "git_commit": provenance.git_commit(),
            "versions": provenance.versions(),
            "device": device_name(self.device),
            "seconds": round(time.perf_counter() - self._start, 1),
            "date": provenance.now(),
        }
        if not self.folder:
            return signed(result)
        self._refuse_other_result()  # another run may have ended there meanwhile
        return write_result(self.folder, result)

    def _refuse_other_result(self) -> None:
        path = self.folder / RESULT
        if not path.exists():
            return
        try:
            there = read_result(path)
        except ResultError as error:
            raise ValueError(
                f"{path} is there already, and {error.reason}. "
                "Choose another output_dir, or move that one away"
            ) from error
        if (there["chapter"], there["settings_hash"]) == (self.chapter, self.settings.hash()):
            return
        here = self.settings.as_dict()
        here = {name: here.get(name) for name in there["settings"] if name != "device"}
        other = differences(there["settings"], here)
        raise ValueError(
            f"{path} is a result of other settings ({other or there['chapter']}). "
            "Choose another output_dir, or move that one away"
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write to output_dir = '{folder}': {error.strerror}") from error


def _parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    given = dict(arguments.parameter)
    if not arguments.file:
        return given
    chapter = Path(arguments.chapter)
    siblings = sorted(path.stem for path in chapter.parent.glob("*.ipynb"))
    return {**for_chapter(read_settings_file(arguments.file), chapter.stem, siblings), **given}


def _run_chapter(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.run", description="Run a chapter with other parameters."
    )
    parser.add_argument("chapter", help=f"its notebook; or {', '.join(COMMANDS)}: see their --help")
    parser.add_argument(
        "-p",
        dest="parameter",
        metavar="NAME=VALUE",
        type=name_and_value,
        action="append",
        default=[],
    )
    parser.add_argument("-f", dest="file", metavar="FILE", help="a YAML file of parameters")
    parser.add_argument(
        "-o", dest="output", help="executed notebook; default: in output_dir, else ./executed"
    )
    arguments = parser.parse_args(words)
    from papermill import PapermillExecutionError

    try:
        parameters = _parameters(arguments)
        chapter = Path(arguments.chapter)
        folder = Path(str(parameters.get("output_dir") or "executed"))
        output = Path(arguments.output or folder / chapter.name)
        # A run that fails must not overwrite the notebook of one that did not.
        unfinished = output.with_name(f"{output.stem}.unfinished.ipynb")
        os.replace(execute_chapter(chapter, unfinished, parameters), output)
    except PapermillExecutionError as error:
        print(f"{chapter.name} failed: {error.ename}: {error.evalue}", file=sys.stderr)
        print(f"as far as it came: {unfinished}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what it left undone is no fault
        print("stopped; with an output_dir the same command goes on from here", file=sys.stderr)
        return 130
    print(output)
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    words = sys.argv[1:] if words is None else list(words)
    if words and words[0] in COMMANDS:
        return importlib.import_module(COMMANDS[words[0]]).main(words[1:])
    return _run_chapter(words)


if __name__ == "__main__":
    sys.exit(main())
