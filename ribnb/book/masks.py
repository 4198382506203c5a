"""The chapters ``voc_masks`` and ``voc_segmentation``: settings, maps, masks and their nets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import model_validator

from ribnb.book.scenes import TRAINED
from ribnb.book.splits import DataSettings, ScoredDataSettings, StartSettings, of_seed
from ribnb.core.devices import seeded
from ribnb.core.files import weights_digest
from ribnb.core.parameters import differences
from ribnb.core.settings import SHARED, Settings, SettingsError, setting
from ribnb.core.voc import ImageSet
from ribnb.data.labels import scorable
from ribnb.data.views import Part
from ribnb.masks.crf import CRFSettings
from ribnb.masks.irn import PRESETS, IRNSettings
from ribnb.masks.irn_net import IRN, load_irn
from ribnb.masks.irn_training import train_irn
from ribnb.masks.stages import NUM_MASKS, network_path, packaged_masks, unpack_masks
from ribnb.method.localization import localization_maps, maps_digest
from ribnb.method.settings import RIBSettings
from ribnb.nets.backbones import Architecture
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import load_classifier
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import Training
from ribnb.nets.published import IMAGENET, IN_PACKAGE
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata
from ribnb.runs.results import book_folder
from ribnb.scores.image_scores import load_image_scores
from ribnb.scores.iou import MaskScore
from ribnb.segmentation.training import SegmentationSettings, train_segmentation

KINDS = ("cam", "rib")  # of maps, as rows and files are called
TRUTH = "truth"  # full supervision
SUPERVISION = ("cam_irn", "rib_irn", TRUTH)
IN_VIEW = "rib_irn"  # trained in the chapter, though it comes trained
STARTS = {  # data set -> the nets of both chapters at their start, where they are not VOC's
    "scenes": {"arch": "scenes", "weights": "theta_0"},
    "photographs": {"arch": IN_PACKAGE, "weights": IMAGENET},
}
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

    needs_masks: ClassVar[bool] = True  # the seeds' thresholds are chosen by them

    data: MasksDataSettings = setting({}, "more about the images")
    maps_run: str = setting("", "a run of voc_rib, {seed}: the seed; scenes: none", identity=False)
    crf: bool = setting(True, "refine with the dense CRF, if it is installed")
    net: IRNNetSettings = setting({}, "IRN's trunk, and trained nets")
    irn: IRNSettings = setting({}, "how maps become masks through IRN")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of ``net`` and ``irn`` by data set."""
        if group == "irn":
            return _irn_preset(given.get("dataset"), "rib")
        if group == "net":
            return IRNNetSettings(**STARTS.get(given.get("dataset"), {}))
        return super().preset(group, given)

    @model_validator(mode="after")
    def _has_maps(self):
        if self.dataset != "scenes" and not self.maps_run:
            raise SettingsError(f"dataset = {self.dataset!r} needs maps_run, a run of voc_rib")
        return self

    def irn_for(self, kind: str) -> IRNSettings:
        """IRN's settings for maps of RIB (``"rib"``) or for CAMs (``"cam"``)."""
        if kind == "rib":
            return self.irn
        baseline = _irn_preset(self.dataset, "baseline")
        return self.irn.replace(**{name: getattr(baseline, name) for name in PRESETS["rib"]})

    @property
    def maps(self) -> RIBSettings:
        """How maps of scenes are made here: as the paper says, like everywhere in the book."""
        return RIBSettings.scenes(seed=self.seed, precision=self.precision)

    def trained_irn(self, kind: str) -> Path | None:
        """A trained IRN for a kind of maps; None if it must be trained."""
        if named := getattr(self.net, f"irn_{kind}"):
            return Path(named)
        path = CHECKPOINTS / f"scenes_{self.seed}_irn_{kind}.safetensors"
        return path if self.packaged_seeds else None

    def trunk(self, num_classes: int) -> CAMNet:
        """The net that IRN's branch sits on; raises OSError for weights that cannot be had."""
        arch, weights = self.net.arch, self.net.weights
        if weights == "theta_0":
            return load_classifier(self.classifier_path, arch, num_classes)
        return CAMNet(arch, num_classes, weights=None if weights == "random" else weights)

    @property
    def packaged_seeds(self) -> list[int]:
        """Seeds whose masks and IRNs come along and are those of these settings, or none."""
        learned, in_package = (
            {**irn.for_training(), **irn.for_labels()} for irn in (self.irn, IRNSettings.scenes())
        )
        return [*TRAINED] if self._comes_along(self.maps_run, learned, in_package) else []


