"""What the method looks at: views at several scales, random batches; the same with any workers."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from plain_adaptation import one_thread  # noqa: F401
from small_split import LABELS, Noise, few_steps

from ribnb.data.views import multi_scale_views, to_tensor
from ribnb.method.feed import VIEWS, AdaptationInputs, Feed
from ribnb.method.method_inputs import class_disjoint

CHOICES = pytest.mark.parametrize("choice", ["random", "disjoint"])


class Plain(Noise):
    """Image i is of one colour, which tells i, however it is cropped and resized."""

    def image(self, index):
        super().image(index)
        return Image.new("RGB", (32, 24), (10 + 10 * index, 0, 0))


SHADES = [to_tensor(Plain().image(index))[0, 0, 0].item() for index in range(len(LABELS))]


def shown_in(images) -> list[int]:
    """Which of the plain images the views (b, 3, H, W) are of."""
    return [
        index
        for view in images
        for index, shade in enumerate(SHADES)
        if (view[0] - shade).abs().min() < 1e-3
    ]


def plain_batch(target, step, labels=LABELS, broken=(), **settings):
    inputs = AdaptationInputs(Plain(labels, broken=broken), few_steps(**settings))
    return inputs.batch(target, step)[0]


# The views of the target ------------------------------------------------------------------


def picture(width, height):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


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


def test_at_scale_1_nothing_is_resized():
    image = picture(9, 7)
    for scale in (1, 0.99, 1.01):  # the last two round to the same size
        assert torch.equal(multi_scale_views(image, (scale,))[0][0], to_tensor(image))


def test_a_view_is_resized_bicubically():
    image = picture(50, 37)
    for scale, size in ((0.5, (25, 18)), (2, (100, 74))):
        expected = to_tensor(image.resize(size, Image.Resampling.BICUBIC))
        assert torch.equal(multi_scale_views(image, (scale,))[0][0], expected)


def test_a_view_has_at_least_one_pixel():
    assert multi_scale_views(picture(3, 1), (0.1,))[0].shape == (2, 3, 1, 1)


def test_a_view_of_an_image_that_is_not_rgb_is_refused():
    with pytest.raises(ValueError, match="make it RGB"):
        multi_scale_views(Image.new("L", (4, 4)), (1,))


def test_the_views_of_an_item_follow_the_settings():
    images = Noise()
    for settings in (few_steps(), few_steps(flip=False, scales=(1, 2, 0.5))):
        key, views, unreadable = AdaptationInputs(images, settings)[3, VIEWS]
        expected = multi_scale_views(images.image(3), settings.scales, settings.flip)
        assert key == (3, VIEWS) and unreadable == {}
        assert all(torch.equal(a, b) for a, b in zip(views, expected, strict=True))


# Which images share no class --------------------------------------------------------------


def test_class_disjoint_is_that_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(30, 6, generator=generator) < 0.3).to(torch.uint8)
    labels[4] = 0
    disjoint = class_disjoint(labels)
    sets = [{c for c, present in enumerate(row) if present} for row in labels.tolist()]
    assert disjoint.tolist() == [[not one & other for other in sets] for one in sets]
    assert disjoint[4].all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bool])
def test_class_disjoint_does_not_overflow(dtype):
    """256 common classes are 0 in uint8."""
    assert not class_disjoint(torch.ones(2, 256).to(dtype)).any()


# The other images of a batch --------------------------------------------------------------


@CHOICES
def test_a_batch_holds_other_images_each_once(choice):
    for target in range(len(LABELS)):
        for step in range(10):
            images, labels = plain_batch(target, step, batch_choice=choice)
            shown = shown_in(images)
            assert len(shown) == len(images) == len(set(shown))
            assert target not in shown
            assert labels.tolist() == [LABELS[index] for index in shown]


def test_a_disjoint_batch_shares_no_class_with_the_target():
    labels = torch.tensor(LABELS)
    for target in range(len(LABELS)):
        for step in range(10):
            shown = shown_in(plain_batch(target, step)[0])
            assert not (labels[shown] & labels[target]).any()


@CHOICES
def test_each_candidate_comes_about_as_often(choice):
    counts = np.zeros(len(LABELS))
    for step in range(300):
        counts[shown_in(plain_batch(0, step, batch_choice=choice, batch_size=2)[0])] += 1
    drawn = [1, 2, 4, 5, 7] if choice == "disjoint" else range(1, 9)
    expected = 600 / len(drawn)
    assert set(counts.nonzero()[0]) == set(drawn)
    assert (abs(counts[drawn] - expected) < 5 * expected**0.5).all()


@CHOICES
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_a_batch_is_as_large_as_asked_for_or_as_can_be(variant, choice):
    """The paper's B counts the image itself; image 0 has 5 disjoint ones, image 6 only one."""
    for batch_size in (1, 2, 4, 50):
        wanted = batch_size - (variant == "paper")
        for target, disjoint in ((0, 5), (6, 1)):
            most = disjoint if choice == "disjoint" else len(LABELS) - 1
            images, labels = plain_batch(
                target, 0, variant=variant, batch_size=batch_size, batch_choice=choice
            )
            assert len(images) == len(labels) == min(wanted, most)
            assert labels.shape[1:] == (3,)
            assert images.shape[1] == 3


