"""verify: whatever happened to an archive since it was packed is found and named."""

import hashlib
import json
import shutil
import zipfile

import pytest
from small_results import made_up, put

from ribnb.runs.packing import MANIFEST, pack
from ribnb.runs.run import main

WHOLE = "whole: 2 results of chapters toy_bottleneck, voc_rib, 6 files\n"
RESULT = "a/result.json"


@pytest.fixture
def archive(tmp_path):
    """An archive of two results."""
    put(tmp_path / "runs" / "a", seed=3)
    put(tmp_path / "runs" / "b", chapter="toy_bottleneck")
    (tmp_path / "runs" / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "runs" / "a" / "log.txt").write_text("done\n" * 100)
    return pack(tmp_path / "runs", tmp_path / "a.zip")[0]


def verified(capsys, path) -> tuple[int, str]:
    code = main(["verify", str(path)])
    out, error = capsys.readouterr()
    assert error == ""
    return code, out


def content(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(files: dict[str, bytes]) -> dict[str, bytes]:
    """With a manifest that fits."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != MANIFEST
    }
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def write_zip(path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_what_was_packed_is_whole(archive, tmp_path, capsys):
    assert verified(capsys, archive) == (0, WHOLE)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "there")
    assert verified(capsys, tmp_path / "there") == (0, WHOLE)
    # packed by another program, with entries for folders
    again = shutil.make_archive(tmp_path / "again", "zip", tmp_path / "there")
    assert verified(capsys, again) == (0, WHOLE)


CHANGES = {
    "a file less": (lambda files: files.pop("table.csv"), "'table.csv' is not there"),
    "one more": (lambda files: files.update(x=b""), f"'x' is not in {MANIFEST}"),
    "shorter": (
        lambda files: files.update({"table.csv": b"a,b\n"}),
        "'table.csv' is of 4 bytes, not 8",
    ),
    "as long": (
        lambda files: files.update({"table.csv": b"a,b\n1,3\n"}),
        "'table.csv' was changed: its SHA-256 differs",
    ),
    "no manifest": (lambda files: files.pop(MANIFEST), f"{MANIFEST} is not there"),
    "half a manifest": (
        lambda files: files.update({MANIFEST: files[MANIFEST][:99]}),
        f"{MANIFEST} is not JSON",
    ),
    "another format": (
        lambda files: files.update({MANIFEST: b'{"format": 2, "files": {}}'}),
        f"{MANIFEST} is of format 2; this version knows 1",
    ),
    "a list": (lambda files: files.update({MANIFEST: b"[]"}), f"{MANIFEST} is of format None"),
    "no hashes": (
        lambda files: files.update({MANIFEST: b'{"format": 1, "files": {"x": {"size": 1}}}'}),
        f"{MANIFEST} does not give the size and the SHA-256",
    ),
}


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found(archive, tmp_path, capsys, name, unpacked):
    change, said = CHANGES[name]
    files = content(archive)
    change(files)
    path = tmp_path / "changed"
    if unpacked:
        for one, data in files.items():
            (path / one).parent.mkdir(parents=True, exist_ok=True)
            (path / one).write_bytes(data)
    else:
        write_zip(path, files)
    code, out = verified(capsys, path)
    assert (code, len(out.splitlines())) == (1, 1)
    assert out.startswith(said)


def test_every_fault_has_its_line(archive, tmp_path, capsys):
    files = content(archive) | {"x": b"", "table.csv": b""}
    del files["a/log.txt"]
    write_zip(tmp_path / "b.zip", files)
    assert verified(capsys, tmp_path / "b.zip")[1].splitlines() == [
        f"'x' is not in {MANIFEST}",
        "'a/log.txt' is not there",
        "'table.csv' is of 0 bytes, not 8",
    ]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (made_up() | {"images": 5}, "was edited after it was written"),
        (made_up() | {"format": 1}, "is of format 1, older"),
        ({}, "is no result of a run"),
    ],
)
def test_a_result_is_read_even_where_the_manifest_fits(archive, tmp_path, capsys, result, said):
    files = content(archive) | {RESULT: json.dumps(result).encode()}
    write_zip(tmp_path / "b.zip", forged(files))
    code, out = verified(capsys, tmp_path / "b.zip")
    assert (code, len(out.splitlines())) == (1, 1)
    assert out.startswith(f"{RESULT!r} {said}")


@pytest.mark.parametrize("name", ["../x.csv", "/etc/x.csv", "a/../../x.csv", "C:\\x.csv"])
def test_names_that_lead_out_are_faults_even_where_the_manifest_fits(
    archive, tmp_path, capsys, name
):
    write_zip(tmp_path / "b.zip", forged(content(archive) | {name: b"x"}))
    code, out = verified(capsys, tmp_path / "b.zip")
    assert code == 1
    assert repr(name) in out
    assert not (tmp_path.parent / "x.csv").exists()


def test_a_name_that_is_there_twice_and_a_link_are_faults(archive, capsys):
    with zipfile.ZipFile(archive, "a") as opened:
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("table.csv", content(archive)["table.csv"])
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    lines = verified(capsys, archive)[1].splitlines()
    assert lines == [
        "'table.csv' is there twice",
        "'link' is a link",
        f"'link' is not in {MANIFEST}",
    ]


def test_links_in_a_folder_are_faults(archive, tmp_path, capsys):
    folder = tmp_path / "there"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    (folder / "table.csv").rename(tmp_path / "table.csv")
    (folder / "table.csv").symlink_to(tmp_path / "table.csv")
    (folder / "more").symlink_to(tmp_path / "runs")
    code, out = verified(capsys, folder)
    assert code == 1
    assert "'table.csv' is a link, or no file\n" in out
    assert "'more' is a link, or no file\n" in out


def test_a_damaged_byte_is_found_anywhere(archive, tmp_path, capsys):
    """But for bytes that are no content: those of times, versions and the like."""
    whole, files = archive.read_bytes(), content(archive)
    path = tmp_path / "b.zip"
    for place in range(0, len(whole), 101):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        code = main(["verify", str(path)])
        if code == 0:
            assert content(path) == files
    capsys.readouterr()


def test_half_an_archive_and_no_archive_are_told_apart_from_faults(archive, tmp_path, capsys):
    whole = archive.read_bytes()
    for data in (b"", b"PK", b"no archive", whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / "b.zip").write_bytes(data)
        assert main(["verify", str(tmp_path / "b.zip")]) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert "b.zip is no archive, or only a part of one" in error
    assert main(["verify", str(tmp_path / "none.zip")]) == 2
    assert capsys.readouterr().err == f"there is no {tmp_path / 'none.zip'}\n"


def test_a_folder_that_is_no_archive_has_no_manifest(tmp_path, capsys):
    assert verified(capsys, tmp_path) == (
        1,
        f"{MANIFEST} is not there: no archive that pack made, or only a part of one\n",
    )


def test_a_manifest_too_large_to_be_one_is_not_read(archive, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ribnb.runs.verifying.MOST", 100)
    code, out = verified(capsys, archive)
    assert code == 1
    assert out.startswith(f"{MANIFEST} is of ")
