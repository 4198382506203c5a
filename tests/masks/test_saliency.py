"""Masks from maps and saliency: the rule by hand, and a stage over a split."""

import json

import numpy as np
import pytest
from PIL import Image
from small_split import Noise

from ribnb.core.files import Maps, images_digest, read_maps, write_maps
from ribnb.core.mask_files import read_mask_file
from ribnb.core.runner import MAPS
from ribnb.core.settings import SettingsError
from ribnb.masks.saliency import SaliencyFolder, SaliencySettings, saliency_mask, saliency_masks
from ribnb.masks.stages import read_masks_record
from ribnb.scores.confusion import seed_mask
from ribnb.scores.iou import mask_miou

SCORED, TRAINING = SaliencySettings(), SaliencySettings.training()


def maps_of(*rows) -> Maps:
    """Maps of classes 0 and 2 in an image of one row."""
    high_res = np.zeros((len(rows), 1, 6), np.float32)
    high_res[:] = np.array(rows).reshape(-1, 1, 6)
    return Maps(np.array([0, 2][: len(rows)]), high_res, high_res[..., ::4])


#                 strong  weak  none | weak  sure  none
TWO = maps_of([0.9, 0.05, 0.0, 0.3, 0.6, 0.0], [0.2, 0.08, 0.0, 0.4, 0.1, 0.0])
HALF = np.array([[1.0, 0.9, 0.6, 0.5, 0.1, 0.0]], np.float32)


# The rule ---------------------------------------------------------------------------------


def test_salient_pixels_take_the_strongest_class_and_others_background():
    # the third has no map, and takes its neighbour's class
    assert saliency_mask(TWO, HALF, SCORED).tolist() == [[1, 3, 3, 0, 0, 0]]


def test_where_they_disagree_training_ignores():
    # the second and third are claimed by no class, the fifth by one although it is not salient
    assert saliency_mask(TWO, HALF, TRAINING).tolist() == [[1, 255, 255, 0, 255, 0]]


def test_the_levels_are_settings():
    settings = SaliencySettings.training(salient_level=0.05, map_level=0.06, high_level=0.4)
    assert saliency_mask(TWO, HALF, settings).tolist() == [[1, 3, 255, 3, 1, 0]]
    # each level itself is not above it
    settings = SaliencySettings.training(salient_level=0.4, map_level=0.4, high_level=0.6)
    assert saliency_mask(TWO, HALF, settings).tolist() == [[1, 255, 255, 255, 0, 0]]


def test_all_that_is_decided_is_decided_alike():
    generator = np.random.default_rng(0)
    maps = Maps(np.array([1, 4]), generator.random((2, 20, 30), np.float32), np.zeros((2, 5, 8)))
    saliency = generator.random((20, 30), np.float32)
    scored, training = (saliency_mask(maps, saliency, one) for one in (SCORED, TRAINING))
    sure = training != 255
    assert np.array_equal(scored[sure], training[sure])
    assert 0 < sure.mean() < 1
    assert set(np.unique(scored)) == {0, 2, 5}
    assert np.array_equal(scored > 0, saliency > 0.5), "the outlines are the saliency map's"


def test_without_labels_all_is_background():
    for settings in (SCORED, TRAINING):
        assert not saliency_mask(maps_of(), np.ones((1, 6), np.float32), settings).any()


def test_empty_maps_tell_no_class():
    empty, everywhere = maps_of([0.0] * 6, [0.0] * 6), np.ones((1, 6), np.float32)
    assert not saliency_mask(empty, everywhere, SCORED).any()
    assert saliency_mask(empty, HALF, TRAINING).tolist() == [[255, 255, 255, 0, 0, 0]]


def test_sharper_outlines_for_lost_objects():
    """Two discs with blurred maps, of which the saliency map knows one, sharply."""
    y, x = np.mgrid[:40, :80]
    one, two = (np.hypot(y - 20, x - at) for at in (20, 60))
    truth = np.where(one < 12, 1, np.where(two < 12, 2, 0)).astype(np.uint8)
    high_res = np.stack([np.clip(1 - disc / 24, 0, 1) for disc in (one, two)]).astype(np.float32)
    maps = Maps(np.array([0, 1]), high_res, np.zeros((2, 10, 20), np.float32))
    iou = {
        name: list(mask_miou([mask], [truth], num_classes=2).iou.values())[1:]
        for name, mask in {
            "seed": seed_mask(maps, 0.3),
            "saliency": saliency_mask(maps, (one < 12).astype(np.float32), SCORED),
        }.items()
    }
    assert iou["saliency"] == [100, 0]
    assert 0 < iou["seed"][0] < 60 and 0 < iou["seed"][1] < 60


