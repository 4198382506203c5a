"""Masks on disk: whole or not there, in VOC's colours, and what is damaged is seen."""

import numpy as np
import pytest
from PIL import Image

from ribnb.core.voc import read_mask, voc_palette, write_mask

MASK = np.random.default_rng(0).choice(np.array([0, 1, 3, 255], np.uint8), (9, 14))


def only_files(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mask", [MASK, MASK[:1, :1], np.zeros((5, 3), np.uint8)])
def test_comes_back_as_it_was_written(tmp_path, mask):
    write_mask(tmp_path / "one.png", mask)
    back = read_mask(str(tmp_path / "one.png"))
    assert back.dtype == np.uint8 and np.array_equal(back, mask)
    assert only_files(tmp_path) == ["one.png"]


def test_it_shows_vocs_colours(tmp_path):
    write_mask(tmp_path / "one.png", MASK)
    with Image.open(tmp_path / "one.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image.convert("RGB")), voc_palette()[MASK])


def test_greys_are_classes_too(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "grey.png")
    assert np.array_equal(read_mask(tmp_path / "grey.png", 3), MASK)


def test_classes_that_the_list_does_not_know_are_named(tmp_path):
    write_mask(tmp_path / "one.png", MASK)
    with pytest.raises(ValueError, match=r"one\.png holds \[3\], but there are 2 classes"):
        read_mask(tmp_path / "one.png", 2)


def places(content: bytes) -> list[int]:
    """Some in the palette, of which most of a file is, and all behind it."""
    return [*range(0, len(content) - 80, 16), *range(len(content) - 80, len(content))]


def test_no_part_of_a_file_is_read_as_a_mask(tmp_path):
    path = tmp_path / "one.png"
    write_mask(path, MASK)
    whole = path.read_bytes()
    for length in places(whole)[:-4]:  # the last four are a checksum of nothing
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"one\.png is not a whole mask"):
            read_mask(path)


def test_a_flipped_bit_is_seen_or_does_not_matter(tmp_path):
    path = tmp_path / "one.png"
    write_mask(path, MASK)
    whole, seen = path.read_bytes(), 0
    for place in places(whole):
        damaged = bytearray(whole)
        damaged[place] ^= 0x20
        path.write_bytes(damaged)
        try:
            assert np.array_equal(read_mask(path), MASK), place
        except ValueError as error:
            seen += str(error).startswith(f"{path} is no")
    assert seen > 0.9 * len(places(whole))


@pytest.mark.parametrize("mode", ["RGB", "I;16", "1", "LA"])
def test_what_is_no_mask_is_refused(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match=rf"one\.png is no mask: it is of mode {mode}"):
        read_mask(tmp_path / "one.png")


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no mask {tmp_path / 'one.png'}"):
        read_mask(tmp_path / "one.png")


@pytest.mark.parametrize("mask", [MASK.astype(int), MASK[None], MASK[0]])
def test_other_arrays_are_refused_before_anything_is_written(tmp_path, mask):
    with pytest.raises(ValueError, match=r"must be \(H, W\) of uint8; got \("):
        write_mask(tmp_path / "one.png", mask)
    assert only_files(tmp_path) == []


def test_writing_that_ends_early_leaves_the_old_file(tmp_path, monkeypatch):
    write_mask(tmp_path / "one.png", MASK)

    def half(image, file, kind):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    message = f"cannot write {tmp_path / 'one.png'}: No space left on device"
    with pytest.raises(OSError, match=message):
        write_mask(tmp_path / "one.png", MASK[::-1])
    assert only_files(tmp_path) == ["one.png"]
    assert np.array_equal(read_mask(tmp_path / "one.png"), MASK)
