"""Downloads from a server of our own that breaks lines, ignores ranges and serves wrong bytes."""

import hashlib
import runpy
import socket
import subprocess
import sys
import threading

import pytest
from broken_server import CONTENT, serving
from conftest import ROOT

from ribnb.data.download import download_file

SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
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


def part(path):
    return path.with_name("file.gz.part")


def test_fetches_a_file_into_a_folder_that_it_makes(server, path):
    assert download_file([server.url], path, SHA256) == path
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["file.gz"]


def test_a_broken_download_is_continued_and_only_the_rest_is_asked_for(server, path):
    server.sends = 3000
    with pytest.raises(OSError, match=f"the line broke after 3000 of {len(CONTENT)} bytes"):
        download_file([server.url], path, SHA256)
    assert not path.exists()

    server.sends = None
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=3000-"]


def test_a_server_without_ranges_sends_everything_again(server, path):
    path.parent.mkdir()
    part(path).write_bytes(CONTENT[:3000])
    server.knows_ranges = False
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_already_whole_gets_its_name(server, path):
    """The program was stopped between the last byte and the renaming: the server answers 416."""
    path.parent.mkdir()
    part(path).write_bytes(CONTENT)
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert not part(path).exists()


def test_wrong_content_is_refused_and_leaves_nothing_behind(server, path):
    server.content = b"<html>not found</html>"
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(OSError, match=f"SHA-256 is {found}, expected {SHA256}"):
        download_file([server.url], path, SHA256)
    assert list(path.parent.iterdir()) == []


def test_another_address_continues_what_the_first_one_began(server, path):
    with serving(sends=5000) as first:
        download_file([first.url, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-"]


def test_a_dead_address_is_passed_over(server, dead, path):
    download_file([dead, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_something_that_does_not_speak_http_is_passed_over(server, path):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet():
            line, _ = listening.accept()
            with line:
                line.recv(4096)
                line.sendall(b"220 ready for mail\r\n")

        threading.Thread(target=greet, daemon=True).start()
        other = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        download_file([other, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_if_no_address_works_the_message_says_what_to_do_by_hand(dead, path):
    with pytest.raises(OSError) as caught:
        download_file([dead, "nonsense"], path, SHA256)
    message = str(caught.value)
    assert f"{dead}: " in message
    assert "nonsense: " in message
    assert f"put it at {path} (SHA-256 {SHA256})" in message


def test_a_file_that_is_there_is_not_fetched(server, path):
    path.parent.mkdir()
    path.write_bytes(b"there")
    assert download_file([server.url], path, SHA256) == path
    assert path.read_bytes() == b"there"
    assert server.ranges == []


def test_either_sum_will_do_and_with_both_each_counts(server, path):
    download_file([server.url], path, md5=MD5.upper())
    assert path.read_bytes() == CONTENT
    for wrong in ({"sha256": SHA256, "md5": "0" * 32}, {"sha256": "0" * 64, "md5": MD5}):
        other = path.with_name("other.gz")
        with pytest.raises(OSError, match=r"sent another file: (MD5|SHA-256) is .*, expected 0000"):
            download_file([server.url], other, **wrong)
        assert not other.exists()
    with pytest.raises(ValueError, match="give sha256, md5 or both"):
        download_file([server.url], path, "")


def test_a_line_that_stalls_is_given_up_and_continued_elsewhere(server, path):
    with serving(sends=4000, stalls=True) as first:
        download_file([first.url, server.url], path, SHA256, timeout=0.3)
        assert path.read_bytes() == CONTENT
        assert server.ranges == ["bytes=4000-"]
        with pytest.raises(OSError, match=r"nothing for 0\.3 s after 4000 of 10240 bytes"):
            download_file([first.url], path.with_name("other"), SHA256, timeout=0.3)


def test_a_wrong_file_and_a_404_are_passed_over(server, path):
    with serving(content=b"<html>moved</html>") as wrong, serving(content=None) as nothing:
        download_file([wrong.url, nothing.url, server.url], path, SHA256)
        assert path.read_bytes() == CONTENT
        with pytest.raises(OSError, match=f"{nothing.url}: HTTP Error 404"):
            download_file([wrong.url, nothing.url], path.with_name("other"), SHA256)


def test_the_beginning_of_another_file_does_not_spoil_a_good_address(server, path):
    with serving(content=b"<html>" * 900, sends=5000) as wrong:
        download_file([wrong.url, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]


def test_a_rest_that_begins_elsewhere_is_not_appended(server, path):
    path.parent.mkdir()
    part(path).write_bytes(CONTENT[:3000])
    server.answers_range = "bytes 2000-10239/10240"
    with pytest.raises(OSError, match="sent 'bytes 2000-10239/10240' when asked for 3000-"):
        download_file([server.url], path, SHA256)
    assert part(path).read_bytes() == CONTENT[:3000]


def test_goes_round_again_as_long_as_megabytes_come(server, path):
    server.content = CONTENT * 300  # 3 MB
    server.sends = 1_200_000
    sha256 = hashlib.sha256(server.content).hexdigest()
    download_file([server.url], path, sha256)
    assert path.read_bytes() == server.content
    assert server.ranges == [None, "bytes=1200000-", "bytes=2400000-"]


# The command ------------------------------------------------------------------------------


def test_the_command_has_a_help():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True
    )
    assert "ROOT/MNIST/raw" in done.stdout
    assert "--split {train,test}" in done.stdout


def run_script(monkeypatch, *words) -> int:
    """The script in this process, so that a test can change its addresses."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return exit_.value.code


def test_the_command_fails_in_words(tmp_path, dead, monkeypatch, capsys):
    monkeypatch.setattr("ribnb.data.handwriting.MNIST_ADDRESSES", (dead + "/",))
    assert run_script(monkeypatch, tmp_path) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "could not download t10k-images-idx3-ubyte.gz" in said.err
    assert f"put it at {tmp_path / 'MNIST' / 'raw' / 't10k-images-idx3-ubyte.gz'}" in said.err
    assert "Traceback" not in said.err


def test_the_command_fetches_a_split_and_says_where_it_lies(tmp_path, server, monkeypatch, capsys):
    monkeypatch.setattr("ribnb.data.handwriting.MNIST_ADDRESSES", (server.url + "/",))
    files = {"train-images-idx3-ubyte.gz": SHA256, "train-labels-idx1-ubyte.gz": SHA256}
    monkeypatch.setitem(sys.modules["ribnb.data.handwriting"].MNIST_FILES, "train", files)
    assert run_script(monkeypatch, tmp_path, "--split", "train") == 0
    raw = tmp_path / "MNIST" / "raw"
    assert capsys.readouterr().out.split() == [str(raw / name) for name in files]
    assert all((raw / name).read_bytes() == CONTENT for name in files)
