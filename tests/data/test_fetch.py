"""Downloads from a server of our own that breaks lines and serves wrong bytes."""

import hashlib
import sys

import pytest
from broken_server import CONTENT, serving
from conftest import ROOT
from made_up_voc import run_script

from ribnb.data.fetch import download_file

SHA256 = hashlib.sha256(CONTENT).hexdigest()
SCRIPT = ROOT / "data_scripts" / "get_mnist.py"
DEAD = "http://127.0.0.1:1/file"  # nothing answers there


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "raw" / "file.gz"


def test_fetches_a_file_into_a_folder_that_it_makes(server, path):
    assert download_file([server.url], path, SHA256) == path
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["file.gz"]
    download_file([server.url], path, "0" * 64)  # what is there is left alone
    assert server.ranges == [None]


@pytest.mark.parametrize(
    ("have", "settings"),
    [
        (CONTENT[:3000], {"knows_ranges": False}),
        (CONTENT, {}),  # stopped between the last byte and the renaming: the server answers 416
        (b"<html>" * 500, {}),  # the beginning of another file
    ],
)
def test_whatever_a_part_is_and_the_server_can_the_file_is_right(server, path, have, settings):
    path.parent.mkdir()
    part = path.with_name("file.gz.part")
    part.write_bytes(have)
    vars(server).update(settings)
    download_file([server.url], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert not part.exists()


def test_addresses_that_serve_nothing_good_are_passed_over(server, path):
    with serving(content=b"<html>moved</html>") as wrong, serving(content=None) as absent:
        download_file([DEAD, wrong.url, absent.url, server.url], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_goes_round_again_as_long_as_megabytes_come(server, path):
    server.content = CONTENT * 300  # 3 MB
    server.sends = 1_200_000
    download_file([server.url], path, hashlib.sha256(server.content).hexdigest())
    assert path.read_bytes() == server.content
    assert server.ranges == [None, "bytes=1200000-", "bytes=2400000-"]


def test_if_no_address_works_the_message_says_what_to_do_by_hand(server, path):
    server.content = b"<html>not found</html>"
    with pytest.raises(OSError, match="could not download") as caught:
        download_file([DEAD, server.url], path, SHA256)
    message = str(caught.value)
    assert f"{DEAD}: " in message
    assert f"{server.url}: sent another file: SHA-256 is " in message
    assert f"put it at {path} (SHA-256 {SHA256})" in message
    assert list(path.parent.iterdir()) == []


def test_the_command_of_mnist_fetches_a_split_or_says_why_not(
    tmp_path, server, monkeypatch, capsys
):
    files = {"train-images-idx3-ubyte.gz": SHA256, "train-labels-idx1-ubyte.gz": SHA256}
    monkeypatch.setitem(sys.modules["ribnb.data.digits"].MNIST_FILES, "train", files)
    raw = tmp_path / "MNIST" / "raw"
    monkeypatch.setattr("ribnb.data.digits.MNIST_ADDRESSES", (DEAD + "/",))
    assert run_script(monkeypatch, SCRIPT, tmp_path) == 1
    assert f"put it at {raw / 't10k-images-idx3-ubyte.gz'}" in capsys.readouterr().err
    monkeypatch.setattr("ribnb.data.digits.MNIST_ADDRESSES", (server.url + "/",))
    assert run_script(monkeypatch, SCRIPT, tmp_path, "--split", "train") == 0
    assert capsys.readouterr().out.split() == [str(raw / name) for name in files]
    assert all((raw / name).read_bytes() == CONTENT for name in files)
