"""Downloads from a server of our own that breaks lines, and archives that try to get out."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading

import pytest
from broken_server import CONTENT, serving
from conftest import ROOT
from made_up_voc import run_script

from ribnb.data.fetch import DownloadError, download_file, extract_archive, unpacking_folder

SHA256 = hashlib.sha256(CONTENT).hexdigest()
SCRIPT = ROOT / "data_scripts" / "get_mnist.py"


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def dead() -> str:
    """An address at which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}/file"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "raw" / "file.gz"


@pytest.fixture
def part(path):
    """What a broken download left behind: the first 3,000 bytes."""
    path.parent.mkdir()
    part = path.with_name("file.gz.part")
    part.write_bytes(CONTENT[:3000])
    return part


def test_fetches_a_file_into_a_folder_that_it_makes(server, path):
    assert download_file([server.url], path, SHA256.upper()) == path
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["file.gz"]
    download_file([server.url], path, "0" * 64)  # what is there is left alone
    assert server.ranges == [None]


def test_a_broken_download_is_continued_and_only_the_rest_is_asked_for(server, path):
    server.sends = 3000
    with pytest.raises(DownloadError, match=f"the line broke after 3000 of {len(CONTENT)} bytes"):
        download_file([server.url], path, SHA256)
    assert not path.exists()
    server.sends = None
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=3000-"]


def test_a_server_without_ranges_sends_everything_again(server, path, part):
    server.knows_ranges = False
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_already_whole_gets_its_name(server, path, part):
    """The program was stopped between the last byte and the renaming: the server answers 416."""
    part.write_bytes(CONTENT)
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert not part.exists()


def test_a_rest_that_begins_elsewhere_is_not_appended(server, path, part):
    server.answers_range = "bytes 2000-10239/10240"
    with pytest.raises(DownloadError, match="sent 'bytes 2000-10239/10240' when asked for 3000-"):
        download_file([server.url], path, SHA256)
    assert part.read_bytes() == CONTENT[:3000]


def test_another_address_continues_what_the_first_one_began(server, path):
    with serving(sends=4000, stalls=True) as first:
        download_file([first.url, server.url], path, SHA256, timeout=0.3)
        assert path.read_bytes() == CONTENT
        assert server.ranges == ["bytes=4000-"]
        with pytest.raises(DownloadError, match=r"nothing for 0\.3 s after 4000 of 10240 bytes"):
            download_file([first.url], path.with_name("other"), SHA256, timeout=0.3)


