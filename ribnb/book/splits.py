"""What the chapters on a whole split have in common, and the settings of ``voc_rib``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torchvision
from pydantic import model_validator

from ribnb.book.scenes import TRAINED
from ribnb.core.devices import Precision
from ribnb.core.runner import parse_shard
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.voc import ImageSet
from ribnb.data.image_sets import spread_out
from ribnb.data.scenes.images import SceneImages
from ribnb.data.scenes.rendering import SPLITS
from ribnb.data.voc import VOCImages
from ribnb.evidence.differences import Difference, paired_difference
from ribnb.method.pooling import Variant
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import load_classifier
from ribnb.nets.weights import CHECKPOINTS
from ribnb.scores.folders import MaskScores
from ribnb.scores.image_scores import ImageScores

NUM_SCENES = 3000  # "all" of a data set without end, and what the nets of the package learned


class DataSettings(Settings):
    """The group ``data``: what is said of the images beside split and number."""

    labels_from: Literal["annotations", "masks"] = setting(
        "annotations", "the images' labels; masks, for a folder without annotations"
    )


class ScoredDataSettings(DataSettings):
    """The group ``data`` of the chapters that may score fewer images than they work on."""

    score_on: str = setting(
        "", "score only images that are in this list too; VOC's train is in train_aug"
    )


class SplitSettings(Settings):
    """Parameters of every chapter on a whole split."""

    dataset: Literal["scenes", "voc"] = setting(
        "scenes", "whose settings hold: the embedded scenes', or VOC's"
    )
    data_root: str = setting(
        "",
        "folder in the layout of VOC 2012; without one, scenes are drawn in memory",
        identity=False,
    )
    split: str = setting("train", "images to work on: a list's name or path")
    num_images: int = setting(100, "how many of them, spread over the list; 0: all", ge=0)
    data: DataSettings = setting({}, "more about the images")
    seed: int = setting(3, "of all that is drawn", ge=0)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps", identity=False)
    precision: Precision = setting("float32", "float32, tf32 or bfloat16")
    workers: int = setting(0, "processes that read images ahead", ge=0, identity=False)
    output_dir: str = setting(
        "", "folder for maps and result, from which a run goes on; none keeps nothing",
        identity=False,
    )  # fmt: skip

    @model_validator(mode="after")
    def _voc_has_a_folder(self):
        if self.dataset == "voc" and not self.data_root:
            raise SettingsError(
                "dataset = 'voc' needs a data_root, a folder that holds VOCdevkit/VOC2012; "
                "`python data_scripts/get_voc.py data` fetches it to data"
            )
        return self

    def images(self) -> ImageSet:
        """The images to work on.

        Raises:
            FileNotFoundError: no such folder or split; says what is there.
            ValueError: see ``VOCImages``.
        """
        return self.image_set(self.split, self.num_images)

    def image_set(self, split: str, count: int) -> ImageSet:
        """``count`` images of a split, all for 0; see ``images``."""
        if self.data_root:
            folder = VOCImages(self.data_root, split, labels_from=self.data.labels_from)
            return spread_out(folder, count)
        # as on disk, where the images of train are the first ones of train_aug
        name = "train" if split == "train_aug" else split
        if name not in SPLITS:
            known = ", ".join(("train_aug", *SPLITS))
            raise SettingsError(
                f"split = {split!r}: scenes without a data_root have the splits {known}"
            )
        return SceneImages(count or NUM_SCENES, seed=self.seed, split=name)

    def scored_ids(self, images: ImageSet) -> list[str]:
        """Ids of the images to score, in their order.

        Raises:
            FileNotFoundError: no such list.
            ValueError: none of the images is in it.
        """
        if not self.data.score_on:
            return list(images.ids)
        listed = set(self.image_set(self.data.score_on, 0).ids)
        scored = [name for name in images.ids if name in listed]
        if not scored:
            raise SettingsError(
                f"data.score_on = {self.data.score_on!r}: none of the {len(images)} images of "
                f"{self.split} is in that list"
            )
        return scored

    def theta_0_path(self, name: str, named: str) -> Path:
        """Where theta_0 lies: the classifier that is named, or that comes along for these scenes.

        Args:
            name: of the setting that names one.
            named: its value.

        Raises:
            SettingsError: none is named, and none comes along.
        """
        if named:
            return Path(named)
        if self.dataset == "voc" or self.seed not in TRAINED:
            raise SettingsError(
                f"{name} = '' with dataset = {self.dataset!r} and seed = {self.seed}: name a "
                "classifier.safetensors, which the chapter voc_classifier leaves in its "
                f"output_dir. Only scenes of the seeds {', '.join(map(str, TRAINED))} have one here"
            )
        return CHECKPOINTS / f"scenes_{self.seed}.safetensors"


class ShardSettings(SplitSettings):
    """Parameters of the chapters whose images several processes may share."""

    shard: str = setting("0/1", "i/n, only every n-th image from the i-th, for n processes")

    @model_validator(mode="after")
    def _a_shard(self):
        parse_shard(self.shard)
        return self

    @property
    def part(self) -> tuple[int, int]:
        """The shard as (i, n)."""
        return parse_shard(self.shard)


IMAGENET = "IMAGENET1K_V1"  # of torchvision's; what the authors started from


def torchvision_weights(arch: str, weights: str) -> Any:
    """What ``CAMNet`` takes for the parameter ``weights``: torchvision's, a path, or None.

    Raises:
        SettingsError: ImageNet's for the scenes' net.
    """
    if weights == IMAGENET and arch == "scenes":
        raise SettingsError(f"weights = '{IMAGENET}': torchvision has none of 'scenes'")
    if weights == IMAGENET:
        return torchvision.models.get_model_weights(arch)[IMAGENET]
    return None if weights == "random" else weights


class StartSettings(SplitSettings):
    """Parameters of the chapters whose nets may start from theta_0, by their group ``net``."""

    @property
    def classifier_path(self) -> Path:
        """Where theta_0 lies."""
        return self.theta_0_path("net.classifier", self.net.classifier)

    def check_start(self, theta_0_is_used: bool) -> None:
        """Here, since the nets are built long after the chapter's start.

        Raises:
            SettingsError: weights that are not there or do not fit, or a classifier without use.
        """
        net = self.net
        if theta_0_is_used:
            self.classifier_path  # noqa: B018, refuses what is not there
        elif net.classifier:
            raise SettingsError(
                f"net.classifier = {net.classifier!r} would not be used: the net starts from "
                f"net.weights = {net.weights!r}. Leave net.classifier out, or take net.weights = "
                "'theta_0'"
            )
        if net.weights == "theta_0" and not net.classifier and net.arch != "scenes":
            raise SettingsError(
                f"net.arch = {net.arch!r} with net.weights = 'theta_0': the classifier that comes "
                "with these scenes is a 'scenes'. Name a classifier, or other weights"
            )
        torchvision_weights(net.arch, net.weights)


class VOCRIBSettings(ShardSettings):
    """Parameters of ``voc_rib``.

    The group ``rib`` has the values of ``RIBSettings.scenes(variant)`` for scenes, else of
    ``RIBSettings.paper()`` or ``.released()``, where nothing is given.
    """

    data: ScoredDataSettings = setting({}, "more about the images")
    variant: Variant = setting("paper", "the paper's formulas, or what its code does")
    classifier: str = setting(
        "", "theta_0, a classifier.safetensors; scenes of the seeds 3 to 5 have one", identity=False
    )
    rib: RIBSettings = setting({}, "how each image is adapted to")

    @classmethod
    def preset(cls, group: str, given: Mapping[str, Any]) -> Settings:
        """Of ``rib`` by data set and variant."""
        if group != "rib":
            return super().preset(group, given)
        variant = given.get("variant", "paper")
        if given.get("dataset") == "scenes":
            return RIBSettings.scenes(variant)
        return RIBSettings.paper() if variant == "paper" else RIBSettings.released()

    @model_validator(mode="after")
    def _theta_0_is_there(self):
        self.classifier_path  # noqa: B018, refuses what is not there
        return self

    @property
    def cam(self) -> RIBSettings:
        """The same views, and no step."""
        return self.rib.replace(iterations=0)

    @property
    def classifier_path(self) -> Path:
        """Where theta_0 lies."""
        return self.theta_0_path("classifier", self.classifier)

    def theta_0(self, num_classes: int) -> CAMNet:
        """The classifier; see ``load_classifier``."""
        return load_classifier(self.classifier_path, num_classes=num_classes)


def difference(scores: ImageScores | MaskScores, name: str, other: str) -> Difference | None:
    """One kind of maps or masks minus another on the same images; None for a single image."""
    first, second = scores.confusions[name], scores.confusions[other]
    if len(first) < 2:  # there is nothing to draw from
        return None
    return paired_difference([first], [second], np.random.default_rng(0))
