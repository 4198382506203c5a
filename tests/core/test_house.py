"""The house: its public names, what an import costs, and no import that a contract cannot see."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PUBLIC = {  # room -> names that other people's code may rely on
    "ribnb": "rib_loss gap gndrp class_activation_maps gradient_maps high_gradient_ratio "
    "RIBSettings adapt localization_maps CAMNet",
    "ribnb.data": "DigitScenes VOCImages read_split read_mask write_labels write_scenes "
    "SceneImages",
    "ribnb.nets": "DigitNet CAMNet DeepLabV2 load_classifier fit",
    "ribnb.masks": "seed_masks crf_masks irn_masks random_walk",
    "ribnb.scores": "seed_miou mask_miou score_split",
    "ribnb.runs": "Run load_results results_table execute_chapter",
    "ribnb.exercises": "check_rib_loss check_gndrp check_cam",
}
NO_NETWORK = """
import socket
def refuse(*_):
    raise AssertionError("an import asks the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""
MODULES = sorted((ROOT / "ribnb").rglob("*.py"))


def loaded_by(statement: str, folder: Path) -> set[str]:
    """Top-level modules loaded after a statement in a fresh interpreter, in an empty folder."""
    tell = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    code = f"{NO_NETWORK}\n{statement}\n{tell}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return set(done.stdout.split())


@pytest.mark.parametrize(("room", "names"), PUBLIC.items())
def test_a_room_hands_out_its_public_names(room, names):
    for name in names.split():
        assert callable(getattr(importlib.import_module(room), name))


def test_no_file_shadows_a_public_function_of_its_room():
    for room, names in PUBLIC.items():
        files = {path.stem for path in ROOT.joinpath(*room.split(".")).glob("*.py")}
        assert not files & set(names.split())


@pytest.mark.parametrize(
    "statement",
    ["import ribnb; assert ribnb.__version__", "from ribnb.__main__ import main; main(['--help'])"],
)
def test_neither_the_package_nor_its_help_loads_anything_heavy(tmp_path, statement):
    heavy = {"torch", "torchvision", "numpy", "scipy", "matplotlib", "pandas", "sklearn"}
    loaded = loaded_by(statement, tmp_path)
    assert "ribnb" in loaded
    assert not loaded & {*heavy, "papermill", "pydantic"}


def test_what_a_chapter_imports_loads_no_library_that_it_may_not_need(tmp_path):
    """Each takes seconds: for the embedded digits, nets, to run chapters, to score."""
    rooms = "ribnb.book, ribnb.data, ribnb.exercises, ribnb.figures, ribnb.method, ribnb.scores"
    loaded = loaded_by(f"import {rooms}", tmp_path)
    assert {"torch", "matplotlib"} <= loaded
    assert not loaded & {"sklearn", "torchvision", "papermill", "seaborn", "timm"}


def test_no_module_imports_another_by_a_string():
    """Contracts between rooms see `import` statements alone."""
    name = r"[\"']ribnb\.(?!book\b)[a-z]+\.[a-z_]+[\"']"
    by_string = re.compile(rf"import_module\(|__import__\(|{name}")
    for path in MODULES:
        assert not by_string.search(path.read_text(encoding="utf-8")), path
