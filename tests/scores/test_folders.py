"""Folders of maps and of masks side by side: what counts, and what is left out."""

import numpy as np
import pytest
from PIL import Image
from small_masks import made_up_maps, write_maps_of
from small_split import CLASSES, Noise

from ribnb.core.files import Maps, read_maps, write_maps
from ribnb.core.voc import write_mask
from ribnb.data.views import Part
from ribnb.scores.confusion import image_confusions
from ribnb.scores.folders import score_masks, score_split
from ribnb.scores.image_scores import METRICS
from ribnb.scores.iou import THRESHOLDS, mask_miou, seed_miou

SIZE = (24, 32)


class Truth(Noise):
    """With boxes of the image's classes, and a few pixels ignored; `without` have none."""

    def __init__(self, without=(), **options):
        super().__init__(**options)
        self.without = without

    def mask(self, index):
        if index in self.without:
            raise FileNotFoundError(f"image {self.ids[index]} has no mask")
        mask = boxes(self, index)
        mask[::7, ::5] = 255
        return mask


def boxes(images, index, seed=0) -> np.ndarray:
    rng, mask = np.random.default_rng([seed, index]), np.zeros(SIZE, np.uint8)
    for class_id in images.labels[index].numpy().nonzero()[0]:
        top, left = rng.integers(0, 16, 2)
        mask[top : top + 9, left : left + 9] = class_id + 1
    return mask


MASKS = {"truth": 0, "RIB + IRN": 1, "CAM/IRN": 2}


@pytest.fixture(name="masks")
def mask_folders(tmp_path):
    images, found = Truth(), {}
    for name, seed in MASKS.items():
        found[name] = tmp_path / f"m{seed}"
        found[name].mkdir()
        for index, image_id in enumerate(images.ids):
            write_mask(found[name] / f"{image_id}.png", boxes(images, index, seed))
    return found


@pytest.fixture
def maps(tmp_path):
    return {
        name: write_maps_of(Truth(), tmp_path / name, seed)
        for seed, name in enumerate(("seeds", "cam"))
    }


# Maps -------------------------------------------------------------------------------------


def test_scores_are_those_of_the_maps_and_masks(maps):
    images = Truth()
    score = score_split(images, maps)
    for seed, name in enumerate(("seeds", "cam")):
        own = (made_up_maps(images, index, seed) for index in range(9))
        plain = seed_miou(own, map(images.mask, range(9)), THRESHOLDS, 3)
        assert (score.seeds(name).confusion == plain.confusion).all()
        assert score.seeds(name).class_names == ("background", *CLASSES)
    metrics, best = score.metrics(), score.seeds().best
    assert metrics["seed_miou"] == score.seeds().miou.max() == best.miou
    assert metrics["seed_iou_per_class"] == best.iou
    assert metrics["cam_seed_miou"] == score.seeds("cam").miou.max()
    assert metrics["cam_seed_threshold"] == score.seeds("cam").best_threshold
    assert (metrics["images"], metrics["failed"]) == (9, 0)


def test_scores_of_single_images_add_up_to_the_splits(maps):
    images = Truth(without=(3,))
    score = score_split(images, maps)
    own, metrics = score.of_images(images, maps), score.metrics()
    assert own.ids == score.scored and len(own.ids) == 8
    assert own.confusions.keys() == METRICS.keys()
    for name, (miou, threshold) in METRICS.items():
        cut = metrics[threshold]
        files = (
            read_maps(maps[name.removesuffix("_released_range")] / f"{one}.npz") for one in own.ids
        )
        truths = (images.mask(images.ids.index(one)) for one in own.ids)
        assert (own.confusions[name] == image_confusions(files, truths, cut, 3)).all()
        assert own.thresholds[name] == cut
        assert own.miou(name) == pytest.approx(metrics[miou])


def test_shards_add_up_to_the_whole(maps):
    images, count = Truth(without=(2, 5)), 2
    shards = [score_split(images, maps, (index, count)) for index in range(count)]
    whole = score_split(images, maps)
    for name in maps:
        assert (sum(shard.confusions[name] for shard in shards) == whole.confusions[name]).all()
    assert sorted(one for shard in shards for one in shard.scored) == sorted(whole.scored)


