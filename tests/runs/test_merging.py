"""Shards of a run over a split, merged: equal to the run that was not sharded, or refused."""

import json
import shutil
import subprocess
import sys

import pytest
from plain_adaptation import one_thread  # noqa: F401
from split_runs import result_of, run_chapter, without_time

from ribnb.nets.scene_nets import CHECKPOINTS
from ribnb.runs.merging import main, merge_runs
from ribnb.runs.results import write_result
from ribnb.scores.image_scores import check_against, load_image_scores
from ribnb.scores.split_scores import load_score

# Some images are stopped by either rule, others by none.
SMALL = {"num_images": 7, "iterations": 4, "margin": 11.0, "flood_share": 0.26}
OTHER_NET = str(CHECKPOINTS / "scenes_4.safetensors")
PROVENANCE = ("seconds", "date", "metrics", "shards", "digest")


TOGETHER = "these runs do not belong together: "


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run, its two halves, and a second half for each thing that may differ."""
    folder = tmp_path_factory.mktemp("runs")
    half = {**SMALL, "shard": "1/2"}
    run_chapter("voc_rib", folder / "whole", **SMALL)
    run_chapter("voc_rib", folder / "A", **{**SMALL, "shard": "0/2"})
    run_chapter("voc_rib", folder / "B", **half)
    run_chapter("voc_rib", folder / "iterations", **{**half, "iterations": 3})
    run_chapter("voc_rib", folder / "num_images", **{**half, "num_images": 8})
    run_chapter("voc_rib", folder / "net", **half, classifier=OTHER_NET)
    named = {"num_images": 7, "num_training": 9, "num_validation": 9}
    named["classifier"] = str(CHECKPOINTS / "scenes_3.safetensors")
    run_chapter("voc_classifier", folder / "chapter", **named, shard="1/2")
    run_chapter("voc_classifier", folder / "first", **named, shard="0/2")
    run_chapter("voc_classifier", folder / "both", **named)
    return folder


def merged(runs, *names, output=None) -> dict:
    return merge_runs([runs / name for name in names], output)


# What belongs together --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "shards"),
    [
        ("whole", ["A", "B"]),
        ("whole", ["B", "A"]),
        ("whole", ["whole"]),
        ("both", ["first", "chapter"]),
    ],
)
def test_shards_are_one_run(runs, whole, shards):
    alone, together = result_of(runs / whole), merged(runs, *shards)
    grown = [one["metrics"].pop("logit_growth", None) for one in (together, alone)]
    assert grown[0] == pytest.approx(grown[1])  # a mean of means, up to rounding
    assert (grown[0] is None) == (whole == "both"), "CAMs grow nowhere"
    assert without_time(together["metrics"]) == without_time(alone["metrics"])
    rest = alone.keys() - PROVENANCE
    assert {key: together[key] for key in rest} == {key: alone[key] for key in rest}
    assert together.keys() == {*alone, "shards"}


def test_scores_of_single_images_are_those_of_the_merged_thresholds(runs, tmp_path):
    result = merged(runs, "A", "B", output=tmp_path)
    together, alone = load_image_scores(tmp_path), load_image_scores(runs / "whole")
    check_against(result, together)
    assert together.thresholds == alone.thresholds
    for name, matrix in alone.confusions.items():
        assert (together.in_order(alone.ids, name) == matrix).all()
    for path in (runs / "A" / "maps").glob("*.npz"):
        if path.stem in alone.ids:
            break
    without = tmp_path / "without"
    for name in ("A", "B"):
        shutil.copytree(runs / name, without / name)
    (without / "A" / "maps" / path.name).unlink()
    merged(without, "A", "B", output=without / "out")
    assert not (without / "out" / "image_scores.npz").exists()


def test_the_runs_are_no_trivial_ones(runs):
    """Or the tests of merging would not see what is not added up."""
    metrics = result_of(runs / "whole")["metrics"]
    assert (metrics["stopped_margin"], metrics["stopped_flood"]) == (2, 2)
    assert result_of(runs / "whole")["metrics"]["seed_miou"] != pytest.approx(
        sum(result_of(runs / name)["metrics"]["seed_miou"] for name in ("A", "B")) / 2
    )


def test_time_and_origin_of_all_shards_are_kept(runs):
    first, second = result_of(runs / "A"), result_of(runs / "B")
    together = merged(runs, "A", "B")
    assert together["seconds"] == pytest.approx(first["seconds"] + second["seconds"])
    assert together["date"] == max(first["date"], second["date"])
    mean = [one["metrics"]["seconds_per_image"] * one["images"] for one in (first, second)]
    assert together["metrics"]["seconds_per_image"] == pytest.approx(sum(mean) / 7)
    assert [one["shard"] for one in together["shards"]] == ["0/2", "1/2"]
    assert [one["images"] for one in together["shards"]] == [4, 3]


def test_what_is_written_is_what_is_given(runs, tmp_path):
    together = merged(runs, "A", "B", output=tmp_path / "C")
    assert result_of(tmp_path / "C") == together
    written = {"result.json", "scores.npz", "image_scores.npz", "maps", "steps", "maps.json", "cam"}
    assert {path.name for path in (tmp_path / "C").iterdir()} == written
    score, whole = load_score(tmp_path / "C"), load_score(runs / "whole")
    assert (score.split, score.scored) == (whole.split, whole.scored)
    assert all(
        (score.confusions[name] == whole.confusions[name]).all() for name in ("seeds", "cam")
    )
    # the shards' maps lie there as one run leaves them, steps and records included
    for kind in ("maps/*.npz", "steps/*.json", "cam/maps/*.npz", "maps.json", "cam/maps.json"):
        found = {p.name: p.read_bytes() for p in (tmp_path / "C").glob(kind)}
        there = {p.name: p for p in (runs / "whole").glob(kind)}
        assert found.keys() == there.keys() != set()
        if "npz" in kind:
            assert all(found[name] == path.read_bytes() for name, path in there.items())
    # once more, from one folder: a merged run is a run
    assert merge_runs([tmp_path / "C"])["metrics"] == together["metrics"]


def test_from_other_devices_and_numbers_of_workers(runs, tmp_path):
    shutil.copytree(runs / "B", tmp_path / "B")
    result = result_of(tmp_path / "B")
    result["device"], result["settings"]["device"] = "NVIDIA H200", "cuda"
    result["settings"]["workers"] = 4
    write_result(tmp_path / "B", result)
    together = merge_runs([runs / "A", tmp_path / "B"])
    assert together["device"] == [result_of(runs / "A")["device"], "NVIDIA H200"]
    assert together["settings_hash"] == result_of(runs / "whole")["settings_hash"]


def test_the_command_writes_the_result(runs, tmp_path):
    """As a person calls it."""
    command = [sys.executable, "-m", "ribnb.runs.merging", runs / "A", runs / "B", "-o", "C"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "C/result.json"
    alone = result_of(runs / "whole")["metrics"]
    assert without_time(result_of(tmp_path / "C")["metrics"]) == without_time(alone)


def test_without_an_output_folder_the_result_is_printed(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(runs / "A"), str(runs / "B")]) == 0
    assert json.loads(capsys.readouterr().out) == merged(runs, "A", "B")
    assert list(tmp_path.iterdir()) == []


# What does not ----------------------------------------------------------------------------


def refused(folders, capsys, *options) -> str:
    """What the command says of these folders, after making sure that it ends with 2."""
    assert main([*map(str, folders), *map(str, options)]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in said
    return said.strip()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["A", "A"], "image s3_train_000000 is in {A} and in {A}"),
        (["A", "B", "A"], "image s3_train_000000 is in {A} and in {A}"),
        (["whole", "B"], "image s3_train_000001 is in {whole} and in {B}"),
        (["A"], "3 of the split's 7 images are in none of the runs, such as s3_train_000001"),
        (["B"], "4 of the split's 7 images are in none of the runs, such as s3_train_000000"),
        (
            ["A", "iterations"],
            TOGETHER + "iterations is 4 in {A}, 3 in {iterations}",
        ),
        (
            ["A", "num_images"],
            TOGETHER + "num_images is 7 in {A}, 8 in {num_images}",
        ),
        (["A", "net"], TOGETHER + "weights is '"),
        (["A", "chapter"], "{A} is of voc_rib, {chapter} of voc_classifier"),
        (["A", "none"], "{none} holds no result.json: its run is not finished, or not there"),
    ],
)
def test_refuses_what_does_not_belong_together(runs, capsys, names, message):
    folders = {name: runs / name for name in names}
    said = refused([runs / name for name in names], capsys)
    assert said.startswith(message.format(**folders))


@pytest.fixture
def half(runs, tmp_path):
    """A copy of the second half, to be damaged."""
    return shutil.copytree(runs / "B", tmp_path / "half")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores.npz", b"", "scores.npz cannot be read"),
        ("scores.npz", b"PK\x03\x04 half a file", "scores.npz cannot be read"),
        ("scores.npz", None, "half holds no scores.npz: it is no finished run over a split"),
        ("result.json", b'{"format": 2, "metr', "result.json is not whole JSON"),
        ("result.json", b'{"format": 1}', "result.json is of format 1, older than this version's"),
        ("result.json", b"[]", "result.json is no result of a run"),
        ("result.json", None, "half holds no result.json: its run is not finished"),
    ],
)
def test_refuses_a_folder_that_is_damaged(runs, half, capsys, name, content, message):
    (half / name).unlink() if content is None else (half / name).write_bytes(content)
    assert message in refused([runs / "A", half], capsys)


@pytest.mark.parametrize("key", ["inputs", "failures", "date"])
def test_refuses_a_result_that_lacks_something(runs, half, capsys, key):
    result = result_of(half)
    del result[key]
    write_result(half, result)
    said = refused([runs / "A", half], capsys)
    assert "is no result of a run over a split" in said or "run: it lacks date" in said


def test_refuses_a_result_that_was_edited_or_is_stale(runs, half, capsys):
    result = result_of(half)
    result["metrics"]["stopped_margin"] += 1
    (half / "result.json").write_text(json.dumps(result))
    assert "half/result.json was edited after it was written" in refused([runs / "A", half], capsys)
    del result["settings"]["rib"]["margin_rule"]
    write_result(half, result)
    said = refused([runs / "A", half], capsys)
    assert "half/result.json is stale: voc_rib" in said


def test_refuses_the_result_of_another_kind_of_chapter(runs, half, capsys):
    write_result(half, result_of(half) | {"chapter": "rib"})
    said = refused([runs / "A", half], capsys)
    assert "is no result of a run over a split, of voc_classifier or voc_rib" in said


def test_does_not_write_over_a_shard_or_another_result(runs, half, tmp_path, capsys):
    before = (half / "result.json").read_bytes()
    assert "which holds a shard's" in refused([runs / "A", half], capsys, "-o", half)
    assert (half / "result.json").read_bytes() == before
    shutil.copytree(runs / "iterations", tmp_path / "taken")
    said = refused([runs / "A", half], capsys, "-o", tmp_path / "taken")
    assert "is a result of other settings; choose another folder" in said
    assert result_of(tmp_path / "taken") == result_of(runs / "iterations")
    (tmp_path / "taken" / "result.json").write_text("half a")
    said = refused([runs / "A", half], capsys, "-o", tmp_path / "taken")
    assert "result.json is not whole JSON" in said


def test_does_not_write_over_the_run_that_was_not_sharded(runs, tmp_path, capsys):
    shutil.copytree(runs / "whole", tmp_path / "whole")
    said = refused([runs / "A", runs / "B"], capsys, "-o", tmp_path / "whole")
    assert "is of a run that was not sharded; choose another folder" in said
    assert result_of(tmp_path / "whole") == result_of(runs / "whole")


def test_help_is_that_of_the_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "python -m ribnb.runs.merging" in capsys.readouterr().out


def test_merging_nothing_and_a_folder_without_a_run_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    capsys.readouterr()
    assert "holds no result.json" in refused([tmp_path], capsys)
