"""Maps and masks in IRN's format: what its scripts find, and resumed exports."""

import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from small_masks import write_maps_of
from small_split import Noise

from ribnb.core.files import read_maps, write_maps
from ribnb.core.voc import read_mask, write_mask
from ribnb.masks.export import export_irn

KEYS = {"n000": [2], "n001": [0, 1], "n002": []}


@pytest.fixture
def run(tmp_path):
    """The folder of a run with the maps of three images, one of them without labels."""
    images = Noise([[0, 0, 1], [1, 1, 0], [0, 0, 0]], sizes=((9, 7), (5, 8)))
    return write_maps_of(images, tmp_path / "run").parent


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
def test_a_file_holds_what_irn_expects_and_what_irn_does_with_it_works(run, tmp_path, inside):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = export_irn(run / inside, tmp_path / "irn")
        assert report.written == [*KEYS] and "3 images in" in str(report)
        assert {path.name for path in (tmp_path / "irn").iterdir()} == {
            f"{one}.npy" for one in KEYS
        }
        every = {name: as_irn_loads(tmp_path / "irn", name) for name in KEYS}
    for name, found in every.items():
        maps = read_maps(run / "maps" / f"{name}.npz")
        assert set(found) == {"keys", "cam", "high_res"}
        assert isinstance(found["cam"], torch.Tensor) and found["cam"].dtype == torch.float32
        assert isinstance(found["high_res"], np.ndarray) and found["high_res"].dtype == np.float32
        assert (found["keys"].dtype, found["keys"].tolist()) == (np.int64, KEYS[name])
        assert np.array_equal(found["high_res"], maps.high_res)
        assert np.array_equal(found["cam"].numpy(), maps.strided)
        height, width = found["cam"].shape[-2:]
        flat = found["cam"].view(-1, height * width)  # the random walk: refuses strange strides
        assert (flat @ torch.eye(height * width)).equal(flat)


def test_greys_hold_the_labels(labels, tmp_path):
    assert export_irn(labels, tmp_path / "irn").written == ["n0", "n1", "n2"]
    for name in ("n0", "n1", "n2"):
        mask = read_mask(labels / f"{name}.png")
        assert as_imageio_reads(labels / f"{name}.png").shape == (*mask.shape, 3)  # what is wrong
        found = as_imageio_reads(tmp_path / "irn" / f"{name}.png")
        assert found.dtype == np.uint8 and np.array_equal(found, mask)


def test_a_second_export_writes_only_what_is_new(run, tmp_path):
    output, other = tmp_path / "irn", run / "maps" / "n001.npz"
    export_irn(run, output)
    before = (output / "n002.npy").stat().st_ino
    assert export_irn(run, output).kept == 3
    (output / "n000.npy").unlink()
    write_maps(other, read_maps(other)._replace(class_ids=np.array([1, 2])))
    os.utime(other, (1e9, 1e9))  # older than the export, and other
    report = export_irn(run, output)
    assert (report.written, report.kept) == (["n000", "n001"], 1)
    assert as_irn_loads(output, "n001")["keys"].tolist() == [1, 2]
    assert (output / "n002.npy").stat().st_ino == before


@pytest.mark.parametrize(("source", "path"), [("run", "maps/n000.npz"), ("labels", "n1.png")])
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
    with pytest.raises(ValueError, match="is the folder of the masks; give another one"):
        export_irn(labels, labels)
