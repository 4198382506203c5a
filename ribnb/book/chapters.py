"""Which settings each chapter has, and what every chapter does at its start and its end."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ribnb.book.classifier import VOCClassifierSettings
from ribnb.book.masks import VOCMasksSettings
from ribnb.book.reading import AblationsSettings, PaperAndCodeSettings, ScoreboardSettings
from ribnb.book.scenes import SceneCAMSettings, SceneRIBSettings
from ribnb.book.segmentations import VOCSegmentationSettings
from ribnb.book.splits import VOCRIBSettings
from ribnb.book.toy import RibLossSettings, ToySettings
from ribnb.core.settings import Settings, flat, refuse_unknown
from ribnb.runs.run import Run

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

    display(InForce(settings))
    return settings, run


def finish(run: Run, metrics: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """The run's result, written to its ``output_dir``; says which images were left out and why.

    Arguments and errors are those of ``Run.finish``.
    """
    result = run.finish(metrics, **fields)
    for name, why in (result["failures"] or {}).items():
        print(f"left out: {name}: {why}")
    return result


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
