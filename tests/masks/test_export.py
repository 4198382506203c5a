"""Maps and masks in IRN's format: what its scripts find, and resumed exports."""

import os
import pickletools
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from ribnb.core.files import Maps, read_maps, write_maps
from ribnb.core.voc import read_mask, write_mask
from ribnb.masks.export import export_irn


def some_maps(class_ids, size, seed=0) -> Maps:
    """Random maps, each divided by its maximum."""
    generator = np.random.default_rng(seed)
    n, quarter = len(class_ids), tuple(-(-side // 4) for side in size)
    high_res, strided = (generator.random((n, *shape), np.float32) for shape in (size, quarter))
    for maps in (high_res, strided):
        maps /= maps.max(axis=(1, 2), keepdims=True)
    return Maps(np.array(class_ids, np.int64), high_res, strided)


@pytest.fixture
def run(tmp_path):
    """The folder of a run with the maps of three images, one of them without labels."""
    folder = tmp_path / "run"
    (folder / "maps").mkdir(parents=True)
    for name, class_ids, size in (("a", [3], (7, 9)), ("b", [0, 19], (8, 5)), ("c", [], (4, 6))):
        write_maps(folder / "maps" / f"{name}.npz", some_maps(class_ids, size))
    return folder


@pytest.fixture
def labels(tmp_path):
    """The folder of confident labels of three images."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for index in range(3):
        mask = np.full((4, 6), index, np.uint8)
        mask[0] = 255
        write_mask(folder / f"n{index}.png", mask)
    return folder


def as_irn_loads(folder, name) -> dict:
    return np.load(os.path.join(folder, name + ".npy"), allow_pickle=True).item()


def as_imageio_reads(path) -> np.ndarray:
    """imageio.imread turns a palette into colours before it gives the array."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB") if image.mode == "P" else image)


@pytest.mark.parametrize("inside", ["", "maps"])
def test_a_file_holds_what_irn_expects(run, tmp_path, inside):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = export_irn(run / inside, tmp_path / "irn")
    assert report.written == ["a", "b", "c"] and "3 images in" in str(report)
    assert sorted(path.name for path in (tmp_path / "irn").iterdir()) == ["a.npy", "b.npy", "c.npy"]
    found, maps = as_irn_loads(tmp_path / "irn", "b"), read_maps(run / "maps" / "b.npz")
    assert set(found) == {"keys", "cam", "high_res"}
    assert isinstance(found["cam"], torch.Tensor) and found["cam"].device.type == "cpu"
    assert (found["cam"].dtype, found["cam"].shape) == (torch.float32, (2, 2, 2))
    assert isinstance(found["high_res"], np.ndarray) and found["high_res"].dtype == np.float32
    assert (found["keys"].dtype, found["keys"].tolist()) == (np.int64, [0, 19])
    assert np.array_equal(found["high_res"], maps.high_res)
    assert np.array_equal(found["cam"].numpy(), maps.strided)
    found["cam"] += 1  # the caller's own, to be changed in place
    found["high_res"] += 1


def test_what_irn_does_with_them_works(run, tmp_path):
    maps = some_maps([1, 2], (8, 12))  # of another order, which is laid out anew
    write_maps(run / "maps" / "d.npz", maps._replace(strided=np.asfortranarray(maps.strided)))
    export_irn(run, tmp_path / "irn")
    for name, keys in (("a", [0, 4]), ("b", [0, 1, 20]), ("c", [0]), ("d", [0, 2, 3])):
        found = as_irn_loads(tmp_path / "irn", name)
        padded = np.pad(found["keys"] + 1, (1, 0), mode="constant")
        assert (padded.tolist(), padded.dtype.kind) == (keys, "i")
        background = np.pad(found["high_res"], ((1, 0), (0, 0), (0, 0)), constant_values=0.3)
        assert set(padded[background.argmax(axis=0)].ravel()) <= {*keys}  # its evaluation
        height, width = found["cam"].shape[-2:]
        flat = found["cam"].view(-1, height * width)  # the random walk: refuses strange strides
        assert (flat @ torch.eye(height * width)).equal(flat)


def test_old_versions_of_numpy_find_the_arrays(run, tmp_path):
    """NumPy 2 pickles arrays as ``numpy._core...``, which NumPy before 1.26 does not have."""
    export_irn(run, tmp_path)
    with open(tmp_path / "b.npy", "rb") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        assert np.lib.format.read_array_header_1_0(file)[0] == ()
        words = [value for _, value, _ in pickletools.genops(file) if isinstance(value, str)]
    assert "numpy.core.multiarray _reconstruct" in words
    assert not [word for word in words if word.startswith("numpy._core")]


def test_greys_hold_the_labels(labels, tmp_path):
    assert export_irn(labels, tmp_path / "irn").written == ["n0", "n1", "n2"]
    for name in ("n0", "n1", "n2"):
        mask = read_mask(labels / f"{name}.png")
        assert as_imageio_reads(labels / f"{name}.png").shape == (*mask.shape, 3)  # what is wrong
        found = as_imageio_reads(tmp_path / "irn" / f"{name}.png")
        assert found.dtype == np.uint8 and np.array_equal(found, mask)


def test_a_second_export_writes_only_what_is_new(run, labels, tmp_path):
    output = tmp_path / "irn"
    export_irn(run, output)
    before = {path.name: path.stat().st_ino for path in output.iterdir()}
    report = export_irn(run, output)
    assert (report.written, report.kept) == ([], 3)
    (output / "a.npy").unlink()
    write_maps(run / "maps" / "b.npz", some_maps([7], (8, 5), seed=1))
    os.utime(run / "maps" / "b.npz", (1e9, 1e9))  # older than the export, and other
    report = export_irn(run, output)
    assert (report.written, report.kept) == (["a", "b"], 1)
    assert as_irn_loads(output, "b")["keys"].tolist() == [7]
    assert (output / "c.npy").stat().st_ino == before["c.npy"]


@pytest.mark.parametrize(("source", "path"), [("run", "maps/a.npz"), ("labels", "n1.png")])
def test_a_damaged_file_is_named_and_its_old_export_goes(source, path, tmp_path, request):
    folder = request.getfixturevalue(source)
    export_irn(folder, tmp_path / "irn")
    (folder / path).write_bytes((folder / path).read_bytes()[:60])
    report = export_irn(folder, tmp_path / "irn")
    name = (folder / path).stem
    assert report.failed.keys() == {name} and f"{folder / path} is not a whole" in str(report)
    assert name not in {one.stem for one in (tmp_path / "irn").iterdir()}
    assert len(list((tmp_path / "irn").iterdir())) == 2


def test_a_folder_without_maps_or_masks_and_the_masks_own_folder_are_refused(labels, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere holds neither maps nor masks"):
        export_irn(tmp_path / "nowhere", tmp_path / "irn")
    assert not (tmp_path / "irn").exists()
    before = (labels / "n0.png").read_bytes()
    with pytest.raises(ValueError, match="is the folder of the masks; give another one"):
        export_irn(labels, labels)
    assert (labels / "n0.png").read_bytes() == before
