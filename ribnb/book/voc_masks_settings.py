"""Settings of the chapter ``voc_masks``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision

from ribnb.book.split_settings import ScoredSettings
from ribnb.book.voc_settings import IMAGENET
from ribnb.core.settings import SettingsError, differences, optional, setting
from ribnb.masks.crf_settings import CRFSettings
from ribnb.masks.irn_settings import LABELS, PRESETS, IRNSettings
from ribnb.masks.scene_masks import masks_path
from ribnb.method.settings import RIBSettings
from ribnb.nets.classifier import load_classifier
from ribnb.nets.models import ARCHITECTURES, CAMNet
from ribnb.nets.scene_nets import CHECKPOINTS, TRAINED

SHARED = ("seed", "precision")  # one value for the chapter and for IRN
OF_RIB = tuple(PRESETS["rib"])  # what differs by the kind of maps; a parameter is RIB's
KINDS = ("cam", "rib")  # of maps, as rows and files are called


@dataclass(frozen=True)
class VOCMasksSettings(ScoredSettings, optional(IRNSettings, without=SHARED)):
    """Parameters of ``voc_masks``.

    What is None has the value of IRN's preset for the data set. The four in which the maps of RIB
    and plain CAMs differ are those of RIB; CAMs keep the baseline's. After ``__init__`` none is
    None.
    """

    rib: str = setting(
        "", "folder of a run of voc_rib; without one, maps of scenes are made", identity=False
    )
    classifier: str = setting(
        "", "theta_0, for scenes; those of the seeds 3 to 5 have one", identity=False
    )
    crf: bool = setting(True, "refine with the dense CRF, if it is installed")
    saliency: str = setting("", "folder of grey PNGs; scenes have their own", identity=False)
    arch: str | None = setting(
        None, "IRN's trunk; scenes, or resnet50 for VOC", choices=ARCHITECTURES
    )
    weights: str | None = setting(
        None, f"of the trunk: {IMAGENET}, or a path; theta_0 for scenes", identity=False
    )
    irn_cam: str = setting("", "a trained irn.safetensors for CAMs", identity=False)
    irn_rib: str = setting("", "a trained irn.safetensors for maps of RIB", identity=False)
    retrain: bool = setting(False, "train IRN here, though scenes' seeds 3 to 5 have it trained")

    def __post_init__(self) -> None:
        scenes = self.dataset == "scenes"
        preset = IRNSettings.scenes("rib") if scenes else IRNSettings.rib()
        for name, value in preset.as_dict().items():
            if name in self.__dataclass_fields__ and getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for name, value in {
            "arch": "scenes" if scenes else "resnet50",
            "weights": "theta_0" if scenes else IMAGENET,
        }.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        _ = self.irn("rib")  # refuses what does not go together
        if not scenes and not self.rib:
            raise SettingsError(
                "rib = '' with dataset = 'voc': name the folder of a run of the chapter voc_rib, "
                "whose maps of RIB and CAMs become masks here"
            )
        self._refuse_a_net_that_does_not_fit()
        self._refuse_training_settings_without_training(preset)

    def irn(self, kind: str) -> IRNSettings:
        """IRN's settings for maps of RIB (``"rib"``) or for CAMs (``"cam"``)."""
        names = IRNSettings.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        if kind == "cam":
            scenes = self.dataset == "scenes"
            baseline = IRNSettings.scenes("baseline") if scenes else IRNSettings.baseline()
            values |= {name: getattr(baseline, name) for name in OF_RIB}
        return IRNSettings(**values)

    @property
    def crf_settings(self) -> CRFSettings | None:
        """The dense CRF's; None if it is switched off."""
        if not self.crf:
            return None
        return CRFSettings.scenes() if self.dataset == "scenes" else CRFSettings()

    @property
    def classifier_path(self) -> Path:
        """Where theta_0 lies."""
        if self.classifier:
            return Path(self.classifier)
        return CHECKPOINTS / f"scenes_{self.seed}.safetensors"

    @property
    def maps(self) -> RIBSettings:
        """How maps of scenes are made here: as ``voc_rib`` does by default."""
        return RIBSettings.scenes("released", seed=self.seed, precision=self.precision)

    def trained_irn(self, kind: str) -> Path | None:
        """A trained IRN for a kind of maps; None if it must be trained."""
        named = self.irn_rib if kind == "rib" else self.irn_cam
        if named:
            return Path(named)
        if not self._packaged:
            return None
        return CHECKPOINTS / f"scenes_{self.seed}_irn_{kind}.safetensors"

    def trunk(self, num_classes: int) -> CAMNet:
        """The net that IRN's branches sit on; downloads ImageNet's weights at most once.

        Raises:
            OSError: weights that cannot be had; says what to do by hand.
            ValueError: weights of another architecture.
        """
        if self.weights == "theta_0":
            return load_classifier(self.classifier_path, self.arch, num_classes)
        weights: Any = self.weights
        if weights == IMAGENET:
            weights = torchvision.models.get_model_weights(self.arch)[IMAGENET]
        return CAMNet(self.arch, num_classes, weights=weights)

    @property
    def packaged_seeds(self) -> list[int]:
        """Seeds whose masks come along and are those of these settings; none for other images."""
        return [seed for seed in TRAINED if self._packaged and masks_path(seed).is_file()]

    @property
    def _packaged(self) -> bool:
        """Whether the package's own trained nets are those of these settings."""
        own = not (self.retrain or self.classifier or self.data_root or self.rib)
        return own and self.dataset == "scenes" and self.weights == "theta_0"

    def _refuse_a_net_that_does_not_fit(self) -> None:
        """Here, for IRN's trunk is built long after the maps are made."""
        needed = not self.rib or self.weights == "theta_0"
        known = self.dataset == "scenes" and self.seed in TRAINED
        if needed and not (self.classifier or known):
            raise SettingsError(
                f"classifier = '' with dataset = {self.dataset!r} and seed = {self.seed}: name a "
                "classifier.safetensors, which the chapter voc_classifier leaves in its "
                f"output_dir. Only scenes of the seeds {', '.join(map(str, TRAINED))} have one here"
            )
        if self.classifier and not needed:
            raise SettingsError(
                f"classifier = {self.classifier!r} would not be used: rib names the maps, and "
                f"IRN's trunk has weights = {self.weights!r}. Leave classifier out, or take "
                "weights = 'theta_0'"
            )
        if self.weights == "theta_0" and not self.classifier and self.arch != "scenes":
            raise SettingsError(
                f"arch = {self.arch!r} with weights = 'theta_0': the classifier that comes with "
                "these scenes is a 'scenes'. Name a classifier, or other weights"
            )
        if self.weights == IMAGENET and self.arch == "scenes":
            raise SettingsError(f"weights = '{IMAGENET}': torchvision has none of 'scenes'")

    def _refuse_training_settings_without_training(self, preset: IRNSettings) -> None:
        named = self.irn_cam and self.irn_rib
        if named and self.retrain:
            raise SettingsError(
                "retrain = True with both irn_cam and irn_rib: nothing is left to train. Leave out "
                "retrain, or one of the nets"
            )
        if named or not self._packaged:
            return
        names = (*preset.for_training(), *LABELS)
        here = {name: getattr(self, name) for name in names if name not in SHARED}
        other = differences(preset.as_dict(), here)
        if other:
            raise SettingsError(
                f"the IRN that comes with these scenes was trained otherwise: {other}. With "
                "retrain = True one is trained here"
            )
