"""VOC's layout: lists, and images of every kind; small folders made by hand."""

import io
import pickle
import re
import shutil
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from small_voc import IDS, MASK, SAMPLE, make_voc, write_list
from torch.utils.data import DataLoader

from ribnb.data.voc import CLASS_NAMES, VOCImages, read_split

LISTS = ROOT.parent / "shared" / "data" / "voc_lists"


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path)


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
@pytest.mark.parametrize("kind", ["L", "CMYK", "rotated"])
def test_real_images_of_other_kinds_show_the_same(tmp_path, kind):
    root = shutil.copytree(SAMPLE, tmp_path / "sample") / "VOCdevkit" / "VOC2012"
    before = VOCImages(SAMPLE, "val").image(1)
    exif = Image.Exif()
    exif[0x0112] = 6 if kind == "rotated" else 1
    drawn = before.convert("RGB" if kind == "rotated" else kind)
    drawn.save(root / "JPEGImages" / "2011_000006.jpg", quality=95, exif=exif)
    images = VOCImages(root, "val")
    found = images.image(1)
    assert (found.mode, found.size) == ("RGB", before.size)
    expected = before.convert("L").convert("RGB") if kind == "L" else before
    difference = np.asarray(found, int) - np.asarray(expected, int)
    assert np.abs(difference).mean() < 5
    assert images.mask(1).shape == before.size[::-1]


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
