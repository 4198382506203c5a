"""The chapter ``voc_masks``: its settings, two kinds of maps, and an IRN for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationInfo, field_validator, model_validator

from ribnb.book.scenes import TRAINED
from ribnb.book.splits import (
    IMAGENET,
    ScoredDataSettings,
    SplitSettings,
    no_classifier,
    refuse_other_training,
    refuse_unused_classifier,
    scenes_theta_0,
    torchvision_weights,
)
from ribnb.core.files import weights_digest
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import SHARED, Settings, SettingsError, differences, in_group, setting
from ribnb.masks.crf import CRFSettings
from ribnb.masks.irn_net import IRN, load_irn
from ribnb.masks.irn_settings import LABELS, PRESETS, IRNSettings
from ribnb.masks.irn_training import train_irn
from ribnb.masks.scene_masks import masks_path
from ribnb.method.localization import localization_maps, maps_digest
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import Architecture, CAMNet
from ribnb.nets.classifier import load_classifier
from ribnb.nets.fitting import Training
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata

KINDS = ("cam", "rib")  # of maps, as rows and files are called


class MasksDataSettings(ScoredDataSettings):
    """The group ``data`` of ``voc_masks``."""

    saliency: str = setting("", "folder of grey PNGs; scenes have their own", identity=False)


class IRNNetSettings(Settings):
    """The group ``net`` of ``voc_masks``: IRN's trunk, and nets that are trained already."""

    arch: Architecture = setting("resnet50", "IRN's trunk; scenes: that of their own net")
    weights: str = setting(
        IMAGENET, f"of the trunk: {IMAGENET}, or a path; scenes: theta_0", identity=False
    )
    classifier: str = setting(
        "", "theta_0, for scenes; those of the seeds 3 to 5 have one", identity=False
    )
    irn_cam: str = setting("", "a trained irn.safetensors for CAMs", identity=False)
    irn_rib: str = setting("", "a trained irn.safetensors for maps of RIB", identity=False)
    retrain: bool = setting(False, "train IRN here, though scenes' seeds 3 to 5 have it trained")


class VOCMasksSettings(SplitSettings):
    """Parameters of ``voc_masks``.

    The group ``irn`` has the values of IRN's preset for maps of RIB where nothing is given. The
    four in which the maps of RIB and plain CAMs differ are those of RIB; CAMs keep the baseline's.
    """

    data: MasksDataSettings = setting({}, "more about the images")
    maps_run: str = setting(
        "", "folder of a run of voc_rib; without one, maps of scenes are made", identity=False
    )
    crf: bool = setting(True, "refine with the dense CRF, if it is installed")
    net: IRNNetSettings = setting({}, "IRN's trunk, and trained nets")
    irn: IRNSettings = setting({}, "how maps become masks through IRN")

    @field_validator("net", mode="before")
    @classmethod
    def _net(cls, given: Any, info: ValidationInfo) -> Any:
        scenes = info.data.get("dataset") == "scenes"
        own = {"arch": "scenes", "weights": "theta_0"} if scenes else {}
        return in_group(given, info, IRNNetSettings(**own))

    @field_validator("irn", mode="before")
    @classmethod
    def _irn(cls, given: Any, info: ValidationInfo) -> Any:
        return in_group(given, info, _irn_preset(info.data.get("dataset"), "rib"))

    @model_validator(mode="after")
    def _what_goes_together(self):
        if self.dataset == "voc" and not self.maps_run:
            raise SettingsError(
                "maps_run = '' with dataset = 'voc': name the folder of a run of the chapter "
                "voc_rib, whose maps of RIB and CAMs become masks here"
            )
        self._refuse_a_net_that_does_not_fit()
        self._refuse_training_settings_without_training()
        return self

    def irn_for(self, kind: str) -> IRNSettings:
        """IRN's settings for maps of RIB (``"rib"``) or for CAMs (``"cam"``)."""
        if kind == "rib":
            return self.irn
        baseline = _irn_preset(self.dataset, "baseline")
        return self.irn.replace(**{name: getattr(baseline, name) for name in PRESETS["rib"]})

    @property
    def crf_settings(self) -> CRFSettings | None:
        """The dense CRF's; None if it is switched off."""
        if not self.crf:
            return None
        return CRFSettings.scenes() if self.dataset == "scenes" else CRFSettings()

    @property
    def classifier_path(self) -> Path:
        """Where theta_0 lies."""
        return Path(self.net.classifier) if self.net.classifier else scenes_theta_0(self.seed)

    @property
    def maps(self) -> RIBSettings:
        """How maps of scenes are made here: as ``voc_rib`` does by default."""
        return RIBSettings.scenes("released", seed=self.seed, precision=self.precision)

    def trained_irn(self, kind: str) -> Path | None:
        """A trained IRN for a kind of maps; None if it must be trained."""
        named = self.net.irn_rib if kind == "rib" else self.net.irn_cam
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
        arch, weights = self.net.arch, self.net.weights
        if weights == "theta_0":
            return load_classifier(self.classifier_path, arch, num_classes)
        return CAMNet(arch, num_classes, weights=torchvision_weights(arch, weights))

    @property
    def packaged_seeds(self) -> list[int]:
        """Seeds whose masks come along and are those of these settings; none for other images."""
        return [seed for seed in TRAINED if self._packaged and masks_path(seed).is_file()]

    @property
    def _packaged(self) -> bool:
        """Whether the package's own trained nets are those of these settings."""
        own = not (self.net.retrain or self.net.classifier or self.data_root or self.maps_run)
        return own and self.dataset == "scenes" and self.net.weights == "theta_0"

    def _refuse_a_net_that_does_not_fit(self) -> None:
        """Here, for IRN's trunk is built long after the maps are made."""
        net = self.net
        needed = not self.maps_run or net.weights == "theta_0"
        known = self.dataset == "scenes" and self.seed in TRAINED
        if needed and not (net.classifier or known):
            raise no_classifier("net.classifier", self.dataset, self.seed)
        if not needed:
            refuse_unused_classifier(net)
        if net.weights == "theta_0" and not net.classifier and net.arch != "scenes":
            raise SettingsError(
                f"net.arch = {net.arch!r} with net.weights = 'theta_0': the classifier that comes "
                "with these scenes is a 'scenes'. Name a classifier, or other weights"
            )
        torchvision_weights(net.arch, net.weights)

    def _refuse_training_settings_without_training(self) -> None:
        named = self.net.irn_cam and self.net.irn_rib
        if named and self.net.retrain:
            raise SettingsError(
                "net.retrain = True with both net.irn_cam and net.irn_rib: nothing is left to "
                "train. Leave out retrain, or one of the nets"
            )
        if named or not self._packaged:
            return
        preset = _irn_preset(self.dataset, "rib")
        names = [name for name in (*preset.for_training(), *LABELS) if name not in SHARED]
        there, here = (
            {"irn": {name: getattr(irn, name) for name in names}} for irn in (preset, self.irn)
        )
        refuse_other_training("the IRN", there, here)


