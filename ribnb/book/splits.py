"""The chapters on a whole split: what they have in common, ``voc_classifier`` and ``voc_rib``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import model_validator

from ribnb.book.scenes import NUM_TRAINING, TRAINED
from ribnb.core.devices import Precision, seeded
from ribnb.core.files import Maps, read_maps
from ribnb.core.runner import parse_shard
from ribnb.core.settings import SHARED, Settings, SettingsError, setting
from ribnb.core.voc import ImageSet, read_mask
from ribnb.data.labels import scorable
from ribnb.data.scenes.images import SceneImages
from ribnb.data.views import Part, readable, spread_out
from ribnb.data.voc import DataSettings, VOCImages
from ribnb.evidence.differences import Difference, paired_difference
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.method.pooling import Variant
from ribnb.method.settings import Preset, RIBSettings
from ribnb.nets.backbones import Architecture
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import (
    ClassifierSettings,
    load_classifier,
    mean_average_precision,
    train_classifier,
)
from ribnb.nets.fitting import Training
from ribnb.nets.published import IMAGENET, IN_PACKAGE, refuse_weights
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata, of_torch
from ribnb.scores.folders import MaskScores
from ribnb.scores.image_scores import ImageScores


def of_seed(path: str, seed: int) -> Path:
    """A path in which ``{seed}`` stands for the seed."""
    return Path(path.replace("{seed}", str(seed)))


Dataset = Literal["scenes", "photographs", "voc"]


def rib_preset(dataset: Dataset | None, variant: Preset = "paper") -> Callable[..., RIBSettings]:
    """Where the settings of the adaptation start from, for a data set."""
    if dataset in ("scenes", "photographs"):
        return partial(getattr(RIBSettings, dataset), variant)
    return getattr(RIBSettings, variant)


class ScoredDataSettings(DataSettings):
    """The group ``data`` of the chapters that may score fewer images than they work on."""

    score_on: str = setting("", "a list, such as train: score only what is in it too; none: all")


class SplitSettings(Settings):
    """Parameters of every chapter on a whole split."""

    needs_masks: ClassVar[bool] = False  # of the images to work on

    dataset: Dataset = setting("scenes", "whose settings hold")
    data_root: str = setting("", "folder in VOC's layout; none: drawn scenes", identity=False)
    split: str = setting("train", "images to work on: a list's name or path")
    num_images: int = setting(100, "how many of them, spread over the list; 0: all", ge=0)
    data: DataSettings = setting({}, "more about the images")
    seed: int = setting(3, "of all that is drawn", ge=0)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    precision: Precision = setting("float32", "float32, tf32 or bfloat16")
    workers: int = setting(0, "processes that read images ahead", ge=0, identity=False)
    output_dir: str = setting("", "keeps maps and result; a run goes on there", identity=False)

    @model_validator(mode="after")
    def _voc_has_a_folder(self):
        if self.dataset != "scenes" and not self.data_root:
            raise SettingsError(
                f"dataset = {self.dataset!r} needs a data_root, a folder in VOC's layout; "
                "`python data_scripts/get_voc.py data` fetches VOC to data"
            )
        if self.data.classes and not self.data_root:
            raise SettingsError("data.classes are some of a folder's: give its data_root")
        return self

    def images(self) -> ImageSet:
        """The images to work on; errors are those of ``VOCImages`` and ``scorable``."""
        images = self.image_set(self.split, self.num_images)
        self.scored_ids(images)  # refuses a list of others
        return scorable(images, self.needs_masks) if self.data_root else images

    def image_set(self, split: str, count: int) -> ImageSet:
        """``count`` images of a split, all for 0; of scenes without a folder, 3000 are all."""
        if self.data_root:
            folder = VOCImages(self.data_root, split, self.data.labels_from, self.data.classes)
            return spread_out(folder, count)
        # as on disk, where the images of train are the first ones of train_aug
        name = "train" if split == "train_aug" else split
        return SceneImages(count or NUM_TRAINING, seed=self.seed, split=name)

    def scored_ids(self, images: ImageSet) -> list[str]:
        """Ids of the images to score, in their order."""
        if not getattr(self.data, "score_on", ""):
            return list(images.ids)
        listed = set(self.image_set(self.data.score_on, 0).ids)
        scored = [name for name in images.ids if name in listed]
        if not scored:
            raise SettingsError(
                f"data.score_on = {self.data.score_on!r}: none of the {len(images)} images of "
                f"{self.split} is in that list"
            )
        return scored

    @property
    def classifier_path(self) -> Path:
        """Where theta_0 lies: the file that is named, or the package's for this seed's scenes."""
        named = self.net.classifier if isinstance(self, StartSettings) else self.classifier
        if named:
            return of_seed(named, self.seed)
        if self.dataset != "scenes" or self.seed not in TRAINED:
            raise SettingsError(
                f"no classifier for dataset = {self.dataset!r} and seed = {self.seed}: name a "
                "classifier.safetensors, which the chapter voc_classifier leaves in its "
                f"output_dir. Only scenes of the seeds {', '.join(map(str, TRAINED))} have one here"
            )
        return CHECKPOINTS / f"scenes_{self.seed}.safetensors"


class ShardSettings(SplitSettings):
    """Parameters of the chapters whose images several processes may share."""

    shard: str = setting("0/1", "i/n, only every n-th image from the i-th, for n processes")

    @property
    def part(self) -> tuple[int, int]:
        """``shard`` as (i, n)."""
        return parse_shard(self.shard)


class StartSettings(SplitSettings):
    """Parameters of the chapters whose nets may start from theta_0, by their group ``net``."""

    crf_on_voc: ClassVar[CRFSettings] = CRFSettings()

    @property
    def crf_settings(self) -> CRFSettings | None:
        """The dense CRF's; None if it is switched off or not installed."""
        if not (self.crf and crf_available()):
            return None
        return CRFSettings.scenes() if self.dataset == "scenes" else self.crf_on_voc

    @model_validator(mode="after")
    def _a_start(self):
        """Now, since the nets are built long after the chapter's start."""
        if self.net.weights == "theta_0":
            self.classifier_path  # noqa: B018, refuses what is not there
        elif self.net.classifier and getattr(self, "maps_run", "given"):  # no maps are made with it
            raise SettingsError(
                f"net.classifier = {self.net.classifier!r} would not be used: the net starts from "
                f"net.weights = {self.net.weights!r}. Leave it out, or take theta_0"
            )
        refuse_weights(self.net.arch, self.net.weights)
        return self

    def _comes_along(self, named: str, learned: Mapping, in_package: Mapping) -> bool:
        """Whether the package's nets, which learned as ``in_package``, are those of this run.

        They are not where it rests on another run's folder, which is ``named``.
        """
        if named or self.data_root or self.net.classifier or self.net.retrain:
            return False
        start = self.dataset, self.net.arch, self.net.weights
        same = all(learned[name] == in_package[name] for name in learned.keys() - SHARED)
        return same and start == ("scenes", "scenes", "theta_0")


