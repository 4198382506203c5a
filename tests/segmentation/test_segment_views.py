"""Random views of an image and its mask, and the order in which a training asks for them."""

import numpy as np
import pytest
import torch
from PIL import Image
from segment_tools import COLOURS, Blocks

from ribnb.data.views import MEAN, STD
from ribnb.segmentation.views import SegmentationBatches, SegmentationView, SegmentationViews


def pixels(view: torch.Tensor) -> np.ndarray:
    """A view's colours, 0 to 255."""
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    return ((view * std + mean) * 255).permute(1, 2, 0).numpy()


def painted(height=31, width=40) -> tuple[Image.Image, np.ndarray]:
    """An image whose colours tell its labels, without noise."""
    mask = np.zeros((height, width), np.uint8)
    mask[5:20, 3:17], mask[12:28, 22:36] = 1, 3
    return Image.fromarray(COLOURS[mask]), mask


def draw(view: SegmentationView, seed: int, image=None, mask=None):
    image, mask = (image, mask) if image else painted()
    return view(image, mask, np.random.default_rng(seed))


@pytest.mark.parametrize("scales", [(1, 1), (0.5, 1.5)])
@pytest.mark.parametrize("crop", [24, 64])
def test_image_and_mask_stay_together(crop, scales):
    view = SegmentationView(crop, scales)
    for seed in range(20):
        image, mask = draw(view, seed)
        assert image.shape == (3, crop, crop)
        assert mask.shape == (crop, crop) and mask.dtype == torch.uint8
        assert set(mask.unique().tolist()) <= {0, 1, 3, 255}
        seen = (mask != 255).numpy()
        # what is nearest to each pixel's colour, among the colours of the labels
        distances = np.abs(pixels(image)[..., None, :] - COLOURS[[0, 1, 3]]).sum(-1)
        told = np.array([0, 1, 3])[distances.argmin(-1)]
        agree = (told == mask.numpy())[seen].mean()
        assert agree == 1 if scales == (1, 1) else agree > 0.9  # edges are mixed by resizing


def test_around_a_small_image_the_view_is_mean_colour_and_ignored():
    view, places = SegmentationView(64, (1, 1), flip=False), set()
    for seed in range(20):
        image, mask = draw(view, seed)
        rows, columns = ((mask != 255).any(axis).nonzero()[:, 0] for axis in (1, 0))
        assert (len(rows), len(columns)) == (31, 40)  # the whole image is there, and in one piece
        assert (rows.diff() == 1).all() and (columns.diff() == 1).all()
        assert not image[:, mask == 255].any()
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 15


def test_every_part_of_a_large_image_is_seen_and_half_of_the_views_are_mirrored():
    column = np.tile(np.arange(50, dtype=np.uint8), (50, 1))
    image = Image.fromarray(np.zeros((50, 50, 3), np.uint8))
    view = SegmentationView(24, (1, 1))
    drawn = [draw(view, seed, image, column)[1][0] for seed in range(200)]
    assert {int(row.min()) for row in drawn} == set(range(27))
    assert 70 < sum(int(row[0]) > int(row[-1]) for row in drawn) < 130
    still = SegmentationView(24, (1, 1), flip=False)
    assert all(draw(still, seed, image, column)[1][0].diff().eq(1).all() for seed in range(20))


def test_scales_are_drawn_between_their_limits():
    view = SegmentationView(100, (0.5, 1.5), flip=False)
    heights = [int((draw(view, seed)[1] != 255).any(1).sum()) for seed in range(100)]
    assert 15 <= min(heights) < 19 and 43 < max(heights) <= 47


def test_a_view_depends_on_seed_pass_and_image_alone():
    images = Blocks()
    state = torch.random.get_rng_state()

    def item(seed, key):
        views = SegmentationViews(images, images.mask, SegmentationView(20, (0.5, 1.5)), seed)
        views[0, 3], views[2, 1]  # what was asked for before does not matter
        return views[key][0]

    assert torch.equal(item(1, (0, 2)), item(1, (0, 2)))
    others = [item(2, (0, 2)), item(1, (1, 2)), item(1, (0, 5))]
    assert not any(torch.equal(item(1, (0, 2)), other) for other in others)
    assert torch.equal(torch.random.get_rng_state(), state)


# The order --------------------------------------------------------------------------------


def test_all_batches_are_full_and_every_pass_shows_every_image_in_another_order():
    batches = list(SegmentationBatches(7, 3, 14, seed=0))
    assert [len(batch) for batch in batches] == [3] * 14
    keys = [key for batch in batches for key in batch]
    orders = [[image for epoch, image in keys if epoch == number] for number in range(6)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 4


def test_a_batch_larger_than_the_image_set_shows_an_image_in_several_views():
    (batch,) = SegmentationBatches(2, 5, 1, seed=0)
    assert len(set(batch)) == 5 and {image for _, image in batch} == {0, 1}


def test_the_order_goes_on_from_any_step():
    whole, rest = (SegmentationBatches(7, 3, 14, seed=4) for _ in range(2))
    rest.first = 5
    assert list(rest) == list(whole)[5:] and len(rest) == 9


def test_processes_share_each_batch():
    parts = [SegmentationBatches(7, 5, 4, seed=0, part=(rank, 2)) for rank in range(2)]
    for whole, *shares in zip(SegmentationBatches(7, 5, 4, seed=0), *parts, strict=True):
        assert [len(share) for share in shares] == [3, 2]
        assert sorted([*shares[0], *shares[1]]) == sorted(whole)


def test_a_pass_ends_with_the_step_that_shows_its_last_image():
    assert SegmentationBatches(7, 3, 10, seed=0).ends() == [3, 5, 7, 10]
    assert SegmentationBatches(6, 3, 5, seed=0).ends() == [2, 4, 5]
    assert SegmentationBatches(1, 4, 3, seed=0).ends() == [1, 2, 3]
    assert SegmentationBatches(100, 4, 3, seed=0).ends() == [3]
