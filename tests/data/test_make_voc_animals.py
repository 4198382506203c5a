"""The five animals of VOC 2012 at 320 px: their lists, and the folder made of made-up images."""

import re

import made_up_voc as made_up
import make_voc_animals as script
import numpy as np
import pytest
from conftest import ROOT, times
from made_up_voc import run_script
from PIL import Image

from ribnb.core.voc import write_mask
from ribnb.data.voc import VOCImages

SCRIPT = ROOT / "data_scripts" / "make_voc_animals.py"
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


def test_a_second_call_does_nothing_and_only_what_is_missing_is_made_again(voc, tmp_path):
    out = tmp_path / "out"
    script.make_animals(voc, out)
    before = times(out)
    report = script.make_animals(voc, out)
    assert (report.written, report.kept, times(out)) == ([], len(IDS), before)
    lost = out / "SegmentationClass" / f"{IDS[0]}.png"
    kept = lost.read_bytes()
    lost.unlink()
    (out / "JPEGImages" / f"{IDS[1]}.jpg").write_bytes(b"")
    (out / "ImageSets" / "Segmentation" / "val.txt").unlink()
    assert script.make_animals(voc, out).written == IDS[:2]
    assert times(out).keys() == before.keys()
    assert lost.read_bytes() == kept


WRONG = {  # words that name it -> what is done to the mask and the image of one
    r"shows no cat, cow, dog, horse or sheep: .* holds other masks than VOC 2012's": (
        lambda mask, image: write_mask(mask, np.full((338, 500), 15, np.uint8))
    ),
    "338 x 500 pixels, the image 500 x 338": (
        lambda mask, image: write_mask(mask, scene(338, 500)[1])
    ),
    "cannot be read": lambda mask, image: image.write_bytes(image.read_bytes()[:2000]),
}


@pytest.mark.parametrize(("words", "spoil"), WRONG.items())
def test_one_wrong_image_is_named_and_the_rest_is_made_but_no_list(voc, tmp_path, words, spoil):
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
def test_what_voc_lacks_is_named_before_anything_is_written(voc, tmp_path, monkeypatch, capsys, of):
    for name in (made_up.SBD_TRAIN[0], made_up.VAL[0]):
        of(voc, name).unlink()
    message = "lacks the image or the mask of 2 of 5 images, such as 2007_000033, 2011_000099;"
    with pytest.raises(FileNotFoundError, match=message):
        script.make_animals(voc, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert run_script(monkeypatch, SCRIPT, voc, tmp_path / "out") == 1  # with the book's lists
    assert "of 1,382 of 1,382 images, such as" in capsys.readouterr().err


def test_voc_itself_is_not_written_into_nor_is_a_folder_of_other_images(voc, tmp_path, monkeypatch):
    before = times(voc)
    with pytest.raises(ValueError, match="VOC's own folder"):
        script.make_animals(voc, voc)
    assert times(voc) == before
    script.make_animals(voc, tmp_path / "out")
    monkeypatch.setattr(script, "QUALITY", 90)
    with pytest.raises(ValueError, match=r"made otherwise .*85.*90"):
        script.make_animals(voc, tmp_path / "out")
