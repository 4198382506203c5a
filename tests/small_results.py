"""Made-up results, for tests of what reads them."""

from pathlib import Path

import numpy as np

from ribnb.book.chapters import CHAPTERS
from ribnb.core.files import write_json
from ribnb.core.parameters import nested
from ribnb.runs.results import signed
from ribnb.scores.image_scores import FILE, ImageScores

ORACLE = "oracle"
NAMES = """format chapter metrics spread per_class_iou split images threshold threshold_choice
post_processing inputs failures settings settings_hash seed git_commit versions device seconds date
digest"""
FIELDS = {*NAMES.split()}
NEEDED = {  # on VOC: what an earlier chapter left, which no file of settings can know
    "voc_rib": {"classifier": "net.safetensors"},
    "voc_masks": {"maps_run": "runs/rib"},
    "voc_segmentation": {"masks": "runs/masks"},
}


def in_groups(chapter: str, parameters: dict) -> dict:
    """The parameters, where names of a group's fields may stand beside the chapter's own."""
    kind, dotted = CHAPTERS[chapter], {}
    groups = {key: value for key, value in kind().as_dict().items() if isinstance(value, dict)}
    for name, value in parameters.items():
        group = [key for key, fields in groups.items() if name in fields]
        dotted[name if name in kind.model_fields else ".".join([*group, name])] = value
    return nested(dotted)


def made_up(chapter: str = "voc_rib", metrics: dict | None = None, **parameters) -> dict:
    """A whole result of these parameters; what no setting decides is always the same."""
    if chapter.startswith("voc_"):
        parameters = {"seed": 3, **parameters}
    settings = CHAPTERS[chapter].from_mapping(in_groups(chapter, parameters))
    return signed(
        {
            "chapter": chapter,
            "metrics": {"seed_miou": 50.0} if metrics is None else metrics,
            "split": "train",
            "images": 100,
            "threshold": 0.2,
            "threshold_choice": ORACLE,
            "post_processing": "none",
            "settings": {k: v for k, v in settings.as_dict().items() if k != "output_dir"},
            "settings_hash": settings.hash(),
            "seed": parameters.get("seed", [0, 1]),
            "git_commit": "0" * 40,
            "device": "CPU",
            "date": "2026-01-01T00:00:00+00:00",
        }
    )


def put(folder: Path, result: dict | None = None, **values) -> Path:
    """A result as a file below a folder; ``values`` are those of ``made_up``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "result.json", signed(result or made_up(**values)))
    return folder / "result.json"


def put_scores(folder: Path, percent: int) -> Path:
    """Scores of one image beside a result, of this mIoU."""
    right, wrong = 2 * percent, 100 - percent
    matrix = np.array([[[right, wrong], [wrong, right]]])
    ImageScores(("0",), {"seeds": matrix}, {"seeds": 0.2}, ("a",)).save(folder)
    return folder / FILE


def at(path: str, value: float = 50.0, **values) -> dict:
    """A result with this seed_miou that lies there."""
    return made_up(**{"metrics": {"seed_miou": value}, **values}) | {"path": path}


def three(values=(50.0, 52.0, 57.0), name="", **parameters) -> list[dict]:
    """The same with each of the seeds 3 to 5."""
    return [
        at(f"{name}{seed}", value, seed=seed, **parameters)
        for seed, value in zip((5, 3, 4), values, strict=True)
    ]
