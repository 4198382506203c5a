"""Runs of chapters, for their tests: small parameters of each, and its cells in this process."""

import contextlib
import io
import json
import os
from pathlib import Path
from unittest import mock

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import torch
from chapters import Book
from small_results import in_groups

from ribnb.core.files import read_maps

_DIGITS = {"seeds": 1, "epochs": 1, "num_images": 200, "hgr_threshold": 0.4}
_SCENES = {"nets": 1, "num_images": 12, "threshold": 0.3}
SMALL = {  # chapter -> parameters for a run of seconds; a group's may stand beside the others
    "toy_bottleneck": _DIGITS,
    "rib_loss": _DIGITS | {"num_adapted": 5, "iterations": 2},
    "cam_and_gndrp": _SCENES,
    "rib": _SCENES | {"iterations": 2, "batch_size": 2},
    "photographs": {"iterations": 2, "long_side": 96},
    "voc_classifier": {"num_images": 8, "num_training": 80, "num_validation": 40, "epochs": 1},
    "voc_rib": {"num_images": 8, "iterations": 2},
    "voc_masks": {"num_images": 8, "retrain": True, "epochs": 1, "batch_size": 4},
    "voc_segmentation": {
        **{"num_images": 8, "num_validation": 5, "steps": 4, "batch_size": 4},
        **{"supervision": ["rib_irn", "truth"], "crf": False},
    },
}
READERS = {  # chapters that read the results of others and leave none
    "ablations": {"resamples": 20},
    "paper_and_code": {"resamples": 20, "seed": 4},
    "scoreboard": {},
}
LEFT = {  # chapter -> the parameter that names what an earlier chapter left
    "voc_masks": {"maps_run": "voc_rib"},
    "voc_segmentation": {"masks": "voc_masks"},
}


def small_on(runs: Path, chapter: str, **changes) -> dict:
    """Small parameters of a chapter on what the earlier ones left in their folders in ``runs``."""
    left = {name: str(runs / earlier) for name, earlier in LEFT.get(chapter, {}).items()}
    return {**SMALL[chapter], **left, **changes}


def code_cells(notebook: Path) -> list:
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def run_chapter(chapter: str, folder: Path | None, to_its_end: bool = False, **parameters) -> dict:
    """Run a chapter's cells in this process, which takes seconds less than a kernel.

    Without ``to_its_end`` the exercises after the result are left out. The result is given, with
    what the chapter prints as ``"printed"``. Parameters of a group may stand beside the others.
    """
    given = in_groups(chapter, parameters)
    if folder:
        given["output_dir"] = str(folder)
    injected = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    namespace = {"__name__": "__main__", "In": [injected]}
    threads, printed = torch.get_num_threads(), io.StringIO()
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    try:
        quiet = mock.patch.dict(os.environ, {"RIBNB_PROGRESS": "off"})
        with quiet, contextlib.redirect_stdout(printed):
            for cell in code_cells(Book().notebook(chapter)):
                if "%pip" not in cell.source:
                    exec(compile(cell.source, chapter, "exec"), namespace)
                if "parameters" in cell.metadata.get("tags", []):
                    exec(injected, namespace)
                if "result" in cell.metadata.get("tags", []) and not to_its_end:
                    break
                if "maps" in cell.metadata.get("tags", []) and "shard" in parameters:
                    break  # as a shard's run ends
    finally:
        plt.close("all")
        torch.set_num_threads(threads)
        matplotlib.use(backend)
    return namespace.get("result", {}) | {"printed": printed.getvalue()}


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def arrays_of(folder: Path) -> dict:
    """Every map file below a folder -> type, shape and bytes of each of its arrays."""
    return {
        str(path.relative_to(folder)): tuple(
            (array.dtype.str, array.shape, array.tobytes()) for array in read_maps(path)
        )
        for path in sorted(folder.rglob("maps/*.npz"))
    }


def without_time(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if name != "seconds_per_image"}
