"""Which settings each chapter has."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ribnb.core.settings import Settings, SettingsError, refuse_unknown

# Looked up when asked for: some of these modules import much.
WHERE = {
    "toy_bottleneck": ("ribnb.book.toy", "ToySettings"),
    "rib_loss": ("ribnb.book.toy", "RibLossSettings"),
    "cam_and_gndrp": ("ribnb.nets.scene_nets", "SceneSettings"),
    "rib": ("ribnb.book.scene_rib", "SceneRIBSettings"),
    "voc_classifier": ("ribnb.book.voc_settings", "VOCClassifierSettings"),
    "voc_rib": ("ribnb.book.voc_settings", "VOCRIBSettings"),
    "voc_masks": ("ribnb.book.voc_masks_settings", "VOCMasksSettings"),
    "voc_segmentation": ("ribnb.book.voc_segmentation_settings", "VOCSegmentationSettings"),
    "ablations": ("ribnb.book.ablations_settings", "AblationsSettings"),
    "paper_and_code": ("ribnb.book.paper_and_code_settings", "PaperAndCodeSettings"),
    "scoreboard": ("ribnb.book.scoreboard_settings", "ScoreboardSettings"),
}


def settings_class(chapter: str) -> type[Settings]:
    """The class of a chapter's settings.

    Raises:
        SettingsError: a chapter that has none; names the nearest.
    """
    if chapter not in WHERE:
        refuse_unknown([chapter], WHERE, "the book (for a chapter with parameters)")
    module, name = WHERE[chapter]
    return getattr(importlib.import_module(module), name)


def chapter_settings(chapter: str, parameters: Mapping[str, Any]) -> Settings:
    """A chapter's settings with some parameters given, the rest as in its parameters cell.

    Raises:
        SettingsError: an unknown chapter or parameter, or a value that is refused.
    """
    kind = settings_class(chapter)
    try:
        return kind.from_mapping(parameters)
    except TypeError as error:  # a value that cannot even be compared, such as a mapping
        raise SettingsError(f"{chapter}: {error}") from error
