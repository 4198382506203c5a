"""Scores of a split: what counts, what is left out, and shards that add up to the whole."""

import numpy as np
import pytest
from small_split import CLASSES, Noise

from ribnb.core.files import Maps, read_maps, write_maps
from ribnb.scores.image_scores import METRICS
from ribnb.scores.metrics import WIDE_THRESHOLDS, image_confusions, seed_miou
from ribnb.scores.split_scores import FILE, load_score, merge_scores, save_score, score_split

SIDES = (8, 12)


class Truth(Noise):
    """With masks drawn at random, a few pixels ignored; `without` have none."""

    def __init__(self, without=(), **options):
        super().__init__(**options)
        self.without = without

    def mask(self, index):
        if index in self.without:
            raise FileNotFoundError(f"image {self.ids[index]} has no mask")
        values = np.array([0, *(1 + self.labels[index].numpy().nonzero()[0]), 255], np.uint8)
        return np.random.default_rng([1, index]).choice(values, SIDES)


def maps_of(images, index, seed=0) -> Maps:
    classes = images.labels[index].numpy().nonzero()[0]
    rng = np.random.default_rng([seed, index])
    return Maps(
        classes,
        rng.random((len(classes), *SIDES), np.float32),
        rng.random((len(classes), 2, 3), np.float32),
    )


def write_all(folder, images, seed=0, places=None):
    folder.mkdir(parents=True)
    for index in range(len(images)) if places is None else places:
        write_maps(folder / f"{images.ids[index]}.npz", maps_of(images, index, seed))
    return folder


@pytest.fixture
def folders(tmp_path):
    images = Truth()
    return {name: write_all(tmp_path / name, images, k) for k, name in enumerate(("seeds", "cam"))}


def same(one, other) -> bool:
    return (
        (one.split, one.scored, one.failed, one.class_names)
        == (other.split, other.scored, other.failed, other.class_names)
        and one.confusions.keys() == other.confusions.keys()
        and all((one.confusions[name] == other.confusions[name]).all() for name in one.confusions)
    )


# One run ----------------------------------------------------------------------------------


def test_scores_are_those_of_the_maps_and_masks(folders):
    images = Truth()
    score = score_split(images, folders)
    places = range(len(images))
    for seed, name in enumerate(("seeds", "cam")):
        maps = (maps_of(images, index, seed) for index in places)
        plain = seed_miou(maps, map(images.mask, places), score.seeds().thresholds, 3)
        assert (score.seeds(name).confusion == plain.confusion).all()
        assert score.seeds(name).class_names == ("background", *CLASSES)
    metrics = score.metrics()
    best = score.seeds().at(metrics["seed_threshold"])
    assert metrics["seed_miou"] == score.seeds().miou.max() == best.miou
    assert metrics["seed_iou_per_class"] == best.iou
    assert metrics["cam_seed_miou"] == score.seeds("cam").miou.max()
    assert metrics["cam_seed_threshold"] == score.seeds("cam").best_threshold
    assert (metrics["images"], metrics["failed"]) == (9, 0)


def test_a_wider_range_of_thresholds_has_scores_of_its_own(tmp_path):
    """Faint maps are best below the released program's range."""
    images = Truth()
    folders = {"seeds": write_all(tmp_path / "seeds", images), "cam": tmp_path / "cam"}
    folders["cam"].mkdir()
    for index, name in enumerate(images.ids):  # what is true is a little brighter, but below 0.2
        truth, (classes, maps, strided) = images.mask(index), maps_of(images, index)
        for place, class_id in enumerate(classes):
            maps[place] = np.where(truth == class_id + 1, 0.12, 0.06)
            maps[place, 0, 0] = 1
        write_maps(folders["cam"] / f"{name}.npz", Maps(classes, maps, strided))
    score = score_split(images, folders)
    metrics = score.metrics()
    for name, prefix in (("seeds", ""), ("cam", "cam_")):
        maps = [read_maps(folders[name] / f"{one}.npz") for one in images.ids]
        masks = [images.mask(place) for place in range(len(images))]
        plain = seed_miou(maps, masks, WIDE_THRESHOLDS, 3)
        assert metrics[f"wide_{prefix}seed_miou"] == plain.best_miou
        assert metrics[f"wide_{prefix}seed_threshold"] == plain.best_threshold
    assert metrics["wide_cam_seed_threshold"] in (0.06, 0.08, 0.1)
    assert metrics["wide_cam_seed_miou"] > metrics["cam_seed_miou"] + 50


def test_scores_of_single_images_are_those_at_the_thresholds_of_all(folders):
    images = Truth(without=(3,))
    score = score_split(images, folders)
    own, metrics = score.of_images(images, folders), score.metrics()
    assert own.ids == score.scored and len(own.ids) == 8
    assert own.confusions.keys() == METRICS.keys()
    for name, (miou, threshold) in METRICS.items():
        cut = metrics[threshold]
        maps = (read_maps(folders[name.removesuffix("_wide")] / f"{one}.npz") for one in own.ids)
        masks = (images.mask(images.ids.index(one)) for one in own.ids)
        assert (own.confusions[name] == image_confusions(maps, masks, cut, 3)).all()
        assert own.thresholds[name] == cut
        assert own.miou(name) == pytest.approx(metrics[miou])


def test_without_maps_of_the_cam_the_seeds_are_the_cams(folders):
    metrics = score_split(Truth(), {"seeds": folders["cam"]}).metrics()
    both = score_split(Truth(), folders).metrics()
    assert metrics["seed_miou"] == metrics["cam_seed_miou"] == both["cam_seed_miou"]


