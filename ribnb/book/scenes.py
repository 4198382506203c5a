"""The chapters ``cam_and_gndrp`` and ``rib``: settings, and adaptations with every step kept."""

from __future__ import annotations

import copy
import os
import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import model_validator
from torch import Tensor

from ribnb.core.devices import seeded
from ribnb.core.files import Maps, write_maps
from ribnb.core.progress import progress
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.data.scenes.images import SceneImages
from ribnb.evidence.differences import Difference, paired_difference
from ribnb.method.adaptation import Adaptation, adapt
from ribnb.method.cam import MapSum
from ribnb.method.inputs import AdaptationInputs
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet, SceneBackbone
from ribnb.nets.classifier import (
    ClassifierSettings,
    load_classifier,
    mean_average_precision,
    train_classifier,
)
from ribnb.nets.weights import CHECKPOINTS
from ribnb.scores.confusion import image_confusions
from ribnb.scores.iou import seed_miou

# The seeds of the nets that come with the package. Scenes of the seeds 0 to 2 were looked at while
# they were drawn, and the settings of the adaptation were chosen on nets of the seeds 10 and 11.
TRAINED = (3, 4, 5)
NUM_TRAINING = 3000


class SceneSettings(Settings):
    """Parameters of all chapters that use these nets."""

    nets: int = setting(3, "nets, each with scenes and weights of its own", ge=1)
    first_seed: int = setting(TRAINED[0], "seed of the first net; the next ones follow", ge=0)
    num_images: int = setting(100, "held-out scenes for each net", ge=2)
    retrain: bool = setting(False, "train the nets here instead of loading them")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    output_dir: str = setting("", "folder for result.json and what it rests on", identity=False)

    @model_validator(mode="after")
    def _nets_that_are_there(self):
        if not self.retrain and not set(self.seeds) <= set(TRAINED):
            raise SettingsError(
                f"first_seed = {self.first_seed} with nets = {self.nets}: only the nets of the "
                f"seeds {', '.join(map(str, TRAINED))} come trained; retrain = True trains others"
            )
        return self

    @property
    def seeds(self) -> range:
        """Of the nets."""
        return range(self.first_seed, self.first_seed + self.nets)


class SceneCAMSettings(SceneSettings):
    """Parameters of the chapter ``cam_and_gndrp``."""

    threshold: float = setting(0.4, "tau of GNDRP", ge=0, le=1)


class SceneRIBSettings(SceneSettings):
    """Parameters of the chapter ``rib``."""

    rib: RIBSettings = setting({}, "how an image is adapted to: RIBSettings.scenes(), with changes")
    bce_factor: float = setting(1.0, "steps of L_BCE, for comparison, over lambda", gt=0)

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> RIBSettings:
        """Of ``rib``."""
        return RIBSettings.scenes()

    @model_validator(mode="after")
    def _steps_to_look_at(self):
        if self.rib.iterations < 1:
            raise SettingsError("rib.iterations = 0: this chapter looks at steps; take 1 or more")
        return self


def train_scene_net(
    seed: int, folder: str | Path | None = None, device: str | torch.device = "cpu"
) -> CAMNet:
    """Train the net of one seed on its scenes; minutes on a CPU."""
    images = SceneImages(NUM_TRAINING, seed=seed, split="train")
    with seeded(seed):
        model = CAMNet("scenes", len(images.class_names))
    recipe = ClassifierSettings.scenes(seed=seed)
    return train_classifier(model, images, recipe, folder, device=device).net


def scene_net(seed: int, settings: SceneSettings, device: torch.device) -> CAMNet:
    """The net of one seed: the one that comes with the package or, with ``retrain``, a new one.

    With an ``output_dir`` a training is kept there and goes on after a kill.
    """
    if settings.retrain:
        folder = Path(settings.output_dir) / f"net_{seed}" if settings.output_dir else None
        return train_scene_net(seed, folder, device)
    return load_classifier(CHECKPOINTS / f"scenes_{seed}.safetensors").to(device)


def scene_nets(
    settings: SceneSettings, device: torch.device
) -> list[tuple[CAMNet, SceneImages, float]]:
    """For each seed its net, its held-out scenes, and the net's mAP on them in [0, 1]."""
    triples = []
    for seed in settings.seeds:
        model = scene_net(seed, settings, device)
        images = SceneImages(settings.num_images, seed=seed, split="test")
        triples.append((model, images, mean_average_precision(model, images, device)))
    return triples


def adapt_to_all(
    model: CAMNet, images: SceneImages, settings: RIBSettings, label: str = "adapting"
) -> list[Adaptation]:
    """Adapt to each image, every step kept. On a CPU as many at a time as it has cores."""
    inputs = AdaptationInputs(images, settings)
    on_cpu = model.class_layer.weight.device.type == "cpu"
    workers = (os.cpu_count() or 1) if on_cpu else 1
    nets: queue.SimpleQueue[CAMNet] = queue.SimpleQueue()
    for _ in range(workers):
        # each adaptation moves the weights of its own net; channels_last is a little faster
        nets.put(copy.deepcopy(model).to(memory_format=torch.channels_last))

    def one(index: int) -> Adaptation:
        net = nets.get()
        try:
            batches = (inputs.batch(index, k)[0] for k in range(settings.iterations))
            views, labels = inputs.views(index), images.labels[index]
            return adapt(net, views, labels, batches, settings, trace=True)
        finally:
            nets.put(net)

    with ThreadPoolExecutor(workers) as pool:
        return list(progress(pool.map(one, range(len(images))), label, len(images)))


def maps_after(
    results: Sequence[Adaptation], k: int, size: tuple[int, int], settings: RIBSettings
) -> list[dict[str, Tensor]]:
    """The maps as they would be with K = k, the sum of the CAMs up to step k; 0: the CAMs.

    Args:
        results: of images of one size, with their steps.
        k: a number beyond an image's last step stands for the last.
        size: (H, W) of the images.
        settings: with which they were made.
    """
    maps = []
    for result in results:
        total = MapSum(size, settings, SceneBackbone.stride)
        for step in result.steps[: k + 1]:
            total.add(step.cams)
        maps.append({"class_ids": result.class_ids, "high_res": total.finish()[0]})
    return maps


def gain(maps: Sequence[Any], baseline: Sequence[Any], images: SceneImages) -> Difference:
    """Seed mIoU of maps minus that of others of the same images, each at its oracle threshold."""
    _, _, masks, _ = images.batch()
    sides = []
    for side in (maps, baseline):
        threshold = seed_miou(side, masks, class_names=images.class_names).best_threshold
        sides.append([image_confusions(side, masks, threshold, len(images.class_names))])
    return paired_difference(*sides, np.random.default_rng(0))


def write_run(
    folder: str | Path, images: SceneImages, by_method: dict[str, list[Adaptation]]
) -> None:
    """Keep what the scores rest on: ``<method>/<id>.npz``, and ``truth/<id>.png`` beside it."""
    folder = Path(folder)
    for name in ("truth", "parts", *by_method):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(images.ids):
        Image.fromarray(images.mask(index)).save(folder / "truth" / f"{name}.png")
        Image.fromarray(images.parts(index)).save(folder / "parts" / f"{name}.png")
    for method, results in by_method.items():
        for name, found in zip(images.ids, results, strict=True):
            arrays = (found.class_ids, found.high_res, found.strided)
            write_maps(folder / method / f"{name}.npz", Maps(*map(np.asarray, arrays)))
