"""Masks of VOC's images: which file, which values, and whether they fit the image."""

import numpy as np
import pytest
from PIL import Image
from small_voc import IDS, MASK, SAMPLE, SAMPLE_IDS, make_voc, write_mask

from ribnb.data.voc import CLASS_NAMES, VOCImages


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path)


def test_masks_are_the_palettes_indices(voc):
    mask = VOCImages(voc, "train").mask(0)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, MASK)
    mask[:] = 0  # a copy of the caller's own, which may be written to


def test_masks_of_another_folder_may_be_greys(voc):
    (voc / "SegmentationClassAug").mkdir()
    Image.fromarray(MASK[::-1]).save(voc / "SegmentationClassAug" / f"{IDS[0]}.png")
    found = VOCImages(voc, "train", masks="SegmentationClassAug").mask(0)
    assert np.array_equal(found, MASK[::-1])


def test_a_mask_that_is_not_there_is_named_with_the_folders_that_are(voc):
    (voc / "SegmentationClassAug").mkdir()
    (voc / "SegmentationClass" / f"{IDS[1]}.png").unlink()
    message = rf"{IDS[1]} has no mask: .*SegmentationClass.{IDS[1]}\.png.*SegmentationClassAug"
    with pytest.raises(FileNotFoundError, match=message):
        VOCImages(voc, "train").mask(1)


def test_a_mask_of_colours_or_of_unknown_classes_is_refused(voc):
    path = voc / "SegmentationClass" / f"{IDS[0]}.png"
    Image.new("RGB", (4, 2)).save(path)
    with pytest.raises(ValueError, match=rf"the mask of image {IDS[0]} must be.*is of mode RGB"):
        VOCImages(voc, "train").mask(0)
    Image.fromarray(MASK + 1).save(path)  # 255 becomes 0, and 20 a class too many
    with pytest.raises(ValueError, match=rf"image {IDS[0]} holds \[21\], but there are 20"):
        VOCImages(voc, "train").mask(0)
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(OSError, match=rf"the mask of image {IDS[0]} cannot be read: .*\.png"):
        VOCImages(voc, "train").mask(0)


def test_parts_are_read_where_they_are_and_missed_by_name(voc):
    parts = np.array([[0, 1, 2, 0], [0, 0, 2, 2]], np.uint8)
    (voc / "SegmentationPart").mkdir()
    Image.fromarray(parts).save(voc / "SegmentationPart" / f"{IDS[0]}.png")
    images = VOCImages(voc, "train")
    assert np.array_equal(images.parts(0), parts)
    with pytest.raises(FileNotFoundError, match=rf"image {IDS[1]} has no part mask"):
        images.parts(1)


# Which file -------------------------------------------------------------------------------


def test_without_a_choice_vocs_own_masks_come_before_the_augmented_ones(voc):
    (voc / "SegmentationClass" / f"{IDS[1]}.png").unlink()
    for image_id in IDS:
        write_mask(voc, image_id, MASK[::-1].copy(), "SegmentationClassAug")
    images = VOCImages(voc, "train")
    assert np.array_equal(images.mask(0), MASK)
    assert np.array_equal(images.mask(1), MASK[::-1])
    chosen = VOCImages(voc, "train", masks="SegmentationClass")
    with pytest.raises(FileNotFoundError, match=f"image {IDS[1]} has no mask"):
        chosen.mask(1)


# Whether they fit -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (2, 3), (4, 2)])
def test_a_mask_of_another_size_is_named_with_both_sizes(voc, shape):
    write_mask(voc, IDS[2], np.zeros(shape, np.uint8))
    images = VOCImages(voc, "train")
    message = (
        rf"mask of image {IDS[2]} is {shape[1]} x {shape[0]} pixels, the image 4 x 2 "
        rf"\(.*SegmentationClass.{IDS[2]}\.png; .*{IDS[2]}\.jpg\)"
    )
    with pytest.raises(ValueError, match=message):
        images.mask(2)
    with pytest.raises(ValueError, match=message):
        _ = VOCImages(voc, "train", labels_from="masks").labels
    assert np.array_equal(images.mask(1), MASK)


def test_the_images_size_is_that_without_its_exif_rotation(voc):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(voc / "JPEGImages" / f"{IDS[0]}.jpg", exif=exif)
    assert VOCImages(voc, "train").mask(0).shape == (2, 4)


def test_a_mask_needs_only_its_images_header(voc):
    path = voc / "JPEGImages" / f"{IDS[0]}.jpg"
    drawn = np.random.default_rng(0).integers(256, size=(2, 4, 3), dtype=np.uint8)
    Image.fromarray(drawn).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    images = VOCImages(voc, "train")
    with pytest.raises(OSError, match=f"image {IDS[0]} cannot be read"):
        images.image(0)
    assert np.array_equal(images.mask(0), MASK)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(OSError, match=rf"image {IDS[0]} cannot be read: .*{IDS[0]}\.jpg"):
        images.mask(0)


def test_a_mask_without_its_image_is_named(voc):
    (voc / "JPEGImages" / f"{IDS[0]}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=rf"image {IDS[0]} is missing: .*{IDS[0]}\.jpg"):
        VOCImages(voc, "train").mask(0)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this")
def test_real_masks_are_found_and_fit():
    images = VOCImages(SAMPLE, "val")
    assert images.ids == SAMPLE_IDS
    found = []
    for index in range(len(images)):
        mask = images.mask(index)
        assert images.image(index).size == mask.shape[::-1]
        found.append([CLASS_NAMES[value - 1] for value in np.unique(mask) if 0 < value < 255])
    assert found == [["bottle", "person"], ["chair", "person", "sofa"], ["bus", "car"]]