def test_a_class_in_neither_truth_nor_prediction_is_left_out_of_the_classes(tmp_path):
    images = Truth(labels=[[1, 0, 0], [1, 0, 1]])
    metrics = score_split(images, {"seeds": write_all(tmp_path / "maps", images)}).metrics()
    assert metrics["seed_iou_per_class"].keys() == {"background", "red", "blue"}


def test_what_cannot_be_scored_is_named_and_counts_nowhere(folders, tmp_path):
    images = Truth(without=(1,))
    (folders["seeds"] / "n002.npz").unlink()
    (folders["cam"] / "n003.npz").write_bytes(b"half a file")
    wide = Maps(np.array([1]), np.ones((1, 8, 16), np.float32), np.ones((1, 2, 4), np.float32))
    write_maps(folders["cam"] / "n005.npz", wide)
    score = score_split(images, folders)
    assert score.scored == ("n000", "n004", "n006", "n007", "n008")
    assert score.failed.keys() == {"n001", "n002", "n003", "n005"}
    assert score.failed["n001"] == "image n001 has no mask"
    assert score.failed["n002"] == "it has no map file"
    assert "n003.npz is not a whole map file" in score.failed["n003"]
    assert score.failed["n005"] == "its maps are 8 x 16 pixels, its mask is 8 x 12"
    # an image that failed in one folder alone counts in neither
    others = [index for index, name in enumerate(images.ids) if name in score.scored]
    for seed, name in enumerate(("seeds", "cam")):
        maps = (maps_of(images, index, seed) for index in others)
        plain = seed_miou(maps, map(images.mask, others), score.seeds().thresholds, 3)
        assert (score.seeds(name).confusion == plain.confusion).all()


def test_if_no_image_is_scored_the_first_reason_is_said(tmp_path):
    (tmp_path / "maps").mkdir()
    score = score_split(Truth(), {"seeds": tmp_path / "maps"})
    with pytest.raises(ValueError, match="no image was scored; n000, for example: it has no map"):
        score.metrics()


def test_a_shard_without_images_is_refused(folders):
    with pytest.raises(ValueError, match="shard 9/10 is empty: there are only 9 images"):
        score_split(Truth(), folders, (9, 10))


# On disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("without", [(), (1, 4)])
def test_what_is_saved_is_read_back(folders, tmp_path, without):
    score = score_split(Truth(without), folders, (1, 3))
    save_score(score, tmp_path)
    assert same(load_score(tmp_path), score)
    assert score.failed.keys() == {f"n{index:03}" for index in without}


@pytest.mark.parametrize("step", [7, 11])
def test_a_damaged_file_is_named_whatever_the_damage(folders, tmp_path, step):
    score = score_split(Truth((1,)), folders)
    save_score(score, tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    refused = 0
    for place in range(0, len(whole), step):
        for content in (whole[:place], whole[:place] + b"\x91" + whole[place + 1 :]):
            (tmp_path / FILE).write_bytes(content)
            try:
                assert same(load_score(tmp_path), score)  # what tells nothing may be anything
            except ValueError as error:
                assert f"{tmp_path / FILE} cannot be read" in str(error)
                refused += 1
    assert refused > len(whole) / step


def test_no_file_and_another_kind_of_file_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no scores\.npz: it is no finished run"):
        load_score(tmp_path)
    np.savez(tmp_path / FILE, thresholds=np.array([0.5]))
    with pytest.raises(ValueError, match=r"other thresholds.*run its chapter again"):
        load_score(tmp_path)


# Shards -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_shards_add_up_to_one_run(folders, count):
    images = Truth(without=(2, 5))
    shards = [score_split(images, folders, (index, count)) for index in range(count)]
    whole = score_split(images, folders)
    merged = merge_scores(shards[::-1], [f"run {index}" for index in range(count)])
    assert same(merged, whole)
    assert merged.metrics() == whole.metrics()


def shard(folders, index, count, images=None):
    return score_split(images or Truth(), folders, (index, count))


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([(0, 2), (0, 2)], "image n000 is in A and in B"),
        ([(0, 1), (1, 2)], "image n001 is in A and in B"),
        ([(0, 2)], "4 of the split's 9 images are in none of the runs, such as n001"),
        ([(0, 3), (2, 3)], "3 of the split's 9 images are in none of the runs, such as n001"),
    ],
)
def test_shards_that_overlap_or_miss_images_are_refused(folders, shards, message):
    scores = [shard(folders, *one) for one in shards]
    with pytest.raises(ValueError, match=message):
        merge_scores(scores, ["A", "B"][: len(scores)])


def test_a_failed_image_is_not_a_missing_one_but_may_not_come_twice(folders):
    broken = Truth(without=(0,))
    halves = [shard(folders, index, 2, broken) for index in (0, 1)]
    assert merge_scores(halves, ["A", "B"]).failed.keys() == {"n000"}
    with pytest.raises(ValueError, match="image n000 is in A and in B"):
        merge_scores([halves[0], shard(folders, 0, 2)], ["A", "B"])


def test_shards_of_other_images_or_maps_are_refused(folders):
    fewer = Truth(labels=[[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    first = shard(folders, 0, 2)
    with pytest.raises(ValueError, match=r"B is of another split .* than A \(3 and 9 images\)"):
        merge_scores([first, shard(folders, 1, 2, fewer)], ["A", "B"])
    with pytest.raises(ValueError, match="B scored other maps than A"):
        merge_scores([first, shard({"seeds": folders["seeds"]}, 1, 2)], ["A", "B"])
