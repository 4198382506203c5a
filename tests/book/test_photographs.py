"""The chapter on photographs: what the net says, what is asked for, what is refused."""

import re

import pytest
import torch
from PIL import Image

from ribnb.book import CHAPTERS
from ribnb.book.photographs import Photographs, coverage
from ribnb.book.scenes import adapt_one
from ribnb.core.settings import SettingsError
from ribnb.nets.cam_net import CAMNet

SETTINGS = CHAPTERS["photographs"]


@pytest.fixture(scope="module")
def net():
    return CAMNet.imagenet(SETTINGS().arch)


def test_each_is_labelled_with_what_the_net_says_first(net):
    images = SETTINGS().photographs()
    photos = Photographs(images, net)
    assert [photos.class_names[c] for c in photos.classes] == ["Egyptian cat", "espresso", "moped"]
    assert photos.labels.sum(dim=1).tolist() == [1, 1, 1]
    assert torch.equal(photos.labels.argmax(1), photos.shares.argmax(1))
    assert photos.said(1, 1) == f"espresso {100 * photos.shares[1].max():.0f} %"


def test_a_class_may_be_asked_for(net):
    asked_for = SETTINGS(shows="cup").class_asked_for()
    photos = Photographs(SETTINGS().photographs(), net, asked_for)
    assert photos.classes == [968] * 3
    assert photos.said(1, 1).startswith("espresso 6") and ", cup 5 %" in photos.said(1, 1)
    shark = Photographs(
        SETTINGS().photographs(), net, photos.class_names.index("great white shark")
    )
    assert re.search(r"great white shark 0\.\d{3} %, so it hardly sees it$", shark.said(1))
    with pytest.raises(SettingsError, match=r"'cat' is none of .* near: tiger cat, Persian cat"):
        SETTINGS(shows="cat").class_asked_for()


def test_a_class_that_is_nowhere_is_refused(net):
    plain = {"wall": Image.new("RGB", (96, 96), "grey")}
    with torch.no_grad():
        maps = net.class_maps(torch.zeros(1, 3, 96, 96)).amax((2, 3))[0]
    with pytest.raises(ValueError, match="the net sees nothing of "):
        Photographs(plain, net, int(maps.argmin()))


def test_your_photo_takes_the_place_of_the_others(net, tmp_path):
    path = tmp_path / "my photo.png"
    SETTINGS().photographs()["espresso"].save(path)
    settings = SETTINGS(photo=str(path), long_side=128, rib={"iterations": 2})
    photos = Photographs(settings.photographs(), net)
    assert (photos.ids, photos.image(0).size) == (["your photo"], (128, 85))
    released = SETTINGS(variant="released", rib={"iterations": 2}).rib
    for how in (settings.rib, released):  # there is no other to draw
        walk = adapt_one(net, photos, 0, how)
        assert walk.high_res.shape == (1, 85, 128) and walk.logit_growth > 0


def test_coverage_is_a_share_of_pixels():
    assert coverage([torch.tensor([[0.2, 0.4], [0.3, 1.0]])]) == [0.5]
