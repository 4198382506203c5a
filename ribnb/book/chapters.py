"""Which settings each chapter has, and what every chapter does at its start and its end."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator

from ribnb.book.classifier import VOCClassifierSettings
from ribnb.book.masks import VOCMasksSettings
from ribnb.book.scenes import (
    TRAINED,
    RibLossSettings,
    SceneCAMSettings,
    SceneRIBSettings,
    ToySettings,
)
from ribnb.book.segmentations import VOCSegmentationSettings
from ribnb.book.splits import VOCRIBSettings
from ribnb.core.files import weights_digest
from ribnb.core.settings import Settings, SettingsError, flat, refuse_unknown, setting
from ribnb.evidence.results import AblationResults, Published
from ribnb.runs.ablations import read_ablations
from ribnb.runs.results import book_folder
from ribnb.runs.run import Run


class ReadingSettings(Settings):
    """The one parameter: where the results lie.

    It is no part of the settings' hash: each result has a digest of its own.
    """

    below: ClassVar[Path] = Path()  # of the book's results, what is read by default

    results: str = setting("", "folder of results; none: those of the book", identity=False)

    @model_validator(mode="after")
    def _a_folder(self):
        if self.results and not Path(self.results).is_dir():
            raise SettingsError(
                f"results = {self.results!r} is no folder; name one with results of runs, such as "
                "'runs/ablations', or leave it empty for those of the book"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where the results lie; without the parameter, it need not be there."""
        return Path(self.results) if self.results else book_folder("results") / self.below

    @property
    def place(self) -> str:
        """The folder in words that are the same on every machine."""
        return self.results or ("book" / Path("results") / self.below).as_posix()


PUBLISHED = Path("ablations") / "cpu"  # below the book's folder of results


class AblationsSettings(ReadingSettings):
    """Parameters of ``ablations``, which runs nothing: it reads the results of a batch."""

    below: ClassVar[Path] = PUBLISHED

    seed: int = setting(0, "of the images that are drawn anew", ge=0)
    resamples: int = setting(1000, "how often images are drawn anew", ge=1)


class PaperAndCodeSettings(ReadingSettings):
    """Parameters of the chapter ``paper_and_code``, which reads results and trains nothing."""

    below: ClassVar[Path] = PUBLISHED

    seed: Literal[TRAINED] = setting(
        TRAINED[0], "of the net and scenes looked at, and of the draws"
    )
    resamples: int = setting(1000, "draws of images behind each interval", ge=1)


class ScoreboardSettings(ReadingSettings):
    """Parameters of ``scoreboard``: where the results lie."""


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


def start(chapter: str, namespace: Mapping[str, Any]) -> tuple[Any, Run | None]:
    """Settings and run of a chapter; shows the settings in force as a table.

    On scenes and digits torch computes on one thread, which is enough for the small nets, and
    repeatable.

    Args:
        chapter: its name, such as ``"voc_rib"``.
        namespace: its ``globals()``, with the parameters.

    Returns:
        Its settings, and its run, whose clock starts; None for a chapter that leaves no result.

    Raises:
        SettingsError: parameters that the chapter does not know or refuses.
        ValueError, OSError: a device or an output folder that cannot be used, see ``Run``.
    """
    kind = CHAPTERS[chapter]
    # papermill only warns of a parameter that a notebook does not know
    refuse_unknown(_injected(namespace.get("In", ())), kind.model_fields, chapter)
    settings = kind(**{name: namespace[name] for name in kind.model_fields if name in namespace})
    if getattr(settings, "dataset", "scenes") == "scenes":
        torch.set_num_threads(1)
    run = Run(chapter, settings) if "output_dir" in kind.model_fields else None
    from IPython.display import display

    if settings.identity():
        display(InForce(settings))
    return settings, run


def finish(run: Run, metrics: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """The run's result, written to its ``output_dir``; says which images were left out and why.

    Arguments and errors are those of ``Run.finish``; a net among the inputs is digested.
    """
    inputs = fields.pop("inputs", None) or {}
    digests = {
        name: weights_digest(each) if isinstance(each, torch.nn.Module) else each
        for name, each in inputs.items()
    }
    result = run.finish(metrics, inputs=digests or None, **fields)
    for name, why in (result["failures"] or {}).items():
        print(f"left out: {name}: {why}")
    return result


def book_ablations(folder: str | Path) -> tuple[Published, dict[str, AblationResults]]:
    """What a folder of results holds, and what is there for each of the book's ablations."""
    planned = read_ablations(book_folder("settings") / "ablations", CHAPTERS)
    published = Published.read(folder, CHAPTERS)
    return published, {name: published.of(ablation) for name, ablation in planned.items()}


class InForce:
    """The settings that decide a result, as a table; folders and devices are not among them."""

    def __init__(self, settings: Settings) -> None:
        self.rows = [
            (name, value, _meaning(type(settings), name))
            for name, value in flat(settings.identity()).items()
        ]

    def __repr__(self) -> str:
        width = max((len(name) for name, _, _ in self.rows), default=0)
        return "\n".join(f"{name:{width}}  {_text(value)}" for name, value, _ in self.rows)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td><code>{name}</code></td><td>{html.escape(_text(value))}</td>"
            f"<td>{html.escape(meaning)}</td></tr>\n"
            for name, value, meaning in self.rows
        )
        return (
            f"<details><summary>The {len(self.rows)} settings in force</summary>\n"
            f"<table>\n{cells}</table></details>"
        )


def _meaning(kind: type[Settings], name: str) -> str:
    *groups, last = name.split(".")
    for group in groups:
        kind = kind.model_fields[group].annotation
    return kind.model_fields[last].description


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _injected(cells: Iterable[str]) -> list[str]:
    """Names that papermill's injected cell assigns; the last such cell that was run counts."""
    injected = [cell for cell in cells if cell.startswith("# Parameters\n")]
    if not injected:
        return []
    assignments = [node for node in ast.parse(injected[-1]).body if isinstance(node, ast.Assign)]
    return [target.id for node in assignments for target in node.targets]
