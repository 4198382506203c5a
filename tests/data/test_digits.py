"""Digit scenes: the three regions, the shapes, the rates, and what a seed fixes."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils.data import DataLoader

from ribnb.data.digits import REGIONS, DigitScenes
from ribnb.data.handwriting import load_handwriting

DIAMOND = ["...#...", "..###..", ".#####.", "#######", ".#####.", "..###..", "...#..."]
SQUARE = ["#####"] * 5


@pytest.fixture(scope="module")
def scenes() -> list:
    """200 scenes that all hold a shape."""
    return list(DigitScenes(200, seed=3, shape_rate=1.0))


def equal(one, other) -> bool:
    """The same image, label and regions, byte for byte."""
    return (
        torch.equal(one[0], other[0])
        and one[1] == other[1]
        and all(torch.equal(one[2][name], other[2][name]) for name in REGIONS)
    )


def test_regions_are_disjoint_and_cover_the_image(scenes):
    for _, _, regions in scenes:
        assert tuple(regions) == ("discriminative", "non_discriminative", "background")
        assert all(mask.dtype == torch.bool for mask in regions.values())
        assert (torch.stack(list(regions.values())).sum(dim=0) == 1).all()


def test_background_is_black_and_the_rest_is_not(scenes):
    for image, _, regions in scenes:
        assert image.shape == (1, 56, 56)
        assert image.dtype == torch.float32
        assert torch.equal(image[0] == 0, regions["background"])
        assert image.max() <= 1
        assert (image[0][regions["non_discriminative"]] == 1).all()


def test_two_black_pixels_stay_between_digit_and_shape(scenes):
    gaps = []
    for _, _, regions in scenes:
        digit, shape = (regions[name].numpy() for name in REGIONS[:2])
        steps_to_shape = ndimage.distance_transform_cdt(~shape, "chessboard")
        gaps.append(steps_to_shape[digit].min() - 1)
    assert min(gaps) == 2


def test_a_diamond_goes_with_2_and_a_square_with_8(scenes):
    for _, label, regions in scenes:
        mask = regions["non_discriminative"].numpy()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        drawn = ["".join("#" if pixel else "." for pixel in row) for row in cropped]
        assert drawn == (DIAMOND if label == 0 else SQUARE)


def test_digits_and_shapes_reach_every_part_of_the_canvas(scenes):
    for name in REGIONS[:2]:
        seen = torch.stack([regions[name] for _, _, regions in scenes]).any(dim=0)
        assert seen[:14].any() and seen[-14:].any() and seen[:, :14].any() and seen[:, -14:].any()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_tenth_of_the_scenes_hold_a_shape_and_half_an_8(seed):
    """Within four standard deviations of a binomial over 2,000 draws."""
    drawn = list(DigitScenes(2000, seed=seed))
    shapes = sum(bool(regions["non_discriminative"].any()) for _, _, regions in drawn)
    eights = sum(label for _, label, _ in drawn)
    share = load_handwriting().labels.mean()
    assert abs(shapes - 200) <= 4 * np.sqrt(2000 * 0.1 * 0.9)
    assert abs(eights - 2000 * share) <= 4 * np.sqrt(2000 * share * (1 - share))


def test_rate_0_draws_no_shape_and_rate_1_always_one(scenes):
    without = DigitScenes(100, shape_rate=0)
    assert not any(regions["non_discriminative"].any() for _, _, regions in without)
    assert all(regions["non_discriminative"].any() for _, _, regions in scenes)


def test_same_seed_gives_the_same_bytes_and_another_seed_other_scenes():
    first, again, other = (DigitScenes(30, seed=seed) for seed in (5, 5, 6))
    assert all(map(equal, first, again))
    assert not any(map(equal, first, other))


def test_train_and_test_scenes_of_a_seed_differ():
    assert not any(map(equal, DigitScenes(20, split="train"), DigitScenes(20, split="test")))


def test_a_scene_depends_neither_on_their_number_nor_on_the_order_of_access():
    few, many = DigitScenes(10, seed=2), DigitScenes(1000, seed=2)
    backwards = [many[index] for index in reversed(range(10))]
    assert all(map(equal, few, reversed(backwards)))


def test_workers_of_a_loader_give_the_same_scenes():
    scenes = DigitScenes(12, seed=4)
    images, labels, regions = scenes.batch()
    loaded = list(DataLoader(scenes, batch_size=4, num_workers=2))
    assert torch.equal(torch.cat([batch[0] for batch in loaded]), images)
    assert torch.equal(torch.cat([batch[1] for batch in loaded]), labels)
    for name in REGIONS:
        assert torch.equal(torch.cat([batch[2][name] for batch in loaded]), regions[name])


def test_batch_is_all_scenes_in_order(scenes):
    images, labels, regions = DigitScenes(5, seed=3, shape_rate=1.0).batch()
    assert images.shape == (5, 1, 56, 56)
    for index in range(5):
        masks = {name: masks[index] for name, masks in regions.items()}
        assert equal((images[index], labels[index].item(), masks), scenes[index])


def test_no_handwriting_is_in_both_splits():
    train, test = (load_handwriting(split=split) for split in ("train", "test"))
    seen = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in seen for image in test.images)
    assert len(train) + len(test) == 351  # all 177 twos and 174 eights of the source


@pytest.mark.parametrize("canvas", [48, 100])
def test_canvas_may_have_another_size(canvas):
    """The smallest one still has room for every digit and its shape."""
    for image, _, regions in DigitScenes(300, shape_rate=1.0, canvas=canvas):
        assert image.shape == (1, canvas, canvas)
        assert regions["non_discriminative"].sum() == 25
        assert regions["discriminative"].sum() > 25


def test_ends_where_it_should():
    """Python's `for` relies on the IndexError."""
    scenes = DigitScenes(3)
    assert len(scenes) == len(list(scenes)) == 3
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"scene {index} of 3"):
            scenes[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "num_images must be at least 1; got 0"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"canvas": 47}, "canvas must be at least 48 pixels.*got 47"),
        ({"shape_rate": 1.1}, r"shape_rate must lie in \[0, 1\]; got 1\.1"),
        ({"shape_rate": float("nan")}, r"shape_rate must lie in \[0, 1\]; got nan"),
        ({"split": "val"}, "split must be one of train, test; got 'val'"),
        ({"digits": "cifar"}, "digits must be one of embedded, mnist; got 'cifar'"),
    ],
)
def test_refuses_bad_arguments_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        DigitScenes(**{"num_images": 2, **arguments})
