"""Each chapter alone, with small parameters and nothing but the installed package."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from unittest import mock

import nbformat
import pytest
from chapters import Book
from conftest import ROOT
from nbformat.v4 import new_code_cell
from small_results import FIELDS, in_groups
from split_runs import READERS, SMALL, code_cells, result_of

from ribnb.book.chapters import CHAPTERS
from ribnb.core.settings import flat
from ribnb.data.digits import REGIONS
from ribnb.runs.execution import execute_chapter

_SPLIT = """
seed_miou seed_threshold seed_iou_per_class cam_seed_miou cam_seed_threshold
released_range_seed_miou released_range_seed_threshold released_range_cam_seed_miou
released_range_cam_seed_threshold images failed stopped_margin stopped_flood seconds_per_image
"""
METRICS = {  # chapter -> the names that its metrics have
    "toy_bottleneck": "hgr accuracy",
    "rib_loss": "rib bce theta_0_scale accuracy",
    "cam_and_gndrp": "map cam_on_parts kept_by_gndrp cam_seed_miou",
    "rib": "map seed_miou seed_miou_cross_fitted seed_miou_gain_by_step logit_by_step steps "
    "part_recall_at_cam_precision",
    "voc_classifier": f"map {_SPLIT}",
    "voc_rib": f"logit_growth {_SPLIT}",
    "voc_masks": "mask_miou boundary_f images failed",
    "voc_segmentation": "val_miou val_iou_per_class boundary_f val_miou_by_seed seeds images "
    "failed",
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
    notebook = nbformat.read(Book().notebook(chapter), as_version=4)
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


def said(executed) -> tuple[str, str]:
    """What a chapter wrote to stderr (warnings and progress bars), and all of its outputs."""
    outputs = [output for cell in code_cells(executed) for output in cell.outputs]
    stderr = "".join(output.text for output in outputs if output.get("name") == "stderr")
    return stderr, json.dumps(outputs)


def test_every_chapter_with_parameters_is_run_alone():
    assert SMALL.keys() | READERS.keys() == CHAPTERS.keys()


@pytest.mark.parametrize("given", [{}, {"results": "none"}])
@pytest.mark.parametrize("chapter", READERS)
def test_a_chapter_that_reads_results_says_which_are_missing(chapter, given, installed, tmp_path):
    """Those of the package are all there."""
    (tmp_path / "none").mkdir()
    given = {name: str(tmp_path / folder) for name, folder in given.items()}
    stderr, shown = said(run_alone(chapter, installed, tmp_path, **READERS[chapter], **given))
    assert stderr == ""
    assert ("make ablations" in shown) == bool(given)


@pytest.mark.parametrize("chapter", SMALL)
def test_a_chapter_runs_alone_and_its_result_has_its_provenance(chapter, installed, tmp_path):
    small, given = SMALL[chapter], in_groups(chapter, SMALL[chapter])
    folder = tmp_path / "run"
    stderr, _ = said(run_alone(chapter, installed, tmp_path, **given, output_dir=str(folder)))
    assert stderr == ""
    result = result_of(folder)
    assert result.keys() == FIELDS
    assert result["chapter"] == chapter
    kept = flat(result["settings"])
    assert {name: kept[name] for name in flat(given)} == flat(given)
    assert result["settings_hash"] == CHAPTERS[chapter](**given).hash()
    assert result["metrics"].keys() == {*METRICS[chapter].split()}
    if chapter.startswith("voc_"):
        assert result["seed"] == 3
        scored = "num_validation" if chapter == "voc_segmentation" else "num_images"
        assert (result["images"], result["failures"]) == (small[scored], {})
        assert result["inputs"]
        assert all(len(digest) == 12 for digest in result["inputs"].values())
    else:
        assert result["seed"] == [3 if "nets" in small else 0]
    if chapter in ("toy_bottleneck", "rib_loss"):
        assert result["threshold"] == 0.4
        groups, length = (("hgr",), 6) if chapter == "toy_bottleneck" else (("rib", "bce"), 3)
        for group, region in product(groups, REGIONS):
            values = result["metrics"][group][region]
            assert len(values) == length and all(0 <= value <= 1 for value in values)
            assert result["spread"][group][region] == [0] * length, "of one net"
    elif chapter != "voc_segmentation":  # a network has no threshold
        assert "oracle" in result["threshold_choice"]
