"""Settings of the chapter ``voc_segmentation``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torchvision

from ribnb.book.split_settings import DataSettings
from ribnb.book.voc_settings import IMAGENET
from ribnb.core.devices import seeded
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import SettingsError, differences, optional, setting
from ribnb.masks.crf_settings import CRFSettings
from ribnb.masks.scene_masks import NUM_MASKS, network_path
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.models import ARCHITECTURES
from ribnb.nets.scene_nets import CHECKPOINTS, TRAINED
from ribnb.segmentation.settings import SegmentationSettings

SHARED = ("seed", "precision")  # one value for the chapter and for its method
TRUTH = "truth"  # full supervision
SUPERVISION = ("cam_irn", "rib_irn", TRUTH)
IN_VIEW = "rib_irn"  # trained in the chapter, though it comes trained


@dataclass(frozen=True)
class VOCSegmentationSettings(DataSettings, optional(SegmentationSettings, without=SHARED)):
    """Parameters of ``voc_segmentation``.

    What is None has the value of ``SegmentationSettings.scenes()`` for scenes, else of
    ``.voc()``. After ``__init__`` none is None.
    """

    num_images: int = setting(NUM_MASKS, "images to train on, spread over the list", minimum=0)
    masks: str = setting(
        "", "folder of a run of voc_masks; scenes of the seeds 3 to 5 have masks", identity=False
    )
    supervision: tuple[str, ...] = setting(
        SUPERVISION, f"kinds of masks to train a network on each; {TRUTH}: the data's own"
    )
    arch: str | None = setting(None, "the backbone; scenes, or resnet101", choices=ARCHITECTURES)
    weights: str | None = setting(
        None, f"to start from: {IMAGENET}, random, or a path; theta_0 for scenes"
    )
    classifier: str = setting(
        "", "theta_0, for scenes; those of the seeds 3 to 5 have one", identity=False
    )
    validation_split: str = setting("val", "images to score on")
    num_validation: int | None = setting(None, "how many of them; 0: all; scenes: 100", minimum=0)
    crf: bool = setting(True, "refine with the dense CRF too, if it is installed")
    retrain: bool = setting(False, "train all here, though scenes' seeds 3 to 5 come trained")

    def __post_init__(self) -> None:
        scenes = self.dataset == "scenes"
        preset = SegmentationSettings.scenes() if scenes else SegmentationSettings.voc()
        own = {
            "arch": "scenes" if scenes else "resnet101",
            "weights": "theta_0" if scenes else IMAGENET,
            "num_validation": 100 if scenes else 0,
        }
        for name, value in {**preset.as_dict(), **own}.items():
            if getattr(self, name, 0) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        _ = self.recipe  # refuses what does not go together
        if len(set(self.supervision)) < len(self.supervision):
            raise SettingsError(f"supervision = {list(self.supervision)!r} names one kind twice")
        needs_masks = set(self.supervision) != {TRUTH}
        if needs_masks and not self.masks and (self.data_root or self.seed not in TRAINED):
            raise SettingsError(
                "masks = '': name the folder of a run of the chapter voc_masks, or take "
                f"supervision = ['{TRUTH}']. Only drawn scenes of the seeds "
                f"{', '.join(map(str, TRAINED))} have masks here"
            )
        self._refuse_a_start_that_does_not_fit()
        self._refuse_training_settings_without_training({**preset.as_dict(), **own})

    @property
    def recipe(self) -> SegmentationSettings:
        """How each network is trained, and asked."""
        names = SegmentationSettings.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        return SegmentationSettings(**{name: getattr(self, name) for name in names})

    @property
    def crf_settings(self) -> CRFSettings | None:
        """The dense CRF's after the network; None if it is switched off."""
        if not self.crf:
            return None
        return CRFSettings.scenes() if self.dataset == "scenes" else CRFSettings.deeplab()

    @property
    def packaged(self) -> bool:
        """Whether the networks that come with the package are those of these settings."""
        whole = self.num_images == NUM_MASKS and self.split in ("train", "train_aug")
        own = self.masks or self.data_root or self.classifier
        return whole and self.seed in TRAINED and not (self.retrain or own)

    @property
    def other_seeds(self) -> list[int]:
        """Seeds besides this one whose networks come along for every kind of masks."""
        return [
            seed
            for seed in TRAINED
            if seed != self.seed
            and all(network_path(seed, kind).is_file() for kind in self.supervision)
        ]

    def of_seed(self, seed: int) -> VOCSegmentationSettings:
        """The same with another seed."""
        return replace(self, seed=seed)

    def trained(self, kind: str) -> Path | None:
        """The network that comes trained on a kind of masks; None if it must be trained."""
        path = network_path(self.seed, kind)
        return path if self.packaged and path.is_file() else None

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.validation_split, self.num_validation)

    def net(self, num_classes: int) -> DeepLabV2:
        """The network that training starts from; downloads ImageNet's weights at most once.

        Raises:
            OSError: weights that cannot be had; says what to do by hand.
            ValueError: weights of another architecture.
        """
        weights: Any = None if self.weights == "random" else self.weights
        if weights == IMAGENET:
            weights = torchvision.models.get_model_weights(self.arch)[IMAGENET]
        if weights == "theta_0":
            weights = self.classifier or CHECKPOINTS / f"scenes_{self.seed}.safetensors"
        build = DeepLabV2.scenes if self.dataset == "scenes" else DeepLabV2
        with seeded(self.seed):
            return build(self.arch, num_classes, weights=weights)

    def _refuse_a_start_that_does_not_fit(self) -> None:
        known = self.dataset == "scenes" and self.seed in TRAINED
        if self.weights == "theta_0" and not (self.classifier or known):
            raise SettingsError(
                f"weights = 'theta_0' with dataset = {self.dataset!r} and seed = {self.seed}: name "
                "a classifier.safetensors with classifier, or take weights = 'random'. Only scenes "
                f"of the seeds {', '.join(map(str, TRAINED))} have one here"
            )
        if self.classifier and self.weights != "theta_0":
            raise SettingsError(
                f"classifier = {self.classifier!r} would not be used: the networks start from "
                f"weights = {self.weights!r}. Leave classifier out, or take weights = 'theta_0'"
            )
        if self.weights == IMAGENET and self.arch == "scenes":
            raise SettingsError(f"weights = '{IMAGENET}': torchvision has none of 'scenes'")

    def _refuse_training_settings_without_training(self, preset: dict[str, Any]) -> None:
        if not self.packaged:
            return
        here = {name: value for name, value in self.recipe.training().items() if name not in SHARED}
        other = differences(preset, {**here, "arch": self.arch, "weights": self.weights})
        if other:
            raise SettingsError(
                f"the networks that come with these scenes were trained otherwise: {other}. With "
                "retrain = True they are trained here"
            )
