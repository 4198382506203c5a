"""Maps that are none of an image's: every stage names the image, its file and what is wrong."""

import pickle
from functools import partial

import numpy as np
import pytest
from irn_split import write_maps_of
from plain_adaptation import one_thread  # noqa: F401
from small_split import Noise
from small_split import net as classifier
from small_voc import IDS, make_voc

from ribnb.core.files import read_maps, write_maps
from ribnb.data.voc import VOCImages
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.crf_stage import crf_masks
from ribnb.masks.irn import IRN, IRNSettings, irn_labels, irn_masks
from ribnb.masks.mask_maps import image_size, maps_for_masks
from ribnb.masks.saliency import saliency_masks
from ribnb.masks.seeds import SeedOf, seed_masks

needs_crf = pytest.mark.skipif(
    not crf_available(), reason="no pydensecrf2 here: `pip install -e .[crf]` compiles it"
)
FEW = IRNSettings.scenes(walk_exponent=2)
SPOILS = {
    "of a class nobody knows": (lambda m: {"class_ids": m.class_ids * 0 + 3}, r"in 0 ... 2; got"),
    # one that a mask's 8 bits would make another class of
    "of a class too large": (lambda m: {"class_ids": m.class_ids * 0 + 256}, r"in 0 ... 2; got"),
    "of a class below 0": (lambda m: {"class_ids": m.class_ids * 0 - 1}, r"in 0 ... 2; got"),
    "of numbers that are no class": (lambda m: {"class_ids": m.class_ids + 0.5}, "whole numbers"),
    "NaN": (lambda m: {"high_res": m.high_res * np.nan}, "holds NaN"),
    "not divided": (lambda m: {"high_res": m.high_res * 9}, "must lie in [0, 1]"),
    "negative": (lambda m: {"high_res": m.high_res - 0.5}, "must lie in [0, 1]"),
    "of another size": (
        lambda m: {"high_res": m.high_res[:, :16, :16], "strided": m.strided[:, :4, :4]},
        "are 16 x 16 pixels, the image is 24 x 32",
    ),
}


def walked(images, maps_dir, output):
    return irn_masks(IRN(classifier()).eval(), images, maps_dir, output, FEW)


def salient(images, maps_dir, output):
    return saliency_masks(images, maps_dir, all_salient, output)


def all_salient(image_id, size=None):
    return np.ones(size, np.float32)


STAGES = [
    pytest.param(partial(seed_masks, threshold=0.4), id="seeds"),
    pytest.param(
        partial(crf_masks, threshold=0.4, settings=CRFSettings.scenes(iterations=1)),
        id="crf",
        marks=needs_crf,
    ),
    pytest.param(partial(irn_labels, settings=FEW), id="labels"),
    pytest.param(walked, id="walk"),
    pytest.param(salient, id="saliency"),
]


@pytest.mark.parametrize("stage", STAGES)
def test_maps_of_something_else_are_named_and_no_mask_is_made_of_them(tmp_path, stage):
    images = Noise(labels=[[1, 0, 0]] * (len(SPOILS) + 1))
    maps_dir = write_maps_of(images, tmp_path / "run")
    for name, (spoil, _) in zip(images.ids, SPOILS.values(), strict=False):
        maps = read_maps(maps_dir / f"{name}.npz")
        write_maps(maps_dir / f"{name}.npz", maps._replace(**spoil(maps)))
    report = stage(images, maps_dir, tmp_path / "out")
    assert report.written == images.ids[-1:]
    for name, (_, why) in zip(images.ids, SPOILS.values(), strict=False):
        assert why in report.failed[name] and str(maps_dir / f"{name}.npz") in report.failed[name]
    assert [path.stem for path in (tmp_path / "out").glob("*.png")] == images.ids[-1:]


def test_good_maps_come_as_they_are(tmp_path):
    images = Noise()
    path = write_maps_of(images, tmp_path / "run") / "n003.npz"
    for found, stored in zip(maps_for_masks(path, 3, (24, 32)), read_maps(path), strict=True):
        assert found.dtype == stored.dtype and np.array_equal(found, stored)


def test_an_images_size_comes_from_its_header_where_there_is_a_file(tmp_path):
    images = VOCImages(make_voc(tmp_path), "train")
    path = images.image_path(1)
    Noise(sizes=((90, 60),)).image(0).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # cannot be decoded
    with pytest.raises(OSError, match=IDS[1]):
        images.image(1)
    assert image_size(images, 1) == (60, 90)
    path.write_bytes(whole[:40])  # no whole header
    with pytest.raises(OSError, match=f"{IDS[1]} cannot be read.*{path}"):
        image_size(images, 1)
    assert image_size(Noise(sizes=((32, 24),)), 0) == (24, 32)


def test_the_job_of_the_seeds_goes_to_other_processes(tmp_path):
    images = Noise()
    maps_dir = write_maps_of(images, tmp_path / "run")
    job = SeedOf(images, maps_dir, 0.4)
    there = pickle.loads(pickle.dumps(job))
    assert np.array_equal(there("n003"), job("n003"))
