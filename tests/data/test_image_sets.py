"""Parts of an image set: the chosen images, and nothing of the others."""

import numpy as np
import pytest
import torch
from small_split import LABELS, Noise

from ribnb.data.image_sets import Part, followed, readable, spread_out


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


def test_a_part_of_a_part_counts_within_it():
    assert Part(Part(Noise(), [8, 6, 4, 2]), [3, 0]).ids == ["n002", "n008"]


@pytest.mark.parametrize(
    ("count", "places"),
    [(1, [0]), (2, [0, 4]), (3, [0, 3, 6]), (4, [0, 2, 4, 6]), (8, [0, 1, 2, 3, 4, 5, 6, 7])],
)
def test_images_are_spread_over_the_list_without_one_twice(count, places):
    assert spread_out(Noise(), count).ids == [f"n{place:03}" for place in places]


@pytest.mark.parametrize("count", range(1, 10))
def test_as_many_images_as_asked_for(count):
    ids = spread_out(Noise(), count).ids
    assert len(set(ids)) == len(ids) == count


@pytest.mark.parametrize("count", [0, 9, 10, 1000])
def test_none_and_too_many_mean_all(count):
    whole = Noise()
    assert spread_out(whole, count) is whole


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match=r"at least 0 \(all\); got -1"):
        spread_out(Noise(), -1)


def test_what_is_looked_at_can_be_read():
    """The image with index 4 has no label."""
    whole = Masked(broken=(0, 5), maskless=(2,))
    assert readable(whole, 3) == [1, 3, 4]
    assert readable(whole, 3, labelled=True) == [1, 3, 6]
    assert readable(whole, 100) == [1, 3, 4, 6, 7, 8]
    assert readable(whole, 0) == []
    with pytest.raises(ValueError, match="nothing to look at in the 9 images: image n008 cannot"):
        readable(Masked(broken=range(9)), 4)
    with pytest.raises(ValueError, match="nothing to look at in the 1 images: none shows a class"):
        readable(Masked(labels=[[0, 0, 0]]), 4, labelled=True)


def test_no_more_images_are_read_than_needed():
    whole = Masked()
    readable(whole, 2)
    assert whole.shown == [0, 1]


# Images 3, 5 and 6 show several classes, image 4 none.


def test_an_image_with_several_classes_is_followed_if_there_is_one():
    whole = Masked()
    assert followed(whole, whole.ids) == 3
    assert followed(whole, ["n006", "n000", "n005"]) == 5  # in the order of the images
    assert followed(whole, ["n007", "n002", "n004"]) == 2
    assert followed(whole, {"n008"}) == 8


def test_an_image_is_followed_that_can_be_read():
    assert followed(Masked(broken=(3,), maskless=(5,)), Noise().ids) == 6
    assert followed(Masked(broken=(3, 5, 6, 0)), Noise().ids) == 1


def test_the_image_to_follow_is_counted_within_its_set():
    """The chapter asks the set itself for image and mask."""
    part = Part(Masked(), [8, 7, 6, 3])
    assert part.ids[followed(part, ["n003"])] == "n003"
    assert followed(part, part.ids) == 2


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (["n004"], "none shows a class"),
        ([], "none shows a class"),
        (["n000"], "n000 cannot be read"),
    ],
)
def test_nothing_to_follow_is_said_in_words(ids, why):
    with pytest.raises(ValueError, match=f"nothing to look at in the .*{why}"):
        followed(Masked(broken=(0,)), ids)