def test_the_beginning_of_another_file_does_not_spoil_a_good_address(server, path):
    with serving(content=b"<html>" * 900, sends=5000) as wrong:
        download_file([wrong.url, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]


def test_addresses_that_serve_nothing_good_are_passed_over(server, path, dead):
    with (
        serving(content=b"<html>moved</html>") as wrong,
        serving(content=None) as absent,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):

        def greet():
            line, _ = listening.accept()
            with line:
                line.recv(4096)
                line.sendall(b"220 ready for mail\r\n")

        threading.Thread(target=greet, daemon=True).start()
        mail = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        download_file([dead, mail, wrong.url, absent.url, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_goes_round_again_as_long_as_megabytes_come(server, path):
    server.content = CONTENT * 300  # 3 MB
    server.sends = 1_200_000
    download_file([server.url], path, hashlib.sha256(server.content).hexdigest())
    assert path.read_bytes() == server.content
    assert server.ranges == [None, "bytes=1200000-", "bytes=2400000-"]


def test_if_no_address_works_the_message_says_what_to_do_by_hand(server, dead, path):
    server.content = b"<html>not found</html>"
    digest = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(DownloadError) as caught:
        download_file([dead, server.url, "nonsense"], path, SHA256)
    message = str(caught.value)
    assert f"{dead}: " in message and "nonsense: " in message
    assert f"{server.url}: sent another file: SHA-256 is {digest}, expected {SHA256}" in message
    assert f"put it at {path} (SHA-256 {SHA256})" in message
    assert list(path.parent.iterdir()) == []


# The command of MNIST ---------------------------------------------------------------------


def test_the_command_fetches_a_split_or_fails_in_words(tmp_path, server, dead, monkeypatch, capsys):
    files = {"train-images-idx3-ubyte.gz": SHA256, "train-labels-idx1-ubyte.gz": SHA256}
    monkeypatch.setitem(sys.modules["ribnb.data.digits"].MNIST_FILES, "train", files)
    raw = tmp_path / "MNIST" / "raw"
    monkeypatch.setattr("ribnb.data.digits.MNIST_ADDRESSES", (dead + "/",))
    assert run_script(monkeypatch, SCRIPT, tmp_path) == 1
    said = capsys.readouterr()
    assert said.out == "" and "could not download t10k-images-idx3-ubyte.gz" in said.err
    assert f"put it at {raw / 't10k-images-idx3-ubyte.gz'}" in said.err
    monkeypatch.setattr("ribnb.data.digits.MNIST_ADDRESSES", (server.url + "/",))
    assert run_script(monkeypatch, SCRIPT, tmp_path, "--split", "train") == 0
    assert capsys.readouterr().out.split() == [str(raw / name) for name in files]
    assert all((raw / name).read_bytes() == CONTENT for name in files)


# Archives ---------------------------------------------------------------------------------


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o000
    info.size = 3000 if kind == tarfile.REGTYPE else 0
    return info


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


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_unpacks_what_is_wanted_of_files_folders_and_links_that_stay_inside(tmp_path, folder, mode):
    archive = pack(
        tmp_path / "a.tar",
        member("d", tarfile.DIRTYPE),
        member("d/one"),
        member("d/two", tarfile.LNKTYPE, "d/one"),
        member("./d/three", tarfile.SYMTYPE, "one"),
        member("/e/..f/four"),
        mode=mode,
    )
    assert extract_archive(archive, folder) == 4
    assert below(folder) == {"d", "d/one", "d/two", "d/three", "e", "e/..f", "e/..f/four"}
    for name in ("d/one", "d/two", "d/three", "e/..f/four"):
        assert (folder / name).read_bytes() == bytes(3000)
        assert os.stat(folder / name).st_mode & 0o600 == 0o600  # though the archive forbids it
    (folder / "some").mkdir()
    assert extract_archive(archive, folder / "some", lambda name: name.startswith("e")) == 1
    assert below(folder / "some") == {"e", "e/..f", "e/..f/four"}


UNSAFE = {
    "up": member("../evil"),
    "up and down": member("d/../../evil"),
    "symlink up": member("evil", tarfile.SYMTYPE, "../secret"),
    "symlink absolute": member("evil", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link up": member("evil", tarfile.LNKTYPE, "../secret"),
    "hard link absolute": member("evil", tarfile.LNKTYPE, "/etc/passwd"),
    "device": member("evil", tarfile.CHRTYPE),
    "pipe": member("evil", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE)
def test_a_member_that_could_leave_the_folder_is_refused_by_name(tmp_path, folder, unsafe):
    (folder.parent / "secret").write_text("secret")
    archive = pack(tmp_path / "a.tar", member("good"), unsafe, member("later"))
    before = below(tmp_path)
    with pytest.raises(ValueError, match=r"a\.tar is not safe to unpack") as caught:
        extract_archive(archive, folder, lambda name: name == "good")  # even if nobody wants it
    assert repr(unsafe.name) in str(caught.value)
    assert below(tmp_path) - before == {"outside/folder/good"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_cut_anywhere_is_noticed(tmp_path, folder, mode):
    archive = pack(tmp_path / "a.tar", *(member(f"{k}") for k in range(4)), mode=mode)
    content = archive.read_bytes()
    # What follows the first block of zeros, of a plain one, is padding.
    whole = 4 * (512 + 3072) + 512 if mode == "w" else len(content)
    for cut in [0, 1, 300, 512, 2000, 3584, 3585, 7168, whole - 512, whole - 1]:
        if cut < whole:
            archive.write_bytes(content[:cut])
            with pytest.raises(OSError, match=r"a\.tar is damaged or cut short"):
                extract_archive(archive, folder)


def test_a_damaged_header_and_another_file_are_no_archive(tmp_path, folder):
    archive = pack(tmp_path / "a.tar", *(member(f"{k}") for k in range(4)))
    content = bytearray(archive.read_bytes())
    content[2 * 3584] ^= 1  # of the third member's name
    for wrong in (content, b"<html>not found</html>" * 100):
        archive.write_bytes(wrong)
        with pytest.raises(OSError, match=r"a\.tar is damaged or cut short"):
            extract_archive(archive, folder)


def test_what_a_failed_or_killed_process_left_of_unpacking_goes_away(tmp_path):
    with pytest.raises(RuntimeError), unpacking_folder(tmp_path / "new") as made:
        (made / "half").write_text("half")
        raise RuntimeError
    assert below(tmp_path) == {"new"}
    program = (
        "import os, pathlib, sys; from ribnb.data.fetch import unpacking_folder\n"
        "with unpacking_folder(pathlib.Path(sys.argv[1])) as made:\n"
        "    (made / 'half').write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "new"], check=False)
    assert done.returncode == -9
    assert any("half" in name for name in below(tmp_path))
    with unpacking_folder(tmp_path / "new") as made:
        assert below(made) == set()
    assert below(tmp_path) == {"new"}