class ClassifierNetSettings(Settings):
    """The group ``net`` of ``voc_classifier``."""

    arch: Architecture = setting("resnet50", "the architecture; scenes: that of their own net")
    weights: str = setting(IMAGENET, f"to start from: {IMAGENET}, random, or a path")
    output_stride: Literal[8, 16] = setting(16, "pixels a position of a ResNet's map")
    moving_stages: int | None = setting(
        None, "last stages that learn; None: all (released: two)", ge=0, le=4
    )


class ClassifierDataSettings(DataSettings):
    """The group ``data`` of ``voc_classifier``: also the images to learn from."""

    training_split: str = setting("train_aug", "images to train on")
    num_training: int = setting(0, "how many of them; 0: all; scenes: 1600", ge=0)
    validation_split: str = setting("val", "images for the mAP")
    num_validation: int = setting(0, "how many of them; 0: all; scenes: 200", ge=0)


class VOCClassifierSettings(ShardSettings):
    """Parameters of ``voc_classifier``; ``recipe`` starts from the data set's and variant's."""

    data: ClassifierDataSettings = setting({}, "more about the images")
    variant: Variant = setting("paper", "IRN's recipe as written, or as its released code has it")
    classifier: str = setting(
        "", "a classifier.safetensors to use, not train; {seed}: the seed", identity=False
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
                "recipe": ClassifierSettings.scenes(epochs=5, **watched),
            }[group]
        if given.get("dataset") == "photographs":
            return {
                "data": ClassifierDataSettings(),
                "net": ClassifierNetSettings(arch=IN_PACKAGE, moving_stages=1),
                "recipe": ClassifierSettings.photographs(),
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
        return rib_preset(self.dataset)(iterations=0, seed=self.seed, precision=self.precision)

    def training_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.data.training_split, self.data.num_training)

    def validation_images(self) -> ImageSet:
        """See ``images``."""
        return self.image_set(self.data.validation_split, self.data.num_validation)

    def first_net(self, num_classes: int) -> CAMNet:
        """The net that training starts from; downloads ImageNet's weights at most once."""
        weights = None if self.net.weights == "random" else self.net.weights
        with seeded(self.seed):
            model = CAMNet(self.net.arch, num_classes, self.net.output_stride, weights)
        if self.variant == "released" or self.net.moving_stages is not None:
            model.split(self.net.moving_stages)[0].requires_grad_(False)
        return model


