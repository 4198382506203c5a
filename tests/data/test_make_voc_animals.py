"""The five animals of VOC 2012 at 320 px: their lists, and the folder made of made-up images."""

import re
import sys

import made_up_voc as made_up
import numpy as np
import pytest
from conftest import ANIMALS, ROOT
from made_up_voc import LISTS, run_script
from PIL import Image

from ribnb.core.voc import read_mask, write_mask
from ribnb.data.voc import VOCImages

sys.path.insert(0, str(ROOT / "data_scripts"))
import make_voc_animals as script

SCRIPT = ROOT / "data_scripts" / "make_voc_animals.py"
OURS = ANIMALS  # the folder, where it is
SPLITS = {  # of the made-up data; the last of train_aug is SBD's
    "train": made_up.TRAIN[:2],
    "val": made_up.VAL,
    "train_aug": [*made_up.TRAIN[:2], made_up.SBD_TRAIN[0]],
    "choose": made_up.SBD_TRAIN[:1],
}
IDS = sorted({*SPLITS["train_aug"], *SPLITS["val"]})
NUMBERS = {0: 0, 7: 0, 8: 1, 9: 0, 10: 2, 12: 3, 13: 4, 15: 0, 17: 5, 20: 0, 255: 255}
BLOCKS = np.array(list(NUMBERS), np.uint8)  # a mask's values, from left to right


def lists_of(folder) -> dict[str, list[str]]:
    return {path.stem: path.read_text().split() for path in folder.glob("*.txt")}


def times(folder) -> dict:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def image_of(voc, name):
    return voc / "JPEGImages" / f"{name}.jpg"


def mask_of(voc, name):
    aug = name == made_up.SBD_TRAIN[0]
    return voc / f"SegmentationClass{'Aug' if aug else ''}" / f"{name}.png"


