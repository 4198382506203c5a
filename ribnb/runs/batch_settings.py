"""What a batch consists of: the section ``batch`` of a settings file."""

from __future__ import annotations

from dataclasses import dataclass

from ribnb.core.settings import Settings, SettingsError, setting

STAGES = ("voc_classifier", "voc_rib", "voc_masks", "voc_segmentation")  # each needs the one before


@dataclass(frozen=True)
class BatchSettings(Settings):
    """Which stages and ablations are run, for which seeds, and in how many shards."""

    folder: str = setting("", "for all its runs; none: runs/ and the settings file's name")
    stages: tuple[str, ...] | None = setting(
        None, "stages of the reproduction; all if no ablations are named", choices=STAGES
    )
    ablations: tuple[str, ...] | None = setting(
        None,
        "files in book/settings/ablations, or paths that end in .yml; all without a settings file",
    )
    seeds: tuple[int, ...] | None = setting(
        None, "of the stages, 0 if not said; of the ablations in place of their own", minimum=0
    )
    shards: int = setting(1, "runs that share the images of voc_rib", minimum=1)
    data: str = setting("", "command that makes the data set, run first in the repository")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stages", "ablations", "seeds"):
            values = getattr(self, name) or ()
            if len({*values}) < len(values):
                raise SettingsError(f"{name} = {list(values)}: one stands there twice")
        if self.stages and self.stages != STAGES[: len(self.stages)]:
            raise SettingsError(
                f"stages = {list(self.stages)}: each needs the one before; it must be the first "
                f"of {', '.join(STAGES)}, in this order"
            )
