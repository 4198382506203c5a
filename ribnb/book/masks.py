"""The chapter ``voc_masks``: its settings, two kinds of maps, and an IRN for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import model_validator

from ribnb.book.scenes import TRAINED
from ribnb.book.splits import IMAGENET, ScoredDataSettings, StartSettings, torchvision_weights
from ribnb.core.files import Maps, read_maps, weights_digest
from ribnb.core.settings import SHARED, Settings, SettingsError, differences, setting
from ribnb.core.voc import ImageSet, read_mask
from ribnb.data.image_sets import Part, readable
from ribnb.data.scenes.images import SceneImages
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.irn import PRESETS, IRNSettings
from ribnb.masks.irn_net import IRN, load_irn
from ribnb.masks.irn_training import train_irn
from ribnb.masks.stages import packaged_masks
from ribnb.method.localization import localization_maps, maps_digest
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import Architecture, CAMNet
from ribnb.nets.classifier import load_classifier
from ribnb.nets.fitting import Training
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata
from ribnb.scores.iou import MaskScore, mask_miou

KINDS = ("cam", "rib")  # of maps, as rows and files are called
FOLDERS = {"cam": Path("cam/maps"), "rib": Path("maps")}  # of a run of voc_rib


class MasksDataSettings(ScoredDataSettings):
    """The group ``data`` of ``voc_masks``."""

    saliency: str = setting("", "folder of grey PNGs; scenes have their own", identity=False)


class IRNNetSettings(Settings):
    """The group ``net`` of ``voc_masks``: IRN's trunk, and nets that are trained already."""

    arch: Architecture = setting("resnet50", "IRN's trunk; scenes: that of their own net")
    weights: str = setting(IMAGENET, f"{IMAGENET}, theta_0 (scenes), or a path", identity=False)
    classifier: str = setting("", "theta_0; scenes of the seeds 3 to 5 have one", identity=False)
    irn_cam: str = setting("", "a trained irn.safetensors for CAMs", identity=False)
    irn_rib: str = setting("", "a trained irn.safetensors for maps of RIB", identity=False)
    retrain: bool = setting(False, "train IRN here, though scenes' seeds 3 to 5 have it trained")


class VOCMasksSettings(StartSettings):
    """Parameters of ``voc_masks``.

    The group ``irn`` starts from IRN's preset for maps of RIB. The four in which the maps of RIB
    and plain CAMs differ are those of RIB; CAMs keep the baseline's.
    """

    data: MasksDataSettings = setting({}, "more about the images")
    maps_run: str = setting("", "folder of a run of voc_rib; none, for scenes", identity=False)
    crf: bool = setting(True, "refine with the dense CRF, if it is installed")
    net: IRNNetSettings = setting({}, "IRN's trunk, and trained nets")
    irn: IRNSettings = setting({}, "how maps become masks through IRN")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of ``net`` and ``irn`` by data set."""
        if group == "irn":
            return _irn_preset(given.get("dataset"), "rib")
        if group == "net" and given.get("dataset") == "scenes":
            return IRNNetSettings(arch="scenes", weights="theta_0")
        return super().preset(group, given)

    @model_validator(mode="after")
    def _what_goes_together(self):
        if self.dataset == "voc" and not self.maps_run:
            raise SettingsError(
                "maps_run = '' with dataset = 'voc': name the folder of a run of the chapter "
                "voc_rib, whose maps of RIB and CAMs become masks here"
            )
        self._check_start(not self.maps_run or self.net.weights == "theta_0")
        return self

    def irn_for(self, kind: str) -> IRNSettings:
        """IRN's settings for maps of RIB (``"rib"``) or for CAMs (``"cam"``)."""
        if kind == "rib":
            return self.irn
        baseline = _irn_preset(self.dataset, "baseline")
        return self.irn.replace(**{name: getattr(baseline, name) for name in PRESETS["rib"]})

    @property
    def crf_settings(self) -> CRFSettings | None:
        """The dense CRF's; None if it is switched off or not installed."""
        if not (self.crf and crf_available()):
            return None
        return CRFSettings.scenes() if self.dataset == "scenes" else CRFSettings()

    @property
    def maps(self) -> RIBSettings:
        """How maps of scenes are made here: as ``released``, which IRN here has learned from."""
        return RIBSettings.scenes("released", seed=self.seed, precision=self.precision)

    def trained_irn(self, kind: str) -> Path | None:
        """A trained IRN for a kind of maps; None if it must be trained."""
        if named := getattr(self.net, f"irn_{kind}"):
            return Path(named)
        path = CHECKPOINTS / f"scenes_{self.seed}_irn_{kind}.safetensors"
        return path if self.packaged_seeds else None

    def trunk(self, num_classes: int) -> CAMNet:
        """The net that IRN's branches sit on; raises OSError for weights that cannot be had."""
        arch, weights = self.net.arch, self.net.weights
        if weights == "theta_0":
            return load_classifier(self.classifier_path, arch, num_classes)
        return CAMNet(arch, num_classes, weights=torchvision_weights(arch, weights))

    @property
    def packaged_seeds(self) -> list[int]:
        """Seeds whose masks and IRNs come along and are those of these settings, or none."""
        learned, in_package = (
            {**irn.for_training(), **irn.for_labels()} for irn in (self.irn, IRNSettings.scenes())
        )
        return [*TRAINED] if self._comes_along(self.maps_run, learned, in_package) else []