def scene(width: int, height: int) -> tuple[Image.Image, np.ndarray]:
    """A smooth picture, and a mask of all of ``NUMBERS`` in upright bands."""
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)[:, None]
    picture = np.stack([across + 0 * down, down + 0 * across, (across + down) / 2], -1)
    mask = np.tile(BLOCKS[np.arange(width) * len(BLOCKS) // width], (height, 1))
    return Image.fromarray(picture.astype(np.uint8)), mask


@pytest.fixture
def voc(tmp_path, monkeypatch):
    """VOC, made up, with animals; and the script's lists are those of ``SPLITS``."""
    voc = made_up.make_voc(tmp_path / "data")
    (voc / "SegmentationClassAug").mkdir()
    for name in IDS:
        picture, mask = scene(500, 338)
        picture.save(image_of(voc, name), quality=95)
        write_mask(mask_of(voc, name), mask)
    ids = tmp_path / "ids"
    ids.mkdir()
    for name, listed in SPLITS.items():
        made_up.write_list(ids / f"{name}.txt", listed)
    monkeypatch.setattr(script, "IDS", ids)
    return voc


def test_the_lists_are_those_that_the_book_tells_of():
    lists = lists_of(script.IDS)
    counts = {name: len(set(ids)) for name, ids in lists.items()}
    assert counts == {"train": 437, "val": 445, "train_aug": 937, "choose": 100}
    assert all(ids == sorted(ids) for ids in lists.values())
    train, val, aug = (set(lists[name]) for name in ("train", "val", "train_aug"))
    assert train < aug and not aug & val
    assert lists["choose"] == sorted(aug - train)[::5]  # so none is in train


@pytest.mark.skipif(not LISTS.is_dir(), reason="no ../shared/data/voc_lists beside this")
def test_the_lists_are_parts_of_the_official_ones():
    lists, official = lists_of(script.IDS), lists_of(LISTS)
    for name in ("train", "val", "train_aug"):
        assert set(lists[name]) < set(official[name])
    assert not set(lists["choose"]) & set(official["train"])


@pytest.mark.skipif(not OURS.is_dir(), reason="no ../shared/data/voc_animals beside this")
def test_the_folder_at_hand_has_these_lists_and_counts():
    counts = {
        "train": [131, 62, 121, 68, 63],
        "val": [119, 71, 128, 79, 57],
        "choose": [32, 9, 39, 9, 11],  # each class is there
    }
    lists = lists_of(script.IDS)
    assert lists_of(OURS / "ImageSets" / "Segmentation").items() <= lists.items()
    assert (OURS / "classes.txt").read_text().split() == list(script.ANIMALS)
    for name, expected in counts.items():
        images = VOCImages(OURS, script.IDS / f"{name}.txt", labels_from="masks")
        assert images.labels.sum(0).tolist() == expected


def test_images_and_masks_follow_the_rule(voc, tmp_path):
    fine = (np.indices((338, 500)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(fine).save(image_of(voc, made_up.VAL[0]), quality=95)
    report = script.make_animals(tmp_path / "data", tmp_path / "out")
    assert report.written == IDS and not report.failed
    made = VOCImages(tmp_path / "out", "train_aug", labels_from="masks")
    assert made.class_names == ("cat", "cow", "dog", "horse", "sheep")
    assert made.labels.tolist() == [[1] * 5] * 3  # SBD's mask too
    assert lists_of(tmp_path / "out" / "ImageSets" / "Segmentation") == SPLITS
    picture, mask = scene(500, 338)
    down, across = (  # the nearest pixel's place, in rows and columns
        ((np.arange(count) + 0.5) * side / count).astype(int)
        for count, side in ((216, 338), (320, 500))  # 216.3 is 216
    )
    expected = np.vectorize(NUMBERS.get)(mask)[down[:, None], across]
    assert np.array_equal(made.mask(0), expected)
    image = made.image(0)
    assert image.size == (320, 216)
    near = np.asarray(picture, float)[down[:, None], across]
    assert np.abs(np.asarray(image, float) - near).mean() < 2  # saved as JPEG twice
    with Image.open(made.image_path(0)) as image:
        assert image.quantization[0][:4] == [5, 3, 3, 5]  # of quality 85
    with Image.open(image_of(tmp_path / "out", made_up.VAL[0])) as image:
        assert np.asarray(image).std() < 30  # pixels are averaged, not picked


def test_upright_small_grey_and_turned_images_are_made_as_voc_keeps_them(voc, tmp_path):
    upright, grey, turned, small = IDS[:4]
    for name, size in ((upright, (333, 500)), (small, (160, 101))):
        picture, mask = scene(*size)
        picture.save(image_of(voc, name))
        write_mask(mask_of(voc, name), mask)
    picture, mask = scene(500, 338)
    picture.convert("L").save(image_of(voc, grey))
    Image.fromarray(mask).save(mask_of(voc, grey))  # of greys, without a palette
    exif = Image.Exif()
    exif[0x0112] = 6  # it is turned, and with it the mask of the pixels as they are stored
    picture.save(image_of(voc, turned), exif=exif)
    script.make_animals(voc, tmp_path / "out")
    sizes = {upright: (213, 320), grey: (320, 216), turned: (216, 320), small: (320, 202)}
    for name, size in sizes.items():
        with Image.open(tmp_path / "out" / "JPEGImages" / f"{name}.jpg") as image:
            assert (image.size, image.mode) == (size, "RGB")
            assert not image.getexif()
        mask = read_mask(tmp_path / "out" / "SegmentationClass" / f"{name}.png", 5)
        assert mask.shape == size[::-1]
        assert set(np.unique(mask)) == {0, 1, 2, 3, 4, 5, 255}


def test_a_second_call_does_nothing_and_only_what_is_missing_is_made_again(voc, tmp_path):
    out = tmp_path / "out"
    script.make_animals(voc, out)
    before = times(out)
    report = script.make_animals(voc, out)
    assert (report.written, report.kept, times(out)) == ([], len(IDS), before)
    lost = out / "SegmentationClass" / f"{IDS[0]}.png"
    kept = lost.read_bytes()
    lost.unlink()
    (out / "ImageSets" / "Segmentation" / "val.txt").unlink()
    assert script.make_animals(voc, out).written == IDS[:1]
    assert times(out).keys() == before.keys()
    assert lost.read_bytes() == kept


# What is done to the mask and the image of one, and the words that name it.
WRONG = {
    "no animal": (
        lambda mask, image: write_mask(mask, np.full((338, 500), 15, np.uint8)),
        r"shows no cat, cow, dog, horse or sheep: .* holds other masks than VOC 2012's",
    ),
    "other size": (
        lambda mask, image: write_mask(mask, scene(338, 500)[1]),
        "338 x 500 pixels, the image 500 x 338",
    ),
    "class 21": (
        lambda mask, image: write_mask(mask, np.full((338, 500), 21, np.uint8)),
        r"holds \[21\], but there are 20 classes",
    ),
    "colours": (lambda mask, image: scene(500, 338)[0].save(mask), "mode RGB"),
    "cut mask": (lambda mask, image: mask.write_bytes(mask.read_bytes()[:-30]), "not a whole mask"),
    "cut image": (
        lambda mask, image: image.write_bytes(image.read_bytes()[:2000]),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_wrong_image_is_named_and_the_rest_is_made_but_no_list(voc, tmp_path, wrong):
    spoil, words = WRONG[wrong]
    name, out = IDS[1], tmp_path / "out"
    kept = {path: path.read_bytes() for path in (mask_of(voc, name), image_of(voc, name))}
    spoil(*kept)
    report = script.make_animals(voc, out)
    assert report.failed.keys() == {name}
    assert re.search(f"{name}.*{words}", report.failed[name])
    assert len(report.written) == len(IDS) - 1
    assert not [*out.rglob("*.txt"), *out.rglob(f"{name}.*")]
    for path, content in kept.items():
        path.write_bytes(content)
    assert script.make_animals(voc, out).written == [name]
    assert len([*out.rglob("*.txt")]) == 5


@pytest.mark.parametrize("of", [image_of, mask_of])
def test_what_voc_lacks_is_named_before_anything_is_written(voc, tmp_path, of):
    for name in (made_up.SBD_TRAIN[0], made_up.VAL[0]):
        of(voc, name).unlink()
    message = (
        r"VOC2012 lacks the image or the mask of 2 of 5 images, such as 2007_000033, 2011_000099;"
    )
    with pytest.raises(FileNotFoundError, match=message):
        script.make_animals(voc, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_voc_itself_is_not_written_into_nor_is_a_folder_of_other_images(voc, tmp_path, monkeypatch):
    before = times(voc)
    with pytest.raises(FileNotFoundError, match="no folder of images of five animals"):
        script.make_animals(voc, voc)
    assert times(voc) == before
    script.make_animals(voc, tmp_path / "out")
    monkeypatch.setattr(script, "QUALITY", 90)
    with pytest.raises(ValueError, match=r"made otherwise .*85.*90"):
        script.make_animals(voc, tmp_path / "out")


def test_the_command_tells_by_its_exit_status(voc, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run_script(monkeypatch, SCRIPT, voc, out) == 1  # with the lists of the book
    said = capsys.readouterr().err
    assert re.search(r"of 1,382 of 1,382 images, such as 2007_000063, [\d_, ]+; get_voc", said)
    assert run_script(monkeypatch, SCRIPT, tmp_path / "none", out) == 1
    assert "is no folder in VOC 2012's layout" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(voc), str(out)])
    spoiled = mask_of(voc, IDS[0])
    content = spoiled.read_bytes()
    spoiled.write_bytes(b"")
    assert script.main() == 1
    assert "no lists yet" in capsys.readouterr().err
    spoiled.write_bytes(content)
    assert script.main() == 0
    assert "1 images of five animals" in capsys.readouterr().out
