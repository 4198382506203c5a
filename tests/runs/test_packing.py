"""Archives of results: what is packed, and that verify finds whatever happened to one since."""

import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from small_results import made_up, put, put_scores

from ribnb.runs.packing import MANIFEST, pack, unsafe
from ribnb.runs.result_files import signed
from ribnb.runs.run import main
from ribnb.runs.verifying import verify

PACKED = {
    "a/result.json",
    "a/scores.npz",
    "a/image_scores.npz",
    "a/parameters.yml",
    "a/voc_rib.ipynb",
    "a/log.txt",
    "b/deeper/result.json",
    "table.csv",
    "batch.log",
}
MAPS = {"a/maps/0.npz", "a/maps.json", "a/steps/0.json", "a/cam/maps/0.npz", "a/cam/maps.json"}
ELSE = {".hidden/x.log", "a/.result.json.77", "a/notes.txt", "a/classifier.safetensors", "a/x.npz"}


@pytest.fixture
def runs(tmp_path):
    """A folder with two results and all that may lie beside them."""
    folder = tmp_path / "runs"
    put(folder / "a", seed=3)
    put(folder / "b" / "deeper", chapter="toy_bottleneck")
    for name in PACKED | MAPS | ELSE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name != "result.json":
            path.write_text(f"this is {name}\n")
    put_scores(folder / "a", 50)
    return folder


@pytest.fixture
def archive(runs, tmp_path) -> Path:
    return pack(runs, tmp_path / "out" / "results.zip")[0]


def content(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def command(capsys, *words) -> tuple[int, list[str], list[str]]:
    code = main([str(word) for word in words])
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return code, out.splitlines(), error.splitlines()


# What is packed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, PACKED),
        ({"maps": True}, PACKED | MAPS),
        ({"notebooks": False}, PACKED - {"a/voc_rib.ipynb"}),
    ],
)
def test_results_and_what_belongs_to_them_are_packed(runs, tmp_path, options, names):
    path, files = pack(runs, tmp_path / "a.zip", **options)
    found = content(path)
    assert found.keys() == names | {MANIFEST, "environment.json"}
    assert all(found[name] == (runs / name).read_bytes() for name in names)
    assert (files.results, files.left_out) == (2, {})


def test_the_manifest_has_size_and_hash_of_all_files(archive):
    found = content(archive)
    manifest = json.loads(found.pop(MANIFEST))
    assert manifest["files"] == {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in found.items()
    }
    assert (manifest["format"], manifest["results"], manifest["left_out"]) == (1, 2, [])
    assert manifest["tool"] == f"ribnb {importlib.metadata.version('ribnb')}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest["date"])


def test_the_environment_has_all_packages_and_no_path_of_the_machine(runs, archive):
    found = content(archive)
    environment = json.loads(found["environment.json"])
    assert environment["packages"]["torch"] == importlib.metadata.version("torch")
    assert environment["packages"]["pytest"] == pytest.__version__
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in ("environment.json", MANIFEST):
        for path in (runs.parent, Path.home(), Path(sys.prefix), Path(__file__).parents[2]):
            assert str(path) not in found[name].decode()


def test_the_same_files_make_the_same_archive(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("ribnb.core.provenance.now", lambda: "2026-01-01T00:00:00+00:00")
    first = pack(runs, tmp_path / "1.zip")[0].read_bytes()
    for path in runs.rglob("*"):
        os.utime(path, (1, 10**9))
    (runs / "table.csv").chmod(0o600)
    other = runs.rename(tmp_path / "another_name")
    assert pack(other, tmp_path / "2.zip")[0].read_bytes() == first
    with zipfile.ZipFile(tmp_path / "2.zip") as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos[:-2]] == sorted(PACKED)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}


def test_an_archive_goes_beside_its_folder_and_never_into_itself(runs, capsys):
    assert command(capsys, "pack", runs)[:2] == (0, [f"{runs}.zip: 2 results, 11 files"])
    inside = runs / "a" / "all.csv"  # a name that is packed otherwise
    assert command(capsys, "pack", runs, "-o", inside)[0] == 0
    assert command(capsys, "pack", runs, "-o", inside)[0] == 0
    assert "a/all.csv" not in content(inside)
    assert verify(inside).faults == []


