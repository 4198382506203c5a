"""The animation: whole in itself, operable, and readable without seeing it."""

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from ribnb import figures


def play_maps():
    truth = np.arange(12).reshape(3, 4) < 6
    maps = {"RIB": [truth * k / 2 for k in range(3)], "L_BCE": [0.0 * truth] * 3}
    return figures.map_player(Image.new("RGB", (4, 3)), maps, truth).data


def test_a_player_has_a_picture_a_step_which_says_what_it_shows_and_shows_the_first():
    html = play_maps()
    tags = re.findall(r"<img [^>]*>", html)
    assert [tag.endswith(" hidden>") for tag in tags] == [False, True, True]
    pictures = [base64.b64decode(re.search(r"base64,([^\"]+)", tag)[1]) for tag in tags]
    assert len(set(pictures)) == 3 and all(one[8:12] == b"WEBP" for one in pictures)
    assert re.findall(r'alt="([^"]*)"', html) == [
        f"k = {k}; RIB, mean on the object: {k / 2:.2f}; L_BCE, mean on the object: 0.00"
        for k in range(3)
    ]
    assert plt.get_fignums() == []


def test_a_player_has_a_button_and_a_slider_and_asks_for_nothing_from_elsewhere():
    html = re.sub(r"data:image/webp;base64,[^\"]+", "", play_maps())
    assert ">Play</button>" in html
    (slider,) = re.findall(r'<input type="range"[^>]*>', html)
    assert 'min="0" max="2"' in slider and "aria-label=" in slider
    assert not re.search(r"https?:|//[a-z]|src=\"[^\"]|<link|import ", html)


def test_a_player_of_any_figures_begins_where_it_is_told():
    shown = {f"tau = {k}": plt.Figure(figsize=(1, 1)) for k in range(3)}
    html = figures.player(shown, start=1).data
    assert re.findall(r'alt="([^"]*)"', html) == [*shown] and 'value="1"' in html
    hidden = [tag.endswith(" hidden>") for tag in re.findall(r"<img [^>]*>", html)]
    assert hidden == [True, False, True]


def test_two_players_on_one_page_do_not_meet():
    one, other = play_maps(), play_maps()
    name = re.search(r'id="([^"]+)"', one)[1]
    assert name not in other and f'getElementById("{name}")' in one


def test_a_player_of_gradient_maps_says_what_is_measured_on_each():
    maps = torch.ones(2, 8, 8) * torch.tensor([1.0, 2.0])[:, None, None]
    region = torch.zeros(8, 8, dtype=torch.bool)
    regions = dict.fromkeys(("discriminative", "non_discriminative", "background"), region)
    html = figures.gradient_player({"$L_{RIB}$": maps}, regions, lambda one: one.max().item()).data
    ratios = [f"k = {k}; L_RIB, HGR of the shape: {k + 1:.2f}" for k in range(2)]
    assert re.findall(r'alt="([^"]*)"', html) == ratios
