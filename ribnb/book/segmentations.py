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
from ribnb.core.settings import SHARED, Settings, SettingsError, setting
from ribnb.core.voc import ImageSet
from ribnb.data.image_sets import Part
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.scene_masks import NUM_MASKS, network_path, unpack_masks
from ribnb.nets.cam_net import Architecture
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import Training
from ribnb.nets.weights import checkpoint_metadata
from ribnb.segmentation.settings import SegmentationSettings
from ribnb.segmentation.training import train_segmentation

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
    weights: str = setting(
        IMAGENET, f"to start from: {IMAGENET}, random, theta_0 (for scenes), or a path"
    )
    classifier: str = setting(
        "", "theta_0, for scenes; those of the seeds 3 to 5 have one", identity=False
    )
    retrain: bool = setting(False, "train all here, though scenes' seeds 3 to 5 come trained")


class VOCSegmentationSettings(StartSettings):
    """Parameters of ``voc_segmentation``.

    The group ``segment`` has the values of ``SegmentationSettings.scenes()`` for scenes, else of
    ``.voc()``, where nothing is given.
    """

    num_images: int = setting(NUM_MASKS, "images to train on, spread over the list; 0: all", ge=0)
    data: SegmentationDataSettings = setting({}, "more about the images")
    masks: str = setting(
        "", "folder of a run of voc_masks; scenes of the seeds 3 to 5 have masks", identity=False
    )
    supervision: tuple[str, ...] = setting(
        SUPERVISION,
        f"kinds of masks to train a network on each; {TRUTH}: the data's own",
        min_length=1,
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
    def _what_goes_together(self):
        if len(set(self.supervision)) < len(self.supervision):
            raise SettingsError(f"supervision = {list(self.supervision)!r} names one kind twice")
        needs_masks = set(self.supervision) != {TRUTH}
        if needs_masks and not self.masks and (self.data_root or self.seed not in TRAINED):
            raise SettingsError(
                "masks = '': name the folder of a run of the chapter voc_masks, or take "
                f"supervision = ['{TRUTH}']. Only drawn scenes of the seeds "
                f"{', '.join(map(str, TRAINED))} have masks here"
            )
        self.check_start(self.net.weights == "theta_0")
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
        own = self.masks or self.data_root or self.net.classifier or self.net.retrain
        same = _learned_with(self.segment) == _learned_with(SegmentationSettings.scenes())
        of_scenes = (self.net.arch, self.net.weights) == ("scenes", "theta_0")
        return whole and same and of_scenes and self.seed in TRAINED and not own

    @property
    def other_seeds(self) -> list[int]:
        """Seeds besides this one whose networks come along for every kind of masks."""
        return [
            seed
            for seed in TRAINED
            if seed != self.seed
            and all(network_path(seed, kind).is_file() for kind in self.supervision)
        ]

    def trained(self, kind: str) -> Path | None:
        """The network that comes trained on a kind of masks; None if it must be trained."""
        path = network_path(self.seed, kind)
        return path if self.packaged and path.is_file() else None

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.data.validation_split, self.data.num_validation)

    def first_net(self, num_classes: int) -> DeepLabV2:
        """The network that training starts from; downloads ImageNet's weights at most once.

        Raises:
            OSError: weights that cannot be had; says what to do by hand.
            ValueError: weights of another architecture.
        """
        weights = torchvision_weights(self.net.arch, self.net.weights)
        weights = self.classifier_path if weights == "theta_0" else weights
        build = DeepLabV2.scenes if self.dataset == "scenes" else DeepLabV2
        with seeded(self.seed):
            return build(self.net.arch, num_classes, weights=weights)


def _learned_with(segment: SegmentationSettings) -> dict[str, Any]:
    """What of the settings a network rests on, but for what is the chapter's own."""
    return {name: value for name, value in segment.training().items() if name not in SHARED}


def masks_for(
    settings: VOCSegmentationSettings, kind: str, images: ImageSet, folder: str | Path
) -> Path | None:
    """The folder of the masks of one kind; None for the truth, which the images have.

    Args:
        settings: with ``masks``, the folder of a run of ``voc_masks``; without, the package's.
        kind: such as ``"rib_irn"``.
        images: whose masks are wanted.
        folder: for the package's masks.

    Raises:
        ValueError: see ``unpack_masks``.
    """
    if kind == TRUTH:
        return None
    if not settings.masks:
        return unpack_masks(settings.seed, kind, images, Path(folder) / "masks" / kind)
    return Path(settings.masks) / "masks" / kind


def with_masks(images: ImageSet, folders: Iterable[Path | None]) -> tuple[ImageSet, dict[str, str]]:
    """The images that have a mask in every folder, so that all networks learn from the same.

    Args:
        images: to train on.
        folders: of masks ``<id>.png``; None for the truth.

    Returns:
        Those images, and id -> why another was left out.

    Raises:
        ValueError: more than one image in twenty has no mask: these are masks of other images.
    """
    lacking: dict[str, str] = {}
    for folder in folders:
        if folder is None:
            continue
        there = {path.stem for path in Path(folder).glob("*.png")}
        for name in images.ids:
            if name not in there:
                lacking.setdefault(name, f"there is no mask of it in {folder}")
    if len(lacking) > len(images) / 20:
        name, why = next(iter(lacking.items()))
        raise ValueError(
            f"{len(lacking)} of the {len(images)} images have no mask; of {name}, for example, "
            f"{why}. Are the masks of another split or another num_images? Take those that the "
            "masks were made with"
        )
    if not lacking:
        return images, lacking
    return Part(images, [i for i, name in enumerate(images.ids) if name not in lacking]), lacking


def segmentation_net(
    settings: VOCSegmentationSettings,
    kind: str,
    images: ImageSet | None = None,
    masks_dir: Path | None = None,
    folder: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Training:
    """The network that learned from one kind of masks: one that comes along, or trained here.

    Args:
        settings: see ``VOCSegmentationSettings.trained``.
        kind: of the masks.
        images: to train on; without them only a network that comes along is given.
        masks_dir: their masks, None for the truth.
        folder: keeps the training in a folder of its own, from which it goes on after a kill;
            None keeps nothing.
        device: the network is there.

    Raises:
        ValueError: no images, and no such network comes along; no masks but for the truth, or
            masks for it; see ``train_segmentation`` too.
    """
    path = settings.trained(kind)
    if path is not None and (images is None or kind != IN_VIEW):
        return Training(DeepLabV2.load(path).to(device), checkpoint_metadata(path), loaded=True)
    if images is None:
        raise SettingsError(
            f"no network of the seed {settings.seed} that learned from {kind!r} comes along"
        )
    if (masks_dir is None) != (kind == TRUTH):
        raise ValueError(
            f"supervision {kind!r} with masks_dir = {masks_dir}: all kinds but {TRUTH!r} need the "
            "folder of their masks, which masks_for gives"
        )
    return train_segmentation(
        settings.first_net(len(images.class_names)),
        images,
        masks_dir,
        settings.segment,
        Path(folder) / f"segmentation_{kind}" if folder else None,
        device,
        settings.workers,
    )
