"""Data as people have them: other tools, cameras, editors and operating systems made them."""

import os
import re

import numpy as np
import pytest
from made_up_voc import OWN, TRAIN, make_voc
from PIL import Image

from ribnb.core.voc import CLASS_NAMES, write_mask
from ribnb.data.labels import look_at_masks, scorable, write_labels
from ribnb.data.voc import VOCImages, class_names_of, read_split


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path)


def masks_become(voc, change):
    for path in (voc / "SegmentationClass").iterdir():
        write_mask(path, change(np.array(Image.open(path))))


# Numbers that mean something else ----------------------------------------------------------


def test_masks_whose_object_is_255_are_pointed_out_wherever_masks_are_looked_at(voc):
    masks_become(voc, lambda mask: np.where(mask > 0, np.uint8(255), np.uint8(0)))
    for labels_from in ("annotations", "masks"):
        images = VOCImages(voc, "train", labels_from)
        with pytest.raises(ValueError, match="nothing but 0 and 255, and 255 is ignored") as said:
            scorable(images)
    assert "ignored (255): -, -, " in str(said.value)


def test_masks_of_other_classes_than_the_labels_are_told_class_by_class(voc):
    images = VOCImages(voc, "train")
    assert "3 of 3 masks show other classes" in look_at_masks(images)[0]  # 15, person, fits
    with pytest.warns(UserWarning, match="person: 3, 3, 3"):
        assert scorable(images) is images
    masks_become(voc, lambda mask: np.where(np.isin(mask, (1, 15)), np.uint8(16), mask))
    with pytest.raises(
        ValueError, match=r"(?s)aeroplane: 1, 0, 0.*person: 3, 0, 0.*pottedplant: 0, 3"
    ):
        scorable(images)
    for path in (voc / "SegmentationClass").iterdir():
        path.write_bytes(b"no mask")
    with pytest.raises(ValueError, match=r"no mask can be read to score by: .*is not a whole mask"):
        scorable(images)


def test_images_without_any_mask_are_an_image_set_with_nothing_to_score(voc):
    for path in (voc / "SegmentationClass").iterdir():
        path.unlink()
    images = VOCImages(voc, "train")
    with pytest.warns(UserWarning, match="none of the 3 images has a mask: maps are made"):
        maskless = scorable(images)
    assert maskless.ids == images.ids and (maskless.mask(1) == 255).all()
    assert maskless.mask(1).shape == OWN.shape
    with pytest.raises(ValueError, match=r"\(voc_rib\), and masks of these with ribnb\.masks"):
        scorable(images, needed=True)
    write_mask(voc / "SegmentationClass" / f"{TRAIN[2]}.png", OWN)
    assert look_at_masks(images)[1] is False


GREY = np.arange(8).reshape(2, 4) * 36


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (GREY.astype(np.uint16) * 257, "PNG"),
        (GREY.astype(np.uint16) * 16, "PNG"),  # of 12 bits
        (GREY.astype(np.uint16) * 4, "PNG"),  # of 10
        (GREY.astype(np.uint16), "PNG"),  # of 8
        ((GREY / 255).astype(np.float32), "TIFF"),
        (GREY.astype(np.float32), "TIFF"),
        (GREY.astype(np.int32) * 257, "TIFF"),
    ],
)
def test_greys_of_any_depth_keep_their_brightness(voc, values, kind):
    Image.fromarray(values).save(voc / "JPEGImages" / f"{TRAIN[0]}.jpg", kind)
    seen = np.asarray(VOCImages(voc, "train").image(0), int)
    assert np.abs(seen - GREY[..., None]).max() <= 1


@pytest.mark.parametrize("values", [GREY - 1000.0, GREY * np.nan, GREY * 1e6])
def test_greys_of_no_known_range_are_refused(voc, values):
    path = voc / "JPEGImages" / f"{TRAIN[0]}.jpg"
    Image.fromarray(values.astype(np.float32)).save(path, "TIFF")
    with pytest.raises(
        OSError, match=rf"{TRAIN[0]}.*its greys \(mode F\) reach from .* 8 or 16 bits"
    ):
        VOCImages(voc, "train").image(0)


# Texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["_background_", "__ignore__", "0\tbackground", "BG", "background:0,0,0::"]
)
def test_a_background_among_the_classes_is_refused(voc, line):
    (voc / "classes.txt").write_text("cat, dog\n")
    with pytest.raises(ValueError, match="class names, one a line"):
        class_names_of(voc)
    (voc / "classes.txt").write_text(f"{line}\ncat\n")
    with pytest.raises(ValueError, match=re.escape(f"classes.txt names {line!r}, which is no")):
        class_names_of(voc)


