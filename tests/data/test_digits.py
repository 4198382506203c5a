"""Digit scenes: regions, shapes, rates, what a seed fixes; and handwriting from MNIST's files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from scipy import ndimage
from torch.utils.data import DataLoader

from ribnb.data.digits import REGIONS, DigitScenes, download_mnist, load_handwriting, read_idx

REAL = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def scenes() -> list:
    """200 scenes that all hold a shape."""
    return list(DigitScenes(200, seed=3, shape_rate=1.0))


def equal(one, other) -> bool:
    """The same image, label and regions, byte for byte."""
    return (
        torch.equal(one[0], other[0])
        and one[1] == other[1]
        and all(torch.equal(one[2][name], other[2][name]) for name in REGIONS)
    )


def test_regions_are_disjoint_and_cover_the_image_and_the_background_is_black(scenes):
    gaps = []
    for image, _, regions in scenes:
        assert tuple(regions) == ("discriminative", "non_discriminative", "background")
        assert (torch.stack(list(regions.values())).sum(dim=0) == 1).all()
        assert image.shape == (1, 56, 56) and image.dtype == torch.float32
        assert torch.equal(image[0] == 0, regions["background"])
        digit, shape = (regions[name].numpy() for name in REGIONS[:2])
        gaps.append(ndimage.distance_transform_cdt(~shape, "chessboard")[digit].min() - 1)
        assert image.max() <= 1
        assert (image[0][regions["non_discriminative"]] == 1).all()
    assert min(gaps) == 2, "black pixels between digit and shape"


def test_a_tenth_of_the_scenes_hold_a_shape_and_half_an_8_all_over_the_canvas():
    """Within four standard deviations of a binomial over 2,000 draws."""
    drawn = list(DigitScenes(2000))
    shapes = sum(bool(regions["non_discriminative"].any()) for _, _, regions in drawn)
    eights = sum(label for _, label, _ in drawn)
    share = load_handwriting()[1].mean()
    assert abs(shapes - 200) <= 4 * np.sqrt(2000 * 0.1 * 0.9)
    assert abs(eights - 2000 * share) <= 4 * np.sqrt(2000 * share * (1 - share))
    for name in REGIONS[:2]:
        seen = torch.stack([regions[name] for _, _, regions in drawn]).any(dim=0)
        assert seen[:14].any() and seen[-14:].any() and seen[:, :14].any() and seen[:, -14:].any()


def test_a_seed_fixes_every_byte_whatever_the_order_the_number_and_the_workers():
    first, again, other = (DigitScenes(12, seed=seed) for seed in (5, 5, 6))
    assert all(map(equal, first, again))
    assert not any(map(equal, first, other))
    assert not any(map(equal, first, DigitScenes(12, seed=5, split="test")))
    many = DigitScenes(1000, seed=5)
    assert all(map(equal, first, reversed([many[index] for index in reversed(range(12))])))
    images, labels, regions = first.batch()
    loaded = list(DataLoader(first, batch_size=4, num_workers=2))
    assert torch.equal(torch.cat([batch[0] for batch in loaded]), images)
    assert torch.equal(torch.cat([batch[1] for batch in loaded]), labels)
    for name in REGIONS:
        assert torch.equal(torch.cat([batch[2][name] for batch in loaded]), regions[name])


@pytest.mark.parametrize(("split", "expected"), [("train", -128.753), ("test", 194.573)])
def test_scenes_are_those_that_stored_results_were_made_of(split, expected):
    """A sum with random signs; a few pixels may be rounded otherwise on another machine."""
    images = DigitScenes(50, seed=2, split=split, shape_rate=0.5).batch()[0].numpy()
    signs = np.random.default_rng(0).choice([-1, 1], images.shape)
    assert (signs * images).sum() == pytest.approx(expected, abs=0.1)


def test_no_handwriting_is_in_both_splits():
    train, test = (load_handwriting(split=split) for split in ("train", "test"))
    seen = {image.tobytes() for image in train[0]}
    assert not any(image.tobytes() in seen for image in test[0])
    assert len(train[1]) + len(test[1]) == 351  # all 177 twos and 174 eights of the source


def test_the_smallest_canvas_has_room_for_every_digit_and_its_shape_and_a_smaller_is_refused():
    for image, _, regions in DigitScenes(300, shape_rate=1.0, canvas=48):
        assert image.shape == (1, 48, 48)
        assert regions["non_discriminative"].sum() == 25
        assert regions["discriminative"].sum() > 25
    with pytest.raises(ValueError, match="canvas must be at least 48 pixels"):
        DigitScenes(2, canvas=47)


# Handwriting ------------------------------------------------------------------------------

DIGITS = [2, 8, 0, 8, 2, 5, 8, 8, 2]
ARRAY = np.arange(2 * 3 * 4).reshape(2, 3, 4)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format: two zeros, the type, the rank, the sizes, the data."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(root: Path, prefix: str = "t10k", digits=DIGITS, pack=gzip.compress) -> Path:
    """The folder of one split in MNIST's layout; image i is filled with 10 * its digit + i."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    grey = np.array([10 * digit + index for index, digit in enumerate(digits)])
    images = np.broadcast_to(grey[:, None, None], (len(digits), 28, 28))
    suffix = ".gz" if pack is gzip.compress else ""
    for name, array in (("images-idx3", images), ("labels-idx1", np.array(digits))):
        (raw / f"{prefix}-{name}-ubyte{suffix}").write_bytes(pack(idx(array)))
    return raw


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("short", idx(ARRAY)[:39]),
        ("page", b"<html>404</html>"),
        ("cut.gz", gzip.compress(idx(ARRAY), mtime=0)[:-12]),  # no time in its name
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged: .*Delete it and get it again"):
        read_idx(tmp_path / name)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_picks_the_2s_and_8s_with_their_images(tmp_path, pack, monkeypatch):
    raw = write_mnist(tmp_path, pack=pack)
    monkeypatch.setattr("ribnb.data.digits.MNIST_ADDRESSES", ())
    assert sorted(download_mnist(tmp_path)) == sorted(raw.iterdir())  # it is there
    write_mnist(tmp_path, "train", digits=[8, 1, 2], pack=pack)
    images, labels = load_handwriting("mnist", "test", tmp_path)
    assert labels.tolist() == [0, 1, 1, 0, 1, 1, 0]
    assert images[:, 0, 0].tolist() == [20, 81, 83, 24, 86, 87, 28]
    assert load_handwriting("mnist", "train", tmp_path)[1].tolist() == [1, 0]