def _irn_preset(dataset: str | None, kind: str) -> IRNSettings:
    """IRN's settings for ``"rib"`` or ``"baseline"`` on a data set."""
    if dataset == "scenes":
        return IRNSettings.scenes(kind)
    return IRNSettings.rib() if kind == "rib" else IRNSettings.baseline()


FOLDERS = {"cam": Path("cam/maps"), "rib": Path("maps")}  # of a run of voc_rib


def maps_of(
    settings: VOCMasksSettings, images: ImageSet, device: torch.device, folder: str | Path
) -> dict[str, Path]:
    """Folders of the images' maps, by kind: of the run that is named, or made here.

    Args:
        settings: with ``maps_run``, the folder of a run of ``voc_rib``; without, maps are made.
        images: the images.
        device: to make maps on.
        folder: for maps that are made here.

    Raises:
        FileNotFoundError: that run has no maps.
        ValueError: its maps are of other images.
    """
    if settings.maps_run:
        found = {kind: Path(settings.maps_run) / place for kind, place in FOLDERS.items()}
        for place in found.values():
            maps_digest(place, images)  # refuses those of other images
        return found
    num_classes = len(images.class_names)
    model = load_classifier(settings.classifier_path, num_classes=num_classes).to(device)
    folder, how = Path(folder), settings.maps
    cams = localization_maps(
        model, images, how.replace(iterations=0), folder / "cam", workers=settings.workers
    )
    adapted = localization_maps(model, images, how, folder, workers=settings.workers)
    return {"cam": cams.folder, "rib": adapted.folder}


def irn_net(
    settings: VOCMasksSettings,
    kind: str,
    images: ImageSet,
    labels_dir: str | Path,
    folder: str | Path,
    device: torch.device,
) -> Training:
    """The IRN for one kind of maps: the one that is named or comes along, or trained here.

    Args:
        settings: see ``VOCMasksSettings.trained_irn``.
        kind: ``"cam"`` or ``"rib"``.
        images: to train on.
        labels_dir: their confident labels.
        folder: keeps a training, which goes on from there after a kill.
        device: the net is there.

    Raises:
        FileNotFoundError: no such net.
        ValueError: a net on another trunk, or one that was trained with other parameters; see
            ``train_irn`` too.
    """
    trunk = settings.trunk(len(images.class_names)).to(device)
    path = settings.trained_irn(kind)
    if path is not None:
        record = checkpoint_metadata(path, IRN.kind)
        _refuse_other_training(settings, kind, path, record)
        net = load_irn(path, trunk).to(device).eval()
        return Training(net, record, loaded=True)
    return train_irn(
        IRN(trunk, seed=settings.seed),
        images,
        labels_dir,
        settings.irn_for(kind),
        folder,
        device,
        settings.workers,
    )


def _refuse_other_training(
    settings: VOCMasksSettings, kind: str, path: Path, record: Mapping[str, Any]
) -> None:
    """The result will name these parameters as the net's."""
    here = settings.irn_for(kind).for_training()
    here = {name: value for name, value in here.items() if name not in SHARED}
    other = differences(record["identity"], here) if "identity" in record else ""
    if other:
        raise ValueError(
            f"{path} was trained otherwise: {other}. Give the parameters that it was trained with, "
            f"or train one here: without net.irn_{kind}, for scenes with net.retrain = True"
        )


def inputs_of(
    images: ImageSet, maps: Mapping[str, Path], nets: Mapping[str, IRN]
) -> dict[str, str]:
    """Digests of what the masks were made from, for the result."""
    found = {f"maps of {kind}": maps_digest(folder, images) for kind, folder in maps.items()}
    return found | {f"IRN for {kind}": weights_digest(net) for kind, net in nets.items()}
