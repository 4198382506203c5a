"""Views of images, and the batches made of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from ribnb.data.views import MEAN, STD, RandomView, ShuffledBatches, Views, stack, to_tensor


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, so that no pixel is 0 after normalisation and no mirror image equals its original."""
    noise = np.random.default_rng(seed).integers(1, 50, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def seen(view: RandomView, image: Image.Image, seed: int) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return view(image)


class Pictures:
    """An image set of noise."""

    class_names = ("one", "two")

    def __init__(self, num_images: int = 5) -> None:
        self.ids = [f"{index:03}" for index in range(num_images)]
        self.labels = torch.ones(num_images, 2, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        return picture(20, 16, seed=index)


# The tensor of an image -------------------------------------------------------------------


def test_a_tensor_has_each_channel_in_units_of_imagenet():
    colour = (255, 0, 102)
    tensor = to_tensor(Image.new("RGB", (3, 2), colour))
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    expected = [(c / 255 - m) / s for c, m, s in zip(colour, MEAN, STD, strict=True)]
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor(expected))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_an_image_that_is_not_rgb_is_refused(mode):
    with pytest.raises(ValueError, match=rf"mode is {mode}; make it RGB: image.convert\('RGB'\)"):
        to_tensor(Image.new(mode, (4, 4)))


# Random views -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(50, 40), (20, 90), (10, 12)])
def test_a_view_has_the_size_of_the_crop_whatever_the_image(size):
    for long_side in (None, (20, 60)):
        assert seen(RandomView(32, long_side), picture(*size), 0).shape == (3, 32, 32)


def test_without_a_crop_the_view_keeps_the_size():
    image = picture(30, 20)
    assert torch.equal(RandomView(0, None, flip=False)(image), to_tensor(image))
    assert seen(RandomView(0), image, 0).shape == (3, 20, 30)


def test_a_small_image_stands_whole_at_random_places_in_zeros():
    image, view, places = picture(20, 10), RandomView(32, flip=False), set()
    for seed in range(30):
        result = seen(view, image, seed)
        inside = (result != 0).all(0)
        rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
        top, left = int(rows[0]), int(columns[0])
        torch.testing.assert_close(
            result[:, top : top + 10, left : left + 20], to_tensor(image), rtol=0, atol=0
        )
        assert result.count_nonzero() == 3 * 10 * 20  # and nothing but zeros around it
        places.add((top, left))
    tops, lefts = zip(*places, strict=True)
    assert len(places) > 20
    assert min(tops) < 5 and max(tops) > 17  # of 0 ... 22
    assert min(lefts) < 3 and max(lefts) > 9  # of 0 ... 12


def test_a_large_image_is_cropped_at_random_places():
    image, view = picture(40, 40), RandomView(32, flip=False)
    whole = to_tensor(image)
    windows = {(y, x): whole[:, y : y + 32, x : x + 32] for y in range(9) for x in range(9)}
    found = set()
    for seed in range(30):
        result = seen(view, image, seed)
        found |= {place for place, window in windows.items() if torch.equal(window, result)}
    assert len(found) > 20
    assert {y for y, _ in found} >= {0, 8}


def test_one_view_in_two_is_mirrored():
    image = picture(8, 8)
    original, mirrored = to_tensor(image), to_tensor(image).flip(-1)
    views = [seen(RandomView(0), image, seed) for seed in range(200)]
    flips = sum(torch.equal(view, mirrored) for view in views)
    assert flips + sum(torch.equal(view, original) for view in views) == 200
    assert 75 <= flips <= 125  # 3.5 standard deviations


def test_the_longer_side_takes_every_length_of_the_range():
    view = RandomView(0, (20, 23), flip=False)
    for image, axis in ((picture(50, 25), 2), (picture(25, 50), 1)):
        sizes = {seen(view, image, seed).shape for seed in range(60)}
        assert {size[axis] for size in sizes} == {20, 21, 22, 23}
        assert all(size[3 - axis] == size[axis] // 2 for size in sizes)


def test_resizing_is_bicubic():
    """The values that Pillow's bicubic filter gives, not bilinear ones."""
    image = picture(50, 26)
    expected = to_tensor(image.resize((25, 13), Image.Resampling.BICUBIC))
    assert torch.equal(RandomView(0, (25, 25), flip=False)(image), expected)


def test_the_same_seed_gives_the_same_view():
    image, view = picture(50, 40), RandomView(24, (20, 60))
    assert torch.equal(seen(view, image, 3), seen(view, image, 3))
    assert not torch.equal(seen(view, image, 3), seen(view, image, 4))


@pytest.mark.parametrize("long_side", [(0, 5), (6, 5)])
def test_what_is_no_range_is_refused(long_side):
    with pytest.raises(ValueError, match=r"long_side must be \(smallest, largest\)"):
        RandomView(0, long_side)
    with pytest.raises(ValueError, match="crop_size must be at least 0 pixels; got -1"):
        RandomView(-1)


# Batches ----------------------------------------------------------------------------------


def test_a_view_depends_on_seed_epoch_and_image_alone():
    views = Views(Pictures(), RandomView(8), seed=1)
    first = views[2, 3][0]
    torch.manual_seed(5)
    assert views[0, 0][0].shape == (3, 8, 8)
    assert torch.equal(views[2, 3][0], first)
    assert not torch.equal(views[3, 3][0], first)
    assert not torch.equal(Views(Pictures(), RandomView(8), seed=2)[2, 3][0], first)


def test_views_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _ = Views(Pictures(), RandomView(8))[0, 0]
    assert torch.equal(torch.rand(3), expected)


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    batches = ShuffledBatches(10, 4, seed=3)
    assert len(batches) == len(list(batches)) == 3
    orders = []
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        keys = [key for batch in batches for key in batch]
        assert {key[0] for key in keys} == {epoch}
        orders.append([key[1] for key in keys])
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))


def test_views_of_different_sizes_are_no_batch():
    labels = torch.ones(2)
    with pytest.raises(ValueError, match=r"2 \(3 x 4, 3 x 5 pixels among them\): set crop_size"):
        stack([(torch.ones(3, 3, 4), labels), (torch.ones(3, 3, 5), labels)])
