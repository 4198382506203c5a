"""Masks from maps and saliency: the rule by hand; saliency maps: files, folders, image sets."""

import pickle

import numpy as np
import pytest
from PIL import Image
from small_masks import write_maps_of
from small_split import Noise

from ribnb.core.files import Maps
from ribnb.core.voc import read_mask
from ribnb.data.scenes.images import SceneImages, write_scenes
from ribnb.data.views import Part
from ribnb.data.voc import VOCImages
from ribnb.masks.saliency import read_saliency, saliency_mask, saliency_masks, saliency_of


def maps_of(*rows) -> Maps:
    """Maps of classes 0 and 2 in an image of one row."""
    high_res = np.zeros((len(rows), 1, 6), np.float32)
    high_res[:] = np.array(rows).reshape(-1, 1, 6)
    return Maps(np.array([0, 2][: len(rows)]), high_res, high_res[..., ::4])


#                 strong  weak  none | weak  sure  none
TWO = maps_of([0.9, 0.05, 0.0, 0.3, 0.6, 0.0], [0.2, 0.08, 0.0, 0.4, 0.1, 0.0])
HALF = np.array([[1.0, 0.9, 0.6, 0.5, 0.1, 0.0]], np.float32)


def test_salient_pixels_take_the_strongest_class_and_others_background():
    # the third has no map, and takes its neighbour's class; the level itself is not above it
    assert saliency_mask(TWO, HALF).tolist() == [[1, 3, 3, 0, 0, 0]]


def test_without_labels_or_with_empty_maps_all_is_background():
    everywhere = np.ones((1, 6), np.float32)
    for maps in (maps_of(), maps_of([0.0] * 6, [0.0] * 6)):
        assert saliency_mask(maps, everywhere).tolist() == [[0] * 6]


@pytest.mark.parametrize("saliency", [HALF * 255, HALF * np.nan])
def test_what_is_no_saliency_map_is_refused(saliency):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        saliency_mask(TWO, saliency)


def test_saliency_maps_that_are_missing_or_damaged_are_named(tmp_path):
    images, folder, out = Noise(), tmp_path / "saliency", tmp_path / "masks"
    maps_dir = write_maps_of(images, tmp_path / "run")
    folder.mkdir()
    for index, name in enumerate(images.ids):
        grey = np.random.default_rng(index).integers(0, 256, (24, 32), np.uint8)
        Image.fromarray(grey).save(folder / f"{name}.png")
    whole = (folder / "n002.png").read_bytes()
    (folder / "n000.png").unlink()
    Image.new("L", (24, 32)).save(folder / "n001.png")
    (folder / "n002.png").write_bytes(whole[:-30])
    Image.new("RGB", (32, 24)).save(folder / "n003.png")
    report = saliency_masks(images, maps_dir, saliency_of(images, folder), out)
    assert report.written == ["n004", "n005", "n006", "n007", "n008"]
    reasons = {
        "n000": f"there is no saliency map {folder / 'n000.png'}",
        "n001": "the saliency map is (32, 24), the image (24, 32)",
        "n002": f"{folder / 'n002.png'} is not a whole saliency map",
        "n003": f"{folder / 'n003.png'} is no saliency map: it is of mode RGB",
    }
    assert report.failed.keys() == reasons.keys()
    assert all(why in report.failed[name] for name, why in reasons.items())
    assert not read_mask(out / "n004.png").any()  # an image without labels


# Files ------------------------------------------------------------------------------------

GREYS = np.array([[0, 1, 128], [254, 255, 7]], np.uint8)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_greys_are_read_into_0_to_1(tmp_path, dtype, top):
    values = (GREYS / 255 * top).round().astype(dtype)
    Image.fromarray(values).save(tmp_path / "one.png")
    saliency = read_saliency(tmp_path, "one")
    assert saliency.dtype == np.float32 and saliency.shape == (2, 3)
    assert saliency.min() == 0 and saliency.max() == 1
    assert np.allclose(saliency, values / top, atol=1e-7, rtol=0)
    Image.fromarray(GREYS > 100).save(tmp_path / "two.png")
    assert np.array_equal(read_saliency(tmp_path, "two"), GREYS > 100)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> VOCImages:
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, 8, 64, seed=4)
    return VOCImages(root, "train_aug")


def test_scenes_in_memory_and_on_disk_have_the_same_and_so_have_their_parts(stored):
    drawn = SceneImages(len(stored), 64, seed=4)
    on_disk, in_memory = saliency_of(stored), saliency_of(drawn)
    for mine, its in zip(drawn.ids, stored.ids, strict=True):
        assert np.array_equal(in_memory.of(mine), on_disk.of(its))
    assert in_memory.name == on_disk.name, "masks made with either are made alike"
    part = saliency_of(Part(Part(stored, [5, 2, 0]), [1, 2]))
    assert np.array_equal(part.of(stored.ids[2]), drawn.saliency(2))


def test_a_given_folder_goes_before_the_sets_own(stored, tmp_path):
    Image.fromarray(GREYS).save(tmp_path / f"{stored.ids[0]}.png")
    given = saliency_of(Part(stored, [0]), tmp_path)
    assert pickle.loads(pickle.dumps(given)).of(stored.ids[0]).shape == (2, 3)
    with pytest.raises(FileNotFoundError, match="no folder of saliency maps"):
        saliency_of(stored, tmp_path / "none")
