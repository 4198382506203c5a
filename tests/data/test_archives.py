"""Archives that try to leave their folder, that are cut short, and whose unpacking is killed."""

import io
import os
import subprocess
import sys
import tarfile

import pytest

from ribnb.data.archives import extract_archive, unpacking_folder

SIZE = 3000


def member(name, kind=tarfile.REGTYPE, target=""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, target, 0o000
    found.size = SIZE if kind == tarfile.REGTYPE else 0
    return found


def pack(path, *members, mode="w"):
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(bytes(each.size)))
    return path


@pytest.fixture
def folder(tmp_path):
    """To unpack into; two levels down, so that a test sees what leaves it."""
    made = tmp_path / "outside" / "folder"
    made.mkdir(parents=True)
    return made


def below(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_unpacks_files_folders_and_links_that_stay_inside(tmp_path, folder):
    archive = pack(
        tmp_path / "a.tar",
        member("d", tarfile.DIRTYPE),
        member("d/one"),
        member("d/two", tarfile.LNKTYPE, "d/one"),
        member("./d/three", tarfile.SYMTYPE, "one"),
        member("e/..f/four"),
    )
    assert extract_archive(archive, folder) == 4
    names = {"d", "d/one", "d/two", "d/three", "e", "e/..f", "e/..f/four"}
    assert below(folder) == names
    for name in ("d/one", "d/two", "d/three", "e/..f/four"):
        assert (folder / name).read_bytes() == bytes(SIZE)
    for name in ("d", "d/one"):  # the archive forbids everything to everybody
        assert os.stat(folder / name).st_mode & 0o600 == 0o600


def test_unpacks_compressed_archives_and_only_what_is_wanted(tmp_path, folder):
    archive = pack(tmp_path / "a.tgz", member("d/one"), member("e/two"), mode="w:gz")
    assert extract_archive(archive, folder, lambda name: name.startswith("e")) == 1
    assert below(folder) == {"e", "e/two"}


UNSAFE = {
    "up": member("../evil"),
    "up and down": member("d/../../evil"),
    "absolute": member("/tmp/ribnb_evil"),
    "windows up": member("d\\..\\..\\evil"),
    "drive": member("C:\\evil"),
    "symlink up": member("evil", tarfile.SYMTYPE, "../secret"),
    "symlink absolute": member("evil", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link up": member("evil", tarfile.LNKTYPE, "../secret"),
    "hard link absolute": member("evil", tarfile.LNKTYPE, "/etc/passwd"),
    "device": member("evil", tarfile.CHRTYPE),
    "disk": member("evil", tarfile.BLKTYPE),
    "pipe": member("evil", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("with_filter", [True, False])
@pytest.mark.parametrize("name", UNSAFE)
def test_a_member_that_could_leave_the_folder_is_refused_by_name(
    tmp_path, folder, name, with_filter, monkeypatch
):
    if not with_filter:  # an older Python: our own check alone must do
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    (folder.parent / "secret").write_text("secret")
    unsafe = UNSAFE[name]
    archive = pack(tmp_path / "a.tar", member("good"), unsafe, member("later"))
    before = below(tmp_path)
    with pytest.raises(ValueError, match="archive is not safe") as caught:
        extract_archive(archive, folder, lambda name: name == "good")  # even if nobody wants it
    assert repr(unsafe.name) in str(caught.value)
    assert str(archive) in str(caught.value)
    assert below(tmp_path) - before == {"outside/folder/good"}


def test_nothing_is_written_through_a_link(tmp_path, folder):
    """A link that leads out, and then a file behind it: refused at the link."""
    (folder.parent / "elsewhere").mkdir()
    link = member("door", tarfile.SYMTYPE, "../elsewhere")
    archive = pack(tmp_path / "a.tar", link, member("door/evil"))
    with pytest.raises(ValueError, match=r"'door' of .* is a link to '../elsewhere'"):
        extract_archive(archive, folder)
    assert below(folder.parent / "elsewhere") == set()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_cut_anywhere_is_noticed(tmp_path, folder, mode):
    archive = pack(tmp_path / "a.tar", *(member(f"{k}") for k in range(4)), mode=mode)
    content = archive.read_bytes()
    # What follows the first block of zeros, of a plain one, is padding.
    whole = 4 * (512 + 3072) + 512 if mode == "w" else len(content)
    for cut in [0, 1, 300, 512, 2000, 3584, 3585, 7168, whole - 512, whole - 1]:
        if cut < whole:
            archive.write_bytes(content[:cut])
            with pytest.raises(OSError, match=f"archive {archive} is damaged or cut short"):
                extract_archive(archive, folder)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path, folder):
    archive = pack(tmp_path / "a.tar", *(member(f"{k}") for k in range(4)))
    content = bytearray(archive.read_bytes())
    content[2 * 3584] ^= 1  # of the third member's name
    archive.write_bytes(content)
    with pytest.raises(OSError, match="is damaged or cut short"):
        extract_archive(archive, folder)


def test_something_else_is_no_archive(tmp_path, folder):
    page = tmp_path / "page.tar"
    page.write_text("<html>not found</html>" * 100)
    with pytest.raises(OSError, match=r"page\.tar is damaged or cut short"):
        extract_archive(page, folder)
    with pytest.raises(FileNotFoundError):
        extract_archive(tmp_path / "none.tar", folder)


# The folder to unpack into ----------------------------------------------------------------


def test_the_unpacking_folder_is_fresh_and_goes_away(tmp_path):
    with pytest.raises(RuntimeError), unpacking_folder(tmp_path / "new") as made:
        (made / "half").write_text("half")
        raise RuntimeError
    assert below(tmp_path) == {"new"}


def test_what_a_killed_process_left_is_removed(tmp_path):
    program = (
        "import os, sys; from ribnb.data.archives import unpacking_folder\n"
        "with unpacking_folder(sys.argv[1]) as made:\n"
        "    (made / 'half').write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert done.returncode == -9
    assert any("half" in name for name in below(tmp_path))
    with unpacking_folder(tmp_path) as made:
        assert below(made) == set()
    assert below(tmp_path) == set()