ANNOTATION = "<annotation><object><name>cat</name></object><note>汉字</note></annotation>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb2312", "gb18030"])
@pytest.mark.parametrize("declared", [True, False])
def test_annotations_of_any_encoding_are_read_or_named(voc, encoding, declared):
    head = f'<?xml version="1.0" encoding="{encoding}"?>\n' if declared else ""
    path = voc / "Annotations" / f"{TRAIN[0]}.xml"
    path.write_bytes((head + ANNOTATION).encode(encoding))
    images = VOCImages(voc, "train")
    if declared or encoding.startswith("utf"):
        assert images.labels[0].nonzero().flatten().tolist() == [CLASS_NAMES.index("cat")]
    else:
        with pytest.raises(ValueError, match=rf"{TRAIN[0]} cannot be read: .*no text in UTF-8"):
            _ = images.labels


@pytest.mark.parametrize("tag", ["html", "annotations"])
def test_xml_that_is_no_annotation_is_no_image_without_objects(voc, tag):
    (voc / "Annotations" / f"{TRAIN[0]}.xml").write_text(f"<{tag}><object/></{tag}>")
    with pytest.raises(ValueError, match=rf"{TRAIN[0]} cannot be read: .*begins with <{tag}>"):
        _ = VOCImages(voc, "train").labels


# Names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG", ".png", ".TIF"])
def test_images_of_other_endings_are_found(voc, suffix):
    path = voc / "JPEGImages" / f"{TRAIN[0]}.jpg"
    image = Image.open(path).copy()
    path.unlink()
    image.save(path.with_suffix(suffix))
    images = VOCImages(voc, "train")
    assert images.image_path(0).suffix == suffix
    assert images.mask(0).shape == (2, 4)


def test_what_is_there_in_place_of_a_file_is_named(voc):
    image, mask = (voc / f"{folder}/{TRAIN[0]}" for folder in ("JPEGImages", "SegmentationClass"))
    mask.with_suffix(".png").rename(mask.with_name(f"{TRAIN[0]}_mask.png"))
    images = VOCImages(voc, "train")
    with pytest.raises(FileNotFoundError, match=rf"has no mask: .*, but {TRAIN[0]}_mask\.png$"):
        images.mask(0)
    image.with_suffix(".jpg").rename(image.with_suffix(".heic"))
    with pytest.raises(FileNotFoundError, match=rf"is missing: .*, but {TRAIN[0]}\.heic$"):
        images.image(0)


def test_ids_may_have_spaces_where_the_files_have(voc):
    for path in [*voc.rglob(f"{TRAIN[0]}.*")]:
        path.rename(path.with_stem("photo 1"))
    for text in (
        "photo 1\n",
        "JPEGImages/photo 1.jpg SegmentationClass/photo 1.png",
        "photo 1.jpg",
    ):
        (voc / "mine.txt").write_text(text)
        assert read_split(voc, voc / "mine.txt") == ["photo 1"]
    (voc / "mine.txt").write_text("JPEGImages\\photo 1.jpg\n")
    images = VOCImages(voc, voc / "mine.txt")
    assert images.image(0).size == images.mask(0).shape[::-1] and images.labels.sum() == 2


# What outlives its source ------------------------------------------------------------------


def test_an_annotation_that_is_newer_than_the_stored_labels_counts(voc, recwarn):
    before = VOCImages(voc, "train")
    write_labels(voc / "labels.npz", before.ids, before.labels, CLASS_NAMES)
    path = voc / "Annotations" / f"{TRAIN[1]}.xml"
    os.utime(path, (2e9, 2e9))
    assert VOCImages(voc, "train").labels.equal(before.labels)
    assert not recwarn.list  # it says the same
    path.write_text(ANNOTATION, encoding="utf-8")
    os.utime(path, (2e9, 2e9))
    with pytest.warns(UserWarning, match=rf"labels\.npz is older than 1 .*of {TRAIN[1]}; theirs"):
        labels = VOCImages(voc, "train").labels
    assert labels[1].nonzero().flatten().tolist() == [CLASS_NAMES.index("cat")]
    assert labels[[0, 2]].equal(before.labels[[0, 2]])
