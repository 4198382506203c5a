"""Runs: execute a chapter, keep its result with its provenance, read results back.

From the command line::

    python -m ribnb.runs book/toy_bottleneck.ipynb -p seeds=5 -p output_dir=runs/five
    python -m ribnb.runs table runs --by digits,seeds
    python -m ribnb.runs merge runs/shard_0 runs/shard_1 --output-dir runs/whole
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ribnb import provenance
from ribnb.devices import device_name, resolve_device
from ribnb.execution import execute_chapter
from ribnb.settings import Settings, differences, name_and_value
from ribnb.settings_files import for_chapter, read_settings_file
from ribnb.whole_files import whole_file

__all__ = ["Run", "execute_chapter", "load_results", "results_table"]

FORMAT = 1
RESULT = "result.json"
NEEDED = {"chapter", "metrics", "settings", "settings_hash"}


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
        for name, value in _flat(metrics).items():
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
        if self.folder:
            self._refuse_other_result()  # another run may have ended there meanwhile
            write_result(self.folder, result)
        return result

    def _refuse_other_result(self) -> None:
        path = self.folder / RESULT
        if not path.exists():
            return
        there = read_result(path)
        if there is None:
            raise ValueError(
                f"{path} is there already, but is no whole result of format {FORMAT}. "
                "Choose another output_dir, or move that one away"
            )
        if (there["chapter"], there["settings_hash"]) == (self.chapter, self.settings.hash()):
            return
        here = self.settings.as_dict()
        here = {name: here.get(name) for name in there["settings"] if name != "device"}
        other = differences(there["settings"], here)
        raise ValueError(
            f"{path} is a result of other settings ({other or there['chapter']}). "
            "Choose another output_dir, or move that one away"
        )


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``folder/result.json``, whole or not at all."""
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    with whole_file(folder / RESULT) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load_results(folder: str | Path) -> list[dict[str, Any]]:
    """All results below a folder, each with its ``path``; what cannot be read is warned of."""
    results = []
    for path in sorted(Path(folder).rglob(RESULT)):
        result = read_result(path)
        if result is None:
            warnings.warn(
                f"{path} is not a whole result of format {FORMAT}; left out", stacklevel=2
            )
        else:
            results.append({**result, "path": str(path)})
    return results


def results_table(results: Iterable[Mapping[str, Any]], by: Sequence[str] = ()) -> pd.DataFrame:
    """One row a result: its chapter, the settings named in ``by``, every metric, its origin.

    Nested metrics get dotted names, list entries their index from 0: ``hgr.background.5``.

    Raises:
        KeyError: a name in ``by`` that a result's settings do not have.
    """
    rows = []
    for result in results:
        missing = [name for name in by if name not in result["settings"]]
        if missing:
            raise KeyError(f"{result['path']} has no setting {missing[0]!r}")
        rows.append(
            {
                "chapter": result["chapter"],
                **{name: result["settings"][name] for name in by},
                **_flat(result["metrics"]),
                **{key: result[key] for key in ("images", "device", "git_commit", "date", "path")},
            }
        )
    return pd.DataFrame(rows)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {name: value}
    return {
        dotted: leaf
        for key, inner in items
        for dotted, leaf in _flat(inner, f"{name}.{key}" if name else str(key)).items()
    }


def read_result(path: Path) -> dict[str, Any] | None:
    """A result; None for what is none, or of another format."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        return None
    return result if result.keys() >= NEEDED else None


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
        prog="python -m ribnb.runs", description="Run a chapter with other parameters."
    )
    parser.add_argument("chapter", help="its notebook; or 'table' or 'merge', see their --help")
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


def _print_table(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs table", description="Print the results below a folder as CSV."
    )
    parser.add_argument("folder")
    parser.add_argument("--by", default="", help="settings to show, separated by commas")
    arguments = parser.parse_args(words)
    by = [name for name in arguments.by.split(",") if name]
    results = load_results(arguments.folder)
    if not results:
        print(f"no {RESULT} below {arguments.folder}", file=sys.stderr)
        return 1
    try:
        print(results_table(results, by).to_csv(index=False), end="")
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    words = sys.argv[1:] if words is None else list(words)
    if words[:1] == ["table"]:
        return _print_table(words[1:])
    if words[:1] == ["merge"]:
        from ribnb.merging import main as merge

        return merge(words[1:])
    return _run_chapter(words)


if __name__ == "__main__":
    sys.exit(main())
