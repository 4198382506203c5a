"""Maps and masks on disk: whole or not there, and what is damaged is seen."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from ribnb.core.files import Maps, read_maps, read_text, write_maps
from ribnb.core.voc import read_mask, voc_palette, write_mask


def some_maps(num_classes=2, height=9, width=14) -> Maps:
    generator = np.random.default_rng(num_classes)
    quarter = -(-height // 4), -(-width // 4)
    return Maps(
        np.arange(num_classes) + 3,
        generator.random((num_classes, height, width), np.float32),
        generator.random((num_classes, *quarter), np.float32),
    )


def same(one: Maps, other: Maps) -> bool:
    """Bit for bit."""
    arrays = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)


def only_files(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Whole files ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 9, 14), (0, 9, 14)])
def test_comes_back_as_it_was_written(tmp_path, shape):
    maps = some_maps(*shape)
    write_maps(tmp_path / "2007_000032.npz", maps)
    assert same(read_maps(tmp_path / "2007_000032.npz"), maps)
    assert only_files(tmp_path) == ["2007_000032.npz"]
    with np.load(tmp_path / "2007_000032.npz", allow_pickle=False) as file:  # as others read it
        assert same(Maps(file["class_ids"], file["high_res"], file["strided"]), maps)
    (tmp_path / "plain").touch()
    assert (tmp_path / "2007_000032.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


@contextmanager
def full_disk():
    """Files end after 1 kB, but not pytest's own log, as they would in a fixture."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_file_or_none(tmp_path):
    message = f"cannot write {tmp_path / 'one.npz'}: File too large"
    with pytest.raises(OSError, match=message), full_disk():
        write_maps(tmp_path / "one.npz", some_maps())
    assert only_files(tmp_path) == []
    write_maps(tmp_path / "one.npz", some_maps(1))
    with pytest.raises(OSError, match="cannot write"), full_disk():
        write_maps(tmp_path / "one.npz", some_maps(2))
    assert same(read_maps(tmp_path / "one.npz"), some_maps(1))
    assert only_files(tmp_path) == ["one.npz"]


# Damage -----------------------------------------------------------------------------------


def refused(path) -> bool:
    """Whether `read_maps` says that this is no map file, naming it."""
    with pytest.raises(ValueError, match=f"^{path} is no"):
        read_maps(path)
    return True


def places(content: bytes) -> list[int]:
    """Some in a file, most of which is a mask's palette, and all at its end."""
    return [*range(0, len(content) - 80, 16), *range(len(content) - 80, len(content))]


