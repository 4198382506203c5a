"""Runs: result files with their provenance, their tables, and the command line."""

import datetime
import importlib.metadata
import io
import json
import os
import re
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from small_results import CHAPTERS, FIELDS

from ribnb.__main__ import main
from ribnb.book.scenes import ToySettings
from ribnb.runs import Run, execute_chapter, load_results
from ribnb.runs.results import digest, stale

METRICS = {"hgr": {"background": [0.9, 0.1]}, "accuracy": 0.98}


def settings(folder="", **values) -> ToySettings:
    return ToySettings(output_dir=str(folder), **values)


def finish(folder, metrics=METRICS, chapter="toy_bottleneck", **values) -> dict:
    """A run from its start to its result."""
    run = Run(chapter, settings(folder, **values))
    given = {"inputs": {"weights": "0123abcd"}, "failures": {"2007_000032": "it has no mask"}}
    return run.finish(metrics, split="test", images=100, seed=[0, 1], threshold=0.3, **given)


# One run ----------------------------------------------------------------------------------


def test_the_result_holds_all_provenance(tmp_path):
    result = finish(tmp_path / "a" / "b", seeds=2)
    assert json.loads((tmp_path / "a" / "b" / "result.json").read_text()) == result
    assert result.keys() == FIELDS
    assert load_results(tmp_path) == [{**result, "path": str(tmp_path / "a/b/result.json")}]
    assert str(tmp_path) not in (tmp_path / "a" / "b" / "result.json").read_text()
    assert stale(result, CHAPTERS) == ""
    assert result["metrics"] == METRICS
    assert result["failures"] == {"2007_000032": "it has no mask"}
    assert (result["split"], result["images"], result["seed"]) == ("test", 100, [0, 1])
    assert result["settings_hash"] == settings(seeds=2).hash()
    assert {"python", "ribnb", "torch", "numpy"} <= result["versions"].keys()
    assert result["versions"]["torch"] == importlib.metadata.version("torch")
    assert result["git_commit"] is None or re.fullmatch(r"[0-9a-f]{40}\+?", result["git_commit"])
    assert result["device"].startswith(("CPU", "Apple", "NVIDIA", "Tesla"))
    assert result["seconds"] >= 0
    assert datetime.datetime.fromisoformat(result["date"]).tzinfo is not None


def test_an_output_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file, not a folder")
    with pytest.raises(OSError, match=f"cannot write to output_dir = '{taken}/deeper'"):
        Run("toy_bottleneck", settings(taken / "deeper"))
    assert taken.read_text() == "a file, not a folder"


def test_a_result_of_other_settings_is_not_overwritten(tmp_path):
    finish(tmp_path, seeds=2)
    with pytest.raises(ValueError, match=r"seeds is 2 there, 3 here\)\. Choose another output_dir"):
        Run("toy_bottleneck", settings(tmp_path, seeds=3, device="cpu"))
    with pytest.raises(ValueError, match="a result of other settings"):
        Run("rib_loss", settings(tmp_path, seeds=2))
    assert json.loads((tmp_path / "result.json").read_text())["settings"]["seeds"] == 2


