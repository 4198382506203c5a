"""VOC's layout: lists, labels, images and masks of every kind; small folders made by hand."""

import numpy as np
import pytest
import torch
from made_up_voc import OWN as MASK
from made_up_voc import TRAIN as IDS
from made_up_voc import make_voc
from PIL import Image

from ribnb.core.voc import CLASS_NAMES, write_mask
from ribnb.data.labels import image_labels, read_labels, write_labels
from ribnb.data.voc import VOCImages, read_split


@pytest.fixture
def voc(tmp_path):
    voc = make_voc(tmp_path)
    part, difficult = "<part><name>head</name></part>", "<difficult>1</difficult>"
    write_annotation(voc, IDS[0], "<name>aeroplane</name>")
    write_annotation(
        voc, IDS[1], f"{part}<name>person</name>{part}", f"<name>tvmonitor</name>{difficult}"
    )
    write_annotation(voc, IDS[2])
    return voc


def write_annotation(voc, image_id, *objects) -> None:
    text = "".join(f"<object>{each}</object>" for each in objects)
    (voc / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{text}</annotation>")


def mask_path(voc, image_id, folder="SegmentationClass"):
    (voc / folder).mkdir(exist_ok=True)
    return voc / folder / f"{image_id}.png"


# Lists ------------------------------------------------------------------------------------


def test_reads_a_split_by_name_by_path_and_from_the_parent(voc, tmp_path):
    assert read_split(voc, "train") == IDS
    assert read_split(tmp_path, "train") == read_split(tmp_path / "VOCdevkit", "train") == IDS
    path = tmp_path / "mine.txt"
    path.write_text("2011_000003\n2007_000032\n")
    assert read_split(voc, path) == read_split(voc, str(path)) == ["2011_000003", "2007_000032"]
    with pytest.raises(FileNotFoundError, match=r"no split 'trian': .*Segmentation holds train"):
        read_split(voc, "trian")


@pytest.mark.parametrize(
    "text",
    [
        "/JPEGImages/a_1.jpg /SegmentationClassAug/a_1.png\n/JPEGImages/b.v2.jpg\n",
        "a_1\r\n\r\n  b.v2  \r\n",
        "\ufeffa_1.jpg\n\nb.v2.PNG",
    ],
)
def test_ids_stay_strings_whatever_the_lines_look_like(voc, text):
    path = voc / "other.txt"
    path.write_text(text)
    assert read_split(voc, path) == ["a_1", "b.v2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\nb\nc\n", r"other\.txt holds 2 ids more than once, such as a"),
        ("\n \n", r"other\.txt holds no image id"),
        ("a\n2007_000032 -1\n", r"other\.txt is '2007_000032 -1', .* list of ImageSets/Main"),
        ("a b\n", r"other\.txt is 'a b', and there is no image of this name with a space"),
        ("a.jpg b.jpg\n", r"a line of .*other\.txt names 2 images: 'a\.jpg b\.jpg'"),
    ],
)
def test_a_list_that_is_none_is_refused(voc, text, message):
    path = voc / "other.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_split(voc, path)


# Labels -----------------------------------------------------------------------------------


def names(labels: torch.Tensor) -> list[list[str]]:
    return [[CLASS_NAMES[column] for column in row.nonzero().flatten()] for row in labels]


def test_labels_hold_every_object_also_difficult_ones_but_no_parts(voc):
    labels = VOCImages(voc, "train").labels
    assert labels.dtype == torch.uint8 and labels.shape == (3, 20)
    assert names(labels) == [["aeroplane"], ["person", "tvmonitor"], []]
    assert names(image_labels(voc, [IDS[1], IDS[0]])) == [["person", "tvmonitor"], ["aeroplane"]]


def test_class_names_come_from_the_folder_if_it_has_some(voc):
    assert VOCImages(voc, "train").class_names == CLASS_NAMES
    (voc / "classes.txt").write_text("tvmonitor\naeroplane\n\nperson\n")
    images = VOCImages(voc, "train")
    assert images.class_names == ("tvmonitor", "aeroplane", "person")
    assert images.labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    (voc / "classes.txt").write_text("cat\ndog\ncat\n")
    with pytest.raises(ValueError, match=r"classes\.txt must hold 1 to 254 different class"):
        VOCImages(voc, "train")


def test_an_annotation_that_is_missing_broken_or_unknown_is_named(voc):
    images = VOCImages(voc, "train")
    path = voc / "Annotations" / f"{IDS[2]}.xml"
    path.unlink()
    message = rf'{IDS[2]} has no annotation.*{IDS[2]}\.xml; .*labels_from="masks"'
    with pytest.raises(FileNotFoundError, match=message):
        _ = images.labels
    unknown = "<annotation><object><name>unicorn</name></object></annotation>"
    for text, why in ((unknown[:20], r"\.xml: no element"), (unknown, "unknown class 'unicorn'")):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"of image {IDS[2]} cannot be read: .*{why}"):
            _ = images.labels


def test_stored_labels_are_taken_by_id_and_no_annotation_is_read(voc):
    for path in (voc / "Annotations").iterdir():
        path.unlink()
    labels = torch.eye(20, dtype=torch.uint8)[:4]
    ids = ["2009_000001", *reversed(IDS)]
    write_labels(voc / "labels.npz", ids, labels, CLASS_NAMES)
    stored = read_labels(voc / "labels.npz")
    assert stored.ids == ids and stored.class_names == CLASS_NAMES
    assert stored.labels.dtype == torch.uint8 and torch.equal(stored.labels, labels)
    assert torch.equal(VOCImages(voc, "train").labels, labels[[3, 2, 1]])


