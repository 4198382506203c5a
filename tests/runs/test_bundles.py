"""Archives of results: what is packed, and that verify finds whatever happened to one since."""

import shutil
import tarfile
from pathlib import Path

import bagit
import pytest
from conftest import contents
from small_results import CHAPTERS, made_up, put, put_scores

from ribnb.__main__ import main
from ribnb.runs.bundles import pack, verify
from ribnb.runs.results import signed

PACKED = {
    "a/result.json",
    "a/image_scores.npz",
    "a/parameters.yml",
    "a/voc_rib.ipynb",
    "a/log.txt",
    "b/deeper/result.json",
    "table.csv",
    "batch.log",
}
ELSE = {".hidden/x.log", "a/.result.json.77", "a/notes.txt", "a/classifier.safetensors"}
ELSE |= {"a/maps/0.npz", "a/maps.json", "a/steps/0.json"}


@pytest.fixture
def runs(tmp_path):
    """A folder with two results and all that may lie beside them."""
    folder = tmp_path / "runs"
    put(folder / "a", seed=3)
    put(folder / "b" / "deeper", chapter="toy_bottleneck")
    for name in PACKED | ELSE:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name != "result.json":
            path.write_text(f"this is {name}\n")
    put_scores(folder / "a", 50)
    return folder


@pytest.fixture
def archive(runs, tmp_path) -> Path:
    return pack(runs, tmp_path / "out" / "results.tar.gz", CHAPTERS)[0]


@pytest.fixture
def bag(archive, tmp_path) -> Path:
    """The archive, unpacked."""
    return unpacked(archive, tmp_path / "unpacked")


def unpacked(path, folder) -> Path:
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder / "runs"


def content(path, folder) -> dict[str, bytes]:
    """What a bag holds beside its own lists."""
    return contents(unpacked(path, folder) / "data")


def command(capsys, *words) -> tuple[int, list[str], list[str]]:
    code = main([str(word) for word in words])
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return code, out.splitlines(), error.splitlines()


# What is packed ---------------------------------------------------------------------------


def test_results_and_what_belongs_to_them_are_packed(runs, tmp_path):
    before = contents(runs)
    path, results, left_out = pack(runs, tmp_path / "a.tar.gz", CHAPTERS)
    found = content(path, tmp_path / "unpacked")
    assert found.keys() == PACKED
    assert all(found[name] == before[name] for name in PACKED)
    assert (results, left_out) == (2, {})
    assert contents(runs) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar.gz", "runs", "unpacked"]


def test_links_are_not_followed_out_of_the_folder(runs, tmp_path):
    (tmp_path / "secret.csv").write_text("mine")
    (tmp_path / "outside").mkdir()
    (runs / "out.csv").symlink_to(tmp_path / "secret.csv")
    (runs / "lost.csv").symlink_to("nowhere.csv")
    (runs / "elsewhere").symlink_to(tmp_path / "outside")
    path, _, left_out = pack(runs, tmp_path / "a.tar.gz", CHAPTERS)
    assert left_out == {}
    assert content(path, tmp_path / "unpacked").keys() == PACKED
    assert verify(path) == (2, [])


def test_what_is_there_is_overwritten_only_if_it_is_an_archive(runs, tmp_path, capsys):
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert command(capsys, "pack", runs, "-o", other)[0] == 2
    assert other.read_text() == "mine"
    for _ in range(2):
        said = [f"{runs}.tar.gz: 2 results"]
        assert command(capsys, "pack", runs) == (0, said, [])
    for path in (f"{runs}.tar.gz", unpacked(f"{runs}.tar.gz", tmp_path / "x")):
        assert command(capsys, "verify", path) == (0, ["whole: 2 results"], [])


# Broken and stale results -----------------------------------------------------------------


def test_broken_and_stale_results_are_left_out_with_their_scores(runs, tmp_path, capsys):
    (runs / "a" / "result.json").write_text('{"format": 2')
    old = made_up(seed=4)
    del old["settings"]["rib"]["margin_rule"]
    put(runs / "old", signed(old))
    path = tmp_path / "a.tar.gz"
    code, out, error = command(capsys, "pack", runs, "-o", path)
    gone = {"a/result.json", "a/image_scores.npz"}
    assert (code, out) == (0, [f"{path}: 1 results"])
    assert content(path, tmp_path / "unpacked").keys() == PACKED - gone
    said = "\n".join(error)
    assert "left out: a/result.json is not whole JSON" in said
    assert "left out: old/result.json is stale: voc_rib" in said
    assert command(capsys, "verify", path) == (0, ["whole: 1 results"], [])


# What verify finds ------------------------------------------------------------------------


CHANGES = {
    "data/table.csv": lambda bag: (bag / "data" / "table.csv").write_text("this is table.csV\n"),
    "data/a/log.txt": lambda bag: (bag / "data" / "a" / "log.txt").unlink(),
    "data/a/new.csv": lambda bag: (bag / "data" / "a" / "new.csv").touch(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found_and_its_file_named(bag, tmp_path, capsys, name):
    CHANGES[name](bag)
    archive = shutil.make_archive(str(tmp_path / "changed"), "gztar", bag.parent, bag.name)
    for path in (bag, archive):
        code, out, _ = command(capsys, "verify", path)
        assert code == 1
        assert any(name in line for line in out), out


def test_a_result_is_read_even_where_the_hashes_fit(bag, tmp_path, capsys):
    """Someone edited a number and made the archive anew."""
    path = bag / "data" / "a" / "result.json"
    path.write_text(path.read_text().replace("50.0", "51.0"))
    bagit.Bag(str(bag)).save(manifests=True)
    code, out, _ = command(capsys, "verify", bag)
    assert (code, len(out)) == (1, 1)
    assert out[0].startswith("a/result.json was edited after it was written")


def test_half_an_archive_and_no_archive_are_told_apart_from_faults(archive, tmp_path, capsys):
    whole = archive.read_bytes()
    half = tmp_path / "half.tar.gz"
    half.write_bytes(whole[: len(whole) // 2])
    for path, said in ((half, "only a part"), (tmp_path / "none", "No such file")):
        code, out, error = command(capsys, "verify", path)
        assert (code, out) == (2, [])
        assert said in error[0]
    assert command(capsys, "verify", tmp_path)[0] == 1  # a folder that pack did not make