def test_a_run_may_be_repeated_with_the_same_settings_on_another_device(tmp_path):
    finish(tmp_path, {"accuracy": 0.1})
    finish(tmp_path, {"accuracy": 0.9}, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads((tmp_path / "result.json").read_text())["metrics"] == {"accuracy": 0.9}


def test_what_is_no_whole_result_is_not_overwritten_and_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="metric accuracy is nan"):
        finish(tmp_path, {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []
    content = '{"format": 2, "metr'
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"result\.json is there already, and is .*output_dir"):
        finish(tmp_path)
    assert (tmp_path / "result.json").read_text() == content


# The command line -------------------------------------------------------------------------


@pytest.fixture
def chapter(tmp_path, folder):
    """A notebook that notes its parameters in a file where it runs, and fails if told so."""
    parameters = 'number: int = 1\nrate: float = 1.0\nswitch: bool = False\nword: str = "a"'
    parameters += '\noutput_dir: str = ""'
    note = "import json; json.dump([number, rate, switch, word], open('noted.json', 'w'))"
    cells = [
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new_code_cell(note),
        new_code_cell(
            "import warnings; warnings.warn('odd:\\n  a table') if number == 3 else None"
        ),
        new_code_cell('assert word != "wrong", "told to fail"'),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "tiny.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    folder = tmp_path / "working"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def noted(folder) -> list:
    return json.loads((folder / "noted.json").read_text())


def test_words_arrive_as_they_were_typed_over_those_of_a_file_and_the_home_folder_is_found(
    chapter, folder, capsys, monkeypatch
):
    monkeypatch.setenv("HOME", str(folder / "at home"))
    (folder / "some.yml").write_text("word: 1.10\nnumber: 7\nswitch: true\noutput_dir: ~/x y\n")
    words = ["-f", "some.yml", "-p", "rate=1e-3", "-p", "number=3"]
    assert main(["run", str(chapter), *words]) == 0
    assert noted(folder) == [3, 1e-3, True, "1.10"]
    out, error = capsys.readouterr()
    assert out.strip() == f"{folder}/at home/x y/tiny.ipynb" and (folder / out.strip()).is_file()
    assert error.splitlines()[-2:] == ["odd:", "  a table"]
    assert main(["run", str(chapter), "-p", "word=2012_05", "-p", "rate=1.10"]) == 0
    assert noted(folder) == [1, 1.1, False, "2012_05"]


def test_a_run_that_fails_ends_with_1_and_keeps_the_notebook_of_one_that_did_not(
    chapter, folder, capsys
):
    before = b"of a run before"
    (folder / "done.ipynb").write_bytes(before)
    assert main(["run", str(chapter), "-o", "done.ipynb", "-p", "word=wrong"]) == 1
    assert "tiny.ipynb failed: AssertionError: told to fail" in capsys.readouterr().err
    assert (folder / "done.ipynb").read_bytes() == before
    assert (folder / "done.unfinished.ipynb").is_file()


def test_other_mistakes_end_with_2_and_their_message(chapter, folder, capsys):
    (folder / "list.yml").write_text("- 1\n- 2\n")
    for words, message in (
        (["missing.ipynb"], "no chapter at missing.ipynb"),
        ([str(chapter), "-p", "numbr=3"], "tiny.ipynb has no parameter 'numbr'; did you mean 'nu"),
        ([str(chapter), "-p", "number"], "'number' is not of the form NAME=VALUE"),
        ([str(chapter), "-p", "output_dir=list.yml/deeper"], "list.yml"),
    ):
        assert main(["run", *words]) == 2
        assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["list.yml"], "nothing was run"


# Runs over a split ------------------------------------------------------------------------


def test_without_an_output_folder_a_run_works_in_one_that_vanishes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run, other = Run("toy_bottleneck", settings()), Run("toy_bottleneck", settings())
    folder = run.work_folder
    assert folder.is_dir()
    assert run.work_folder == folder != other.work_folder
    (folder / "maps").mkdir()
    result = finish("")
    assert (result["metrics"], result["digest"]) == (METRICS, digest(result))
    del run, other
    assert list(tmp_path.iterdir()) == []


# Progress ---------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "ttyname"), reason="this system has no terminals")
@pytest.mark.parametrize(("terminal", "variable"), [(True, None), (False, "off")])
def test_bars_go_to_the_terminal_and_never_into_the_notebook(
    chapter, tmp_path, monkeypatch, terminal, variable
):
    notebook = nbformat.read(chapter, as_version=4)
    source = "from ribnb.core.runner import progress\nlist(progress(range(3), 'walking'))"
    notebook.cells.append(new_code_cell(source))
    nbformat.write(notebook, chapter)
    screen, other_end = os.openpty()
    os.set_blocking(screen, False)
    with open(other_end, "w") if terminal else io.StringIO() as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setenv("RIBNB_PROGRESS", variable or "")
        if not variable:
            monkeypatch.delenv("RIBNB_PROGRESS")
        executed = execute_chapter(chapter, tmp_path / "out.ipynb")
        try:
            shown = os.read(screen, 10_000)
        except BlockingIOError:
            shown = b""
    assert (b"walking" in shown) == terminal
    assert "walking:" not in executed.read_text()