@pytest.mark.parametrize(
    ("saliency", "message"),
    [
        (HALF[:, :5], "saliency map is 5 x 1 pixels, the image 6 x 1"),
        (HALF[0], r"must be \(H, W\); it is \(6,\)"),
        (HALF * 255, r"must lie in \[0, 1\]; it goes from 0 to 255"),
        (HALF * np.nan, r"must lie in \[0, 1\]"),
    ],
)
def test_what_is_no_saliency_of_the_image_is_refused(saliency, message):
    with pytest.raises(ValueError, match=message):
        saliency_mask(TWO, saliency, SCORED)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"conflicts": "keep"}, "conflicts = 'keep' is not allowed; it must be one of 'decide'"),
        ({"salient_level": 1.5}, "salient_level = 1.5 is not allowed; it must be at most 1"),
        ({"map_level": 0.7}, r"map_level = 0\.7 must not exceed high_level = 0\.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        SaliencySettings(**changed)


# A split ----------------------------------------------------------------------------------

SIZE = (8, 12)


@pytest.fixture
def run(tmp_path):
    """The images of a split, their maps and a folder of their saliency maps."""
    images = Noise(sizes=(SIZE[::-1],))
    maps, saliency = tmp_path / "run" / "maps", tmp_path / "saliency"
    maps.mkdir(parents=True)
    saliency.mkdir()
    record = {"settings": {}, "images": images_digest(images)}
    (tmp_path / "run" / MAPS.record).write_text(json.dumps(record))
    for index, name in enumerate(images.ids):
        rng = np.random.default_rng(index)
        classes = images.labels[index].numpy().nonzero()[0]
        high_res = rng.random((len(classes), *SIZE), np.float32)
        write_maps(maps / f"{name}.npz", Maps(classes, high_res, high_res[:, ::4, ::4]))
        grey = rng.integers(0, 256, SIZE, np.uint8)
        Image.fromarray(grey).save(saliency / f"{name}.png")
    return images, maps, saliency


def masks_in(folder) -> dict[str, bytes]:
    return {path.stem: read_mask_file(path).tobytes() for path in folder.glob("*.png")}


@pytest.mark.parametrize(("settings", "workers"), [(None, 1), (TRAINING, 2)])
def test_a_split_gets_the_masks_of_the_rule(run, tmp_path, settings, workers):
    images, maps, saliency = run
    source, out = SaliencyFolder(saliency), tmp_path / "masks"
    report = saliency_masks(images, maps, source, out, settings, workers)
    assert report.written == images.ids and not report.failed
    by_hand = {
        name: saliency_mask(read_maps(maps / f"{name}.npz"), source(name), settings or SCORED)
        for name in images.ids
    }
    assert masks_in(out) == {name: mask.tobytes() for name, mask in by_hand.items()}
    record = read_masks_record(out)
    assert record["stage"] == "saliency" and record["saliency"] == str(saliency.resolve())
    assert record["settings"] == (settings or SCORED).as_dict()
    again = saliency_masks(images, maps, source, out, settings)
    assert (again.written, again.kept) == ([], 9)


def test_any_function_gives_saliency(run, tmp_path):
    images, maps, _ = run
    asked = []

    def nothing_salient(image_id, size):
        asked.append((image_id, size))
        return np.zeros(size, np.float32)

    saliency_masks(images, maps, nothing_salient, tmp_path / "masks")
    labelled = [name for name, row in zip(images.ids, images.labels, strict=True) if row.any()]
    assert asked == [(name, SIZE) for name in labelled], "without labels none is needed"
    assert set(masks_in(tmp_path / "masks").values()) == {bytes(96)}


def test_images_that_fail_are_named_and_can_be_mended(run, tmp_path):
    images, maps, saliency = run
    whole = (saliency / "n002.png").read_bytes()
    (saliency / "n000.png").unlink()
    Image.new("L", (8, 12)).save(saliency / "n001.png")
    (saliency / "n002.png").write_bytes(whole[:-30])
    Image.new("RGB", SIZE[::-1]).save(saliency / "n003.png")
    (saliency / "n004.png").unlink()  # has no labels
    (maps / "n005.npz").unlink()
    wrong = np.ones((1, *SIZE), np.float32)
    write_maps(maps / "n006.npz", Maps(np.array([7]), wrong, wrong[:, ::4, ::4]))
    source = SaliencyFolder(saliency)
    report = saliency_masks(images, maps, source, tmp_path / "masks")
    assert report.written == ["n004", "n007", "n008"]
    reasons = {
        "n000": f"image n000 has no saliency map: there is no file {saliency / 'n000.png'}",
        "n001": "saliency map of image n001",
        "n002": f"{saliency / 'n002.png'} is not a whole saliency map",
        "n003": f"{saliency / 'n003.png'} is no saliency map: it is of mode RGB",
        "n005": f"there are no maps at {maps / 'n005.npz'}",
        "n006": f"{maps / 'n006.npz'} must hold class_ids in 0 ... 2; got [7]",
    }
    assert report.failed.keys() == reasons.keys()
    assert all(why in report.failed[name] for name, why in reasons.items())
    assert masks_in(tmp_path / "masks")["n004"] == bytes(96)
    (saliency / "n002.png").write_bytes(whole)
    again = saliency_masks(images, maps, source, tmp_path / "masks")
    assert (again.written, again.kept, len(again.failed)) == (["n002"], 3, 5)


def test_masks_of_other_settings_maps_or_saliency_are_left_alone(run, tmp_path):
    images, maps, saliency = run
    source, out = SaliencyFolder(saliency), tmp_path / "masks"
    saliency_masks(images, maps, source, out)
    with pytest.raises(ValueError, match=r"settings\.conflicts is 'decide' there, 'ignore' here"):
        saliency_masks(images, maps, source, out, TRAINING)
    (tmp_path / "other").symlink_to(saliency)
    assert saliency_masks(images, maps, SaliencyFolder(tmp_path / "other"), out).kept == 9
    (tmp_path / "copy").mkdir()
    with pytest.raises(ValueError, match=r"saliency is .*saliency' there, .*copy' here"):
        saliency_masks(images, maps, SaliencyFolder(tmp_path / "copy"), out)
    with pytest.raises(ValueError, match="maps of other images than the 2 here"):
        saliency_masks(Noise([[1, 0, 0], [0, 1, 0]]), maps, source, out)
