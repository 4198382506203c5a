"""One run of a chapter: its clock, its folder, its result with provenance."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ribnb.core import provenance
from ribnb.core.runner import WHOLE
from ribnb.core.settings import Settings, differences
from ribnb.runs.results import FORMAT, RESULT, ResultError, flat, read_result, signed, write_result


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
            _check_writable(self.folder)
            shared = "shard" in type(settings).model_fields  # that of all shards is welcome, too
            self._refuse_other_result(*([settings.replace(shard=WHOLE)] if shared else []))
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

    def _refuse_other_result(self, *as_good: Settings) -> None:
        path, remedy = self.folder / RESULT, "Choose another output_dir, or move that one away"
        if not path.exists():
            return
        try:
            previous = read_result(path)
        except ResultError as error:
            raise ValueError(f"{path} is there already, and {error.reason}. {remedy}") from error
        hashes = {settings.hash() for settings in (self.settings, *as_good)}
        if previous["chapter"] == self.chapter and previous["settings_hash"] in hashes:
            return
        now = self.settings.as_dict()
        now = {name: now.get(name) for name in previous["settings"] if name != "device"}
        other = differences(previous["settings"], now) or previous["chapter"]
        raise ValueError(f"{path} is a result of other settings ({other}). {remedy}")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write to output_dir = '{folder}': {error.strerror}") from error
