"""Saliency maps: greys of any depth, whose they are, and where an image set has them."""

import pickle

import numpy as np
import pytest
from PIL import Image
from small_split import Noise

from ribnb.data.image_sets import Part
from ribnb.data.scenes.images import SceneImages
from ribnb.data.scenes.layout import write_scenes
from ribnb.data.voc import VOCImages
from ribnb.masks.saliency import SaliencyFolder, by_index, read_saliency, saliency_of

GREYS = np.array([[0, 1, 128], [254, 255, 7]], np.uint8)


def write(path, values=GREYS, **options) -> None:
    Image.fromarray(values).save(path, **options)


# One file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_greys_are_read_into_0_to_1(tmp_path, dtype, top):
    values = (GREYS / 255 * top).round().astype(dtype)
    write(tmp_path / "one.png", values)
    found = read_saliency(str(tmp_path / "one.png"))
    assert found.dtype == np.float32 and found.shape == (2, 3)
    assert found.min() == 0 and found.max() == 1
    assert np.allclose(found, values / top, atol=1e-7, rtol=0)


def test_black_and_white_is_grey(tmp_path):
    Image.fromarray(GREYS > 100).save(tmp_path / "one.png")
    assert np.array_equal(read_saliency(tmp_path / "one.png"), GREYS > 100)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_colours_are_refused(tmp_path, mode):
    Image.fromarray(GREYS).convert(mode).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match=rf"one\.png is no saliency map: it is of mode {mode}, no"):
        read_saliency(tmp_path / "one.png")


def test_damaged_and_missing_files_are_named(tmp_path):
    path = tmp_path / "one.png"
    write(path)
    whole = path.read_bytes()
    for length in range(len(whole) - 4):  # the last four are a checksum of nothing
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"{path} is not a whole saliency map"):
            read_saliency(path)
    with pytest.raises(FileNotFoundError, match=f"there is no saliency map {tmp_path / 'two.png'}"):
        read_saliency(tmp_path / "two.png")


# A folder ---------------------------------------------------------------------------------


def test_a_folder_gives_maps_by_image(tmp_path):
    write(tmp_path / "a.png")
    folder = SaliencyFolder(str(tmp_path))
    assert np.array_equal(folder("a", (2, 3)), read_saliency(tmp_path / "a.png"))
    assert np.array_equal(folder("a"), folder.of("a", (2, 3)))
    assert np.array_equal(pickle.loads(pickle.dumps(folder))("a"), folder("a"))


def test_what_is_missing_or_of_another_size_is_named(tmp_path):
    write(tmp_path / "a.png")
    with pytest.raises(
        FileNotFoundError, match=rf"image b has no saliency map: .*{tmp_path}/b\.png"
    ):
        SaliencyFolder(tmp_path)("b")
    message = rf"of image a \({tmp_path}/a\.png\) is 3 x 2 pixels, the image 2 x 3"
    with pytest.raises(ValueError, match=message):
        SaliencyFolder(tmp_path)("a", (3, 2))
    with pytest.raises(FileNotFoundError, match=f"no folder of saliency maps {tmp_path / 'none'}"):
        SaliencyFolder(tmp_path / "none")


# Of an image set --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> VOCImages:
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, 8, 64, seed=4)
    return VOCImages(root, "train_aug")


def test_scenes_in_memory_and_on_disk_have_the_same(stored):
    drawn = SceneImages(len(stored), 64, seed=4)
    there, here = saliency_of(stored), saliency_of(drawn)
    for mine, its in zip(drawn.ids, stored.ids, strict=True):
        assert np.array_equal(here(mine, (64, 64)), there(its, (64, 64)))
    assert here.name == there.name, "masks made with either are made alike"
    with pytest.raises(ValueError, match="is 64 x 64 pixels, the image 65 x 64"):
        here(drawn.ids[0], (64, 65))


def test_a_part_has_those_of_its_images(stored):
    drawn = SceneImages(len(stored), 64, seed=4)
    for images in (stored, drawn):
        part = Part(Part(images, [5, 2, 0]), [1, 2])
        at = by_index(part, saliency_of(part))
        assert np.array_equal(at(0), drawn.saliency(2))
        assert np.array_equal(at(1), drawn.saliency(0))


def test_a_given_folder_goes_before_the_sets_own(stored, tmp_path):
    write(tmp_path / f"{stored.ids[0]}.png")
    assert saliency_of(stored, tmp_path)(stored.ids[0]).shape == (2, 3)
    assert saliency_of(Part(stored, [0]), str(tmp_path))(stored.ids[0]).shape == (2, 3)
    with pytest.raises(FileNotFoundError, match="no folder of saliency maps"):
        saliency_of(stored, tmp_path / "none")


def test_image_sets_without_saliency_have_none(stored, tmp_path):
    assert saliency_of(Noise()) is None
    assert saliency_of(Part(Noise(), [1])) is None
    assert by_index(Noise(), None) is None
    (tmp_path / "VOC2012").symlink_to(stored.root)
    assert saliency_of(VOCImages(tmp_path, "val")) is not None
    for name in ("JPEGImages", "ImageSets"):
        (tmp_path / "plain").mkdir(exist_ok=True)
        (tmp_path / "plain" / name).symlink_to(stored.root / name)
    assert saliency_of(VOCImages(tmp_path / "plain", "val")) is None