def _irn_preset(dataset: str | None, kind: str) -> IRNSettings:
    """IRN's settings for ``"rib"`` or ``"baseline"`` on a data set."""
    return IRNSettings.scenes(kind) if dataset == "scenes" else getattr(IRNSettings, kind)()


def maps_of(
    settings: VOCMasksSettings, images: ImageSet, device: torch.device, folder: str | Path
) -> dict[str, Path]:
    """Folders of the images' maps, by kind: of the run that is named, or made in ``folder``.

    Raises:
        FileNotFoundError: that run has no maps.
        ValueError: its maps are of other images.
    """
    if settings.maps_run:
        found = {kind: Path(settings.maps_run) / place for kind, place in FOLDERS.items()}
        for place in found.values():
            maps_digest(place, images)  # refuses those of other images
        return found
    model = load_classifier(settings.classifier_path, num_classes=len(images.class_names))
    folder, how = Path(folder), {"cam": settings.maps.replace(iterations=0), "rib": settings.maps}
    for kind in KINDS:
        where = (folder / FOLDERS[kind]).parent
        localization_maps(model.to(device), images, how[kind], where, workers=settings.workers)
    return {kind: folder / place for kind, place in FOLDERS.items()}


def irn_net(
    settings: VOCMasksSettings,
    kind: str,
    images: ImageSet,
    labels_dir: str | Path,
    folder: str | Path,
    device: torch.device,
) -> Training:
    """The IRN for one kind of maps: one that is named or comes along, or trained here.

    A training rests on the images' confident labels; it is kept in ``folder`` and goes on from
    there after a kill.

    Raises:
        ValueError: a net on another trunk, or one that was trained with other parameters.
    """
    trunk = settings.trunk(len(images.class_names)).to(device)
    path, irn = settings.trained_irn(kind), settings.irn_for(kind)
    if path is None:
        start = IRN(trunk, seed=settings.seed)
        return train_irn(start, images, labels_dir, irn, folder, device, settings.workers)
    record = checkpoint_metadata(path, IRN.kind)
    # the result will name these parameters as the net's
    here = {name: value for name, value in irn.for_training().items() if name not in SHARED}
    if "identity" in record and (other := differences(record["identity"], here)):
        raise ValueError(
            f"{path} was trained otherwise: {other}. Give the parameters that it was trained with, "
            f"or train one here: without net.irn_{kind}, for scenes with net.retrain = True"
        )
    return Training(load_irn(path, trunk).to(device).eval(), record, loaded=True)


def inputs_of(
    images: ImageSet, maps: Mapping[str, Path], nets: Mapping[str, IRN]
) -> dict[str, str]:
    """Digests of what the masks were made from, for the result."""
    found = {f"maps of {kind}": maps_digest(folder, images) for kind, folder in maps.items()}
    return found | {f"IRN for {kind}": weights_digest(net) for kind, net in nets.items()}


def packaged_scores(seed: int) -> dict[str, MaskScore]:
    """How the masks score that come along for a seed's scenes, by kind; see ``packaged_masks``."""
    ids, kinds = packaged_masks(seed)
    scenes = SceneImages(len(ids), seed=seed)
    truths = [scenes.mask(index) for index in range(len(ids))]
    return {
        kind: mask_miou(masks, truths, class_names=scenes.class_names)
        for kind, masks in kinds.items()
    }


def maps_at(folder: Path, images: ImageSet, index: int) -> Maps:
    """An image's maps in a folder."""
    return read_maps(folder / f"{images.ids[index]}.npz")


def mask_at(folder: Path | None, images: ImageSet, index: int) -> UInt8[ndarray, "H W"]:
    """An image's mask in a folder; None: the truth."""
    return images.mask(index) if folder is None else read_mask(folder / f"{images.ids[index]}.png")


def to_show(images: ImageSet, count: int, folders: Collection[Path] = ()) -> list[int]:
    """The first images that show a class, can be read and have a mask in every folder."""
    ready = [
        index
        for index, name in enumerate(images.ids)
        if all((folder / f"{name}.png").exists() for folder in folders)
    ]
    return [ready[index] for index in readable(Part(images, ready), count, labelled=True)]
