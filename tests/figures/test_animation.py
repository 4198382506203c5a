"""The animation: whole in itself, operable, and readable without seeing it."""

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from ribnb.figures import gradient_player, map_player, player

DESCRIPTIONS = ["step 0", 'a "quoted" < step', "step 2"]


@pytest.fixture(scope="module")
def frames() -> list:
    """Three figures that differ."""
    figures = []
    for step in range(3):
        figure, axes = plt.subplots(figsize=(1, 1))
        axes.plot([0, step])
        plt.close(figure)
        figures.append(figure)
    return figures


def test_holds_every_frame_as_a_picture_with_its_description(frames):
    html = player(frames, DESCRIPTIONS).data
    pictures = [
        base64.b64decode(coded) for coded in re.findall(r"data:image/jpeg;base64,([^\"]+)", html)
    ]
    assert len(set(pictures)) == 3
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)
    assert re.findall(r'alt="([^"]*)"', html) == [
        "step 0",
        "a &quot;quoted&quot; &lt; step",
        "step 2",
    ]


def test_shows_the_first_frame_and_hides_the_others(frames):
    html = player(frames, DESCRIPTIONS).data
    tags = re.findall(r"<img [^>]*>", html)
    assert [tag.endswith(" hidden>") for tag in tags] == [False, True, True]


def test_has_a_button_and_a_slider_over_all_frames(frames):
    html = player(frames, DESCRIPTIONS).data
    assert ">Play</button>" in html
    (slider,) = re.findall(r'<input type="range"[^>]*>', html)
    assert 'min="0" max="2"' in slider
    assert "aria-label=" in slider


def test_asks_for_nothing_from_elsewhere(frames):
    html = re.sub(r"data:image/jpeg;base64,[^\"]+", "", player(frames, DESCRIPTIONS).data)
    assert not re.search(r"https?:|//[a-z]|src=\"[^\"]|<link|import ", html)


def test_two_players_on_one_page_do_not_meet(frames):
    one, other = (player(frames, DESCRIPTIONS).data for _ in range(2))
    names = [re.search(r'id="([^"]+)"', html)[1] for html in (one, other)]
    assert names[0] != names[1]
    assert names[0] not in other
    assert f'getElementById("{names[0]}")' in one


@pytest.mark.parametrize(("some", "texts"), [(0, 0), (1, 1), (3, 2), (2, 3)])
def test_refuses_fewer_than_two_frames_or_another_number_of_descriptions(frames, some, texts):
    message = f"got {some} frames, {texts} descriptions"
    with pytest.raises(ValueError, match=message):
        player(frames[:some], DESCRIPTIONS[:texts])


def test_a_player_of_maps_has_a_frame_a_step_and_says_the_mean_on_the_object():
    truth = np.arange(12).reshape(3, 4) < 6
    maps = {"RIB": [truth * k / 2 for k in range(3)], "L_BCE": [0.0 * truth] * 3}
    html = map_player(Image.new("RGB", (4, 3)), maps, truth).data
    assert re.findall(r'alt="([^"]*)"', html) == [
        f"k = {k}; RIB, mean on the object: {k / 2:.2f}; L_BCE, mean on the object: 0.00"
        for k in range(3)
    ]
    assert plt.get_fignums() == []


def test_a_player_of_gradient_maps_says_what_is_measured_on_each():
    maps = torch.ones(2, 8, 8) * torch.tensor([1.0, 2.0])[:, None, None]
    region = torch.zeros(8, 8, dtype=torch.bool)
    regions = dict.fromkeys(("discriminative", "non_discriminative", "background"), region)
    html = gradient_player({"$L_{RIB}$": maps}, regions, lambda one: one.max().item()).data
    ratios = [f"k = {k}; L_RIB, HGR of the shape: {k + 1:.2f}" for k in range(2)]
    assert re.findall(r'alt="([^"]*)"', html) == ratios
