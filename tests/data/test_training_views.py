"""Random views of an image and its mask, and the order in which a training asks for them."""

import numpy as np
import pytest
import torch
from PIL import Image
from segment_tools import COLOURS, Blocks

from ribnb.data.views import MEAN, STD, LabelledViews, ShuffledBatches


def pixels(view: torch.Tensor) -> np.ndarray:
    """A view's colours, 0 to 255."""
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    return ((view * std + mean) * 255).permute(1, 2, 0).numpy()


def painted(height=31, width=40) -> tuple[Image.Image, np.ndarray]:
    """An image whose colours tell its labels, without noise."""
    mask = np.zeros((height, width), np.uint8)
    mask[5:20, 3:17], mask[12:28, 22:36] = 1, 3
    return Image.fromarray(COLOURS[mask]), mask


class Single:
    """One image with its mask."""

    ids = ("one",)

    def __init__(self, image=None, mask=None):
        self.both = (image, mask) if image else painted()

    def image(self, _):
        return self.both[0]

    def mask(self, _):
        return self.both[1]


def draws(count, crop, scales, flip=True, rows_first=False, source=None):
    """Views with their masks, each of another random seed."""
    source = source or Single()
    return [
        LabelledViews(source, source.mask, crop, scales, flip, seed, rows_first)[0, 0]
        for seed in range(count)
    ]


ORDER = pytest.mark.parametrize("rows_first", [True, False])


@ORDER
@pytest.mark.parametrize("scales", [(1, 1), (0.5, 1.5)])
@pytest.mark.parametrize("crop", [24, 64])
def test_image_and_mask_stay_together(crop, scales, rows_first):
    for image, mask in draws(20, crop, scales, rows_first=rows_first):
        assert image.shape == (3, crop, crop)
        assert mask.shape == (crop, crop) and mask.dtype == torch.uint8
        assert set(mask.unique().tolist()) <= {0, 1, 3, 255}
        seen = (mask != 255).numpy()
        # what is nearest to each pixel's colour, among the colours of the labels
        distances = np.abs(pixels(image)[..., None, :] - COLOURS[[0, 1, 3]]).sum(-1)
        told = np.array([0, 1, 3])[distances.argmin(-1)]
        agree = (told == mask.numpy())[seen].mean()
        assert agree == 1 if scales == (1, 1) else agree > 0.9  # edges are mixed by resizing


@ORDER
def test_around_a_small_image_the_view_is_mean_colour_and_ignored(rows_first):
    places = set()
    for image, mask in draws(20, 64, (1, 1), flip=False, rows_first=rows_first):
        rows, columns = ((mask != 255).any(axis).nonzero()[:, 0] for axis in (1, 0))
        assert (len(rows), len(columns)) == (31, 40)  # the whole image is there, and in one piece
        assert (rows.diff() == 1).all() and (columns.diff() == 1).all()
        assert not image[:, mask == 255].any()
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 15


@ORDER
def test_every_part_of_a_large_image_is_seen_and_half_of_the_views_are_mirrored(rows_first):
    column = np.tile(np.arange(50, dtype=np.uint8), (50, 1))
    source = Single(Image.fromarray(np.zeros((50, 50, 3), np.uint8)), column)
    drawn = [mask[0] for _, mask in draws(200, 24, (1, 1), True, rows_first, source)]
    assert {int(row.min()) for row in drawn} == set(range(27))
    assert 70 < sum(int(row[0]) > int(row[-1]) for row in drawn) < 130
    still = draws(20, 24, (1, 1), False, rows_first, source)
    assert all(mask[0].diff().eq(1).all() for _, mask in still)


def test_scales_are_drawn_between_their_limits():
    heights = [int((mask != 255).any(1).sum()) for _, mask in draws(100, 100, (0.5, 1.5), False)]
    assert 15 <= min(heights) < 19 and 43 < max(heights) <= 47
    whole = [tuple(mask.shape) for _, mask in draws(100, 0, (0.5, 1.5))]
    assert {height for height, _ in whole} >= {16, 46}
    assert {view.shape[1:] == mask.shape for view, mask in draws(9, 0, (0.5, 1.5))} == {True}


def test_a_view_depends_on_seed_pass_and_image_alone():
    images = Blocks()
    state = torch.random.get_rng_state()

    def item(seed, key):
        views = LabelledViews(images, images.mask, 20, (0.5, 1.5), True, seed)
        views[0, 3], views[2, 1]  # what was asked for before does not matter
        return views[key][0]

    assert torch.equal(item(1, (0, 2)), item(1, (0, 2)))
    others = [item(2, (0, 2)), item(1, (1, 2)), item(1, (0, 5))]
    assert not any(torch.equal(item(1, (0, 2)), other) for other in others)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_mask_of_another_size_is_named():
    image, mask = painted()
    with pytest.raises(ValueError, match="mask of one is 30 x 31 pixels, the image is 40 x 31"):
        draws(1, 24, (1, 1), source=Single(image, mask[:, :30]))


# The order --------------------------------------------------------------------------------


def test_all_batches_are_full_and_every_pass_shows_every_image_in_another_order():
    batches = list(ShuffledBatches(7, 3, steps=14))
    assert [len(batch) for batch in batches] == [3] * 14
    keys = [key for batch in batches for key in batch]
    orders = [[image for epoch, image in keys if epoch == number] for number in range(6)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 4


def test_a_batch_larger_than_the_image_set_shows_an_image_in_several_views():
    (batch,) = ShuffledBatches(2, 5, steps=1)
    assert len(set(batch)) == 5 and {image for _, image in batch} == {0, 1}


def test_the_order_goes_on_from_any_step():
    whole, rest = (ShuffledBatches(7, 3, seed=4, steps=14) for _ in range(2))
    rest.first = 5
    assert list(rest) == list(whole)[5:] and len(rest) == 9


def test_processes_share_each_batch():
    parts = [ShuffledBatches(7, 5, steps=4, part=(rank, 2)) for rank in range(2)]
    for whole, *shares in zip(ShuffledBatches(7, 5, steps=4), *parts, strict=True):
        assert [len(share) for share in shares] == [3, 2]
        assert sorted([*shares[0], *shares[1]]) == sorted(whole)


def test_an_epoch_has_every_image_once_and_its_last_batch_may_be_smaller():
    batches = list(ShuffledBatches(10, 4, seed=3, epochs=3))
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    assert ShuffledBatches(10, 4, seed=3, epochs=3).ends() == [3, 6, 9]
    assert ShuffledBatches(7, 3, steps=10).ends() == [3, 5, 7, 10]  # where a pass ends within
    assert ShuffledBatches(1, 4, steps=3).ends() == [1, 2, 3]
    orders = []
    for epoch in range(3):
        keys = [key for batch in batches[3 * epoch : 3 * epoch + 3] for key in batch]
        assert {key[0] for key in keys} == {epoch}
        orders.append(tuple(key[1] for key in keys))
        assert sorted(orders[-1]) == list(range(10))
    assert len(set(orders)) == 3