def test_what_is_there_and_no_archive_is_not_overwritten(runs, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    code, out, error = command(capsys, "pack", runs, "-o", taken)
    assert (code, out) == (2, [])
    assert error == [f"{taken} is there and is no archive; choose another name"]
    assert taken.read_text() == "mine"
    assert command(capsys, "pack", runs, "-o", runs)[0] == 2


def test_a_failure_leaves_the_archive_before(runs, archive, monkeypatch):
    before = archive.read_bytes()
    monkeypatch.setattr("ribnb.runs.packing.environment", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pack(runs, archive)
    assert archive.read_bytes() == before
    assert list(archive.parent.iterdir()) == [archive]


def test_large_files_are_not_held_in_memory(runs, tmp_path):
    with open(runs / "a" / "scores.npz", "wb") as file:
        file.truncate(100 << 20)
    tracemalloc.start()
    try:
        path, _ = pack(runs, tmp_path / "a.zip")
        assert verify(path).faults == []
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_links_are_followed_inside_of_the_folder_alone(runs, tmp_path, capsys):
    (tmp_path / "secret.csv").write_text("secret")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "x.log").write_text("secret")
    (runs / "out.csv").symlink_to(tmp_path / "secret.csv")
    (runs / "in.csv").symlink_to("table.csv")
    (runs / "folder").symlink_to(tmp_path / "more")
    (runs / "self.csv").symlink_to("self.csv")
    (runs / "round").symlink_to(".")
    (runs / "lost.csv").symlink_to("nothing.csv")
    os.mkfifo(runs / "pipe.log")
    code, _, error = command(capsys, "pack", runs, "-o", tmp_path / "a.zip")
    assert code == 0
    found = content(tmp_path / "a.zip")
    assert found.keys() == PACKED | {"in.csv", MANIFEST, "environment.json"}
    assert found["in.csv"] == found["table.csv"]
    assert sorted(error) == [
        "left out: folder/ is a link to outside of the folder",
        "left out: lost.csv is no file, or a link to none",
        "left out: out.csv is a link to outside of the folder",
        "left out: pipe.log is no file, or a link to none",
        "left out: self.csv is no file, or a link to none",
    ]
    assert "out.csv" in json.loads(found[MANIFEST])["left_out"]
    assert verify(tmp_path / "a.zip").faults == []


def test_names_that_not_every_machine_knows_are_left_out(runs, tmp_path):
    (runs / "a\\b.csv").touch()
    (runs / "line\n.csv").touch()
    _, files = pack(runs, tmp_path / "a.zip")
    assert files.left_out.keys() == {"a\\b.csv", "line\n.csv"}


# Broken and stale results -----------------------------------------------------------------


@pytest.fixture
def mixed(runs):
    """With a broken result and a stale one."""
    (runs / "a" / "result.json").write_text('{"format": 2')
    old = made_up(seed=4)
    del old["settings"]["margin_rule"]
    put(runs / "old", signed(old))
    return runs


def test_broken_and_stale_results_are_left_out_with_their_scores(mixed, tmp_path, capsys):
    code, out, error = command(capsys, "pack", mixed, "-o", tmp_path / "a.zip")
    gone = {"a/result.json", "a/scores.npz", "a/image_scores.npz"}
    assert (code, out) == (0, [f"{tmp_path}/a.zip: 1 results, 8 files"])
    assert content(tmp_path / "a.zip").keys() == PACKED - gone | {MANIFEST, "environment.json"}
    assert error[0].startswith("left out: a/result.json is not whole JSON")
    assert "left out: a/scores.npz belongs to that result.json" in error
    assert error[-1].startswith("left out: old/result.json is stale: voc_rib has got margin_rule")
    assert verify(tmp_path / "a.zip").results == ["toy_bottleneck"]


def test_with_all_they_are_packed_and_verify_says_so(mixed, tmp_path, capsys):
    path = tmp_path / "a.zip"
    assert command(capsys, "pack", mixed, "--all", "-o", path)[0::2] == (0, [])
    assert PACKED | {"old/result.json"} < content(path).keys()
    code, out, error = command(capsys, "verify", path)
    assert (code, len(out)) == (1, 1)
    assert out[0].startswith("'a/result.json' is not whole JSON")
    assert error[0].startswith("as it was packed, but 'old/result.json' is stale")


def test_without_a_result_there_is_nothing_to_pack(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    code, _, error = command(capsys, "pack", tmp_path / "runs")
    assert (code, error) == (1, [f"no result.json to pack below {tmp_path / 'runs'}"])
    (tmp_path / "runs" / "result.json").write_text("[]")
    code, _, error = command(capsys, "pack", tmp_path / "runs")
    assert (code, error[0]) == (1, "result.json is no result of a run: it has no format")
    assert command(capsys, "pack", tmp_path / "none")[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_command_as_a_person_calls_it(runs, capsys):
    words = [sys.executable, "-m", "ribnb.runs.run", "pack", "runs"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=runs.parent, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{runs}.zip: 2 results, 11 files\n"
    said = "whole: 2 results of chapters toy_bottleneck, voc_rib, 11 files"
    assert command(capsys, "verify", f"{runs}.zip") == (0, [said], [])


@pytest.mark.parametrize(
    ("name", "fine"),
    [("a/b.c", True), ("a..b/..c", True), ("é.csv", True), ("/a", False), ("../a", False),
     ("a/../b", False), ("a//b", False), ("./a", False), ("C:a", False), ("a\\b", False),
     ("a\0b", False), ("", False), ("\udcff", False)],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_told(name, fine):
    assert (unsafe(name) == "") is fine


def test_a_result_that_is_not_that_of_its_scores_is_left_out_with_them(runs, tmp_path):
    put_scores(runs / "a", 51)
    _, files = pack(runs, tmp_path / "results.zip")
    assert "they are not of one run" in files.left_out["a/result.json"]
    assert {"a/result.json", "a/image_scores.npz"}.isdisjoint(files.paths)
    assert files.results == 1
