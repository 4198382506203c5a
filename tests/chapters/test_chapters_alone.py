"""Each chapter alone, with small parameters and nothing but the installed package."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell
from small_results import FIELDS, in_groups
from test_chapters import BOOK, SETTINGS, code_cells
from test_notebooks_stored import WITHOUT_PARAMETERS

from ribnb.book.chapters import CHAPTERS
from ribnb.book.scenes import TRAINED
from ribnb.core.settings import flat
from ribnb.data.digits import REGIONS
from ribnb.runs.execution import execute_chapter

SMALL = {"seeds": 1, "epochs": 1, "num_images": 200, "hgr_threshold": 0.4}
SCENES = {"nets": 1, "num_images": 24, "threshold": 0.3}
SMALL_RUNS = {
    "toy_bottleneck": SMALL,
    "rib_loss": SMALL | {"num_adapted": 5, "iterations": 2},
    "cam_and_gndrp": SCENES,
    "rib": SCENES | {"iterations": 2, "batch_size": 2},
    "voc_classifier": {"num_images": 12, "num_training": 80, "num_validation": 40, "epochs": 1},
    "voc_rib": {"num_images": 12, "iterations": 3, "seed": 4},
    "voc_masks": {"num_images": 12, "retrain": True, "epochs": 1, "seed": 4},
    "voc_segmentation": {"num_images": 16, "num_validation": 4, "steps": 3, "crf": False},
}
READERS = {  # chapters that read the results of others and leave none
    "ablations": {"resamples": 20},
    "paper_and_code": {"resamples": 20, "seed": 4},
    "scoreboard": {},
}

SPLIT_METRICS = {
    "seed_miou",
    "seed_threshold",
    "seed_iou_per_class",
    "cam_seed_miou",
    "cam_seed_threshold",
    "released_range_seed_miou",
    "released_range_seed_threshold",
    "released_range_cam_seed_miou",
    "released_range_cam_seed_threshold",
    "images",
    "failed",
    "stopped_margin",
    "stopped_flood",
    "seconds_per_image",
}
SCENE_METRICS = {
    "voc_classifier": {"map", *SPLIT_METRICS},
    "voc_rib": {"logit_growth", *SPLIT_METRICS},
    "voc_masks": {"mask_miou", "boundary_f", "images", "failed"},
    "voc_segmentation": {
        "val_miou",
        "val_iou_per_class",
        "boundary_f",
        "val_miou_by_seed",
        "seeds",
        "images",
        "failed",
    },
    "cam_and_gndrp": {"map", "cam_on_parts", "kept_by_gndrp", "cam_seed_miou"},
    "rib": {
        "map",
        "seed_miou",
        "seed_miou_cross_fitted",
        "seed_miou_gain_by_step",
        "logit_by_step",
        "steps",
        "part_recall_at_cam_precision",
    },
}


def pip(*words) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds nothing but the package, installed from its wheel."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(
        ROOT / "ribnb", folder / "source" / "ribnb", ignore=shutil.ignore_patterns("__pycache__")
    ).parent
    for name in ("results", "settings"):
        shutil.copytree(ROOT / "book" / name, source / "book" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    here = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    pip("wheel", "--no-deps", *here, "--wheel-dir", folder, source)
    (wheel,) = folder.glob("ribnb-*.whl")
    pip("install", "--no-deps", "--target", folder / "site", wheel)
    return folder / "site"


def run_alone(chapter: str, installed: Path, folder: Path, **parameters):
    """The chapter, executed in an empty folder with nothing but the package."""
    copied = folder / "copy" / f"{chapter}.ipynb"
    copied.parent.mkdir()
    notebook = nbformat.read(BOOK.notebook(chapter), as_version=4)
    notebook.cells.append(new_code_cell("import ribnb\nprint(ribnb.__file__)"))
    nbformat.write(notebook, copied)
    (folder / "empty").mkdir()
    before = Path.cwd()
    os.chdir(folder / "empty")
    try:
        with mock.patch.dict(os.environ, PYTHONPATH=str(installed)):
            executed = execute_chapter(copied, folder / "executed.ipynb", parameters)
    finally:
        os.chdir(before)
    assert list((folder / "empty").iterdir()) == []
    assert code_cells(executed)[-1].outputs[0].text.strip() == str(installed / "ribnb/__init__.py")
    return executed


def warned(executed) -> str:
    """What a chapter wrote to stderr: warnings and progress bars."""
    outputs = [output for cell in code_cells(executed) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.get("name") == "stderr")


def shown(executed) -> str:
    """All outputs of a chapter."""
    return json.dumps([cell.outputs for cell in code_cells(executed)])


@pytest.fixture(scope="module", params=SMALL_RUNS)
def small_run(request, installed, tmp_path_factory):
    """A chapter and what its run alone left: (name, executed, result)."""
    chapter, folder = request.param, tmp_path_factory.mktemp(request.param)
    given = in_groups(chapter, SMALL_RUNS[chapter]) | {"output_dir": str(folder / "run")}
    executed = run_alone(chapter, installed, folder, **given)
    return chapter, executed, json.loads((folder / "run" / "result.json").read_text())


def test_every_chapter_with_parameters_is_run_alone():
    assert SMALL_RUNS.keys() | READERS.keys() == CHAPTERS.keys()
    assert set(BOOK.chapters()) - CHAPTERS.keys() == WITHOUT_PARAMETERS


@pytest.mark.parametrize("chapter", READERS)
def test_a_chapter_that_reads_results_finds_those_of_the_package(chapter, installed, tmp_path):
    executed = run_alone(chapter, installed, tmp_path, **READERS[chapter])
    assert warned(executed) == ""
    assert "make ablations" not in shown(executed)  # which would say that some are missing


@pytest.mark.parametrize("chapter", READERS)
def test_a_chapter_that_reads_results_says_which_are_missing(chapter, installed, tmp_path):
    (tmp_path / "none").mkdir()
    given = READERS[chapter] | {"results": str(tmp_path / "none")}
    executed = run_alone(chapter, installed, tmp_path, **given)
    assert warned(executed) == ""
    assert "make ablations" in shown(executed)


def test_a_chapter_runs_alone_without_progress_bars_and_warnings(small_run):
    _, executed, _ = small_run
    assert warned(executed) == ""


def test_the_result_of_a_chapter_has_its_provenance(small_run):
    chapter, _, result = small_run
    assert result.keys() == FIELDS
    assert result["chapter"] == chapter
    if chapter.startswith("voc_"):
        given = SMALL_RUNS[chapter]
        assert result["seed"] == given.get("seed", 3)
        scored = "num_validation" if chapter == "voc_segmentation" else "num_images"
        assert result["images"] == given[scored]
        assert result["failures"] == {}
        assert result["inputs"]
        assert all(len(digest) == 12 for digest in result["inputs"].values())
    else:
        assert result["seed"] == [TRAINED[0] if "nets" in SMALL_RUNS[chapter] else 0]
    if "hgr_threshold" in SMALL_RUNS[chapter]:
        assert result["threshold"] == 0.4
    elif chapter != "voc_segmentation":  # a network has no threshold
        assert "oracle" in result["threshold_choice"]
    given = in_groups(chapter, SMALL_RUNS[chapter])
    kept = flat(result["settings"])
    assert {name: kept[name] for name in flat(given)} == flat(given)
    assert result["settings_hash"] == SETTINGS[chapter](**given).hash()


def test_the_metrics_of_a_chapter_have_their_fixed_names(small_run):
    chapter, _, result = small_run
    metrics = result["metrics"]
    if chapter in SCENE_METRICS:
        assert metrics.keys() == SCENE_METRICS[chapter]
        return
    groups, length = (("hgr",), 6) if chapter == "toy_bottleneck" else (("rib", "bce"), 3)
    assert 0 <= metrics["accuracy"] <= 1
    for group in groups:
        assert metrics[group].keys() == result["spread"][group].keys() == set(REGIONS)
        for region in REGIONS:
            assert len(metrics[group][region]) == len(result["spread"][group][region]) == length
            assert all(0 <= value <= 1 for value in metrics[group][region])
            assert result["spread"][group][region] == [0] * length  # there is one net
    # Both losses start from the same maps.
    starts = [[metrics[group][region][0] for region in REGIONS] for group in groups]
    assert starts[0] == starts[-1]
