"""The chapter ``voc_classifier``: its settings, and theta_0, trained or one that was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import model_validator

from ribnb.book.splits import (
    IMAGENET,
    DataSettings,
    ShardSettings,
    torchvision_weights,
)
from ribnb.core.devices import seeded
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.voc import ImageSet
from ribnb.method.pooling import Variant
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import Architecture, CAMNet
from ribnb.nets.classifier import (
    ClassifierSettings,
    load_classifier,
    mean_average_precision,
    train_classifier,
)
from ribnb.nets.fitting import Training
from ribnb.nets.weights import checkpoint_metadata


class ClassifierNetSettings(Settings):
    """The group ``net`` of ``voc_classifier``."""

    arch: Architecture = setting("resnet50", "the architecture; scenes: that of their own net")
    weights: str = setting(IMAGENET, f"to start from: {IMAGENET}, random, or a path")
    output_stride: Literal[8, 16] = setting(16, "pixels a position of a ResNet's map")


class ClassifierDataSettings(DataSettings):
    """The group ``data`` of ``voc_classifier``: also the images to learn from."""

    training_split: str = setting("train_aug", "images to train on")
    num_training: int = setting(0, "how many of them; 0: all; scenes: 1600", ge=0)
    validation_split: str = setting("val", "images for the mAP")
    num_validation: int = setting(0, "how many of them; 0: all; scenes: 200", ge=0)


class VOCClassifierSettings(ShardSettings):
    """Parameters of ``voc_classifier``.

    A group has the values of its preset where nothing is given: ``recipe`` those of
    ``ClassifierSettings.scenes()`` for scenes, else of ``ClassifierSettings()`` or
    ``.released()``, by ``variant``.
    """

    data: ClassifierDataSettings = setting({}, "more about the images")
    variant: Variant = setting(
        "paper", "IRN's recipe as it is written down, or as its released code runs it"
    )
    classifier: str = setting(
        "", "a trained classifier.safetensors to use in place of training", identity=False
    )
    net: ClassifierNetSettings = setting({}, "what is trained, and where it starts")
    recipe: ClassifierSettings = setting({}, "how it is trained")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of each group by data set and variant."""
        watched = {"validate_each_epoch": True}
        if given.get("dataset") == "scenes":
            return {
                "data": ClassifierDataSettings(num_training=1600, num_validation=200),
                "net": ClassifierNetSettings(arch="scenes", weights="random"),
                # fewer scenes than the recipe is for, and more epochs: for a minute on a CPU
                "recipe": ClassifierSettings.scenes(epochs=6, **watched),
            }[group]
        if group == "recipe" and given.get("variant") == "released":
            return ClassifierSettings.released(**watched)
        return ClassifierSettings(**watched) if group == "recipe" else super().preset(group, given)

    @model_validator(mode="after")
    def _scenes_have_no_imagenet(self):
        if self.dataset == "scenes" and self.variant == "released":
            raise SettingsError(
                "variant = 'released': IRN's code starts from ImageNet's weights, which scenes do "
                "not have; it must be 'paper' with dataset = 'scenes'"
            )
        return self

    @property
    def cam(self) -> RIBSettings:
        """How CAMs are made: the adaptation's views, and no step."""
        preset = RIBSettings.scenes if self.dataset == "scenes" else RIBSettings.paper
        return preset(iterations=0, seed=self.seed, precision=self.precision)

    def training_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.data.training_split, self.data.num_training)

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.data.validation_split, self.data.num_validation)

    def first_net(self, num_classes: int) -> CAMNet:
        """The net that training starts from; downloads ImageNet's weights at most once.

        Raises:
            OSError: weights that cannot be had; says what to do by hand.
            ValueError: weights of another architecture.
        """
        weights = torchvision_weights(self.net.arch, self.net.weights)
        with seeded(self.seed):
            model = CAMNet(self.net.arch, num_classes, self.net.output_stride, weights)
        if self.variant == "released":
            for parameter in model.frozen_modules().parameters():
                parameter.requires_grad_(False)
        return model


def trained_classifier(
    settings: VOCClassifierSettings, folder: str | Path, device: torch.device
) -> Training:
    """Train the classifier, or load what this training left, or the one that is named.

    Args:
        settings: with ``classifier`` a file is loaded and nothing trained.
        folder: keeps the training, which goes on from there after a kill.
        device: to train on; the net stays there.

    Raises:
        OSError: images or weights that cannot be had.
        ValueError: a net of another number of classes; see ``train_classifier`` too.
    """
    validation = settings.validation_images()
    num_classes = len(validation.class_names)
    if not settings.classifier:
        return train_classifier(
            settings.first_net(num_classes),
            settings.training_images(),
            settings.recipe,
            folder,
            validation,
            device,
            settings.workers,
        )
    record = checkpoint_metadata(settings.classifier, "classifier")
    model = load_classifier(settings.classifier, num_classes=num_classes)
    record["mean_average_precision"] = mean_average_precision(
        model, validation, device, workers=settings.workers, precision=settings.precision
    )
    return Training(model, record, loaded=True)
