"""Localisation maps of a whole split: resumable, sharded, one file an image."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
import warnings
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from PIL import Image

from ribnb.core.files import Maps, digest, weights_digest, write_json
from ribnb.core.runner import MAPS, RecordedFolder, Report, over_images, read_record, shard_of
from ribnb.core.voc import ImageSet, images_digest
from ribnb.method.adaptation import Adaptation, Course, adapt
from ribnb.method.inputs import AdaptationInputs, Feed, Pool
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import check_labels

LARGE = 2e6  # pixels


def read_steps(path: str | Path) -> Course | None:
    """The record of one image's adaptation; None if there is none, or not a whole one."""
    try:
        course = Course(**json.loads(Path(path).read_text(encoding="utf-8")))
        whole = math.isfinite(course.seconds) and course.stop_reason in ("margin", "flood", None)
    except (OSError, ValueError, TypeError):
        return None
    return course if whole else None


@dataclass
class MapsReport(Report):
    """A report with the stops and seconds of the shard, or of the split once it is done.

    Attributes:
        unreadable: id -> why it was left out of other images' batches.
        stopped: ``"margin"`` and ``"flood"`` -> how many of the images with maps stopped so.
        seconds_per_image: of the images with maps, whenever they were made; NaN without any.
    """

    unreadable: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, int] = field(default_factory=dict)
    seconds_per_image: float = math.nan

    def __str__(self) -> str:
        first, *others = super().__str__().split("\n")
        stops = f"stopped by margin {self.stopped['margin']}, by flood {self.stopped['flood']}"
        lines = [first.replace("; failed", f"; {stops}; failed"), *others]
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
        output_dir: the shards of a split share it; the report of the one that ends last has
            ``pending == 0``.
        shard: (i, n): every n-th image, starting from the i-th.
        workers: processes that decode ahead of the device.

    Raises:
        ValueError: a shard that does not exist, a model of another number of classes than the
            split, a folder of other settings, net or images, other images of different sizes
            without a ``crop_size``.
        OSError: a map file cannot be written, or there is no room for all of them.
    """
    mine = shard_of(images.ids, shard)
    check_labels(model, images)
    inputs = AdaptationInputs(images, settings, model.normalization)
    start = time.perf_counter()
    record = {  # all that decides the maps
        "settings": settings.identity(),
        "net": {
            "arch": model.arch,
            "output_stride": model.output_stride,  # no weight tells it
            "frozen_stages": list(model.frozen_stages),
        },
        "weights": weights_digest(model),
        "images": images_digest(images),
    }
    files = _MapFolder(Path(output_dir), record)
    missing = files.missing(mine)
    indices = {image_id: index for index, image_id in enumerate(images.ids)}
    labelled = [indices[name] for name in missing if images.labels[indices[name]].any()]
    area = 0
    with suppress(OSError, ValueError):  # an image that cannot be read is named in the report
        area = math.prod(images.image(labelled[0]).size) if labelled else 0
    needed = int(images.labels[labelled].sum()) * area * 4.25  # float32, and a sixteenth of it
    if needed > (free := shutil.disk_usage(files.folder).free):
        raise OSError(
            f"the maps need about {needed / 1e6:.1f} MB in {files.folder}, and {free / 1e6:.1f} MB "
            "are free; free some, or take another output folder"
        )
    if area > LARGE:
        text = f"an image has {area / 1e6:.0f} million pixels, and takes minutes and gigabytes; "
        text += "ribnb.data.photos.read_photo(path, 500) makes copies of 500 pixels, which will do"
        warnings.warn(text, stacklevel=2)
    on_gpu = model.class_layer.weight.device.type == "cuda"
    pool = Pool(inputs, model, files.home, workers) if settings.pooled and labelled else None
    with closing(Feed(inputs, labelled, workers, on_gpu)) as feed:

        def make(name: str) -> Adaptation:
            target, begin = indices[name], time.perf_counter()
            labels = images.labels[target]
            if labels.any():
                views = feed.views(target)
                batches = pool.batches(target) if pool else feed.batches()
                adaptation = adapt(model, views, labels, batches, settings)
            else:
                adaptation = _nothing(images.image(target))
            adaptation.seconds = time.perf_counter() - begin
            return adaptation

        report = over_images(
            make,
            images.ids,
            files,
            label="localisation maps",
            shard=shard,
            missing=missing,
            failures=(OSError, FloatingPointError),
        )
    counted = mine if report.pending else images.ids
    read = [files.steps(name) for name in counted if name not in report.failed]
    courses = [course for course in read if course is not None]
    stops = [course.stop_reason for course in courses]
    return MapsReport(
        **{**vars(report), "what": "images", "seconds": time.perf_counter() - start},
        unreadable=(pool or feed).unreadable,
        stopped={reason: stops.count(reason) for reason in ("margin", "flood")},
        seconds_per_image=statistics.fmean(c.seconds for c in courses) if courses else math.nan,
    )


class _MapFolder(RecordedFolder):
    """The maps of a split, and beside them the records of its steps."""

    def __init__(self, output_dir: Path, record: dict[str, object]) -> None:
        super().__init__(output_dir / "maps", MAPS, record)
        self.steps_folder = output_dir / "steps"
        self.steps_folder.mkdir(exist_ok=True)

    def steps(self, image_id: str) -> Course | None:
        return read_steps(self.steps_folder / f"{image_id}.json")

    def has(self, image_id: str) -> bool:
        return super().has(image_id) and self.steps(image_id) is not None

    def write(self, image_id: str, item: Adaptation) -> None:
        course = {part.name: getattr(item, part.name) for part in fields(Course)}
        write_json(self.steps_folder / f"{image_id}.json", course)
        arrays = {name: getattr(item, name).numpy() for name in Maps._fields}
        super().write(image_id, Maps(**arrays))


def _nothing(image: Image.Image) -> Adaptation:
    """Of an image without labels."""
    high_res = torch.zeros(0, image.height, image.width)
    class_ids = torch.zeros(0, dtype=torch.int64)
    return Adaptation(class_ids=class_ids, high_res=high_res, strided=high_res[:, ::4, ::4])


def maps_digest(maps_dir: str | Path, images: ImageSet) -> str:
    """12 hexadecimal digits that tell which maps ``RUN/maps`` holds, if they are of these images.

    Raises:
        FileNotFoundError: there is no ``maps.json`` beside it.
        ValueError: a ``maps.json`` that is damaged, or of other images.
    """
    record = read_record(maps_dir, MAPS)
    if record.get("images") != images_digest(images):
        raise ValueError(
            f"{maps_dir} holds maps of other images than the {len(images)} here, or of other "
            "labels. Take the split, num_images, seed and labels that they were made with"
        )
    return digest(record)
