"""What a batch consists of: the section ``batch`` of a settings file."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from ribnb.core.settings import Settings, SettingsError, setting

Stage = Literal["voc_classifier", "voc_rib", "voc_masks", "voc_segmentation"]
STAGES = get_args(Stage)  # each needs the one before


class BatchSettings(Settings):
    """Which stages and ablations are run, for which seeds, and in how many shards."""

    folder: str = setting("", "for all its runs; none: runs/ and the settings file's name")
    stages: tuple[Stage, ...] | None = setting(
        None, "stages of the reproduction; all if no ablations are named", min_length=1
    )
    ablations: tuple[str, ...] | None = setting(
        None,
        "files in book/settings/ablations, or paths that end in .yml; all without a settings file",
        min_length=1,
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = setting(
        None, "of the stages, 0 if not said; of the ablations in place of their own", min_length=1
    )
    shards: int = setting(1, "runs that share the images of voc_rib", ge=1)
    data: str = setting("", "command that makes the data set, run first in the repository")

    @model_validator(mode="after")
    def _check(self):
        for name in ("stages", "ablations", "seeds"):
            values = getattr(self, name) or ()
            if len({*values}) < len(values):
                raise SettingsError(f"{name} = {list(values)}: one stands there twice")
        if self.stages and self.stages != STAGES[: len(self.stages)]:
            raise SettingsError(
                f"stages = {list(self.stages)}: each needs the one before; it must be the first "
                f"of {', '.join(STAGES)}, in this order"
            )
        return self