def test_no_part_of_a_file_counts_as_whole(tmp_path):
    path = tmp_path / "one.npz"
    write_maps(path, some_maps(1, 5, 6))
    whole = path.read_bytes()
    for length in places(whole):
        path.write_bytes(whole[:length])
        assert refused(path), length


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path):
    path, short = tmp_path / "one.npz", np.zeros((3, 9))
    for wrong in ({"class_ids": short[:, 0]}, {"high_res": short}, {"strided": short}):
        np.savez(path, **{**some_maps()._asdict(), **wrong})
        assert refused(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (Bomb.folder,)


def test_a_pickle_is_not_run_and_something_else_is_refused(tmp_path):
    path, Bomb.folder = tmp_path / "one.npz", str(tmp_path / "boom")
    np.savez(path, **{**some_maps()._asdict(), "class_ids": np.array([Bomb(), Bomb()])})
    np.savez(tmp_path / "two.npz", class_ids=np.arange(2))
    assert refused(path) and refused(tmp_path / "two.npz")
    assert not os.path.exists(Bomb.folder)
    with pytest.raises(FileNotFoundError, match=f"there are no maps at {tmp_path / 'none.npz'}"):
        read_maps(tmp_path / "none.npz")


# Masks ------------------------------------------------------------------------------------

MASK = np.random.default_rng(0).choice(np.array([0, 1, 3, 255], np.uint8), (9, 14))


def test_a_mask_comes_back_as_it_was_written_in_vocs_colours(tmp_path):
    write_mask(tmp_path / "one.png", MASK)
    back = read_mask(str(tmp_path / "one.png"))
    assert back.dtype == np.uint8 and np.array_equal(back, MASK)
    assert only_files(tmp_path) == ["one.png"]
    with Image.open(tmp_path / "one.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image.convert("RGB")), voc_palette()[MASK])


def test_greys_are_classes_too_and_unknown_classes_are_named(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "grey.png")
    assert np.array_equal(read_mask(tmp_path / "grey.png", 3), MASK)
    with pytest.raises(ValueError, match=r"grey\.png holds \[3\], but there are 2 classes"):
        read_mask(tmp_path / "grey.png", 2)


FOUR_BITS = bytes.fromhex(  # a PNG of one row, which Pillow cannot write
    "89504e470d0a1a0a0000000d494844520000000400000001040000000019a7bd100000000b494441"
    "54789c6360fc0c0000f800f5e4464c640000000049454e44ae426082"
)


def test_few_bits_many_bits_and_three_equal_channels_hold_classes_as_they_are(tmp_path):
    path, wide = tmp_path / "one.png", MASK.astype(np.uint16)
    Image.fromarray(wide).save(path)
    assert np.array_equal(read_mask(path, 3), MASK)
    Image.fromarray(np.dstack([MASK] * 3)).save(path)
    assert np.array_equal(read_mask(path, 3), MASK)
    path.write_bytes(FOUR_BITS)  # which Pillow reads as 0, 17, 255, 51
    assert read_mask(path).tolist() == [[0, 1, 15, 3]]


def test_vocs_colours_count_where_there_is_no_palette_or_one_in_another_order(tmp_path):
    path, mask = tmp_path / "one.png", np.array([[0, 5, 5, 255], [0, 5, 12, 12]], np.uint8)
    write_mask(path, mask)
    colours = Image.open(path).convert("RGB")
    colours.save(path)
    assert np.array_equal(read_mask(path, 20), mask)
    colours.quantize(8).save(path)
    assert not np.array_equal(np.array(Image.open(path)), mask)
    with pytest.warns(UserWarning, match=r"in another order are read by these, such as .*one\.png"):
        assert np.array_equal(read_mask(path, 20), mask)
    Image.fromarray(mask).quantize(8).save(path)
    with pytest.warns(UserWarning, match=r"or greys, in another order are read by these"):
        assert np.array_equal(read_mask(path, 20), mask)
    colours.convert("P").save(path)  # Pillow's own palette
    with pytest.raises(ValueError, match=r"there are 20 classes; .* have VOC's colours in its pal"):
        read_mask(path, 20)
    blurred = colours.resize((7, 5), Image.Resampling.BILINEAR)
    blurred.save(path)
    with pytest.raises(ValueError, match=r"its colours, such as .* are not VOC's"):
        read_mask(path, 20)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_text_is_read_whatever_its_mark(tmp_path, encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "list.txt").write_bytes((mark + "café\r\n").encode(encoding))
    assert read_text(tmp_path / "list.txt").split() == ["café"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-32"])
def test_what_is_no_text_is_named(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes("café".encode(encoding))
    with pytest.raises(ValueError, match=r"list\.txt is no text in UTF-8.*; save it as UTF-8"):
        read_text(tmp_path / "list.txt")


def test_no_part_of_a_file_is_read_as_a_mask(tmp_path):
    path = tmp_path / "one.png"
    write_mask(path, MASK)
    whole = path.read_bytes()
    for length in places(whole)[:-4]:  # the last four are a checksum of nothing
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"one\.png is not a whole mask"):
            read_mask(path)


def test_what_is_no_mask_is_refused(tmp_path):
    for mode, value in (("RGB", "red"), ("I;16", 256), ("LA", (1, 255))):
        Image.new(mode, (4, 3), value).save(tmp_path / "one.png")
        with pytest.raises(ValueError, match=rf"one\.png is no mask: it is of mode {mode}"):
            read_mask(tmp_path / "one.png")
    with pytest.raises(FileNotFoundError, match=f"there is no mask {tmp_path / 'none.png'}"):
        read_mask(tmp_path / "none.png")
