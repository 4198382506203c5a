"""The benchmark of the RIB engine runs, and sees when what it times is not the same thing."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401

from ribnb.method import adaptation

FOLDER = Path(__file__).parent
OPTIONS = {
    "arch": "resnet18",
    "size": "64x64",
    "batch-size": 2,
    "crop": 48,
    "iterations": 2,
    "learning-rate": 1e-4,
    "images": 2,
    "pool": 12,
    "workers": 0,
}
SMALL = [f"--{name}={value}" for name, value in OPTIONS.items()]
PARTS = {"decode_and_resize", "backward", "optimizer", "map_sum", "writing", "other"}
PARTS |= {f"{stages}_{whose}" for stages in ("frozen", "moving") for whose in ("target", "batch")}
ENGINES = {"ours", "released_loop"}


@pytest.fixture
def rib_speed(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("RIBNB_PROGRESS", "off")
    before = set(sys.modules)
    yield importlib.import_module("rib_speed")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == FOLDER:
            del sys.modules[name]


def test_the_engine_is_timed_against_the_authors_loop(rib_speed, tmp_path, capsys):
    path = tmp_path / "result.json"
    assert rib_speed.main([*SMALL, "--repeats", "2", "--output", str(path)]) == 0
    result = json.loads(path.read_text())
    seconds = result["seconds_per_image"]
    assert seconds.keys() == result["shares"].keys() == ENGINES
    pairs = zip(seconds["released_loop"], seconds["ours"], strict=True)
    assert result["ratios"] == pytest.approx([plain / ours for plain, ours in pairs], abs=1e-3)
    assert min(result["ratios"]) <= result["ratio"] <= max(result["ratios"])
    for shares in result["shares"].values():
        assert shares.keys() == PARTS
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
        assert min(shares.values()) >= 0
    assert result["largest_difference"] < 1e-5
    assert result["label_agreement"] > 0.999
    assert result["change_by_the_steps"] > 1e-2  # else any loop would give these maps
    assert result["TFLOP_per_image"]["ours"] < result["TFLOP_per_image"]["released_loop"]
    assert result["peak_TFLOP_per_second"] > 0
    assert result["peak_memory_GiB"] is None
    assert result["targets"] == 2
    assert len(result["load_average"]) == 3
    shown = capsys.readouterr()
    assert "released loop / ours: " in shown.out
    assert "ours, run 2 ..." in shown.err


def test_nothing_stays_patched_and_both_run_the_same_number_of_images(rib_speed, tmp_path):
    backward, take = torch.Tensor.backward, adaptation._take
    comparison = rib_speed.Comparison(rib_speed.parsed(SMALL), tmp_path)
    for run in (comparison.ours, comparison.released):
        clock = rib_speed.PartClock(comparison.device)
        folder = run(comparison.settings, clock)
        names = {f"{comparison.images.ids[target]}.npz" for target in comparison.targets}
        assert {path.name for path in (folder / "maps").iterdir()} == names
        assert clock.seconds["backward"] > 0
    assert (torch.Tensor.backward, adaptation._take) == (backward, take)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_other_maps_are_told(rib_speed, monkeypatch, capsys, precision):
    real = rib_speed.localization_maps

    def other(model, images, settings, *arguments, **options):
        changed = settings.replace(threshold=0.9)
        return real(model, images, changed, *arguments, **options)

    monkeypatch.setattr(rib_speed, "localization_maps", other)
    assert rib_speed.main([*SMALL, "--learning-rate=1e-3", f"--precision={precision}"]) == 1
    assert "the maps are not the same" in capsys.readouterr().err


def test_voc_s_size_is_one_word_and_may_be_changed(rib_speed):
    settings = rib_speed.parsed(["--voc", "--iterations", "2"])
    assert (settings.size, settings.crop, settings.batch_size) == ((375, 500), 512, 20)
    assert settings.iterations == 2
    assert rib_speed.parsed([]).crop < 512


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("NVIDIA H200", "bfloat16", 989.0),
        ("NVIDIA H100 PCIe", "tf32", 378.0),
        ("NVIDIA H100 80GB HBM3", "float32", 67.0),
        ("NVIDIA A100-SXM4-40GB", "tf32", 156.0),
        ("Tesla T4", "float32", 8.1),
        ("Tesla T4", "bfloat16", None),
        ("NVIDIA L40", "float32", None),
    ],
)
def test_a_gpu_is_known_by_its_name(rib_speed, monkeypatch, name, precision, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert rib_speed.matrix_peak(torch.device("cuda"), precision)[0] == peak


def test_a_stored_result_is_of_voc_s_size_and_equal_maps():
    for path in (FOLDER / "results").glob("rib_speed_*.json"):
        result = json.loads(path.read_text())
        arguments = result["arguments"]
        voc = [arguments[name] for name in ("size", "crop", "batch_size", "iterations")]
        assert voc == [[375, 500], 512, 20, 10], path.name
        assert result["seconds_per_image"].keys() == ENGINES
        if arguments["precision"] == "float32":
            assert result["largest_difference"] < 1e-3
        else:
            assert result["label_agreement"] >= 0.98
