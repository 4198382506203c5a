"""Handwriting: idx files whole, damaged and missing, and the real MNIST where it lies."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from ribnb.data.handwriting import download_mnist, load_handwriting, read_idx

REAL = ROOT.parent / "shared" / "data"
DIGITS = [2, 8, 0, 8, 2, 5, 8, 8, 2]


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format: two zeros, the type, the rank, the sizes, the data."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def pictures(digits: list[int]) -> np.ndarray:
    """(N, 28, 28); image i is filled with 10 * its digit + i."""
    grey = np.array([10 * digit + index for index, digit in enumerate(digits)])
    return np.broadcast_to(grey[:, None, None], (len(digits), 28, 28))


def write_mnist(root: Path, prefix: str = "t10k", digits=DIGITS, pack=gzip.compress) -> Path:
    """One split in MNIST's layout; returns the folder of its files."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    suffix = ".gz" if pack is gzip.compress else ""
    for name, array in (("images-idx3", pictures(digits)), ("labels-idx1", np.array(digits))):
        (raw / f"{prefix}-{name}-ubyte{suffix}").write_bytes(pack(idx(array)))
    return raw


# idx files --------------------------------------------------------------------------------

ARRAY = np.arange(2 * 3 * 4).reshape(2, 3, 4)


@pytest.mark.parametrize(("name", "pack"), [("a", bytes), ("a.gz", gzip.compress)])
def test_reads_what_was_written(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(idx(ARRAY)))
    found = read_idx(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, ARRAY)


@pytest.mark.parametrize("size", [39, 41])
def test_a_file_of_another_size_is_named_with_both_sizes(tmp_path, size):
    path = tmp_path / "digits-idx3-ubyte"
    path.write_bytes((idx(ARRAY) + b"\0")[:size])
    message = (
        rf"{re.escape(str(path))} is damaged.* 40 bytes \(shape \(2, 3, 4\)\).* holds {size}\."
    )
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_an_archive_that_is_cut_off_is_named_with_both_sizes(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(100, 28, 28))  # gzip cannot shorten it
    path = tmp_path / "digits-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(noise))[:5000])
    with pytest.raises(
        ValueError, match=r"digits-idx3-ubyte\.gz is damaged.* 78416 bytes"
    ) as caught:
        read_idx(path)
    assert 4000 < int(re.search(r"it holds (\d+)\.", str(caught.value))[1]) < 6000


def test_a_file_that_ends_within_its_header_is_refused(tmp_path):
    path = tmp_path / "short"
    path.write_bytes(idx(ARRAY)[:9])
    with pytest.raises(ValueError, match=r"short is damaged.*it holds 9"):
        read_idx(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x00\x00\x0d\x01" + bytes(8)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "page"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="page is not an idx file of bytes"):
        read_idx(path)


@pytest.mark.parametrize("position", [0, 15, -6], ids=["magic", "data", "checksum"])
def test_a_damaged_archive_is_refused_with_the_way_out(tmp_path, position):
    packed = bytearray(gzip.compress(idx(ARRAY)))
    packed[position] ^= 0xFF
    path = tmp_path / "damaged.gz"
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=r"damaged\.gz is damaged.*Delete it and get it again"):
        read_idx(path)


# MNIST's folder ---------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_picks_the_2s_and_8s_with_their_images(tmp_path, pack):
    write_mnist(tmp_path, digits=DIGITS, pack=pack)
    write_mnist(tmp_path, "train", digits=[8, 1, 2], pack=pack)
    test = load_handwriting("mnist", "test", tmp_path)
    assert test.labels.tolist() == [0, 1, 1, 0, 1, 1, 0]
    assert test.images[:, 0, 0].tolist() == [20, 81, 83, 24, 86, 87, 28]
    assert load_handwriting("mnist", "train", tmp_path).labels.tolist() == [1, 0]


@pytest.mark.parametrize("prefix", ["t10k", "train"])
def test_of_one_split_every_fourth_digit_is_held_out(tmp_path, prefix):
    write_mnist(tmp_path, prefix)
    held_out = load_handwriting("mnist", "test", tmp_path)
    rest = load_handwriting("mnist", "train", tmp_path)
    assert held_out.images[:, 0, 0].tolist() == [24]
    assert rest.images[:, 0, 0].tolist() == [20, 81, 83, 86, 87, 28]


def test_a_split_without_its_labels_does_not_count(tmp_path):
    raw = write_mnist(tmp_path)
    write_mnist(tmp_path, "train", digits=[8, 2])
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    assert len(load_handwriting("mnist", "train", tmp_path)) == 2


def test_missing_files_are_named_with_the_folder_and_the_command(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_handwriting("mnist", data_root=tmp_path / "nowhere")
    message = str(caught.value)
    assert str(tmp_path / "nowhere" / "MNIST" / "raw") in message
    assert "t10k-images-idx3-ubyte" in message
    assert f"python data_scripts/get_mnist.py {tmp_path / 'nowhere'}" in message


def test_images_and_labels_of_different_numbers_are_refused(tmp_path):
    raw = write_mnist(tmp_path)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.array([2, 8]))))
    message = r"t10k-images.*\(9, 28, 28\).*t10k-labels.*\(2,\).*one label each"
    with pytest.raises(ValueError, match=message):
        load_handwriting("mnist", data_root=tmp_path)


def test_images_in_place_of_labels_are_refused(tmp_path):
    raw = write_mnist(tmp_path)
    images = (raw / "t10k-images-idx3-ubyte.gz").read_bytes()
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(images)
    with pytest.raises(ValueError, match=r"t10k-labels.*one label each"):
        load_handwriting("mnist", data_root=tmp_path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_a_split_that_is_there_is_not_downloaded(tmp_path, pack, monkeypatch):
    monkeypatch.setattr("ribnb.data.handwriting.MNIST_ADDRESSES", ())
    raw = write_mnist(tmp_path, pack=pack)
    assert sorted(download_mnist(tmp_path)) == sorted(raw.iterdir())


@pytest.mark.skipif(not (REAL / "MNIST").is_dir(), reason="no ../shared/data/MNIST beside this")
def test_the_real_files_hold_2006_digits_of_2_and_8():
    train, test = (load_handwriting("mnist", split, REAL) for split in ("train", "test"))
    labels = np.concatenate([train.labels, test.labels])
    assert np.bincount(labels).tolist() == [1032, 974]
    assert test.images.shape[1:] == (28, 28)
    assert len(test) == 501
