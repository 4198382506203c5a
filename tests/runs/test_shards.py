"""Shards that share a run's folder: the one that ends last makes the result."""

import json
import os
from pathlib import Path

import nbformat
import pytest

from ribnb.__main__ import main
from ribnb.book.splits import VOCRIBSettings
from ribnb.core.runner import Kind, RecordedFolder, all_ended, over_images, parse_shard
from ribnb.runs.results import Run

IDS = [f"i{number}" for number in range(7)]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Run a chapter whose maps are text, in this process; gives (exit code, what it ran)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.ipynb").touch()
    ran = []

    def execute(path, output, parameters, result_only=False):
        ran.append((output.name, parameters.get("shard", "0/1")))
        shard = parse_shard(ran[-1][1])
        record = {"rate": parameters.get("rate", 1)}
        files = RecordedFolder(f"{parameters['output_dir']}/masks", kind, record)
        over_images(str, IDS, files, shard=shard)
        if shard[1] == 1:
            (tmp_path / "runs" / "result.json").write_text(json.dumps(files.missing(IDS)))
        nbformat.write(nbformat.v4.new_notebook(), output)
        return output

    kind = Kind("masks", ".txt", "masks.json", Path.read_text, Path.write_text, beside=True)
    monkeypatch.setattr("ribnb.runs.execution.execute_chapter", execute)

    def run(*words):
        ran.clear()
        return main(["run", "tiny.ipynb", "-p", "output_dir=runs", *words]), [*ran]

    return run


def test_who_comes_last_makes_the_result(runs, tmp_path, capsys):
    result = tmp_path / "runs" / "result.json"
    for index in (2, 0):
        shard = f"tiny_shard_{index}_of_3"
        assert runs("-p", f"shard={index}/3") == (0, [(f"{shard}.unfinished.ipynb", f"{index}/3")])
        assert not result.exists()
    assert not all_ended("runs", 3)
    last = [("tiny_shard_1_of_3.unfinished.ipynb", "1/3"), ("tiny.unfinished.ipynb", "0/1")]
    assert runs("-p", "shard=1/3") == (0, last)
    assert json.loads(result.read_text()) == []
    names = {"tiny.ipynb", *(f"tiny_shard_{index}_of_3.ipynb" for index in range(3))}
    assert {path.name for path in (tmp_path / "runs").glob("*.ipynb")} == names
    assert capsys.readouterr().out.endswith("runs/tiny_shard_1_of_3.ipynb\nruns/tiny.ipynb\n")


def test_a_shard_that_failed_or_began_again_has_not_ended(runs, tmp_path):
    assert runs("-p", "shard=0/2")[0] == 0
    assert runs("-p", "shard=1/2", "-p", "rate=2")[0] == 2  # refused by the folder
    assert not (tmp_path / "runs" / "result.json").exists()
    assert [len(ran) for _, ran in (runs("-p", "shard=1/2"), runs())] == [2, 1]
    assert all_ended("runs", 2) and not all_ended("runs", 4)


def test_of_two_that_end_at_the_same_moment_one_makes_the_result(runs, tmp_path):
    assert [len(runs("-p", f"shard={index}/2")[1]) for index in (0, 1)] == [1, 2]
    assert len(runs("-p", "shard=0/2")[1]) == 2, "its result is older than this shard"
    os.utime(tmp_path / "runs" / "result.json", (2e9, 2e9))
    assert len(runs("-p", "shard=0/2")[1]) == 1


def test_a_shard_may_run_again_when_the_result_of_all_is_there(tmp_path):
    def run(**values):
        settings = VOCRIBSettings(output_dir=str(tmp_path), device="cpu", num_images=4, **values)
        return Run("voc_rib", settings)

    how = {"split": "train", "images": 4, "seed": 3}
    run().finish({"seed_miou": 50.0}, **how)
    shard = run(shard="1/2")
    with pytest.raises(ValueError, match="shard is '0/1' there, '1/2' here"):
        shard.finish({"seed_miou": 40.0}, **how)
    with pytest.raises(ValueError, match="variant is"):
        run(shard="1/2", variant="released")
