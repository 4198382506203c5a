"""The recipe by which a classifier is trained."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from ribnb.core.devices import Precision
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.data.views import RandomView


class ClassifierSettings(Settings):
    """How a classifier is trained. The defaults are IRN's recipe for VOC, the net of the paper.

    ``released()`` is that recipe as IRN's code runs it, ``scenes()`` ours for the small net.
    """

    epochs: int = setting(5, "passes over the images", ge=1)
    batch_size: int = setting(16, "images a step", ge=1)
    learning_rate: float = setting(0.1, "of the backbone, at the start", ge=0)
    class_layer_factor: float = setting(
        10.0, "the class layer's learning rate over the backbone's", ge=0
    )
    momentum: float = setting(0.9, "of SGD", ge=0, le=1)
    nesterov: bool = setting(True, "look ahead along the momentum")
    weight_decay: float = setting(1e-4, "of all weights", ge=0)
    warm_up_steps: int = setting(0, "steps in which the rate first grows linearly", ge=0)
    power: float = setting(0.9, "of the polynomial decay of the rate", ge=0)
    running_statistics: bool = setting(
        False, "batch norm on its running statistics, which then stay as they are"
    )
    crop_size: int = setting(512, "side of a random crop, pixels; 0: whole images", ge=0)
    long_side_min: int = setting(320, "smallest random long side, pixels; 0: as is", ge=0)
    long_side_max: int = setting(640, "largest random long side, pixels; 0: as is", ge=0)
    flip: bool = setting(True, "mirror one image in two")
    precision: Precision = setting("float32", "tf32 rounds on CUDA, bfloat16 is mixed precision")
    seed: int = setting(0, "of the images' order and views", ge=0)
    validate_each_epoch: bool = setting(
        False, "validate after each epoch, not only after the last", identity=False
    )

    @model_validator(mode="after")
    def _check(self):
        smallest, largest = self.long_side_min, self.long_side_max
        if smallest > largest or (smallest == 0) != (largest == 0):
            raise SettingsError(
                f"long_side_min = {smallest} and long_side_max = {largest} are no range of "
                "pixels; both 0 keeps each image's size"
            )
        if self.nesterov and self.momentum == 0:
            raise SettingsError("nesterov = True needs a momentum above 0; it is 0.0")
        return self

    @classmethod
    def released(cls, **changes: Any) -> ClassifierSettings:
        """IRN's recipe as its code runs it, with changes.

        Its 0.9 is the power of the decay only; the momentum that reaches SGD is 1e-4, a weight
        decay handed over in momentum's place. Batch norm keeps ImageNet's statistics. (It also
        stops the gradient after layer2: freeze those stages before you train.)
        """
        recipe = {"momentum": 1e-4, "nesterov": False, "running_statistics": True}
        return cls(**{**recipe, **changes})

    @classmethod
    def scenes(cls, **changes: Any) -> ClassifierSettings:
        """For the net ``"scenes"`` on 3,000 scenes of 96 x 96 pixels, with changes."""
        recipe = {
            "epochs": 4,
            "batch_size": 32,
            "learning_rate": 0.05,
            "class_layer_factor": 1.0,
            "weight_decay": 3e-3,
            "warm_up_steps": 50,
            "crop_size": 0,
            "long_side_min": 0,
            "long_side_max": 0,
        }
        return cls(**{**recipe, **changes})

    def rate(self, step: int, steps: int) -> float:
        """The backbone's learning rate at a step, from 0, of ``steps``: warm-up times poly."""
        warm_up = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        return self.learning_rate * warm_up * (1 - step / steps) ** self.power

    def view(self) -> RandomView:
        """The random views of the training images."""
        long_side = (self.long_side_min, self.long_side_max) if self.long_side_max else None
        return RandomView(self.crop_size, long_side, self.flip)
