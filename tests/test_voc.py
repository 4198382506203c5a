"""VOC's layout: lists, labels, images of every kind, masks; small folders made by hand."""

import io
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torch.utils.data import DataLoader

from ribnb.voc import CLASS_NAMES, VOCImages, image_labels, read_split

SAMPLE = ROOT.parent / "shared" / "data" / "voc_sample"
LISTS = ROOT.parent / "shared" / "data" / "voc_lists"
IDS = ["2007_000032", "2007_000039", "2008_000001"]
MASK = np.array([[0, 1, 1, 255], [20, 0, 15, 255]], np.uint8)

OBJECT = "<object>{2}<name>{0}</name><difficult>{1}</difficult>{2}</object>"
PART = "<part><name>head</name></part>"


def write_annotation(root, image_id, *objects) -> None:
    text = f"<annotation><filename>{image_id}.jpg</filename>{''.join(objects)}</annotation>"
    (root / "Annotations" / f"{image_id}.xml").write_text(text)


def write_list(root, name, text) -> None:
    (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(text)


@pytest.fixture
def voc(tmp_path):
    """A VOC2012 folder of three images 4 x 2 in one split, `train`."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    write_list(root, "train", "".join(f"{image_id}\n" for image_id in IDS))
    for place, image_id in enumerate(IDS):
        grey = Image.new("RGB", (4, 2), (60 * place,) * 3)
        grey.save(root / "JPEGImages" / f"{image_id}.jpg")
        mask = Image.fromarray(MASK)
        mask.putpalette([*range(256)] * 3)
        mask.save(root / "SegmentationClass" / f"{image_id}.png")
    write_annotation(root, IDS[0], OBJECT.format("aeroplane", 0, ""))
    write_annotation(
        root, IDS[1], OBJECT.format("person", 0, PART), OBJECT.format("tvmonitor", 1, "")
    )
    write_annotation(root, IDS[2])
    return root


def lit(labels: torch.Tensor) -> list[list[str]]:
    return [[CLASS_NAMES[place] for place in row.nonzero().flatten()] for row in labels]


# Lists ------------------------------------------------------------------------------------


def test_reads_a_split_by_name_by_path_and_from_the_parent(voc, tmp_path):
    assert read_split(voc, "train") == IDS
    assert read_split(tmp_path, "train") == read_split(tmp_path / "VOCdevkit", "train") == IDS
    path = tmp_path / "mine.txt"
    path.write_text("2011_000003\n2007_000032\n")
    assert read_split(voc, path) == read_split(voc, str(path)) == ["2011_000003", "2007_000032"]


@pytest.mark.parametrize(
    "text",
    [
        "/JPEGImages/a_1.jpg /SegmentationClassAug/a_1.png\n/JPEGImages/b.v2.jpg\n",
        "a_1\r\n\r\n  b.v2  \r\n",
        "\ufeffa_1.jpg\n\nb.v2.PNG",
    ],
)
def test_ids_stay_strings_whatever_the_lines_look_like(voc, text):
    write_list(voc, "other", text)
    assert read_split(voc, "other") == ["a_1", "b.v2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\nb\nc\n", r"other\.txt holds 2 ids more than once, such as a;"),
        ("\n \n", r"other\.txt holds no image id"),
        ("a\n2007_000032 -1\n", r"line 2 of .*other\.txt names 2 images: '2007_000032 -1'"),
        ("/JPEGImages/a.jpg /Masks/b.png", r"line 1 of .*names 2 images"),
    ],
)
def test_refuses_a_list_in_words(voc, text, message):
    write_list(voc, "other", text)
    with pytest.raises(ValueError, match=message):
        read_split(voc, "other")


def test_a_split_that_is_not_there_is_named_with_those_that_are(voc):
    write_list(voc, "val", "a")
    message = r"no split 'trian': .*ImageSets.Segmentation holds train, val"
    with pytest.raises(FileNotFoundError, match=message):
        VOCImages(voc, "trian")


def test_another_folder_is_refused_with_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(tmp_path))} is no folder in VOC"):
        VOCImages(tmp_path, "train")


@pytest.mark.skipif(not LISTS.is_dir(), reason="no ../shared/data/voc_lists beside this")
def test_reads_the_real_lists(voc):
    numbers = {
        name: len(read_split(voc, LISTS / f"{name}.txt")) for name in ("train", "train_aug", "val")
    }
    assert numbers == {"train": 1464, "train_aug": 10582, "val": 1449}


# Labels -----------------------------------------------------------------------------------


def test_labels_hold_every_object_also_difficult_ones_but_no_parts(voc):
    labels = VOCImages(voc, "train").labels
    assert labels.dtype == torch.uint8
    assert labels.shape == (3, 20)
    assert lit(labels) == [["aeroplane"], ["person", "tvmonitor"], []]
    assert labels.max() == 1


def test_labels_stand_in_the_order_of_the_ids(voc):
    assert lit(image_labels(voc, [IDS[1], IDS[0]])) == [["person", "tvmonitor"], ["aeroplane"]]


def test_class_names_come_from_the_folder_if_it_has_some(voc):
    assert VOCImages(voc, "train").class_names == CLASS_NAMES
    (voc / "classes.txt").write_text("tvmonitor\naeroplane\n\nperson\n")
    found = VOCImages(voc, "train")
    assert found.class_names == ("tvmonitor", "aeroplane", "person")
    assert found.labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("text", ["", "cat\ndog\ncat\n"])
def test_refuses_class_names_that_are_none_or_alike(voc, text):
    (voc / "classes.txt").write_text(text)
    with pytest.raises(ValueError, match=r"classes\.txt must hold 1 to 254 different class names"):
        VOCImages(voc, "train")


def test_an_annotation_that_is_missing_broken_or_unknown_is_named(voc):
    images = VOCImages(voc, "train")
    path = voc / "Annotations" / f"{IDS[2]}.xml"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{IDS[2]} has no annotation.*{IDS[2]}\.xml"):
        _ = images.labels
    path.write_text("<annotation><object>")
    with pytest.raises(ValueError, match=rf"of image {IDS[2]} cannot be read: .*{IDS[2]}\.xml"):
        _ = images.labels
    write_annotation(voc, IDS[2], OBJECT.format("unicorn", 0, ""))
    with pytest.raises(ValueError, match=rf"of image {IDS[2]} names an unknown class 'unicorn'"):
        _ = images.labels


# Images -----------------------------------------------------------------------------------


def test_images_come_in_the_order_of_the_list(voc):
    images = VOCImages(voc, "train")
    assert len(images) == 3
    assert images.ids == IDS
    assert [images.image(index).getpixel((0, 0)) for index in range(3)] == [
        (0, 0, 0),
        (60, 60, 60),
        (120, 120, 120),
    ]


@pytest.mark.parametrize(
    ("mode", "colour", "kind"),
    [
        ("L", 200, "JPEG"),
        ("CMYK", (55, 55, 55, 0), "JPEG"),
        ("P", 200, "PNG"),
        ("RGBA", (200, 200, 200, 255), "PNG"),
        ("LA", (200, 255), "PNG"),
    ],
)
def test_images_are_rgb_whatever_the_file_holds(voc, mode, colour, kind):
    drawn = Image.new(mode, (4, 2), colour)
    if mode == "P":
        drawn.putpalette([value for value in range(256) for _ in range(3)])
    drawn.save(voc / "JPEGImages" / f"{IDS[0]}.jpg", kind)
    image = VOCImages(voc, "train").image(0)
    assert (image.mode, image.size) == ("RGB", (4, 2))
    assert np.abs(np.asarray(image, int) - 200).max() <= 3


def test_a_rotation_in_exif_is_ignored_so_that_masks_fit(voc):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(voc / "JPEGImages" / f"{IDS[0]}.jpg", exif=exif)
    assert VOCImages(voc, "train").image(0).size == (4, 2)


def noise() -> bytes:
    drawn = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(drawn).save(target, "JPEG")
    return target.getvalue()


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", noise()[:700]], ids=range(3))
def test_an_unreadable_image_is_named_with_its_file(voc, content):
    (voc / "JPEGImages" / f"{IDS[1]}.jpg").write_bytes(content)
    images = VOCImages(voc, "train")
    with pytest.raises(OSError, match=rf"image {IDS[1]} cannot be read: .*{IDS[1]}\.jpg"):
        images.image(1)
    assert images.image(2).mode == "RGB"


def test_a_missing_image_is_named_with_its_file(voc):
    (voc / "JPEGImages" / f"{IDS[1]}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=rf"image {IDS[1]} is missing: .*{IDS[1]}\.jpg"):
        VOCImages(voc, "train").image(1)


class Pixels:
    """A set of tensors made from an image set, as training makes one."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return np.array(self.images.image(index)), self.images.mask(index)


def test_workers_of_a_loader_read_the_same(voc):
    images = VOCImages(voc, "train")
    labels = images.labels
    loader = DataLoader(
        Pixels(images), batch_size=3, num_workers=1, multiprocessing_context="spawn"
    )
    ((pixels, masks),) = list(loader)
    assert pixels[:, 0, 0, 0].tolist() == [0, 60, 120]
    assert np.array_equal(masks[1], MASK)
    assert torch.equal(pickle.loads(pickle.dumps(images)).labels, labels)


# Masks ------------------------------------------------------------------------------------


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


# The real thing ---------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this")
def test_reads_real_images_and_masks():
    images = VOCImages(SAMPLE, "val", masks="SegmentationClassAug")
    assert images.ids == ["2011_000003", "2011_000006", "2011_000025"]
    assert images.class_names == CLASS_NAMES
    found = []
    for index in range(len(images)):
        image, mask = images.image(index), images.mask(index)
        assert image.mode == "RGB"
        assert image.size == mask.shape[::-1]
        found.append([CLASS_NAMES[value - 1] for value in np.unique(mask) if 0 < value < 255])
    assert found == [["bottle", "person"], ["chair", "person", "sofa"], ["bus", "car"]]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this")
def test_any_damage_to_a_real_image_is_an_oserror_or_no_error(tmp_path, voc):
    """Whatever Pillow raises; 60 files cut short or with bytes changed."""
    source = next(SAMPLE.rglob("*.jpg")).read_bytes()
    generator, images = np.random.default_rng(0), VOCImages(voc, "train")
    failures = 0
    for _ in range(60):
        damaged = bytearray(source[: generator.integers(1, len(source))])
        for place in generator.integers(0, min(len(damaged), 600), 5):
            damaged[place] = generator.integers(256)
        (voc / "JPEGImages" / f"{IDS[0]}.jpg").write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                images.image(0)
            except OSError as error:
                failures += 1
                assert f"image {IDS[0]} cannot be read" in str(error)
    assert failures > 30
