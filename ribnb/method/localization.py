"""Localisation maps of a whole split: resumable, sharded, one file an image."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from ribnb.core.image_set import ImageSet
from ribnb.core.map_files import Maps, has_maps, write_maps
from ribnb.core.progress import progress
from ribnb.core.settings import differences
from ribnb.core.whole_files import whole_file
from ribnb.method.adaptation import adapt
from ribnb.method.adaptation_record import Adaptation
from ribnb.method.feed import AdaptationInputs, Feed
from ribnb.method.map_records import RECORD, images_digest
from ribnb.method.settings import RIBSettings
from ribnb.method.step_files import StepRecord, read_steps, write_steps
from ribnb.nets.classifier import check_labels
from ribnb.nets.models import CAMNet


@dataclass
class MapsReport:
    """What became of the images of a split, or of one shard of it.

    Attributes:
        folder: where the map files are.
        written: ids of the images whose maps were made now.
        kept: how many images had whole map files already.
        failed: id -> why it has no map file.
        unreadable: id -> why it was left out of other images' batches.
        stopped: ``"margin"`` and ``"flood"`` -> how many of the images with maps stopped so.
        seconds: for all that was done now.
        seconds_per_image: of the images with maps, whenever they were made; NaN without any.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, int] = field(default_factory=lambda: {"margin": 0, "flood": 0})
    seconds: float = 0.0
    seconds_per_image: float = math.nan

    def count(self, records: Sequence[StepRecord]) -> None:
        """Take stops and seconds from the records of all images with maps."""
        for record in records:
            if record.stop_reason:
                self.stopped[record.stop_reason] += 1
        if records:
            self.seconds_per_image = statistics.fmean(record.seconds for record in records)

    def __str__(self) -> str:
        lines = [
            f"{len(self.written)} images in {self.seconds:.0f} s, {self.kept} were there; "
            f"stopped by margin {self.stopped['margin']}, by flood {self.stopped['flood']}; "
            f"failed {len(self.failed)}"
        ]
        lines += [f"failed: {name}: {why}" for name, why in self.failed.items()]
        lines += [f"left out of batches: {name}: {why}" for name, why in self.unreadable.items()]
        return "\n".join(lines)


def localization_maps(
    model: CAMNet,
    images: ImageSet,
    settings: RIBSettings,
    output_dir: str | Path,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
) -> MapsReport:
    """Adapt to each image of a split and write its maps to ``output_dir/maps/<id>.npz``.

    Beside it, ``output_dir/steps/<id>.json`` tells how its steps went. Images that have whole
    files are left alone, so a run that was stopped at any moment goes on where it was, and its
    maps are those of an undisturbed run. ``output_dir/maps.json`` records settings, net and
    split; a folder of others is refused. An image that fails (an unreadable file, a loss that is
    not a number) is named in the report and the rest goes on; in other images' batches an
    unreadable one is left out. An image without labels gets a file without maps.

    Args:
        model: with theta_0, on the device to compute on.
        images: an image set, such as ``SceneImages`` or ``VOCImages``.
        settings: how.
        output_dir: several shards may share it.
        shard: (i, n): every n-th image, starting from the i-th.
        workers: processes that decode ahead of the device.

    Returns:
        What was done, and what failed; see ``MapsReport``.

    Raises:
        ValueError: a shard that does not exist, a model of another number of classes than the
            split, a folder of other settings, net or images, other images of different sizes
            without a ``crop_size``.
        OSError: a map file cannot be written.
    """
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n; got {shard}")
    check_labels(model, images)
    inputs = AdaptationInputs(images, settings)
    start, report = time.perf_counter(), MapsReport(Path(output_dir) / "maps")
    files = _Files(Path(output_dir))
    _record(Path(output_dir), model, images, settings)
    records = {
        target: files.read(images.ids[target]) for target in range(index, len(images), count)
    }
    targets = [target for target, record in records.items() if record is None]
    report.kept = len(records) - len(targets)
    device = model.class_layer.weight.device
    labelled = [target for target in targets if images.labels[target].any()]
    with closing(Feed(inputs, labelled, workers, pin_memory=device.type == "cuda")) as feed:
        for target in progress(targets, "localisation maps"):
            name, labels, begin = images.ids[target], images.labels[target], time.perf_counter()
            try:
                if labels.any():
                    found = adapt(model, feed.views(target), labels, feed.batches(target), settings)
                else:
                    found = _nothing(images.image(target))
            except (OSError, FloatingPointError) as error:
                report.failed[name] = str(error)
                continue
            finally:
                feed.finish(target)
            records[target] = files.write(name, found, time.perf_counter() - begin)
            report.written.append(name)
    report.unreadable = feed.unreadable
    report.count([record for record in records.values() if record is not None])
    report.seconds = time.perf_counter() - start
    return report


class _Files:
    """Where the maps and the step records of a split lie."""

    def __init__(self, folder: Path) -> None:
        self.maps, self.steps = folder / "maps", folder / "steps"
        for place in (self.maps, self.steps):
            place.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> StepRecord | None:
        """The record of an image that is done; None if there is anything to do."""
        if not has_maps(self.maps / f"{name}.npz"):
            return None
        return read_steps(self.steps / f"{name}.json")

    def write(self, name: str, found: Adaptation, seconds: float) -> StepRecord:
        course = (found.losses, found.target_losses, found.gap_logits)
        record = StepRecord(*course, found.stopped_at, found.stop_reason, seconds)
        write_steps(self.steps / f"{name}.json", record)
        arrays = (found.class_ids, found.high_res, found.strided)
        write_maps(self.maps / f"{name}.npz", Maps(*(array.numpy() for array in arrays)))
        return record


def _nothing(image: Image.Image) -> Adaptation:
    """Of an image without labels."""
    sizes = (image.height, image.width), (-(-image.height // 4), -(-image.width // 4))
    maps = (torch.zeros(0, *size) for size in sizes)
    return Adaptation([], [], [], None, None, torch.zeros(0, dtype=torch.int64), *maps)


def _record(folder: Path, model: CAMNet, images: ImageSet, settings: RIBSettings) -> None:
    """Write what these maps are made with; refuse a folder whose maps are made with other."""
    path = folder / RECORD
    here = {
        "settings": settings.as_dict(),
        "settings_hash": settings.hash(),
        "net": {
            "arch": model.arch,
            "output_stride": model.output_stride,  # no weight tells it
            "frozen_stages": list(model.frozen_stages),
        },
        "weights": weights_digest(model),
        "images": images_digest(images),
    }
    others = any((folder / "maps").glob("*.npz"))  # first: another shard may be about to begin
    if path.exists():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
            different = [key for key in here if there[key] != here[key]]
            names = [differences(there[key], here[key]) for key in ("settings", "net")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be read ({error}); move {folder} away") from error
        if different:
            names += [f"the {key} are others" for key in different if key in ("weights", "images")]
            why = "; ".join(filter(None, names)) or "its settings have other fields"
            raise ValueError(
                f"{folder} holds maps of another run ({why}). Choose another output_dir, or move "
                "that one away"
            )
        return
    if others:
        raise ValueError(
            f"{folder / 'maps'} holds maps, but {path} does not say how they were made. Choose "
            "another output_dir, or move that one away"
        )
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(here, indent=1) + "\n", encoding="utf-8")


def weights_digest(model: torch.nn.Module) -> str:
    """12 hexadecimal digits that change with any weight."""
    state = hashlib.sha256()
    for name, value in model.state_dict().items():
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:12]
