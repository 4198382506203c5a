"""The settings of IRN, those for maps of RIB and those of the baseline side by side."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from ribnb.core.devices import Precision
from ribnb.core.settings import Settings, SettingsError, setting

# What the two kinds of maps differ in; the rest is the same.
_DIFFERENT = ("foreground_threshold", "background_threshold", "walk_background", "power")
PRESETS = {
    "rib": dict(zip(_DIFFERENT, (0.35, 0.17, 0.27, 1.3), strict=True)),
    "baseline": dict(zip(_DIFFERENT, (0.30, 0.05, 0.25, 1.0), strict=True)),
}
# For each kind of maps the best of one grid (5 pairs of label thresholds, 2 powers, 12 background
# scores) by mask mIoU, in the mean over training scenes of the seeds 10 and 11.
SCENE_PRESETS = {
    "rib": dict(zip(_DIFFERENT, (0.30, 0.17, 0.13, 1.5), strict=True)),
    "baseline": dict(zip(_DIFFERENT, (0.10, 0.02, 0.10, 1.0), strict=True)),
}
_SCENES: dict[str, Any] = {
    "radius": 5,
    "crop_size": 96,
    "batch_size": 16,
    "epochs": 8,
    "momentum": 0.9,
    "displacement_factor": 1.0,
}
# The stage that a field belongs to; all others are the training's.
LABELS = ("foreground_threshold", "background_threshold")
WALK = ("walk_background", "power", "walk_radius", "beta", "walk_exponent")


class IRNSettings(Settings):
    """How maps become masks through IRN: confident labels, the training, the random walk.

    The defaults are those of IRN's code for maps of a plain CAM, ``baseline()``; ``rib()`` are
    those that RIB's authors take for their maps. Thresholds are in units of a map's maximum,
    radii in positions of the boundary map (4 pixels each in a ResNet, 2 in the net for scenes).
    """

    foreground_threshold: float = setting(
        0.30, "background's score where a map shows a class for sure", gt=0, le=1
    )
    background_threshold: float = setting(
        0.05, "background's score where all that is below it is background for sure", gt=0
    )
    walk_background: float = setting(0.25, "background's score after the walk", gt=0, le=1)
    power: float = setting(1.0, "of the maps before the walk", gt=0)
    walk_radius: float = setting(5.0, "positions nearer than this exchange values", gt=1, le=64)
    beta: float = setting(10.0, "power of the affinities in the walk", ge=0)
    walk_exponent: int = setting(8, "the walk has 2 ** this steps", ge=0, le=16)
    radius: float = setting(10.0, "gamma: pairs nearer than this are trained on", gt=1, le=64)
    crop_size: int = setting(512, "side of a random crop, pixels; 0: whole images", ge=0)
    batch_size: int = setting(32, "images a step", ge=1)
    epochs: int = setting(3, "passes over the images", ge=1)
    learning_rate: float = setting(0.1, "of the boundary branch, at the start", gt=0)
    displacement_factor: float = setting(
        10.0, "the displacement branch's rate over the boundary branch's", gt=0
    )
    momentum: float = setting(1e-4, "of SGD; 1e-4 is what reaches it in IRN's code", ge=0, le=1)
    weight_decay: float = setting(1e-4, "of all weights", ge=0)
    poly_power: float = setting(0.9, "of the polynomial decay of the rate", ge=0)
    scale_min: float = setting(0.5, "smallest random scale of an image", gt=0)
    scale_max: float = setting(1.5, "largest random scale of an image", gt=0)
    flip: bool = setting(True, "mirror one image in two")
    precision: Precision = setting("float32", "tf32 rounds on CUDA, bfloat16 is mixed precision")
    seed: int = setting(0, "of the first weights, the images' order and views", ge=0)

    @model_validator(mode="after")
    def _check(self):
        low, high = self.background_threshold, self.foreground_threshold
        if low > high:
            raise SettingsError(
                f"background_threshold = {low} must not be above foreground_threshold = {high}: "
                "what lies between them is left open"
            )
        if self.scale_min > self.scale_max:
            raise SettingsError(
                f"scale_min = {self.scale_min} must not be above scale_max = {self.scale_max}"
            )
        return self

    @classmethod
    def rib(cls, **changes: Any) -> IRNSettings:
        """For RIB's maps, as its authors' code has them; ``changes`` are set on top."""
        return cls(**{**PRESETS["rib"], **changes})

    @classmethod
    def baseline(cls, **changes: Any) -> IRNSettings:
        """For a CAM, as IRN's code has them; ``changes`` are set on top."""
        return cls(**{**PRESETS["baseline"], **changes})

    @classmethod
    def scenes(cls, of: str = "rib", **changes: Any) -> IRNSettings:
        """For scenes of 96 x 96 pixels and the net ``"scenes"``, with changes.

        Thresholds were chosen on training scenes of the seeds 10 and 11, for each kind of maps by
        itself, with confident labels that a dense CRF had refined (``CRFSettings.scenes()``).
        Without a CRF the labels of such coarse maps are wrong beside every object, and so is what
        is learned from them: expect no more than the seeds give.

        Args:
            of: whose maps, ``"rib"`` or ``"baseline"``.
            changes: set on top.
        """
        return cls(**{**_SCENES, **SCENE_PRESETS[of], **changes})

    @property
    def walk_steps(self) -> int:
        """Steps of the random walk."""
        return 2**self.walk_exponent

    def rate(self, step: int, steps: int) -> float:
        """The boundary branch's learning rate at a step, from 0, of ``steps``."""
        return self.learning_rate * (1 - step / steps) ** self.poly_power

    def for_labels(self) -> dict[str, Any]:
        """What decides the confident labels, for their record."""
        return {name: getattr(self, name) for name in LABELS}

    def for_walk(self) -> dict[str, Any]:
        """What decides the masks of a trained net, for their record."""
        return {name: getattr(self, name) for name in (*WALK, "precision")}

    def for_training(self) -> dict[str, Any]:
        """What decides the training on given labels, for its record."""
        own = self.identity().items()
        return {name: value for name, value in own if name not in (*LABELS, *WALK)}
