"""Image sets: parts of them, views of their images and masks, and the batches made of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from ribnb.data.views import (
    IMAGENET_COLOURS,
    LabelledViews,
    Part,
    RandomView,
    ShuffledBatches,
    Views,
    multi_scale_views,
    readable,
    spread_out,
    to_tensor,
)

COLOURS = np.array([[90, 90, 90], [220, 40, 40], [40, 220, 40], [40, 40, 220]], np.uint8)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, so that no pixel is 0 after normalisation and no mirror image equals its original."""
    noise = np.random.default_rng(seed).integers(1, 50, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


class Pictures:
    """Nine images 40 x 31 whose colours tell their masks. Those in `broken` cannot be read.

    The one with index 4 has no label.
    """

    class_names = ("red", "green", "blue")
    labels = torch.tensor([[int(index != 4), index % 2, 0] for index in range(9)]).byte()

    def __init__(self, broken=()):
        self.ids = [f"n{index:03}" for index in range(9)]
        self.broken, self.shown = broken, []

    def __len__(self):
        return len(self.ids)

    def image(self, index):
        self.shown.append(index)
        if index in self.broken:
            raise OSError(f"image {self.ids[index]} cannot be read")
        return Image.fromarray(COLOURS[self.mask(index)])

    def mask(self, index):
        mask = np.zeros((31, 40), np.uint8)
        mask[5:20, 3 : 12 + index], mask[12:28, 22:36] = 1, 3
        return mask


def seen(view: RandomView, image: Image.Image, seed: int) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return view(image)


# Views of an image ------------------------------------------------------------------------


def test_a_tensor_has_each_channel_in_units_of_imagenet():
    colour = (255, 0, 102)
    tensor = to_tensor(Image.new("RGB", (3, 2), colour))
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    expected = [(c / 255 - m) / s for c, m, s in zip(colour, *IMAGENET_COLOURS, strict=True)]
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor(expected))
    with pytest.raises(ValueError, match=r"mode is RGBA; make it RGB: image.convert\('RGB'\)"):
        to_tensor(Image.new("RGBA", (4, 4)))


def test_a_view_has_the_size_of_the_crop_or_the_images_and_zeros_around_a_small_image():
    for size in ((50, 40), (20, 90), (10, 12)):
        for long_side in (None, (20, 60)):
            assert seen(RandomView(32, long_side), picture(*size), 0).shape == (3, 32, 32)
    image, places = picture(20, 10), set()
    assert torch.equal(RandomView(0, None, flip=False)(image), to_tensor(image))
    for seed in range(30):
        result = seen(RandomView(32, flip=False), image, seed)
        rows, columns = ((result != 0).all(0).any(axis).nonzero() for axis in (1, 0))
        top, left = int(rows[0]), int(columns[0])
        assert torch.equal(result[:, top : top + 10, left : left + 20], to_tensor(image))
        assert result.count_nonzero() == 3 * 10 * 20
        places.add((top, left))
    assert len(places) > 20
    mirrored = [
        torch.equal(seen(RandomView(0), image, seed), to_tensor(image)) for seed in range(99)
    ]
    assert 33 <= sum(mirrored) <= 66


def test_the_longer_side_takes_every_length_of_the_range_resized_bicubically():
    view = RandomView(0, (20, 23), flip=False)
    for image, axis in ((picture(50, 25), 2), (picture(25, 50), 1)):
        sizes = {seen(view, image, seed).shape for seed in range(60)}
        assert {size[axis] for size in sizes} == {20, 21, 22, 23}
        assert all(size[3 - axis] == size[axis] // 2 for size in sizes)
    image = picture(50, 26)
    expected = to_tensor(image.resize((25, 13), Image.Resampling.BICUBIC))
    assert torch.equal(RandomView(0, (25, 25), flip=False)(image), expected)


def test_each_scale_has_its_size_bicubically_and_its_flip():
    image, scales = picture(50, 37), (1, 0.5, 1.5, 2, 0.999)  # the last rounds to the same size
    sizes = [(50, 37), (25, 18), (75, 56), (100, 74), (50, 37)]  # 18.5, 55.5 rounded to even
    views = multi_scale_views(image, scales)
    for view, size in zip(views, sizes, strict=True):
        resized = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        assert torch.equal(view, torch.stack([to_tensor(resized), to_tensor(resized).flip(-1)]))
    single = multi_scale_views(image, scales, flip=False)
    assert all(torch.equal(one, view[:1]) for one, view in zip(single, views, strict=True))
    assert multi_scale_views(image.crop((0, 0, 3, 1)), (0.1,))[0].shape == (2, 3, 1, 1)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_view_depends_on_seed_epoch_and_image_alone_and_leaves_the_generator_alone(labelled):
    def item(seed, *key):
        images = Pictures()
        views = Views(images, RandomView(30), seed)
        if labelled:
            views = LabelledViews(images, images.mask, 20, (0.5, 1.5), True, seed)
        views[0, 3], views[2, 1]  # what was asked for before does not matter
        return views[key][0]

    state = torch.random.get_rng_state()
    first = item(1, 0, 2)
    assert torch.equal(item(1, 0, 2), first)
    others = [item(2, 0, 2), item(1, 1, 2), item(1, 0, 5)]
    assert not any(torch.equal(first, other) for other in others)
    assert torch.equal(torch.random.get_rng_state(), state)


# Views of an image and its mask -----------------------------------------------------------


def draws(count, crop, scales=(1, 1), flip=True, rows_first=False, mask_of=None):
    """Views with their masks, each of another random seed."""
    images = Pictures()
    return [
        LabelledViews(images, mask_of or images.mask, crop, scales, flip, seed, rows_first)[0, 0]
        for seed in range(count)
    ]


ORDER = pytest.mark.parametrize("rows_first", [True, False])


@ORDER
@pytest.mark.parametrize("scales", [(1, 1), (0.5, 1.5)])
@pytest.mark.parametrize("crop", [24, 64])
def test_image_and_mask_stay_together(crop, scales, rows_first):
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in IMAGENET_COLOURS)
    for image, mask in draws(20, crop, scales, rows_first=rows_first):
        assert image.shape == (3, crop, crop)
        assert mask.shape == (crop, crop) and mask.dtype == torch.uint8
        assert set(mask.unique().tolist()) <= {0, 1, 3, 255}
        assert not image[:, mask == 255].any(), "around a small image: mean colour, ignored"
        # what is nearest to each pixel's colour, among the colours of the labels
        pixels = ((image * std + mean) * 255).permute(1, 2, 0).numpy()
        distances = np.abs(pixels[..., None, :] - COLOURS[[0, 1, 3]]).sum(-1)
        told = np.array([0, 1, 3])[distances.argmin(-1)]
        agree = (told == mask.numpy())[(mask != 255).numpy()].mean()
        assert agree == 1 if scales == (1, 1) else agree > 0.9  # edges are mixed by resizing