def trained_classifier(
    settings: VOCClassifierSettings, folder: str | Path, device: torch.device
) -> Training:
    """The classifier that is named, or trained in ``folder``, where it goes on after a kill."""
    validation = settings.validation_images()
    num_classes = len(validation.class_names)
    if not settings.classifier:
        net, images = settings.first_net(num_classes), settings.training_images()
        return train_classifier(
            net, images, settings.recipe, folder, validation, device, settings.workers
        )
    path = of_seed(settings.classifier, settings.seed)
    record = {} if of_torch(path) else checkpoint_metadata(path, "classifier")
    model = load_classifier(path, num_classes=num_classes)
    record["mean_average_precision"] = mean_average_precision(
        model, validation, device, workers=settings.workers, precision=settings.precision
    )
    return Training(model, record, loaded=True)


class VOCRIBSettings(ShardSettings):
    """Parameters of ``voc_rib``; ``rib`` starts from the data set's preset of the variant."""

    data: ScoredDataSettings = setting({}, "more about the images")
    variant: Preset = setting("paper", "the paper's formulas, or what its code does")
    classifier: str = setting(
        "", "theta_0, with {seed} for the seed; scenes of the seeds 3 to 5 have one", identity=False
    )
    rib: RIBSettings = setting({}, "how each image is adapted to")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of ``rib`` by data set and variant."""
        if group != "rib":
            return super().preset(group, given)
        return rib_preset(given.get("dataset"), given.get("variant", "paper"))()

    @model_validator(mode="after")
    def _theta_0_is_there(self):
        self.classifier_path  # noqa: B018, refuses what is not there
        return self

    @property
    def cam(self) -> RIBSettings:
        """The same views, and no step."""
        return self.rib.replace(iterations=0)

    def theta_0(self, num_classes: int) -> CAMNet:
        """The classifier."""
        return load_classifier(self.classifier_path, num_classes=num_classes)


def difference(scores: ImageScores | MaskScores, name: str, other: str) -> Difference | None:
    """One kind of maps or masks minus another on the same images; None where nothing varies."""
    first, second = scores.confusions[name], scores.confusions[other]
    if len(first) < 2 or not first.any():  # there is nothing to draw from
        return None
    return paired_difference([(first, second)], np.random.default_rng(0))


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