@pytest.mark.parametrize("prefix", ["t10k", "train"])
def test_of_one_split_every_fourth_digit_is_held_out(tmp_path, prefix):
    write_mnist(tmp_path, prefix)
    other = {"t10k": "train", "train": "t10k"}[prefix]
    raw = write_mnist(tmp_path, other, digits=[8, 2])
    (raw / f"{other}-labels-idx1-ubyte.gz").unlink()  # a split without its labels does not count
    held_out, rest = (load_handwriting("mnist", split, tmp_path)[0] for split in ("test", "train"))
    assert held_out[:, 0, 0].tolist() == [24]
    assert rest[:, 0, 0].tolist() == [20, 81, 83, 86, 87, 28]


def test_missing_files_are_named_with_the_folder_and_the_command(tmp_path):
    message = rf"{tmp_path}/MNIST/raw.*python data_scripts/get_mnist\.py {tmp_path}"
    with pytest.raises(FileNotFoundError, match=f"(?s){message}"):
        load_handwriting("mnist", data_root=tmp_path)


@pytest.mark.skipif(not (REAL / "MNIST").is_dir(), reason="no ../shared/data/MNIST beside this")
def test_the_real_files_hold_2006_digits_of_2_and_8():
    train, test = (load_handwriting("mnist", split, REAL) for split in ("train", "test"))
    assert np.bincount(np.concatenate([train[1], test[1]])).tolist() == [1032, 974]
    assert test[0].shape == (501, 28, 28)
