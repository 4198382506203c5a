"""Folders of masks side by side: what counts, what is left out, and on disk."""

import math

import numpy as np
import pytest
from PIL import Image
from small_split import CLASSES, Noise

from ribnb.core.mask_files import write_mask_file
from ribnb.data.image_sets import Part
from ribnb.scores.boundary import TrueOutlines, boundary_f
from ribnb.scores.mask_scores import FILE, load_mask_scores, save_mask_scores, score_masks
from ribnb.scores.metrics import bootstrap_difference, mask_miou
from ribnb.scores.non_salient import non_salient_objects

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


def saliency(index) -> np.ndarray:
    """The left half is salient."""
    return np.tile((np.arange(SIZE[1]) < SIZE[1] // 2).astype(np.float32), (SIZE[0], 1))


NAMES = {"truth": 0, "RIB + IRN": 1, "CAM/IRN": 2}


@pytest.fixture
def folders(tmp_path):
    images, found = Truth(), {}
    for name, seed in NAMES.items():
        found[name] = tmp_path / f"m{seed}"
        found[name].mkdir()
        for index, image_id in enumerate(images.ids):
            write_mask_file(found[name] / f"{image_id}.png", boxes(images, index, seed))
    return found


def same(one, other) -> bool:
    counts = ("confusions", "outlines", "non_salient_found")
    return (
        (one.scored, one.failed, one.class_names) == (other.scored, other.failed, other.class_names)
        and np.array_equal(one.non_salient, other.non_salient)
        and all(
            getattr(one, name).keys() == getattr(other, name).keys()
            and all(
                np.array_equal(getattr(one, name)[k], a) for k, a in getattr(other, name).items()
            )
            for name in counts
        )
    )


# What counts ------------------------------------------------------------------------------


def test_scores_are_those_of_the_masks_by_themselves(folders):
    images = Truth()
    scores = score_masks(images, folders, saliency)
    metrics = scores.metrics()
    truths = [images.mask(index) for index in range(9)]
    for name, seed in NAMES.items():
        masks = [boxes(images, index, seed) for index in range(9)]
        plain = mask_miou(masks, truths, class_names=CLASSES)
        assert (scores.score(name).confusion == plain.confusion).all()
        assert scores.score(name).class_names == ("background", *CLASSES)
        assert metrics["mask_miou"][name] == plain.miou
        pairs = zip(truths, masks, strict=True)
        outlines = np.stack([TrueOutlines(truth, 3).compare(mask) for truth, mask in pairs])
        assert metrics["boundary_f"][name] == boundary_f(outlines) == scores.boundary_f(name)
        missed = [non_salient_objects(truth, saliency(0)) for truth in truths]
        right = [(m == t)[o].sum() for m, t, o in zip(masks, truths, missed, strict=True)]
        recall = 100 * sum(right) / np.sum(missed)
        assert metrics["non_salient_recall"][name] == pytest.approx(recall)
        assert metrics["non_salient_recall"][name] == scores.non_salient_recall(name)
    assert (metrics["images"], metrics["failed"]) == (9, 0)
    assert metrics["mask_miou"]["truth"] == metrics["non_salient_recall"]["truth"] == 100
    assert metrics["mask_miou"]["RIB + IRN"] < 100 > metrics["non_salient_recall"]["RIB + IRN"]


def test_without_saliency_or_what_it_misses_there_is_no_recall(folders):
    plain = score_masks(Truth(), folders)
    assert "non_salient_recall" not in plain.metrics() and not plain.non_salient_found
    assert math.isnan(plain.non_salient_recall("truth"))
    all_salient = score_masks(Truth(), folders, lambda index: np.ones(SIZE))
    assert "non_salient_recall" not in all_salient.metrics()
    assert math.isnan(all_salient.non_salient_recall("truth"))
    assert plain.metrics() == all_salient.metrics()


def test_some_images_count_like_a_part_of_the_set(folders):
    chosen = [7, 0, 3]
    some = score_masks(Truth(), folders, saliency, chosen)
    assert some.scored == ("n007", "n000", "n003")
    assert same(some, score_masks(Part(Truth(), chosen), folders, saliency))
    everything = score_masks(Truth(), folders, saliency)
    for name in NAMES:
        assert np.array_equal(some.confusions[name], everything.confusions[name][chosen])
    with pytest.raises(ValueError, match="there is no image 9: the indices go from 0 to 8"):
        score_masks(Truth(), folders, indices=[0, 9])


def test_images_can_be_drawn_again_for_an_interval(folders):
    scores = score_masks(Truth(), folders)
    sides = [scores.confusions[name] for name in ("truth", "RIB + IRN")]
    found = bootstrap_difference(*sides, np.random.default_rng(0))
    miou = scores.metrics()["mask_miou"]
    assert found.difference == pytest.approx(miou["truth"] - miou["RIB + IRN"])
    assert 0 < found.low < found.difference < found.high


# What is left out -------------------------------------------------------------------------


def test_what_cannot_be_scored_is_named_and_counts_nowhere(folders):
    images, (one, two, _) = Truth(without=(1,)), folders.values()
    (one / "n000.png").unlink()
    (two / "n002.png").write_bytes((two / "n002.png").read_bytes()[:-30])
    write_mask_file(two / "n003.png", np.zeros((32, 24), np.uint8))
    write_mask_file(one / "n004.png", np.full(SIZE, 4, np.uint8))
    write_mask_file(two / "n005.png", np.full(SIZE, 255, np.uint8))
    Image.new("RGB", SIZE[::-1]).save(two / "n006.png")

    def with_one_missing(index):
        if index == 7:
            raise FileNotFoundError("image n007 has no saliency map")
        return saliency(index)

    scores = score_masks(images, folders, with_one_missing)
    assert scores.scored == ("n008",)
    reasons = {
        "n000": f"there is no mask {one / 'n000.png'}",
        "n001": "image n001 has no mask",
        "n002": f"{two / 'n002.png'} is not a whole mask",
        "n003": f"the mask {two / 'n003.png'} is 24 x 32 pixels, the truth 32 x 24",
        "n004": f"the mask {one / 'n004.png'} holds [4], but there are 3 classes",
        "n005": f"the mask {two / 'n005.png'} leaves pixels undecided (255)",
        "n006": f"{two / 'n006.png'} is no mask: it is of mode RGB",
        "n007": "image n007 has no saliency map",
    }
    assert scores.failed.keys() == reasons.keys()
    for image_id, why in reasons.items():
        assert scores.failed[image_id].startswith(why)
    assert same(
        score_masks(images, folders, saliency, [8]),
        score_masks(images, folders, with_one_missing, [8]),
    )
    assert (scores.metrics()["images"], scores.metrics()["failed"]) == (1, 8)
    for name in NAMES:
        alone = mask_miou([boxes(images, 8, NAMES[name])], [images.mask(8)], class_names=CLASSES)
        assert (scores.score(name).confusion == alone.confusion).all()


def test_if_no_image_is_scored_the_first_reason_is_said(tmp_path):
    scores = score_masks(Truth(), {"RIB": tmp_path})
    for ask in (scores.metrics, lambda: scores.score("RIB"), lambda: scores.boundary_f("RIB")):
        with pytest.raises(ValueError, match=r"no image was scored; n000, .*: there is no mask"):
            ask()


def test_no_folder_is_refused_and_a_missing_one_named(tmp_path):
    with pytest.raises(ValueError, match="folders is empty"):
        score_masks(Truth(), {})
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path / 'x'} of the masks 'RIB'"):
        score_masks(Truth(), {"RIB": tmp_path / "x"})


def test_a_name_that_was_not_scored_is_refused_with_those_that_were(folders):
    scores = score_masks(Truth(), folders)
    for ask in (scores.score, scores.boundary_f, scores.non_salient_recall):
        with pytest.raises(KeyError, match=r"no masks 'IRN' .*only truth, RIB \+ IRN, CAM/IRN"):
            ask("IRN")


# On disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("with_saliency", [True, False])
@pytest.mark.parametrize("without", [(), (1, 4), range(9)])
def test_what_is_saved_is_read_back(folders, tmp_path, with_saliency, without):
    scores = score_masks(Truth(without), folders, saliency if with_saliency else None)
    save_mask_scores(scores, tmp_path)
    assert same(load_mask_scores(tmp_path), scores)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m0", "m1", "m2", FILE]


def test_a_damaged_file_is_named_whatever_the_damage(folders, tmp_path):
    scores = score_masks(Truth((1,)), folders, saliency)
    save_mask_scores(scores, tmp_path)
    whole, refused = (tmp_path / FILE).read_bytes(), 0
    for place in range(0, len(whole), 23):
        for content in (whole[:place], whole[:place] + b"\x91" + whole[place + 1 :]):
            (tmp_path / FILE).write_bytes(content)
            try:
                assert same(load_mask_scores(tmp_path), scores)  # what tells nothing
            except ValueError as error:
                assert f"{tmp_path / FILE} cannot be read" in str(error)
                refused += 1
    assert refused > len(whole) / 23


def test_no_file_and_one_of_something_else_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"holds no {FILE}: no masks were scored"):
        load_mask_scores(tmp_path)
    np.savez(tmp_path / FILE, confusions=np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="score the masks again"):
        load_mask_scores(tmp_path)
