"""Settings and data of the two toy chapters."""

from __future__ import annotations

from typing import Any

import torch

from ribnb.core.settings import Settings, setting
from ribnb.data.digits import DigitScenes, Source, download_mnist, has_mnist


class ToySettings(Settings):
    """Parameters of the chapter ``toy_bottleneck``."""

    digits: Source = setting("embedded", "where the handwriting comes from")
    data_root: str = setting("data", "folder that holds MNIST/raw", identity=False)
    download: bool = setting(False, "fetch MNIST if it is not there", identity=False)
    seeds: int = setting(3, "number of nets, each with data and weights of its own", ge=1)
    epochs: int = setting(8, "passes over the training scenes", ge=1)
    num_images: int = setting(2000, "training scenes of each net", ge=1)
    hgr_threshold: float = setting(
        0.3, "normalised gradient above which a pixel counts as high", ge=0, le=1
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    output_dir: str = setting("", "folder for result.json; empty: none", identity=False)


class RibLossSettings(ToySettings):
    """Parameters of the chapter ``rib_loss``."""

    iterations: int = setting(10, "K, steps per image", ge=1)
    learning_rate: float = setting(5e-4, "lambda, size of a step", gt=0)
    margin: float = setting(600.0, "m, in the unit of a logit", gt=0)
    batch_size: int = setting(1, "B, the image itself and B - 1 others", ge=1)
    num_adapted: int = setting(30, "held-out images adapted to, for each net", ge=1)


Batch = tuple[Any, Any, dict[str, Any]]


def toy_data(
    settings: ToySettings, seed: int, num_held_out: int = 100, device: torch.device | str = "cpu"
) -> dict[str, Batch]:
    """The scenes of one seed, each entry as ``DigitScenes.batch`` gives it.

    Args:
        settings: source and number of training scenes.
        seed: of the scenes.
        num_held_out: size of ``"with_shape"``.
        device: of images and labels; the regions stay on the CPU.

    Returns:
        ``"train"``: ``settings.num_images`` scenes, 10 % of them with a shape. ``"test"``: 500 of
        the same kind from held-out digits. ``"with_shape"``: held-out scenes that all have one.
    """
    if settings.digits == "mnist" and settings.download and not has_mnist(settings.data_root):
        download_mnist(settings.data_root)
    source = {"seed": seed, "digits": settings.digits, "data_root": settings.data_root}
    scenes = {
        "train": DigitScenes(settings.num_images, split="train", **source),
        "test": DigitScenes(500, split="test", **source),
        "with_shape": DigitScenes(num_held_out, split="test", shape_rate=1.0, **source),
    }
    batches = {name: each.batch() for name, each in scenes.items()}
    return {
        name: (images.to(device), labels.to(device), regions)
        for name, (images, labels, regions) in batches.items()
    }