def test_without_all_of_the_images_stored_labels_are_not_used(voc):
    write_labels(voc / "labels.npz", IDS[:2], torch.zeros(2, 20), CLASS_NAMES)
    assert names(VOCImages(voc, "train").labels) == [["aeroplane"], ["person", "tvmonitor"], []]
    write_labels(voc / "labels.npz", IDS, torch.tensor([[1, 0]] * 3), ("cat", "dog"))
    with pytest.raises(ValueError, match=r"labels\.npz has labels of other classes: cat, dog;"):
        _ = VOCImages(voc, "train").labels
    (voc / "classes.txt").write_text("cat\ndog\n")
    assert VOCImages(voc, "train").labels.tolist() == [[1, 0]] * 3
    np.savez(voc / "labels.npz", ids=IDS, labels=np.zeros((2, 2)), class_names=("cat", "dog"))
    with pytest.raises(ValueError, match=r"labels\.npz is not a whole file of labels .*; delete"):
        _ = VOCImages(voc, "train").labels


def test_labels_from_masks_are_the_classes_that_have_a_pixel(voc):
    write_mask(mask_path(voc, IDS[1]), np.full_like(MASK, 255))
    write_mask(mask_path(voc, IDS[2]), np.zeros_like(MASK))
    labels = VOCImages(voc, "train", labels_from="masks").labels
    assert labels.dtype == torch.uint8
    assert names(labels) == [["aeroplane", "person", "tvmonitor"], [], []]


# Images -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "colour", "kind"), [("L", 200, "JPEG"), ("RGBA", (200, 200, 200, 255), "PNG")]
)
def test_images_are_rgb_and_upright_whatever_the_file_holds(voc, mode, colour, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    drawn = Image.new(mode, (4, 2), colour)
    drawn.save(voc / "JPEGImages" / f"{IDS[0]}.jpg", kind, exif=exif)
    images = VOCImages(voc, "train")
    assert (images.image(0).mode, images.image(0).size) == ("RGB", (2, 4))
    assert np.abs(np.asarray(images.image(0), int) - 200).max() <= 3
    turned = np.rot90(MASK, -1)  # which was drawn on the image as it is stored
    assert np.array_equal(images.mask(0), turned)
    write_mask(mask_path(voc, IDS[0]), np.ascontiguousarray(turned))
    assert np.array_equal(images.mask(0), turned)  # drawn as a viewer shows the image
    write_mask(mask_path(voc, IDS[0]), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="4 x 4 pixels, the image 2 x 4 as its EXIF data turn it"):
        images.mask(0)


@pytest.mark.parametrize("content", [b"<html>404</html>", None])
def test_an_unreadable_or_missing_image_is_named_with_its_file(voc, content):
    path = voc / "JPEGImages" / f"{IDS[1]}.jpg"
    path.unlink() if content is None else path.write_bytes(content)
    images = VOCImages(voc, "train")
    how = "cannot be read" if content is not None else "is missing"
    for read in (images.image, images.mask):  # a mask is compared with its image's header
        with pytest.raises(OSError, match=rf"image {IDS[1]} {how}: .*{IDS[1]}\.jpg"):
            read(1)
    assert images.image(2).mode == "RGB"


# Masks ------------------------------------------------------------------------------------


def test_masks_are_indices_and_vocs_own_come_before_the_augmented_ones(voc):
    for image_id in IDS[1:]:
        mask_path(voc, image_id).unlink()
    for image_id in IDS[:2]:
        write_mask(mask_path(voc, image_id, "SegmentationClassAug"), MASK[::-1].copy())
    images = VOCImages(voc, "train")
    mask = images.mask(0)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, MASK)
    mask[:] = 0  # a copy of the caller's own, which may be written to
    assert np.array_equal(images.mask(1), MASK[::-1])
    with pytest.raises(FileNotFoundError, match=rf"{IDS[2]} has no mask: .*SegmentationClassAug"):
        images.mask(2)


def test_a_mask_of_another_size_or_of_unknown_classes_is_named(voc):
    write_mask(mask_path(voc, IDS[2]), np.zeros((4, 2), np.uint8))
    Image.fromarray(MASK + 1).save(mask_path(voc, IDS[0]))  # 20 becomes 21
    images = VOCImages(voc, "train", labels_from="masks")
    with pytest.raises(ValueError, match=rf"mask of image {IDS[2]} is 2 x 4 pixels, the image 4 x"):
        images.mask(2)
    with pytest.raises(ValueError, match=rf"{IDS[0]}\.png holds \[21\], but there are 20"):
        _ = images.labels
    assert np.array_equal(images.mask(1), MASK)


def test_of_some_classes_the_others_are_background(voc):
    whole = VOCImages(voc, "train")
    for labels_from in ("annotations", "masks"):
        some = VOCImages(voc, "train", labels_from, ["person", "aeroplane"])
        assert some.class_names == ("person", "aeroplane")
        every = VOCImages(voc, "train", labels_from).labels
        assert torch.equal(some.labels, every[:, [14, 0]])
    for index in range(3):
        before, mask = whole.mask(index), some.mask(index)
        values = {0: 0, 1: 2, 15: 1, 255: 255}
        assert mask.tolist() == [[values.get(v, 0) for v in row] for row in before.tolist()]
    for classes in (["person", "cart"], ["dog", "dog"]):
        with pytest.raises(ValueError, match="must be different ones of aeroplane"):
            VOCImages(voc, "train", classes=classes)