def test_without_a_single_disjoint_image_a_batch_is_empty():
    images, labels = plain_batch(0, 0, labels=[[1, 0, 0], [1, 1, 0], [1, 0, 1]])
    assert (len(images), labels.shape) == (0, (0, 3))
    images, labels = plain_batch(0, 0, labels=[[1, 0, 0]], batch_choice="random")
    assert (len(images), labels.shape) == (0, (0, 3))


def test_a_batch_depends_on_seed_target_and_step_alone():
    def batch(target=0, step=0, seed=0):
        return AdaptationInputs(Noise(), few_steps(seed=seed)).batch(target, step)[0]

    first = batch()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert all(torch.equal(a, b) for a, b in zip(first, batch(), strict=True))
    # image 8 has the labels of image 0, and so the same candidates
    for other in (batch(seed=1), batch(target=8), batch(step=1)):
        assert not torch.equal(other[0], first[0])


def test_the_steps_of_a_target_have_different_images_and_views():
    chosen = {tuple(shown_in(plain_batch(0, step)[0])) for step in range(20)}
    assert len(chosen) > 10
    inputs = AdaptationInputs(Noise(LABELS[:2]), few_steps())  # one candidate
    views = [inputs.batch(0, step)[0][0] for step in range(20)]
    assert not any(torch.equal(one, other) for one, other in pairwise(views))
    assert all(view.shape == (1, 3, 24, 24) for view in views)


def test_without_a_crop_and_a_long_side_the_others_are_whole():
    settings = few_steps(crop_size=0, long_side_min=0, long_side_max=0)
    images = Noise(LABELS[:2])
    (views, _), _ = AdaptationInputs(images, settings).batch(0, 0)
    whole = to_tensor(images.image(1))
    assert any(torch.equal(views[0], view) for view in (whole, whole.flip(-1)))


def test_the_global_generator_is_left_alone():
    inputs = AdaptationInputs(Noise(), few_steps())
    torch.manual_seed(1)
    drawn = torch.rand(2)
    torch.manual_seed(1)
    assert inputs[0, VIEWS][1] and inputs[0, 0][1]
    assert torch.equal(torch.rand(2), drawn)


# Images that cannot be read ---------------------------------------------------------------


def test_an_unreadable_image_is_left_out_of_a_batch_and_named():
    inputs = AdaptationInputs(Plain(broken=(2,)), few_steps(batch_size=5))
    (images, labels), unreadable = inputs.batch(0, 0)
    assert unreadable == {"n002": "image n002 cannot be read"}
    assert sorted(shown_in(images)) == [1, 4, 5, 7]
    assert labels.tolist() == [LABELS[index] for index in shown_in(images)]


def test_the_others_are_as_if_it_could_be_read():
    sound, broken = (
        AdaptationInputs(Noise(broken=broken), few_steps(batch_size=5)).batch(0, 0)[0][1]
        for broken in ((), (4,))
    )
    without_labels = sound.any(dim=1).logical_not()  # image 4
    assert torch.equal(sound[~without_labels], broken)


def test_a_batch_of_unreadable_images_is_empty():
    inputs = AdaptationInputs(Noise(broken=range(9)), few_steps(batch_size=5))
    (images, labels), unreadable = inputs.batch(0, 0)
    assert (len(images), labels.shape) == (0, (0, 3))
    assert set(unreadable) == {"n001", "n002", "n004", "n005", "n007"}


class Grey(Noise):
    def image(self, index):
        return super().image(index).convert("L" if index == 2 else "RGB")


def test_an_image_of_another_mode_counts_as_unreadable():
    feed = Feed(AdaptationInputs(Grey(), few_steps(batch_size=5)), [0, 2])
    assert len(feed.views(0)) == 2
    assert [len(images) for images, _ in feed.batches(0)] == [4, 4]
    assert list(feed.unreadable) == ["n002"]
    assert "make it RGB" in feed.unreadable["n002"]
    with pytest.raises(OSError, match="make it RGB"):
        feed.views(2)
