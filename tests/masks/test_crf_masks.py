"""The stages that cut seeds out of maps, as they are and refined: files, faults, processes."""

import json
import pickle
import sys
from functools import partial

import numpy as np
import pytest
from small_split import Noise

from ribnb.core.files import Maps, images_digest, read_maps, write_maps
from ribnb.core.mask_files import read_mask_file
from ribnb.data.image_sets import Part
from ribnb.data.scenes.images import SceneImages
from ribnb.masks import crf_stage as module
from ribnb.masks.crf import CRFMissing, crf_available, crf_mask
from ribnb.masks.crf_settings import CRFSettings
from ribnb.masks.crf_stage import crf_masks
from ribnb.masks.seeds import seed_masks
from ribnb.masks.stages import read_masks_record
from ribnb.scores.confusion import seed_mask

needs_crf = pytest.mark.skipif(
    not crf_available(), reason="no pydensecrf2 here: `pip install -e .[crf]` compiles it"
)
SETTINGS = CRFSettings.scenes(iterations=3)
STAGES = [
    pytest.param(seed_masks, id="seeds"),
    pytest.param(partial(crf_masks, settings=SETTINGS), id="crf", marks=needs_crf),
]


def make_maps(folder, images):
    """Map files of an image set, of blobs; `maps_dir`."""
    (folder / "maps").mkdir(parents=True)
    (folder / "maps.json").write_text(json.dumps({"images": images_digest(images)}))
    rng = np.random.default_rng(0)
    for index, name in enumerate(images.ids):
        class_ids = images.labels[index].numpy().nonzero()[0]
        width, height = images.image(index).size
        coarse = rng.random((len(class_ids), -(-height // 8), -(-width // 8)), np.float32)
        high_res = np.kron(coarse, np.ones((8, 8), np.float32))[:, :height, :width]
        quarter = np.zeros((len(class_ids), -(-height // 4), -(-width // 4)), np.float32)
        write_maps(folder / "maps" / f"{name}.npz", Maps(class_ids, high_res, quarter))
    return folder / "maps"


@pytest.fixture
def noise():
    return Noise(sizes=((32, 24), (21, 33)))


@pytest.fixture
def maps_dir(tmp_path, noise):
    return make_maps(tmp_path / "run", noise)


def masks_in(folder):
    return {path.stem: read_mask_file(path) for path in sorted(folder.glob("*.png"))}


def files_in(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_seeds_are_those_that_the_scores_count(tmp_path, noise, maps_dir):
    report = seed_masks(noise, maps_dir, tmp_path / "out", 0.4)
    assert report.written == noise.ids and not report.failed and not report.kept
    for name, mask in masks_in(tmp_path / "out").items():
        assert np.array_equal(mask, seed_mask(read_maps(maps_dir / f"{name}.npz"), 0.4))
    record = read_masks_record(tmp_path / "out")
    assert record["stage"] == "seeds" and record["threshold"] == 0.4 and len(record) == 3


@needs_crf
def test_refined_seeds_choose_between_background_and_all_classes_of_the_map_file(
    tmp_path, noise, maps_dir
):
    high = 0.999  # no seed at all of some classes, whose label may be chosen all the same
    for threshold in (0.4, high):
        out = tmp_path / str(threshold)
        report = crf_masks(noise, maps_dir, out, threshold, SETTINGS)
        assert report.written == noise.ids and not report.failed
        for index, name in enumerate(noise.ids):
            maps = read_maps(maps_dir / f"{name}.npz")
            values = [0, *(maps.class_ids + 1)]
            image, seed = np.array(noise.image(index)), seed_mask(maps, threshold)
            wanted = crf_mask(image, seed, values, SETTINGS)
            assert np.array_equal(read_mask_file(out / f"{name}.png"), wanted)
    record = read_masks_record(tmp_path / "0.4")
    assert record["stage"] == "crf" and record["settings"] == SETTINGS.as_dict()
    assert record["threshold"] == 0.4 and len(record["maps"]) == 12


@needs_crf
def test_the_classes_of_the_map_file_share_the_doubt(tmp_path, noise, maps_dir, monkeypatch):
    """Also those without a seed: the number of labels decides how sure a seed is."""
    seen = []
    monkeypatch.setattr(
        module, "crf_mask", lambda image, mask, values, settings: seen.append(values) or mask
    )
    crf_masks(noise, maps_dir, tmp_path / "out", 0.999, SETTINGS)
    assert seen == [[0, *(row.nonzero()[:, 0] + 1).tolist()] for row in noise.labels]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stopped_stage_goes_on_where_it_was(tmp_path, noise, maps_dir, stage):
    whole, out = tmp_path / "whole", tmp_path / "out"
    stage(noise, maps_dir, whole, 0.4)
    stage(noise, maps_dir, out, 0.4)
    (out / f"{noise.ids[2]}.png").unlink()
    path = out / f"{noise.ids[5]}.png"
    path.write_bytes(path.read_bytes()[:-20])
    noise.shown.clear()
    report = stage(noise, maps_dir, out, 0.4)
    assert report.written == [noise.ids[2], noise.ids[5]] and report.kept == len(noise) - 2
    assert set(noise.shown) <= {2, 5}
    assert files_in(out) == files_in(whole)


@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_of_one_image_is_named_and_the_rest_goes_on(tmp_path, noise, maps_dir, stage):
    missing, damaged, nan = (noise.ids[index] for index in (1, 3, 6))
    (maps_dir / f"{missing}.npz").unlink()
    path = maps_dir / f"{damaged}.npz"
    path.write_bytes(path.read_bytes()[:100])
    maps = read_maps(maps_dir / f"{nan}.npz")
    write_maps(maps_dir / f"{nan}.npz", maps._replace(high_res=maps.high_res * np.nan))
    report = stage(noise, maps_dir, tmp_path / "out", 0.4)
    assert report.failed.keys() == {missing, damaged, nan}
    assert "there are no maps at" in report.failed[missing]
    assert "is not a whole map file" in report.failed[damaged]
    assert "holds NaN" in report.failed[nan]
    assert len(masks_in(tmp_path / "out")) == len(noise) - 3


@needs_crf
def test_images_that_the_crf_cannot_do_are_named(tmp_path, maps_dir, monkeypatch):
    images = Noise(sizes=((32, 24), (21, 33)), broken=(4,))
    small = read_maps(maps_dir / "n000.npz")
    write_maps(
        maps_dir / "n000.npz",
        Maps(small.class_ids, small.high_res[:, :8, :8], small.strided[:, :2, :2]),
    )

    def fails(image, mask, values, settings):
        if len(values) == 4:
            raise RuntimeError("pydensecrf failed")
        return crf_mask(image, mask, values, settings)

    monkeypatch.setattr(module, "crf_mask", fails)
    report = crf_masks(images, maps_dir, tmp_path / "out", 0.4, SETTINGS)
    assert report.failed.keys() == {"n000", "n004", "n006"}
    assert "are 8 x 8 pixels, the image is 24 x 32" in report.failed["n000"]
    assert "image n004 cannot be read" in report.failed["n004"]
    assert report.failed["n006"] == "pydensecrf failed"
    assert len(report.written) == 6


@pytest.mark.parametrize("stage", STAGES)
def test_maps_and_masks_of_something_else_are_refused(tmp_path, noise, maps_dir, stage):
    with pytest.raises(ValueError, match="maps of other images than the 5 here"):
        stage(Part(noise, range(5)), maps_dir, tmp_path / "out", 0.4)
    with pytest.raises(ValueError, match="between 0 and 1"):
        stage(noise, maps_dir, tmp_path / "out", 1.4)
    assert not (tmp_path / "out").exists()
    stage(noise, maps_dir, tmp_path / "out", 0.4)
    with pytest.raises(ValueError, match=r"threshold is 0\.4 there, 0\.5 here"):
        stage(noise, maps_dir, tmp_path / "out", 0.5)


@needs_crf
def test_other_settings_get_a_folder_of_their_own(tmp_path, noise, maps_dir):
    crf_masks(noise, maps_dir, tmp_path / "out", 0.4, SETTINGS)
    with pytest.raises(ValueError, match="made otherwise"):
        crf_masks(noise, maps_dir, tmp_path / "out", 0.4)
    with pytest.raises(ValueError, match="made otherwise"):
        seed_masks(noise, maps_dir, tmp_path / "out", 0.4)


def test_without_the_library_nothing_is_begun(tmp_path, noise, maps_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(CRFMissing, match="C\\+\\+ compiler"):
        crf_masks(noise, maps_dir, tmp_path / "out", 0.4, SETTINGS)
    assert not (tmp_path / "out").exists()
    assert not seed_masks(noise, maps_dir, tmp_path / "out", 0.4).failed


# Processes --------------------------------------------------------------------------------


@needs_crf
def test_several_processes_give_the_same_files(tmp_path):
    images = SceneImages(18, size=64, seed=10)
    part = Part(images, range(1, 18))
    maps_dir = make_maps(tmp_path / "run", part)
    for workers in (1, 2):
        report = crf_masks(part, maps_dir, tmp_path / str(workers), 0.4, SETTINGS, workers)
        assert report.written == part.ids and not report.failed
    assert files_in(tmp_path / "1") == files_in(tmp_path / "2")


@needs_crf
@pytest.mark.parametrize("wrap", [lambda images: images, lambda images: Part(images, range(20))])
def test_a_process_is_not_handed_the_scenes_that_were_drawn(tmp_path, wrap, monkeypatch):
    """The job is pickled with every few images: 20 drawn scenes are over 1 MB."""
    images = wrap(SceneImages(20, seed=10))
    maps_dir = make_maps(tmp_path / "run", images)
    sizes = []

    def note(make, ids, folder, what, workers):
        sizes.append(len(pickle.dumps(make)))
        assert np.array_equal(np.array(make.images.image(3)), np.array(images.image(3)))

    monkeypatch.setattr(module, "make_masks", note)
    crf_masks(images, maps_dir, tmp_path / "out", 0.4)
    assert sizes[0] < 5000