def _irn_preset(dataset: str | None, kind: str) -> IRNSettings:
    """IRN's settings for ``"rib"`` or ``"baseline"`` on a data set."""
    own = getattr(IRNSettings, dataset) if dataset in STARTS else None
    return own(kind) if own else getattr(IRNSettings, kind)()


def maps_of(
    settings: VOCMasksSettings, images: ImageSet, device: torch.device, folder: str | Path
) -> dict[str, Path]:
    """Folders of the images' maps, by kind: of the run that is named, or made in ``folder``."""
    for path in (settings.data.saliency, settings.net.irn_cam, settings.net.irn_rib):
        if path and not Path(path).exists():  # else it would be missed when most is done
            raise FileNotFoundError(f"there is no {path}, which data.saliency or net.irn_... names")
    run = of_seed(settings.maps_run, settings.seed) if settings.maps_run else Path(folder)
    found = {kind: run / maps for kind, maps in FOLDERS.items()}
    if settings.maps_run:
        for maps in found.values():
            maps_digest(maps, images)  # refuses those of other images
        return found
    model = load_classifier(settings.classifier_path, num_classes=len(images.class_names))
    how = {"cam": settings.maps.replace(iterations=0), "rib": settings.maps}
    for kind, maps in found.items():
        localization_maps(
            model.to(device), images, how[kind], maps.parent, workers=settings.workers
        )
    return found


