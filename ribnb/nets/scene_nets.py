"""Settings, scenes and nets of the chapters on embedded scenes."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import model_validator

from ribnb.core.devices import seeded
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.data.scenes.images import SceneImages
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import load_classifier, mean_average_precision, train_classifier
from ribnb.nets.classifier_settings import ClassifierSettings

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
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
