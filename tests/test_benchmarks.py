"""The benchmarks run, and see when what they time is not the same thing."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
from plain_adaptation import one_thread  # noqa: F401

FOLDER = Path(__file__).parent / "benchmarks"
OPTIONS = {
    "arch": "resnet18",
    "size": "60x45",
    "batch-size": 2,
    "crop": 64,
    "iterations": 3,
    "learning-rate": 1e-4,
    "repeats": 1,
}
SMALL = [f"--{name}={value}" for name, value in OPTIONS.items()]


@pytest.fixture
def rib_engine():
    spec = importlib.util.spec_from_file_location("rib_engine", FOLDER / "rib_engine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_engine_is_timed_against_the_plain_loop(rib_engine, tmp_path, capsys):
    assert rib_engine.main([*SMALL, "--output", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert {name: len(times) for name, times in result["seconds"].items()} == {
        "adapt": 1,
        "plain": 1,
    }
    assert result["ratio"] == pytest.approx(
        result["seconds"]["plain"][0] / result["seconds"]["adapt"][0], abs=1e-3
    )
    assert result["largest_difference"] < 1e-5
    assert result["change_by_the_steps"] > 1e-2  # else any loop would give these maps
    assert result["peak_memory_GiB"] == {"adapt": None, "plain": None}
    assert len(result["load_average"]) == 3
    assert "plain / adapt: " in capsys.readouterr().out


def test_other_maps_are_told(rib_engine, monkeypatch, capsys):
    real = rib_engine.adapt

    def other(model, views, labels, batches, settings):
        return real(model, views, labels, batches, dataclasses.replace(settings, threshold=0.6))

    monkeypatch.setattr(rib_engine, "adapt", other)
    assert rib_engine.main(SMALL) == 1
    assert "the maps are not the same" in capsys.readouterr().err
