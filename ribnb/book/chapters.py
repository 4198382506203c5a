"""Which settings each chapter has, and what every chapter does at its start and its end."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import model_validator

from ribnb.book.masks import VOCMasksSettings, VOCSegmentationSettings
from ribnb.book.photographs import PhotographsSettings
from ribnb.book.scenes import (
    TRAINED,
    RibLossSettings,
    SceneCAMSettings,
    SceneRIBSettings,
    ToySettings,
)
from ribnb.book.splits import VOCClassifierSettings, VOCRIBSettings
from ribnb.core.files import weights_digest
from ribnb.core.parameters import flat, merged
from ribnb.core.settings import (
    Settings,
    SettingsError,
    for_chapter,
    read_settings_file,
    refuse_unknown,
    setting,
)
from ribnb.evidence.results import AblationResults, Published
from ribnb.runs.ablations import read_ablations
from ribnb.runs.results import RESULT, Run, book_folder, read_result


class ReadingSettings(Settings):
    """The one parameter of a chapter that reads results; each of them has a digest of its own."""

    results: str = setting("", "folder of results; none: those of the book", identity=False)

    @model_validator(mode="after")
    def _a_folder(self):
        if self.results and not Path(self.results).is_dir():
            raise SettingsError(
                f"results = {self.results!r} is no folder; leave it empty for those of the book"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where the results lie; without the parameter, it need not be there."""
        return Path(self.results) if self.results else book_folder("results")


class AblationsSettings(ReadingSettings):
    """Parameters of ``ablations``, which runs nothing: it reads the results of batches."""

    seed: int = setting(0, "of the images that are drawn anew", ge=0)
    resamples: int = setting(1000, "how often images are drawn anew", ge=1)


class PaperAndCodeSettings(ReadingSettings):
    """Parameters of the chapter ``paper_and_code``, which reads results and trains nothing."""

    seed: Literal[TRAINED] = setting(TRAINED[0], "of the net, the scenes looked at, and the draws")
    resamples: int = setting(1000, "draws of images behind each interval", ge=1)


class ScoreboardSettings(ReadingSettings):
    """Parameters of ``scoreboard``: where the results lie."""


CHAPTERS: dict[str, type[Settings]] = {
    "toy_bottleneck": ToySettings,
    "rib_loss": RibLossSettings,
    "cam_and_gndrp": SceneCAMSettings,
    "rib": SceneRIBSettings,
    "photographs": PhotographsSettings,
    "voc_classifier": VOCClassifierSettings,
    "voc_rib": VOCRIBSettings,
    "voc_masks": VOCMasksSettings,
    "voc_segmentation": VOCSegmentationSettings,
    "ablations": AblationsSettings,
    "paper_and_code": PaperAndCodeSettings,
    "scoreboard": ScoreboardSettings,
}


def start(chapter: str, namespace: Mapping[str, Any]) -> tuple[Any, Run | None]:
    """Settings and run of a chapter, from its ``globals()``; shows the settings in force.

    The run, whose clock starts, is None for a chapter that leaves no result. On scenes and digits
    torch computes on one thread, which is enough for the small nets, and repeatable.

    Raises:
        SettingsError: a chapter that is not known, parameters that it does not know or refuses.
        ValueError, OSError: a device or an output folder that cannot be used, see ``Run``.
    """
    if chapter not in CHAPTERS:
        raise SettingsError(f"there is no chapter {chapter!r}; there are {', '.join(CHAPTERS)}")
    kind = CHAPTERS[chapter]
    # papermill only warns of a parameter that a notebook does not know
    refuse_unknown(_injected(namespace.get("In", ())), kind.model_fields, chapter)
    settings = kind(**{name: namespace[name] for name in kind.model_fields if name in namespace})
    if getattr(settings, "dataset", "scenes") == "scenes":
        torch.set_num_threads(1)
    run = Run(chapter, settings) if {"device", "output_dir"} <= kind.model_fields.keys() else None
    from IPython.display import display

    if rows := in_force(settings):
        cells = "".join(
            f"<tr><td><code>{name}</code></td><td>{html.escape(value)}</td>"
            f"<td>{html.escape(meaning)}</td></tr>\n"
            for name, value, meaning in rows
        )
        page = f"<details><summary>The {len(rows)} settings in force</summary>\n<table>\n{cells}"
        plain = "\n".join(f"{name}  {value}" for name, value, _ in rows)
        display({"text/html": f"{page}</table></details>", "text/plain": plain}, raw=True)
    return settings, run


def finish(run: Run, metrics: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """``Run.finish``, with a net among the inputs digested; says what was left out, and why."""
    if run is None:
        raise ValueError("a chapter with a result has device and output_dir among its settings")
    digests = {
        name: weights_digest(each) if isinstance(each, torch.nn.Module) else each
        for name, each in fields.pop("inputs", {}).items()
    }
    result = run.finish(metrics, inputs=digests or None, **fields)
    for name, why in (result["failures"] or {}).items():
        print(f"left out: {name}: {why}")
    return result


def book_ablations(
    results: str | Path | Published, batch: str = ""
) -> tuple[Published, dict[str, AblationResults]]:
    """What a folder of results holds, and what is there for each of the book's ablations.

    Those on scenes, or, by the name of its settings file, those of a batch on other images.
    """
    below, settings_of = book_folder("settings"), None
    if batch:
        values = read_settings_file(below / f"{batch}.yml")

        def settings_of(chapter: str, own: Mapping[str, Any]) -> Settings:
            return CHAPTERS[chapter].from_mapping(
                merged(for_chapter(values, chapter, CHAPTERS), own)
            )

    planned = read_ablations(below / (batch or "ablations"), CHAPTERS, settings_of)
    read = isinstance(results, Published)
    published = results if read else Published.read(results, CHAPTERS)
    return published, {name: published.of(ablation) for name, ablation in planned.items()}


def on_mnist(chapter: str) -> dict[str, Any]:
    """What a chapter on digits measured on MNIST, over five nets: its ``metrics``."""
    folder = book_folder("results") / "mnist_5_seeds"
    return read_result(folder / chapter / RESULT)["metrics"]


def in_force(settings: Settings) -> list[tuple[str, str, str]]:
    """Name, value and meaning of the settings that decide a result: no folder, no device."""
    rows = []
    for name, value in flat(settings.identity()).items():
        *groups, last = name.split(".")
        owner = getattr(settings, groups[0]) if groups else settings
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        rows.append((name, text, type(owner).model_fields[last].description))
    return rows


def _injected(cells: Iterable[str]) -> list[str]:
    """Names that papermill's injected cell assigns; the last such cell that was run counts."""
    injected = [cell for cell in cells if cell.startswith("# Parameters\n")]
    assignments = ast.walk(ast.parse(injected[-1] if injected else ""))
    return [each.targets[0].id for each in assignments if isinstance(each, ast.Assign)]
