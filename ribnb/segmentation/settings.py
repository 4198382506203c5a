"""The recipe by which the segmentation network is trained, and how it is asked afterwards."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from ribnb.core.devices import Precision
from ribnb.core.settings import Settings, SettingsError, setting


class SegmentationSettings(Settings):
    """How DeepLab-v2 is trained on masks, and how it predicts.

    The defaults, which ``voc()`` gives too, are DeepLab-v2's recipe for VOC 2012 (Chen et al.
    2018, section 4.1) without its three input scales at training time and without COCO.
    ``scenes()`` is ours for the small net. Biases have no weight decay, as in DeepLab's own files.
    """

    steps: int = setting(20_000, "updates of the net", ge=1)
    batch_size: int = setting(10, "images a step, over all processes", ge=1)
    learning_rate: float = setting(2.5e-4, "of the backbone's weights, at the start", ge=0)
    head_factor: float = setting(10.0, "the branches' learning rate over the backbone's", ge=0)
    bias_factor: float = setting(2.0, "the biases' learning rate over the weights'", ge=0)
    momentum: float = setting(0.9, "of SGD", ge=0, le=1)
    weight_decay: float = setting(5e-4, "of all weights", ge=0)
    power: float = setting(0.9, "of the polynomial decay of the rate", ge=0)
    frozen_batch_norm: bool = setting(
        True, "batch norm keeps its statistics and its weights as they are"
    )
    crop_size: int = setting(321, "side of a random crop, pixels", ge=1)
    scale_min: float = setting(0.5, "smallest random scale of image and mask", gt=0)
    scale_max: float = setting(1.5, "largest random scale of image and mask", gt=0)
    flip: bool = setting(True, "mirror one image in two")
    precision: Precision = setting("float32", "tf32 rounds on CUDA, bfloat16 is mixed precision")
    seed: int = setting(0, "of the images' order and views", ge=0)
    test_scales: tuple[Annotated[float, Field(gt=0)], ...] = setting(
        (0.5, 0.75, 1.0, 1.25, 1.5),
        "scales of the image whose predictions are averaged",
        min_length=1,
    )
    test_flip: bool = setting(True, "average over the mirrored images too")

    @model_validator(mode="after")
    def _range(self):
        if self.scale_min > self.scale_max:
            raise SettingsError(
                f"scale_min = {self.scale_min} and scale_max = {self.scale_max} are no range"
            )
        return self

    @classmethod
    def voc(cls, **changes: Any) -> SegmentationSettings:
        """DeepLab-v2's recipe for VOC 2012, with changes; it needs an ImageNet start."""
        return cls(**changes)

    @classmethod
    def scenes(cls, **changes: Any) -> SegmentationSettings:
        """For the net ``"scenes"`` on a few hundred scenes of 96 x 96 pixels, with changes.

        It starts from the backbone of its classifier, as DeepLab does from ImageNet's; without
        such a start set ``frozen_batch_norm=False``.
        """
        recipe = {
            "steps": 300,
            "learning_rate": 1e-3,
            "crop_size": 96,
            "scale_min": 0.75,
            "scale_max": 1.25,
            "test_scales": (0.75, 1.0, 1.25),
        }
        return cls(**{**recipe, **changes})

    def rate(self, step: int) -> float:
        """The learning rate of the backbone's weights at a step, from 0: poly."""
        return self.learning_rate * (1 - step / self.steps) ** self.power

    def training(self) -> dict[str, Any]:
        """The fields that change what a training gives, with their values."""
        return {key: value for key, value in self.identity().items() if not _asks(key)}

    def prediction(self) -> dict[str, Any]:
        """The fields that change what a trained net predicts, with their values."""
        values = self.identity().items()
        return {key: value for key, value in values if _asks(key) or key == "precision"}


def _asks(name: str) -> bool:
    return name.startswith("test_")
