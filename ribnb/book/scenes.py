"""The chapters on digits and on embedded scenes: their settings, data, nets and adaptations."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from numpy import ndarray
from pydantic import model_validator
from torch import Tensor

from ribnb.core.devices import float32_mode, seeded
from ribnb.core.runner import progress
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.voc import ImageSet
from ribnb.data.digits import DigitScenes, Source, download_mnist
from ribnb.data.scenes.images import SceneImages
from ribnb.evidence.differences import Difference, paired_difference
from ribnb.method.adaptation import Adaptation, adapt
from ribnb.method.cam import MapSum
from ribnb.method.inputs import AdaptationInputs
from ribnb.method.pooling import normalize
from ribnb.method.settings import RIBSettings
from ribnb.nets.backbones import SceneBackbone
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import (
    ClassifierSettings,
    load_classifier,
    mean_average_precision,
    train_classifier,
)
from ribnb.nets.digit_net import DigitNet, train_digit_net
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata
from ribnb.scores.confusion import image_confusions
from ribnb.scores.iou import seed_miou

Batch = tuple[Any, Any, dict[str, Any]]
# The seeds of the nets that come with the package. Scenes of the seeds 0 to 2 were looked at while
# they were drawn, and the settings of the adaptation were chosen on nets of the seeds 10 and 11.
TRAINED = (3, 4, 5)
NUM_TRAINING = 3000


class ToySettings(Settings):
    """Parameters of the chapter ``toy_bottleneck``."""

    digits: Source = setting("embedded", "where the handwriting comes from")
    data_root: str = setting("data", "folder that holds MNIST/raw", identity=False)
    download: bool = setting(False, "fetch MNIST if it is not there", identity=False)
    seeds: int = setting(3, "number of nets, each with data and weights of its own", ge=1)
    epochs: int = setting(8, "passes over the training scenes", ge=1)
    num_images: int = setting(2000, "training scenes of each net", ge=1)
    hgr_threshold: float = setting(0.3, "share of the maximum that counts as high", ge=0, le=1)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    output_dir: str = setting("", "folder for result.json; empty: none", identity=False)


class RibLossSettings(ToySettings):
    """Parameters of the chapter ``rib_loss``."""

    iterations: int = setting(10, "K, steps per image", ge=1)
    learning_rate: float = setting(5e-4, "lambda, size of a step", gt=0)
    margin: float = setting(600.0, "m, in the unit of a logit", gt=0)
    batch_size: int = setting(1, "B, the image itself and B - 1 others", ge=1)
    num_adapted: int = setting(30, "held-out images adapted to, for each net", ge=1)


class SceneSettings(Settings):
    """Parameters of all chapters that use these nets."""

    nets: int = setting(3, "nets, each with scenes and weights of its own", ge=1)
    first_seed: int = setting(TRAINED[0], "seed of the first net; the next ones follow", ge=0)
    num_images: int = setting(100, "scenes of train for each net", ge=2)
    retrain: bool = setting(False, "train the nets here instead of loading them")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    output_dir: str = setting("", "keeps result.json and nets trained here", identity=False)

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


def toy_data(
    settings: ToySettings, seed: int, num_held_out: int = 100, device: torch.device | str = "cpu"
) -> dict[str, Batch]:
    """The scenes of one seed, each entry as ``DigitScenes.batch`` gives it; regions on the CPU.

    Of ``"train"`` and ``"test"`` (500 of held-out digits), 10 % have a shape; of ``"with_shape"``,
    ``num_held_out`` more of held-out digits, all.
    """
    if settings.digits == "mnist" and settings.download:
        download_mnist(settings.data_root)
    source = {"seed": seed, "digits": settings.digits, "data_root": settings.data_root}
    scenes = {
        "train": DigitScenes(settings.num_images, split="train", **source),
        "test": DigitScenes(500, split="test", **source),
        "with_shape": DigitScenes(num_held_out, split="test", shape_rate=1.0, **source),
    }
    batches = {}
    for name, each in scenes.items():
        images, labels, regions = each.batch()
        batches[name] = images.to(device), labels.to(device), regions
    return batches


def digit_recipe(settings: ToySettings, seed: int, **design: Any) -> dict[str, Any]:
    """What decides the net of one seed."""
    named = {name: getattr(settings, name) for name in ("digits", "num_images", "epochs")}
    return {**named, "seed": seed, **design}


def digit_net(
    settings: ToySettings, seed: int, images: Tensor, labels: Tensor, **design: Any
) -> tuple[DigitNet, list[float]]:
    """``train_digit_net`` on the scenes of one seed, or what it gave if that comes along."""
    for path in CHECKPOINTS.glob("digits_*.safetensors"):
        made = checkpoint_metadata(path, DigitNet.kind)
        if made["identity"] == digit_recipe(settings, seed, **design):
            return DigitNet.load(path).to(images.device), made["history"]
    return train_digit_net(images, labels, settings.epochs, seed, **design)


def train_scene_net(
    seed: int, folder: str | Path | None = None, device: str | torch.device = "cpu"
) -> CAMNet:
    """Train the net of one seed on its scenes; minutes on a CPU."""
    images = SceneImages(NUM_TRAINING, seed=seed, split="train")
    with seeded(seed):
        model = CAMNet("scenes", len(images.class_names))
    recipe = ClassifierSettings.scenes(seed=seed)
    return train_classifier(model, images, recipe, folder, device=device).net


def scene_nets(
    settings: SceneSettings, device: torch.device
) -> list[tuple[CAMNet, SceneImages, float]]:
    """For each seed its net, its first scenes of train, and its mAP in [0, 1] on as many of test.

    With ``retrain`` the net is trained here; in an ``output_dir`` this goes on after a kill.
    """
    triples = []
    for seed in settings.seeds:
        if settings.retrain:
            folder = Path(settings.output_dir) / f"net_{seed}" if settings.output_dir else None
            model = train_scene_net(seed, folder, device)
        else:
            model = load_classifier(CHECKPOINTS / f"scenes_{seed}.safetensors").to(device)
        images = SceneImages(settings.num_images, seed=seed, split="train")
        unseen = SceneImages(settings.num_images, seed=seed, split="test")
        triples.append((model, images, mean_average_precision(model, unseen, device)))
    return triples


def adapt_one(
    model: CAMNet, images: ImageSet, index: int, settings: RIBSettings, trace: bool = True
) -> Adaptation:
    """Adapt to one image of a set, with the others that are drawn for it in its batches."""
    inputs = AdaptationInputs(images, settings, model.normalization)
    batches = (inputs.batch(index, k)[0] for k in range(settings.iterations))
    return adapt(model, inputs.views(index), images.labels[index], batches, settings, trace)


def adapt_to_all(
    model: CAMNet, images: ImageSet, settings: RIBSettings, count: int | None = None
) -> list[Adaptation]:
    """Adapt to each image, or the first ``count``, with every step kept.

    On a CPU as many at a time as it has cores.
    """
    own, on_cpu = threading.local(), model.class_layer.weight.device.type == "cpu"

    def one(index: int) -> Adaptation:
        if not hasattr(own, "net"):  # an adaptation moves weights, so each thread has its net
            own.net = copy.deepcopy(model).to(memory_format=torch.channels_last)  # a little faster
        return adapt_one(own.net, images, index, settings)

    threads = ThreadPoolExecutor(os.cpu_count() if on_cpu else 1)
    with float32_mode(settings.precision), threads as pool:  # for all of them, there and back
        indices = range(len(images))[:count]
        return list(progress(pool.map(one, indices), "adapting", len(indices)))


def cam_at(result: Adaptation, k: int, size: tuple[int, int]) -> Float32[ndarray, "H W"]:
    """The CAM of the first class at step k, or the last one before, in [0, 1]; (H, W) is given."""
    cam = result.steps[min(k, len(result.steps) - 1)].cams[0][None, :1].cpu()
    return normalize(F.interpolate(cam, size, mode="bilinear"))[0, 0].numpy()


def maps_after(
    results: Sequence[Adaptation], k: int, size: tuple[int, int], settings: RIBSettings
) -> list[dict[str, Tensor]]:
    """The maps as they would be with K = k, the sum of the CAMs up to step k; 0: the CAMs.

    A k beyond an image's last step stands for that. ``size`` is (H, W) of all images.
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
        sides.append(image_confusions(side, masks, threshold, len(images.class_names)))
    return paired_difference([sides], np.random.default_rng(0))
