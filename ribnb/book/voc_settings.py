"""Settings of the chapters ``voc_classifier`` and ``voc_rib``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torchvision

from ribnb.book.split_settings import ScoredSettings, SplitSettings
from ribnb.core.devices import seeded
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import Settings, SettingsError, optional, setting
from ribnb.method.pooling import VARIANTS
from ribnb.method.settings import RIBSettings
from ribnb.nets.classifier_settings import ClassifierSettings
from ribnb.nets.models import ARCHITECTURES, CAMNet
from ribnb.nets.scene_nets import CHECKPOINTS, TRAINED

SHARED = ("seed", "precision", "variant")  # one value for the chapter and for its method
IMAGENET = "IMAGENET1K_V1"  # of torchvision's; what the authors started from


@dataclass(frozen=True)
class VOCClassifierSettings(SplitSettings, optional(ClassifierSettings, without=SHARED)):
    """Parameters of ``voc_classifier``.

    What is None has the value of its recipe: ``ClassifierSettings.scenes()`` for scenes, else
    ``ClassifierSettings()`` or ``.released()``, by ``variant``. After ``__init__`` none is None.
    """

    variant: str = setting(
        "paper",
        "IRN's recipe as it is written down, or as its released code runs it",
        choices=VARIANTS,
    )
    arch: str | None = setting(None, "the net; scenes, or resnet50 for VOC", choices=ARCHITECTURES)
    weights: str | None = setting(
        None, f"to start from: {IMAGENET}, random, or a path; random for scenes"
    )
    output_stride: int = setting(16, "pixels a position of a ResNet's map", choices=(8, 16))
    classifier: str = setting(
        "", "a trained classifier.safetensors to use in place of training", identity=False
    )
    training_split: str = setting("train_aug", "images to train on")
    num_training: int | None = setting(None, "how many of them; 0: all; scenes: 1600", minimum=0)
    validation_split: str = setting("val", "images for the mAP")
    num_validation: int | None = setting(None, "how many of them; 0: all; scenes: 200", minimum=0)

    def __post_init__(self) -> None:
        scenes = self.dataset == "scenes"
        if scenes and self.variant == "released":
            raise SettingsError(
                "variant = 'released': IRN's code starts from ImageNet's weights, which scenes do "
                "not have; it must be 'paper' with dataset = 'scenes'"
            )
        if scenes:
            # fewer scenes than the recipe is for, and more epochs: for a minute on a CPU
            preset = ClassifierSettings.scenes(epochs=6)
            rest = {
                "arch": "scenes",
                "weights": "random",
                "num_training": 1600,
                "num_validation": 200,
            }
        else:
            released = self.variant == "released"
            preset = ClassifierSettings.released() if released else ClassifierSettings()
            rest = {"arch": "resnet50", "weights": IMAGENET, "num_training": 0, "num_validation": 0}
        _fill(self, {**preset.as_dict(), "validate_each_epoch": True, **rest})
        super().__post_init__()
        _ = self.recipe  # refuses what does not go together

    @property
    def recipe(self) -> ClassifierSettings:
        """How the classifier is trained."""
        return _method(ClassifierSettings, self)

    @property
    def cam(self) -> RIBSettings:
        """How CAMs are made: the adaptation's views, and no step."""
        preset = RIBSettings.scenes if self.dataset == "scenes" else RIBSettings.paper
        return preset(iterations=0, seed=self.seed, precision=self.precision)

    def training_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.training_split, self.num_training)

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.validation_split, self.num_validation)

    def net(self, num_classes: int) -> CAMNet:
        """The net that training starts from; downloads ImageNet's weights at most once.

        Raises:
            OSError: weights that cannot be had; says what to do by hand.
            ValueError: weights of another architecture.
        """
        weights: Any = self.weights
        if weights == "random":
            weights = None
        elif weights == IMAGENET:
            if self.arch == "scenes":
                raise SettingsError(f"weights = '{IMAGENET}': torchvision has none of 'scenes'")
            weights = torchvision.models.get_model_weights(self.arch)[IMAGENET]
        with seeded(self.seed):
            model = CAMNet(self.arch, num_classes, self.output_stride, weights)
        if self.variant == "released":
            for parameter in model.frozen_modules().parameters():
                parameter.requires_grad_(False)
        return model


@dataclass(frozen=True)
class VOCRIBSettings(SplitSettings, ScoredSettings, optional(RIBSettings, without=SHARED)):
    """Parameters of ``voc_rib``.

    What is None has the value of its variant: that of ``RIBSettings.scenes(variant)`` for scenes,
    else of ``RIBSettings.paper()`` or ``.released()``. After ``__init__`` only ``moving_stages``
    may be None, which leaves it to the net, and the flood rule's two, in the variant without it;
    ``flood_share=1`` switches it off in the other.
    """

    variant: str = setting("released", "the paper's formulas or its code", choices=VARIANTS)
    classifier: str = setting(
        "", "theta_0, a classifier.safetensors; scenes of the seeds 3 to 5 have one", identity=False
    )

    def __post_init__(self) -> None:
        if self.dataset == "scenes":
            preset = RIBSettings.scenes(self.variant)
        else:
            paper = self.variant == "paper"
            preset = RIBSettings.paper() if paper else RIBSettings.released()
        _fill(self, preset.as_dict())
        super().__post_init__()
        _ = self.rib
        if not self.classifier and (self.dataset == "voc" or self.seed not in TRAINED):
            raise SettingsError(
                f"classifier = '' with dataset = {self.dataset!r} and seed = {self.seed}: name a "
                "classifier.safetensors, which the chapter voc_classifier leaves in its "
                f"output_dir. Only scenes of the seeds {', '.join(map(str, TRAINED))} have one here"
            )

    @property
    def rib(self) -> RIBSettings:
        """How each image is adapted to."""
        return _method(RIBSettings, self)

    @property
    def cam(self) -> RIBSettings:
        """The same views, and no step."""
        return replace(self.rib, iterations=0)

    @property
    def classifier_path(self) -> Path:
        """Where theta_0 lies."""
        if self.classifier:
            return Path(self.classifier)
        return CHECKPOINTS / f"scenes_{self.seed}.safetensors"


def _fill(settings: Settings, defaults: dict[str, Any]) -> None:
    """Put the defaults where nothing is given."""
    for name, value in defaults.items():
        if getattr(settings, name, 0) is None:
            object.__setattr__(settings, name, value)


def _method(kind: type[Settings], chapter: Settings) -> Any:
    """The method's settings out of the chapter's."""
    names = kind.__dataclass_fields__.keys() & chapter.__dataclass_fields__.keys()
    return kind(**{name: getattr(chapter, name) for name in names})
