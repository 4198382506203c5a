"""Confident labels: what two thresholds say, with and without a CRF, image by image."""

import json
import pickle

import numpy as np
import pytest
import torch
from irn_split import made_up_maps, write_maps_of
from small_split import Noise

from ribnb.core.files import Maps
from ribnb.core.mask_files import read_mask_file
from ribnb.masks.irn import IRNSettings, confident, irn_labels
from ribnb.masks.irn_labels import _Labels

SETTINGS = IRNSettings(foreground_threshold=0.5, background_threshold=0.2)


def maps_of(high_res, class_ids=None) -> Maps:
    high_res = np.array(high_res, np.float32)
    n, height, width = high_res.shape
    strided = np.zeros((n, -(-height // 4), -(-width // 4)), np.float32)
    return Maps(np.arange(n) if class_ids is None else np.array(class_ids), high_res, strided)


# One image ----------------------------------------------------------------------------------


def test_labels_by_hand():
    red = [[1.0, 0.6, 0.4, 0.1]]
    blue = [[0.2, 0.7, 0.3, 0.15]]
    labels = confident(maps_of([red, blue], [0, 4]), SETTINGS)
    assert labels.tolist() == [[1, 5, 255, 0]]
    assert labels.dtype == np.uint8


def test_on_the_threshold_is_not_above_it():
    assert confident(maps_of([[[1, 0.5, 0.2]]]), SETTINGS).tolist() == [[1, 255, 0]]


def test_an_image_without_classes_is_background():
    assert (confident(maps_of(np.zeros((0, 3, 4))), SETTINGS) == 0).all()


def test_where_maps_are_empty_nothing_is_known():
    """An image that shows a class, but whose map is 0: calling it background would be wrong."""
    assert (confident(maps_of(np.zeros((1, 3, 4))), SETTINGS) == 255).all()
    some = maps_of([np.zeros((1, 2)), [[1.0, 0.0]]])  # one class's map is empty, another's is not
    assert confident(some, SETTINGS).tolist() == [[2, 0]]


def test_a_crf_refines_both_seeds_and_a_class_wins_over_background(monkeypatch):
    crf = pytest.importorskip("ribnb.masks.crf")
    given = []

    def refine(image, mask, values, settings):
        given.append((image.shape, mask.tolist(), list(values), settings))
        return np.array([[0, 2, 2, 2]] if len(given) == 1 else [[0, 0, 2, 2]], np.uint8)

    monkeypatch.setattr(crf, "crf_mask", refine)
    image, maps = np.zeros((1, 4, 3), np.uint8), maps_of([[[0.1, 0.3, 0.6, 1]]], [1])
    labels = confident(maps, SETTINGS, image, "settings")
    assert labels.tolist() == [[0, 2, 2, 2]]  # the second seed's 0 at the second pixel loses
    shape = (1, 4, 3)
    assert given == [
        (shape, [[0, 0, 2, 2]], [0, 2], "settings"),
        (shape, [[0, 2, 2, 2]], [0, 2], "settings"),
    ]


# A split ------------------------------------------------------------------------------------


@pytest.fixture
def split(tmp_path):
    images = Noise()
    return images, write_maps_of(images, tmp_path / "run")


def test_every_image_gets_the_labels_of_its_maps(split, tmp_path):
    images, maps_dir = split
    report = irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)
    assert report.written == images.ids and not report.failed
    for index, name in enumerate(images.ids):
        labels = read_mask_file(tmp_path / "labels" / f"{name}.png", 3)
        assert (labels == confident(made_up_maps(images, index), SETTINGS)).all()
    record = json.loads((tmp_path / "labels" / "masks.json").read_text())
    assert record["crf"] == "no CRF"
    assert record["settings"] == {"foreground_threshold": 0.5, "background_threshold": 0.2}


def test_a_second_call_makes_only_what_is_missing(split, tmp_path):
    images, maps_dir = split
    irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)
    (tmp_path / "labels" / "n003.png").write_bytes(b"half")
    report = irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)
    assert (report.written, report.kept) == (["n003"], 8)
    # what does not change the labels may change
    other = IRNSettings(**{**SETTINGS.as_dict(), "epochs": 9, "beta": 3.0})
    assert irn_labels(images, maps_dir, tmp_path / "labels", other).kept == 9


def test_labels_of_other_thresholds_are_refused(split, tmp_path):
    images, maps_dir = split
    irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)
    with pytest.raises(ValueError, match=r"foreground_threshold\D+0.5.* there"):
        irn_labels(images, maps_dir, tmp_path / "labels", IRNSettings.rib())


def test_what_fails_is_named_and_the_rest_goes_on(split, tmp_path):
    images, maps_dir = split
    (maps_dir / "n001.npz").unlink()
    (maps_dir / "n002.npz").write_bytes(b"half a file")
    write_maps_of(Noise(sizes=((16, 24),)), tmp_path / "other")
    (tmp_path / "other" / "maps" / "n003.npz").replace(maps_dir / "n003.npz")
    images.broken = (5,)
    report = irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)
    assert report.failed.keys() == {"n001", "n002", "n003", "n005"}
    assert "there are no maps at" in report.failed["n001"]
    assert "is not a whole map file" in report.failed["n002"]
    assert "n003.npz are 24 x 16 pixels, the image is 24 x 32" in report.failed["n003"]
    assert report.failed["n005"] == "image n005 cannot be read"
    assert len(report.written) == 5


def test_maps_of_another_split_are_refused(split, tmp_path):
    _, maps_dir = split
    others = Noise(labels=[[1, 1, 1]] * 9)
    with pytest.raises(ValueError, match="maps of other images than the 9 here"):
        irn_labels(others, maps_dir, tmp_path / "labels", SETTINGS)


def test_what_makes_them_can_go_to_another_process(split):
    images, maps_dir = split
    make = pickle.loads(pickle.dumps(_Labels(images, maps_dir, SETTINGS, None)))
    assert (make("n003") == confident(made_up_maps(images, 3), SETTINGS)).all()


def test_a_crf_is_in_the_record_and_its_failure_names_the_image(split, tmp_path, monkeypatch):
    crf = pytest.importorskip("ribnb.masks.crf")
    images, maps_dir = split

    def refine(image, mask, values, settings):
        if mask.any() and image[0, 0, 0] == np.asarray(images.image(0))[0, 0, 0]:
            raise RuntimeError("the CRF failed")
        return mask

    monkeypatch.setattr(crf, "crf_mask", refine)
    report = irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS, crf.CRFSettings())
    assert report.failed["n000"] == "the CRF failed"
    assert "n001" in report.written
    record = json.loads((tmp_path / "labels" / "masks.json").read_text())
    assert record["crf"] == crf.CRFSettings().as_dict()
    with pytest.raises(ValueError, match="crf is"):
        irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)


def test_no_global_random_state_is_touched(split, tmp_path):
    images, maps_dir = split
    before = torch.get_rng_state()
    irn_labels(images, maps_dir, tmp_path / "labels", SETTINGS)
    assert torch.get_rng_state().equal(before)