@ORDER
def test_every_part_of_a_large_image_is_seen_and_half_of_the_views_are_mirrored(rows_first):
    columns = np.tile(np.arange(40, dtype=np.uint8), (31, 1))
    numbered = {"rows_first": rows_first, "mask_of": lambda _: columns}
    drawn = [mask[0] for _, mask in draws(200, 24, **numbered)]
    assert {int(row.min()) for row in drawn} == set(range(17))
    assert 70 < sum(int(row[0]) > int(row[-1]) for row in drawn) < 130
    still = draws(20, 24, flip=False, **numbered)
    assert all(mask[0].diff().eq(1).all() for _, mask in still)


# Batches ----------------------------------------------------------------------------------


def test_steps_have_full_batches_and_every_pass_shows_every_image_in_another_order():
    batches = list(ShuffledBatches(7, 3, steps=14))
    assert [len(batch) for batch in batches] == [3] * 14
    keys = [key for batch in batches for key in batch]
    orders = [[image for epoch, image in keys if epoch == number] for number in range(6)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 4
    (batch,) = ShuffledBatches(2, 5, steps=1)  # more than there are: an image in several views
    assert len(set(batch)) == 5 and {image for _, image in batch} == {0, 1}


def test_the_order_goes_on_from_any_step_and_processes_share_each_batch():
    whole, rest = (ShuffledBatches(7, 3, seed=4, steps=14) for _ in range(2))
    rest.first = 5
    assert list(rest) == list(whole)[5:] and len(rest) == 9
    parts = [ShuffledBatches(7, 5, steps=4, part=(rank, 2)) for rank in range(2)]
    for whole, *shares in zip(ShuffledBatches(7, 5, steps=4), *parts, strict=True):
        assert [len(share) for share in shares] == [3, 2]
        assert sorted([*shares[0], *shares[1]]) == sorted(whole)


def test_an_epoch_has_every_image_once_and_its_last_batch_may_be_smaller():
    epochs = ShuffledBatches(10, 4, seed=3, epochs=3)
    assert [len(batch) for batch in epochs] == [4, 4, 2] * 3
    keys = [key for batch in epochs for key in batch]
    assert sorted(keys) == [(epoch, image) for epoch in range(3) for image in range(10)]
    assert [epoch for epoch, _ in keys] == [0] * 10 + [1] * 10 + [2] * 10
    assert epochs.ends() == [3, 6, 9]
    assert ShuffledBatches(7, 3, steps=10).ends() == [3, 5, 7, 10]  # where a pass ends within
    assert ShuffledBatches(1, 4, steps=3).ends() == [1, 2, 3]


# Parts of an image set --------------------------------------------------------------------


def test_a_part_has_the_chosen_images_in_the_order_given():
    whole = Pictures()
    part = Part(whole, [4, 0, 7])
    assert (len(part), part.ids) == (3, ["n004", "n000", "n007"])
    assert part.class_names == whole.class_names
    assert torch.equal(part.labels, whole.labels[[4, 0, 7]])
    assert part.image(2).tobytes() == whole.image(7).tobytes()
    assert np.array_equal(part.mask(2), whole.mask(7))
    assert Part(part, [2, 0]).ids == ["n007", "n004"]


def test_images_are_spread_over_the_list_without_one_twice():
    whole = Pictures()
    for count, indices in {1: [0], 2: [0, 4], 3: [0, 3, 6], 4: [0, 2, 4, 6]}.items():
        assert spread_out(whole, count).ids == [f"n{index:03}" for index in indices]
    for count in (0, 9, 1000):
        assert spread_out(whole, count) is whole


def test_what_is_looked_at_can_be_read():
    whole = Pictures(broken=(0, 2, 5))
    assert readable(whole, 3) == [1, 3, 4]
    assert whole.shown == [0, 1, 2, 3, 4]  # and no more
    assert readable(whole, 3, labelled=True) == [1, 3, 6]
    assert readable(whole, 100) == [1, 3, 4, 6, 7, 8]
    assert readable(whole, 0) == []
    with pytest.raises(ValueError, match="nothing to look at in the 9 images: image n008 cannot"):
        readable(Pictures(broken=range(9)), 4)
