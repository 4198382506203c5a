"""Image sets: parts of them, views of their images, and the batches made of them."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_split import LABELS, Noise

from ribnb.data.image_sets import Part, readable, spread_out
from ribnb.data.views import MEAN, STD, RandomView, Views, multi_scale_views, stack, to_tensor


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, so that no pixel is 0 after normalisation and no mirror image equals its original."""
    noise = np.random.default_rng(seed).integers(1, 50, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def seen(view: RandomView, image: Image.Image, seed: int) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return view(image)


# Views ------------------------------------------------------------------------------------


def test_a_tensor_has_each_channel_in_units_of_imagenet():
    colour = (255, 0, 102)
    tensor = to_tensor(Image.new("RGB", (3, 2), colour))
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    expected = [(c / 255 - m) / s for c, m, s in zip(colour, MEAN, STD, strict=True)]
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor(expected))
    with pytest.raises(ValueError, match=r"mode is RGBA; make it RGB: image.convert\('RGB'\)"):
        to_tensor(Image.new("RGBA", (4, 4)))


def test_a_view_has_the_size_of_the_crop_or_without_one_the_images():
    for size in ((50, 40), (20, 90), (10, 12)):
        for long_side in (None, (20, 60)):
            assert seen(RandomView(32, long_side), picture(*size), 0).shape == (3, 32, 32)
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
        assert torch.equal(result[:, top : top + 10, left : left + 20], to_tensor(image))
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
    places = set()
    for seed in range(30):
        result = seen(view, image, seed)
        places |= {place for place, window in windows.items() if torch.equal(window, result)}
    assert len(places) > 20
    assert {y for y, _ in places} >= {0, 8}


def test_one_view_in_two_is_mirrored():
    image = picture(8, 8)
    original, mirrored = to_tensor(image), to_tensor(image).flip(-1)
    views = [seen(RandomView(0), image, seed) for seed in range(200)]
    flips = sum(torch.equal(view, mirrored) for view in views)
    assert flips + sum(torch.equal(view, original) for view in views) == 200
    assert 75 <= flips <= 125  # 3.5 standard deviations


def test_the_longer_side_takes_every_length_of_the_range_resized_bicubically():
    view = RandomView(0, (20, 23), flip=False)
    for image, axis in ((picture(50, 25), 2), (picture(25, 50), 1)):
        sizes = {seen(view, image, seed).shape for seed in range(60)}
        assert {size[axis] for size in sizes} == {20, 21, 22, 23}
        assert all(size[3 - axis] == size[axis] // 2 for size in sizes)
    image = picture(50, 26)
    expected = to_tensor(image.resize((25, 13), Image.Resampling.BICUBIC))
    assert torch.equal(RandomView(0, (25, 25), flip=False)(image), expected)


# Batches ----------------------------------------------------------------------------------


def test_a_view_depends_on_seed_epoch_and_image_alone_and_leaves_the_generator_alone():
    views = Views(Noise(), RandomView(8), seed=1)
    first = views[2, 3][0]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert views[0, 0][0].shape == (3, 8, 8)
    assert torch.equal(views[2, 3][0], first)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(views[3, 3][0], first)
    assert not torch.equal(Views(Noise(), RandomView(8), seed=2)[2, 3][0], first)


def test_views_of_different_sizes_are_no_batch():
    labels = torch.ones(2)
    with pytest.raises(ValueError, match="must have one size: set crop_size"):
        stack([(torch.ones(3, 3, 4), labels), (torch.ones(3, 3, 5), labels)])


# Parts of an image set --------------------------------------------------------------------


class Masked(Noise):
    """With masks that tell which image they are of. Those in `maskless` cannot be read."""

    def __init__(self, maskless=(), **options):
        super().__init__(**options)
        self.maskless = maskless

    def mask(self, index):
        if index in self.maskless:
            raise ValueError(f"the mask of image {self.ids[index]} is of another size")
        return np.full((24, 32), index, np.uint8)


def test_a_part_has_the_chosen_images_in_the_order_given():
    whole = Masked()
    part = Part(whole, [4, 0, 7])
    assert (len(part), part.ids) == (3, ["n004", "n000", "n007"])
    assert part.class_names == whole.class_names
    assert part.labels.tolist() == [LABELS[4], LABELS[0], LABELS[7]]
    assert part.labels.dtype == torch.uint8
    for index, chosen in enumerate([4, 0, 7]):
        assert part.image(index).tobytes() == whole.image(chosen).tobytes()
        assert (part.mask(index) == chosen).all()
    assert Part(part, [2, 0]).ids == ["n007", "n004"]


def test_images_are_spread_over_the_list_without_one_twice():
    whole = Noise()
    for count, indices in {1: [0], 2: [0, 4], 3: [0, 3, 6], 4: [0, 2, 4, 6]}.items():
        assert spread_out(whole, count).ids == [f"n{index:03}" for index in indices]
    for count in range(1, 10):
        ids = spread_out(whole, count).ids
        assert len(set(ids)) == len(ids) == count
    for count in (0, 9, 1000):
        assert spread_out(whole, count) is whole
    with pytest.raises(ValueError, match=r"at least 0 \(all\); got -1"):
        spread_out(whole, -1)


def test_what_is_looked_at_can_be_read():
    """The image with index 4 has no label."""
    whole = Masked(broken=(0, 5), maskless=(2,))
    assert readable(whole, 3) == [1, 3, 4]
    assert whole.shown == [0, 1, 2, 3, 4]  # and no more
    assert readable(whole, 3, labelled=True) == [1, 3, 6]
    assert readable(whole, 100) == [1, 3, 4, 6, 7, 8]
    assert readable(whole, 0) == []
    with pytest.raises(ValueError, match="nothing to look at in the 9 images: image n008 cannot"):
        readable(Masked(broken=range(9)), 4)
    with pytest.raises(ValueError, match="nothing to look at in the 1 images: none shows a class"):
        readable(Masked(labels=[[0, 0, 0]]), 4, labelled=True)


# Views at several scales ------------------------------------------------------------------


def test_each_scale_has_its_size_and_its_flip():
    image, scales = picture(50, 37), (1, 0.5, 1.5, 2)
    views = multi_scale_views(image, scales)
    sizes = [(37, 50), (18, 25), (56, 75), (74, 100)]  # 18.5 and 55.5 rounded to even
    assert [tuple(view.shape) for view in views] == [(2, 3, *size) for size in sizes]
    for view in views:
        assert torch.equal(view[1], view[0].flip(-1))
        assert not torch.equal(view[1], view[0])
    single = multi_scale_views(image, scales, flip=False)
    assert all(torch.equal(one, view[:1]) for one, view in zip(single, views, strict=True))


def test_a_view_is_resized_bicubically_and_not_at_scale_1():
    image = picture(50, 37)
    for scale, size in ((0.5, (25, 18)), (2, (100, 74))):
        expected = to_tensor(image.resize(size, Image.Resampling.BICUBIC))
        assert torch.equal(multi_scale_views(image, (scale,))[0][0], expected)
    for scale in (1, 0.999, 1.001):  # the last two round to the same size
        assert torch.equal(multi_scale_views(image, (scale,))[0][0], to_tensor(image))
    assert multi_scale_views(image.crop((0, 0, 3, 1)), (0.1,))[0].shape == (2, 3, 1, 1)