def irn_net(
    settings: VOCMasksSettings,
    kind: str,
    images: ImageSet,
    labels_dir: str | Path,
    folder: str | Path,
    device: torch.device,
) -> Training:
    """The IRN for one kind of maps: one that is named or comes along, or trained on the labels.

    A training is kept in ``folder`` and goes on from there after a kill. ValueError: the net that
    is named was trained on another trunk or with other parameters.
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
            f"{path} was trained otherwise: {other}. Give those parameters, or leave out "
            f"net.irn_{kind} (scenes: net.retrain = True) to train one here"
        )
    return Training(load_irn(path, trunk).to(device).eval(), record, loaded=True)


def inputs_of(
    images: ImageSet, maps: Mapping[str, Path], nets: Mapping[str, IRN]
) -> dict[str, str]:
    """Digests of what the masks were made from, for the result."""
    found = {f"maps of {kind}": maps_digest(folder, images) for kind, folder in maps.items()}
    return found | {f"IRN for {kind}": weights_digest(net) for kind, net in nets.items()}


def packaged_scores(seed: int) -> dict[str, MaskScore]:
    """How the masks of ``packaged_masks`` score, by kind: as the run counted that made them."""
    kept = load_image_scores(book_folder("results") / "scenes_split" / f"voc_masks_net_{seed}")
    names = ("background", *kept.class_names)
    return {
        kind: MaskScore(kept.confusions[kind].sum(axis=0), names)
        for kind in packaged_masks(seed)[1]
    }


# From masks to networks -------------------------------------------------------------------


class SegmentationDataSettings(DataSettings):
    """The group ``data`` of ``voc_segmentation``."""

    validation_split: str = setting("val", "images to score on")
    num_validation: int = setting(0, "how many of them; 0: all; scenes: 100", ge=0)


class SegmentationNetSettings(Settings):
    """The group ``net`` of ``voc_segmentation``."""

    arch: Architecture = setting("resnet101", "the backbone; scenes: that of their own net")
    weights: str = setting(IMAGENET, f"{IMAGENET}, random, theta_0 (scenes), or a path")
    classifier: str = setting("", "theta_0; scenes of the seeds 3 to 5 have one", identity=False)
    retrain: bool = setting(False, "train all here, though scenes' seeds 3 to 5 come trained")


class VOCSegmentationSettings(StartSettings):
    """Parameters of ``voc_segmentation``; ``segment`` starts from the data set's preset."""

    crf_on_voc: ClassVar[CRFSettings] = CRFSettings.deeplab()

    num_images: int = setting(NUM_MASKS, "images to train on, spread over the list; 0: all", ge=0)
    data: SegmentationDataSettings = setting({}, "more about the images")
    masks: str = setting("", "a run of voc_masks, {seed}: the seed; scenes: none", identity=False)
    supervision: tuple[str, ...] = setting(
        SUPERVISION, f"kinds of masks to learn from; {TRUTH}: the data's own", min_length=1
    )
    crf: bool = setting(True, "refine with the dense CRF too, if it is installed")
    net: SegmentationNetSettings = setting({}, "what is trained, and where it starts")
    segment: SegmentationSettings = setting({}, "how each network is trained, and asked")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of each group by data set."""
        dataset = given.get("dataset")
        if dataset not in STARTS:
            return super().preset(group, given)
        return {
            "data": SegmentationDataSettings(num_validation=100 if dataset == "scenes" else 0),
            "net": SegmentationNetSettings(**STARTS[dataset]),
            "segment": getattr(SegmentationSettings, dataset)(),
        }[group]

    @model_validator(mode="after")
    def _has_masks(self):
        if self.dataset != "scenes" and not self.masks and {*self.supervision} != {TRUTH}:
            raise SettingsError(f"dataset = {self.dataset!r} needs masks, a run of voc_masks")
        return self

    @property
    def packaged(self) -> bool:
        """Whether the networks that come with the package are those of these settings."""
        whole = self.num_images == NUM_MASKS and self.split in ("train", "train_aug")
        in_package = SegmentationSettings.scenes().training()
        return whole and self._comes_along(self.masks, self.segment.training(), in_package)

    @property
    def other_seeds(self) -> list[int]:
        """Seeds besides this one whose networks come along for every kind of masks."""
        along = self.packaged and set(self.supervision) <= set(SUPERVISION)
        return [seed for seed in TRAINED if along and seed != self.seed]

    def trained(self, kind: str) -> Path | None:
        """The network that comes trained on a kind of masks; None if it must be trained."""
        along = self.packaged and kind in SUPERVISION
        return network_path(self.seed, kind) if along else None

    def images(self) -> ImageSet:
        """Those to train on, which need masks of their own for the truth only."""
        images = self.image_set(self.split, self.num_images)
        return scorable(images, TRUTH in self.supervision) if self.data_root else images

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        images = self.image_set(self.data.validation_split, self.data.num_validation)
        return scorable(images, needed=True) if self.data_root else images

    def first_net(self, num_classes: int) -> DeepLabV2:
        """The network that training starts from; raises OSError for weights that cannot be had."""
        weights = None if self.net.weights == "random" else self.net.weights
        weights = self.classifier_path if weights == "theta_0" else weights
        build = getattr(DeepLabV2, self.dataset) if self.dataset in STARTS else DeepLabV2
        with seeded(self.seed):
            return build(self.net.arch, num_classes, weights=weights)


def masks_for(
    settings: VOCSegmentationSettings, kind: str, images: ImageSet, folder: str | Path
) -> Path | None:
    """The masks of one kind: the named run's, the package's written below ``folder``, or None.

    None is for the truth, which the images have.
    """
    if kind == TRUTH:
        return None
    if settings.masks:
        return of_seed(settings.masks, settings.seed) / "masks" / kind
    return unpack_masks(settings.seed, kind, images, Path(folder) / "masks" / kind)


def with_masks(images: ImageSet, folders: Iterable[Path | None]) -> tuple[ImageSet, dict[str, str]]:
    """The images with a mask in every folder (None: the truth), and id -> why one is left out.

    So all networks learn from the same. ValueError: more than one image in twenty has no mask.
    """
    lacking = {}
    for folder in filter(None, folders):
        there = {path.stem for path in folder.glob("*.png")}
        for name in images.ids:
            if name not in there:
                lacking.setdefault(name, f"there is no mask of it in {folder}")
    if len(lacking) > len(images) / 20:
        raise ValueError(
            f"{len(lacking)} of the {len(images)} images have no mask; of the first, "
            f"{next(iter(lacking.values()))}. Take the split and num_images of the masks' run"
        )
    if not lacking:
        return images, lacking
    return Part(images, [i for i, name in enumerate(images.ids) if name not in lacking]), lacking


def segmentation_net(
    settings: VOCSegmentationSettings,
    kind: str,
    images: ImageSet | None = None,
    masks_dir: Path | None = None,
    folder: str | Path = "",
    device: str | torch.device = "cpu",
) -> Training:
    """The network that learned from one kind of masks: one that comes along, or trained here.

    With images, that of ``IN_VIEW`` is trained in any case, on the masks in ``masks_dir`` (None:
    the truth). A training is kept below ``folder`` and goes on from there after a kill.
    """
    path = settings.trained(kind)
    if path and (images is None or kind != IN_VIEW):
        return Training(DeepLabV2.load(path).to(device), checkpoint_metadata(path), loaded=True)
    net, own = settings.first_net(len(images.class_names)), Path(folder) / f"segmentation_{kind}"
    given = settings.segment, own, device, settings.workers
    return train_segmentation(net, images, masks_dir, *given)
