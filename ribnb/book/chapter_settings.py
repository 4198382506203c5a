"""Which settings each chapter has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ribnb.book.ablations_settings import AblationsSettings
from ribnb.book.paper_and_code_settings import PaperAndCodeSettings
from ribnb.book.scene_cams import SceneCAMSettings
from ribnb.book.scene_rib import SceneRIBSettings
from ribnb.book.scoreboard_settings import ScoreboardSettings
from ribnb.book.toy import RibLossSettings, ToySettings
from ribnb.book.voc_masks_settings import VOCMasksSettings
from ribnb.book.voc_segmentation_settings import VOCSegmentationSettings
from ribnb.book.voc_settings import VOCClassifierSettings, VOCRIBSettings
from ribnb.core.settings import Settings, refuse_unknown

CHAPTERS: dict[str, type[Settings]] = {
    "toy_bottleneck": ToySettings,
    "rib_loss": RibLossSettings,
    "cam_and_gndrp": SceneCAMSettings,
    "rib": SceneRIBSettings,
    "voc_classifier": VOCClassifierSettings,
    "voc_rib": VOCRIBSettings,
    "voc_masks": VOCMasksSettings,
    "voc_segmentation": VOCSegmentationSettings,
    "ablations": AblationsSettings,
    "paper_and_code": PaperAndCodeSettings,
    "scoreboard": ScoreboardSettings,
}
WHERE = CHAPTERS


def settings_class(chapter: str) -> type[Settings]:
    """The class of a chapter's settings.

    Raises:
        SettingsError: a chapter that has none; names the nearest.
    """
    refuse_unknown([chapter], CHAPTERS, "the book (for a chapter with parameters)")
    return CHAPTERS[chapter]


def chapter_settings(chapter: str, parameters: Mapping[str, Any]) -> Settings:
    """A chapter's settings with some parameters given, the rest as in its parameters cell.

    Raises:
        SettingsError: an unknown chapter or parameter, or a value that is refused.
    """
    return settings_class(chapter).from_mapping(parameters)