def test_maps_that_cannot_be_scored_are_named_and_count_nowhere(maps):
    images = Truth(without=(1,))
    (maps["seeds"] / "n002.npz").unlink()
    (maps["cam"] / "n003.npz").write_bytes(b"half a file")
    wide = Maps(np.array([1]), np.ones((1, 8, 16), np.float32), np.ones((1, 2, 4), np.float32))
    write_maps(maps["cam"] / "n005.npz", wide)
    score = score_split(images, maps)
    assert score.scored == ("n000", "n004", "n006", "n007", "n008")
    assert score.failed.keys() == {"n001", "n002", "n003", "n005"}
    assert score.failed["n001"] == "image n001 has no mask"
    assert "no maps at" in score.failed["n002"]
    assert "n003.npz is not a whole map file" in score.failed["n003"]
    assert "predicted (8, 16), the truth (24, 32)" in score.failed["n005"]
    part = Part(images, [0, 4, 6, 7, 8])  # an image that failed in one folder counts in neither
    alone = score_split(part, maps)
    assert all((score.confusions[name] == alone.confusions[name]).all() for name in maps)
    with pytest.raises(ValueError, match="no image was scored; n001, for example: image n001 has"):
        score_split(images, maps, only=["n001"]).metrics()


# Masks ------------------------------------------------------------------------------------


def test_scores_are_those_of_the_masks_by_themselves(masks):
    images = Truth()
    scores = score_masks(images, masks)
    metrics, own = scores.metrics(), scores.of_images()
    truths = [images.mask(index) for index in range(9)]
    for name, seed in MASKS.items():
        predicted = [boxes(images, index, seed) for index in range(9)]
        plain = mask_miou(predicted, truths, class_names=CLASSES)
        assert (scores.score(name).confusion == plain.confusion).all()
        assert scores.score(name).class_names == ("background", *CLASSES)
        assert metrics["mask_miou"][name] == plain.miou == own.miou(name)
    assert (metrics["images"], metrics["failed"], own.thresholds) == (9, 0, {})
    assert metrics["mask_miou"]["truth"] == 100 > metrics["mask_miou"]["RIB + IRN"]


def test_masks_that_cannot_be_scored_are_named_and_count_nowhere(masks):
    images, (one, two, _) = Truth(without=(1,)), masks.values()
    (one / "n000.png").unlink()
    (two / "n002.png").write_bytes((two / "n002.png").read_bytes()[:-30])
    write_mask(two / "n003.png", np.zeros((32, 24), np.uint8))
    write_mask(one / "n004.png", np.full(SIZE, 4, np.uint8))
    write_mask(two / "n005.png", np.full(SIZE, 255, np.uint8))
    Image.new("RGB", SIZE[::-1], "red").save(two / "n006.png")
    scores = score_masks(images, masks)
    assert scores.scored == ("n007", "n008")
    reasons = {
        "n000": f"there is no mask {one / 'n000.png'}",
        "n001": "image n001 has no mask",
        "n002": f"{two / 'n002.png'} is not a whole mask",
        "n003": "image 0: sizes (H, W) differ: predicted (32, 24), the truth (24, 32)",
        "n004": f"the mask {one / 'n004.png'} must hold 0 (background) ... 3",
        "n005": f"the mask {two / 'n005.png'} must hold 0 (background) ... 3 and decide each",
        "n006": f"{two / 'n006.png'} is no mask: it is of mode RGB",
    }
    assert scores.failed.keys() == reasons.keys()
    for image_id, why in reasons.items():
        assert scores.failed[image_id].startswith(why)
    assert (scores.metrics()["images"], scores.metrics()["failed"]) == (2, 7)
    alone = score_masks(images, masks, [7, 8])
    for name in MASKS:
        assert np.array_equal(scores.confusions[name], alone.confusions[name])
