"""The chapter ``voc_segmentation``: its settings, what networks learn from, and the networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator

from ribnb.book.scenes import TRAINED
from ribnb.book.splits import IMAGENET, DataSettings, StartSettings, torchvision_weights
from ribnb.core.devices import seeded
from ribnb.core.settings import Settings, setting
from ribnb.core.voc import ImageSet
from ribnb.data.image_sets import Part
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.stages import NUM_MASKS, network_path, unpack_masks
from ribnb.nets.cam_net import Architecture
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import Training
from ribnb.nets.weights import checkpoint_metadata
from ribnb.segmentation.training import SegmentationSettings, train_segmentation

TRUTH = "truth"  # full supervision
SUPERVISION = ("cam_irn", "rib_irn", TRUTH)
IN_VIEW = "rib_irn"  # trained in the chapter, though it comes trained


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

    num_images: int = setting(NUM_MASKS, "images to train on, spread over the list; 0: all", ge=0)
    data: SegmentationDataSettings = setting({}, "more about the images")
    masks: str = setting("", "folder of a run of voc_masks; none, for scenes", identity=False)
    supervision: tuple[str, ...] = setting(
        SUPERVISION, f"kinds of masks to learn from; {TRUTH}: the data's own", min_length=1
    )
    crf: bool = setting(True, "refine with the dense CRF too, if it is installed")
    net: SegmentationNetSettings = setting({}, "what is trained, and where it starts")
    segment: SegmentationSettings = setting({}, "how each network is trained, and asked")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of each group by data set."""
        if given.get("dataset") != "scenes":
            return super().preset(group, given)
        return {
            "data": SegmentationDataSettings(num_validation=100),
            "net": SegmentationNetSettings(arch="scenes", weights="theta_0"),
            "segment": SegmentationSettings.scenes(),
        }[group]

    @model_validator(mode="after")
    def _a_start(self):
        self._check_start(self.net.weights == "theta_0")
        return self

    @property
    def crf_settings(self) -> CRFSettings | None:
        """The dense CRF's after the network; None if it is switched off or not installed."""
        if not (self.crf and crf_available()):
            return None
        return CRFSettings.scenes() if self.dataset == "scenes" else CRFSettings.deeplab()

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

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.data.validation_split, self.data.num_validation)

    def first_net(self, num_classes: int) -> DeepLabV2:
        """The network that training starts from; raises OSError for weights that cannot be had."""
        weights = torchvision_weights(self.net.arch, self.net.weights)
        weights = self.classifier_path if weights == "theta_0" else weights
        build = DeepLabV2.scenes if self.dataset == "scenes" else DeepLabV2
        with seeded(self.seed):
            return build(self.net.arch, num_classes, weights=weights)


def masks_for(
    settings: VOCSegmentationSettings, kind: str, images: ImageSet, folder: str | Path
) -> Path | None:
    """The folder of the masks of one kind: of the run that is named, or the package's.

    The package's are written below ``folder``. None for the truth, which the images have.
    """
    if kind == TRUTH:
        return None
    if settings.masks:
        return Path(settings.masks) / "masks" / kind
    return unpack_masks(settings.seed, kind, images, Path(folder) / "masks" / kind)


def with_masks(images: ImageSet, folders: Iterable[Path | None]) -> tuple[ImageSet, dict[str, str]]:
    """The images that have a mask in every folder, so that all networks learn from the same.

    Beside them, id -> why another was left out. A folder is None for the truth.

    Raises:
        ValueError: more than one image in twenty has no mask: these are masks of other images.
    """
    lacking = {}
    for folder in filter(None, folders):
        there = {path.stem for path in folder.glob("*.png")}
        for name in images.ids:
            if name not in there:
                lacking.setdefault(name, f"there is no mask of it in {folder}")
    if len(lacking) > len(images) / 20:
        name, why = next(iter(lacking.items()))
        raise ValueError(
            f"{len(lacking)} of the {len(images)} images have no mask; of {name}, for example, "
            f"{why}. Take the split and num_images that the masks were made with"
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
    return train_segmentation(
        settings.first_net(len(images.class_names)),
        images,
        masks_dir,
        settings.segment,
        Path(folder) / f"segmentation_{kind}",
        device,
        settings.workers,
    )
