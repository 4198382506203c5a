"""Masks and confident labels as IRN's scripts read them: greys, not colours of a palette."""

import os

import numpy as np
import pytest
from irn_split import write_maps_of
from PIL import Image
from small_split import Noise

from ribnb.core.mask_files import read_mask_file, write_mask_file
from ribnb.masks.irn import IRNSettings, irn_labels
from ribnb.masks.irn_format import export_irn_masks, main


@pytest.fixture
def labels(tmp_path):
    images = Noise()
    maps_dir = write_maps_of(images, tmp_path / "run")
    return irn_labels(images, maps_dir, tmp_path / "labels", IRNSettings.rib()).folder


def as_imageio_reads(path) -> np.ndarray:
    """imageio.imread turns a palette into colours before it gives the array."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB") if image.mode == "P" else image)


def test_greys_hold_the_labels(labels, tmp_path):
    report = export_irn_masks(labels, tmp_path / "irn")
    assert report.written == [f"n{index:03}" for index in range(9)]
    seen = set()
    for name in report.written:
        mask = read_mask_file(labels / f"{name}.png")
        assert as_imageio_reads(labels / f"{name}.png").shape == (*mask.shape, 3)  # what is wrong
        found = as_imageio_reads(tmp_path / "irn" / f"{name}.png")
        assert found.dtype == np.uint8 and np.array_equal(found, mask)
        seen |= set(np.unique(found).tolist())
    assert seen == {0, 1, 2, 3, 255}


def test_a_second_export_writes_only_what_is_new(labels, tmp_path):
    export_irn_masks(labels, tmp_path / "irn")
    (tmp_path / "irn" / "n001.png").unlink()
    write_mask_file(labels / "n002.png", np.full((4, 4), 2, np.uint8))
    os.utime(labels / "n002.png", (1e9, 1e9))  # older than the export, and other
    report = export_irn_masks(labels, tmp_path / "irn")
    assert (report.written, report.kept) == (["n001", "n002"], 7)
    assert (as_imageio_reads(tmp_path / "irn" / "n002.png") == 2).all()


def test_a_damaged_mask_is_named_and_its_old_export_goes(labels, tmp_path, capsys):
    export_irn_masks(labels, tmp_path / "irn")
    (labels / "n004.png").write_bytes(b"half")
    assert main([str(labels), str(tmp_path / "irn")]) == 1
    assert f"failed: n004: {labels / 'n004.png'} is not a whole mask" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "irn").iterdir()}
    assert names == {f"n{index:03}.png" for index in range(9) if index != 4}


def test_the_command_knows_a_folder_of_masks(labels, tmp_path, capsys):
    assert main([str(labels), str(tmp_path / "irn")]) == 0
    assert "9 images written to" in capsys.readouterr().out
    assert len(list((tmp_path / "irn").glob("*.png"))) == 9
    assert main([str(tmp_path / "run"), str(tmp_path / "irn")]) == 0  # a run gives its maps
    assert len(list((tmp_path / "irn").glob("*.npy"))) == 9


def test_the_masks_themselves_are_not_written_over(labels, capsys):
    before = (labels / "n000.png").read_bytes()
    assert main([str(labels), str(labels)]) == 2
    assert "is the folder of the masks; give another one" in capsys.readouterr().err
    assert (labels / "n000.png").read_bytes() == before


def test_folders_without_masks_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        export_irn_masks(tmp_path / "nowhere", tmp_path / "irn")
    with pytest.raises(FileNotFoundError, match="holds no masks"):
        export_irn_masks(tmp_path, tmp_path / "irn")
