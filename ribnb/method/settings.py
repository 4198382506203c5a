"""The settings of the adaptation, with where each comes from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from ribnb.core.devices import Precision
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.method.losses import LOSSES
from ribnb.method.pooling import POOLINGS, VARIANTS, Variant

Loss = Annotated[str, BeforeValidator(LOSSES.text)]
Pooling = Annotated[str, BeforeValidator(POOLINGS.text)]
Scale = Annotated[float, Field(gt=0)]
Preset = Literal["paper", "released", "fast"]
# What has no one default, in the order of VARIANTS; ``fast`` has the paper's.
BY_VARIANT = {
    "margin_rule": ("cap", "stop"),
    "last_map": (True, False),
    "pooling_variant": VARIANTS,
    "image_in_batch": (True, False),
}
_SMALL = {  # what the presets for small nets have in common: one scale, B = 1, others whole
    "class_layer_factor": 10.0,
    "power": 0.9,
    "batch_size": 1,
    "long_side_min": 0,
    "long_side_max": 0,
    "scales": (1.0,),
    "loss_scales": (1.0,),
}


class RIBSettings(Settings):
    """How one image is adapted to, and what its localisation map is made of.

    The defaults are ``RIBSettings.released()``, all that the authors' code does; ``.paper()``
    follows the paper's formulas. In brackets: where a default comes from.

    ``loss`` and ``pooling`` also take functions of your own: the function itself,
    ``"module:function"``, or the name of an entry point in the group ``ribnb.losses`` or
    ``ribnb.poolings``. They are ``loss(logits, labels, settings)``, from (B, C) and (B, C) in
    {0., 1.} to a scalar, and ``pooling(class_maps, settings)``, from (B, C, h, w) to (B, C).
    """

    iterations: int = setting(10, "K, steps for each image; 0: just the CAM [paper]", ge=0)
    learning_rate: float = setting(8e-6, "lambda, of the backbone [released code]", gt=0)
    class_layer_factor: float = setting(
        10.0, "learning rate of the class layer in units of the backbone's [released code]", gt=0
    )
    power: float = setting(
        0.9, "rate of step k is lambda (1 - k / K) ** power; 0: constant [released code]", ge=0
    )
    momentum: float = setting(
        1e-4, "of SGD; 1e-4 is what reaches it in the authors' code [released code]", ge=0
    )
    weight_decay: float = setting(0.0, "of SGD [released code]", ge=0)
    loss: Loss = setting(
        "rib", "L_RIB, or for comparison L_BCE, or the cross entropy of a softmax [paper]"
    )
    margin: float = setting(600.0, "m of L_RIB, see variant [paper; released code]", gt=0)
    pooling: Pooling = setting("gndrp", "from class maps to logits [paper]")
    threshold: float = setting(0.4, "tau of GNDRP [released code]", ge=0, le=1)
    variant: Preset = setting(
        "released",
        "the paper's formulas or what its code does, for the four settings that follow",
    )
    margin_rule: Literal["cap", "stop"] | None = setting(
        None,
        "cap: min(m, y) in the loss [paper]; stop: once the target's logits sum to more than m "
        "[released code]; None: the variant's",
    )
    last_map: bool | None = setting(
        None,
        "maps k = 0..K [paper], or without theta_K's [released code]; None: the variant's",
    )
    pooling_variant: Variant | None = setting(
        None,
        "GNDRP as a mean over U_tau [paper], or over all positions [released code]; None: the "
        "variant's",
    )
    image_in_batch: bool | None = setting(
        None,
        "B counts the image itself [paper], or only others [released code]; None: the variant's",
    )
    batch_size: int = setting(
        20, "B, other images in each step; paper: B counts the image itself [paper]", ge=1
    )
    batch_choice: Literal["random", "disjoint"] = setting(
        "disjoint",
        "others share no class with the image, or any images [released code]",
    )
    others: Literal["fresh", "pool"] = setting(
        "fresh",
        "other images are cropped anew in each step, or drawn from pool_size crops whose frozen "
        "features are kept [released code: fresh]",
        identity=None,
    )
    pool_size: int = setting(500, "P, crops of the pool", identity=None, ge=1)
    crop_size: int = setting(
        512,
        "side of the others' random crops in pixels; 0: whole images [released code]",
        ge=0,
    )
    long_side_min: int = setting(
        320, "random long side of the others before the crop, pixels [released code]", ge=0
    )
    long_side_max: int = setting(640, "0: the others keep their size [released code]", ge=0)
    scales: tuple[Scale, ...] = setting(
        (1.0, 0.5, 1.5, 2.0),
        "of the image, for the map; 1 comes first [released code]",
        min_length=1,
    )
    loss_scales: tuple[Scale, ...] = setting(
        (1.0, 1.5, 2.0), "those of the scales that are in the loss [released code]", min_length=1
    )
    flip: bool = setting(True, "each scale also with left and right exchanged [released code]")
    flood_level: float | None = setting(
        0.3, "high, for the flood rule, in units of the map's maximum [released code]", ge=0
    )
    flood_share: float | None = setting(
        0.7,
        "from step 1 on, stop when more than this share of the positions is high; None: never "
        "[released code]",
        ge=0,
        le=1,
    )
    normalize_maps: bool = setting(
        False, "divide each step's CAM by its maximum before adding [released code: raw maps]"
    )
    moving_stages: int | None = setting(
        None,
        "last of the backbone's stages that move, beside the class layer; None: two, which for a "
        "ResNet are layer3 and layer4 [released code]",
        ge=0,
        le=4,
    )
    precision: Precision = setting("float32", "of the forward passes; float32 is without TF32")
    seed: int = setting(0, "of the choice and the crops of the other images", ge=0)

    @field_validator(*BY_VARIANT, mode="before")
    @classmethod
    def _of_the_variant(cls, value: Any, info: ValidationInfo) -> Any:
        variant = info.data.get("variant")  # not there if it was refused
        if value is None and variant:
            return BY_VARIANT[info.field_name][variant == "released"]
        return value

    @model_validator(mode="after")
    def _scales_and_sides(self):
        if self.scales[0] != 1.0:
            raise SettingsError(f"scales = {self.scales}: 1 must come first, the image as it is")
        if len(set(self.scales)) < len(self.scales):
            raise SettingsError(f"scales = {self.scales}: one stands there twice")
        stray = [scale for scale in self.loss_scales if scale not in self.scales]
        if stray or len(set(self.loss_scales)) < len(self.loss_scales):
            raise SettingsError(
                f"loss_scales = {self.loss_scales} must be different ones of scales = {self.scales}"
            )
        if self.long_side_max and not 0 < self.long_side_min <= self.long_side_max:
            raise SettingsError(
                f"long_side_min = {self.long_side_min} must lie from 1 to long_side_max = "
                f"{self.long_side_max}"
            )
        return self

    @classmethod
    def released(cls, **changes) -> RIBSettings:
        """All that the authors' code does; ``changes`` are set on top."""
        return cls(**changes)

    @classmethod
    def paper(cls, **changes) -> RIBSettings:
        """The paper's formulas; where the paper says nothing, as ``released``.

        Said by the paper: K, tau, m as a cap of each logit, one rate lambda, the images of the
        batch drawn at random, M as the sum over k = 0 ... K. Ours: the maps are divided by their
        maximum before they are added, so that no step weighs more than another. Not said, and
        taken from the authors' code: the scales and flips, and which stages are frozen.
        """
        formulas = {
            "variant": "paper",
            "class_layer_factor": 1.0,
            "power": 0.0,
            "momentum": 0.0,
            "batch_choice": "random",
            "flood_level": None,
            "flood_share": None,
            "normalize_maps": True,
        }
        return cls(**{**formulas, **changes})

    @classmethod
    def fast(cls, **changes) -> RIBSettings:
        """The paper's formulas in three steps of twice the size, B = 1, one scale and its flip.

        Chosen for photographs, see ``book/settings/ablations_photographs/choice_fast.yml`` and the
        page "running"; on VOC and other nets nobody has measured it.
        """
        few = {"variant": "fast", "iterations": 3, "learning_rate": 1.6e-5}
        one = {"batch_size": 1, "scales": (1.0,), "loss_scales": (1.0,)}
        return cls.paper(**{**few, **one, **changes})

    @classmethod
    def scenes(cls, variant: str = "paper", **changes) -> RIBSettings:
        """For the net ``"scenes"``: a variant at one scale, with steps of that net's size.

        In the variant ``paper`` B is 1, the image alone; ``released`` always has others, here 1.
        Its GNDRP divides by all positions, so that a step of the same rate does less.
        """
        own = {"margin": 60.0, "crop_size": 0}
        own["learning_rate"] = 1.5e-4 if variant == "paper" else 3e-4
        return getattr(cls, variant)(**{**_SMALL, **own, "variant": variant, **changes})

    @classmethod
    def photographs(cls, variant: str = "paper", **changes) -> RIBSettings:
        """For ``timm/tf_efficientnet_lite0`` on photographs of 320 pixels: what two cores can do.

        One scale, B = 1 (``released``: one other image, whole), and the last stage moves alone:
        blocks 5 and 6 and the head's convolution. The rate was chosen on nets and images that are
        used for nothing else (book/settings/ablations_photographs/choice.yml); m is out of reach.
        """
        own = {"moving_stages": 1, "crop_size": 320}
        own["learning_rate"] = 2e-4 if variant == "fast" else 1e-4
        return getattr(cls, variant)(**{**_SMALL, **own, "variant": variant, **changes})

    @property
    def num_others(self) -> int:
        """Other images in a step's batch, B - 1 in the paper, B in the authors' code."""
        return self.batch_size - self.image_in_batch

    @property
    def pooled(self) -> bool:
        """Whether a pool is needed; none is for the image alone."""
        return self.others == "pool" and self.num_others > 0

    @property
    def num_updates(self) -> int:
        """Steps whose result some map is made with, K in the paper, K - 1 in the authors' code."""
        return max(0, self.iterations - (not self.last_map))

    def rate(self, k: int) -> float:
        """Learning rate of the backbone at step k."""
        return self.learning_rate * (1 - k / self.iterations) ** self.power
