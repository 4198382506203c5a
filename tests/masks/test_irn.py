"""IRN: its settings; confident labels of an image by hand, and what the walk makes of maps."""

import numpy as np
import pytest
import torch

from ribnb.core.files import Maps
from ribnb.core.settings import SettingsError
from ribnb.masks import crf
from ribnb.masks.irn import IRNSettings, confident, walked_mask, walked_scores

CUTS = IRNSettings(foreground_threshold=0.5, background_threshold=0.2)
SETTINGS = IRNSettings(walk_exponent=3, walk_radius=3, walk_background=0.4)


def maps_of(high_res, class_ids=None, strided=None) -> Maps:
    high_res = np.asarray(high_res, np.float32)
    n, height, width = high_res.shape
    if strided is None:
        strided = np.zeros((n, -(-height // 4), -(-width // 4)), np.float32)
    return Maps(np.arange(n) if class_ids is None else np.array(class_ids), high_res, strided)


def test_settings_for_rib_and_for_a_cam_side_by_side():
    names = ("foreground_threshold", "background_threshold", "walk_background", "power")
    rib, baseline = IRNSettings.rib(), IRNSettings.baseline()
    assert [getattr(rib, name) for name in names] == [0.35, 0.17, 0.27, 1.3]
    assert [getattr(baseline, name) for name in names] == [0.30, 0.05, 0.25, 1]
    shared = {"crop_size": 512, "batch_size": 32, "epochs": 3, "learning_rate": 0.1, "radius": 10}
    shared |= {"walk_radius": 5, "beta": 10, "walk_steps": 256, "scale_min": 0.5, "scale_max": 1.5}
    for settings in (rib, baseline):
        assert {name: getattr(settings, name) for name in shared} == shared
    assert IRNSettings() == baseline
    assert baseline.rate(0, 10) == 0.1
    assert baseline.rate(5, 10) == pytest.approx(0.1 * 0.5**0.9)


def test_each_setting_belongs_to_one_stage_but_for_the_precision():
    settings = IRNSettings.rib()
    parts = (settings.for_labels(), settings.for_training(), settings.for_walk())
    together = [name for part in parts for name in part]
    assert sorted(together) == sorted([*IRNSettings.model_fields, "precision"])


def test_thresholds_and_scales_in_the_wrong_order_are_refused():
    with pytest.raises(SettingsError, match=r"scale_min = 2\.0 must not be above"):
        IRNSettings(scale_min=2)


def test_labels_by_hand():
    red = [[1.0, 0.6, 0.4, 0.1]]
    blue = [[0.2, 0.7, 0.3, 0.15]]
    labels = confident(maps_of([red, blue], [0, 4]), CUTS)
    assert labels.tolist() == [[1, 5, 255, 0]]
    assert labels.dtype == np.uint8


def test_where_maps_are_empty_nothing_is_known():
    """An image that shows a class, but whose map is 0: calling it background would be wrong."""
    assert (confident(maps_of(np.zeros((1, 3, 4))), CUTS) == 255).all()
    assert (confident(maps_of(np.zeros((0, 3, 4))), CUTS) == 0).all()  # one without classes
    some = maps_of([np.zeros((1, 2)), [[1.0, 0.0]]])  # one class's map is empty, another's is not
    assert confident(some, CUTS).tolist() == [[2, 0]]


def test_a_crf_refines_both_seeds_and_a_class_wins_over_background(monkeypatch):
    given = []

    def refine(image, mask, values, settings):
        given.append((image.shape, mask.tolist(), list(values), settings))
        return np.array([[0, 2, 2, 2]] if len(given) == 1 else [[0, 0, 2, 2]], np.uint8)

    monkeypatch.setattr(crf, "crf_mask", refine)
    image, maps = np.zeros((1, 4, 3), np.uint8), maps_of([[[0.1, 0.3, 0.6, 1]]], [1])
    labels = confident(maps, CUTS, image, "settings")
    assert labels.tolist() == [[0, 2, 2, 2]]  # the second seed's 0 at the second pixel loses
    shape = (1, 4, 3)
    assert given == [
        (shape, [[0, 0, 2, 2]], [0, 2], "settings"),
        (shape, [[0, 2, 2, 2]], [0, 2], "settings"),
    ]


def test_a_seed_fills_its_room_and_stops_at_the_wall():
    """A wall down the middle of 16 x 16 positions; a spot of class 3 on its left."""
    boundary = torch.zeros(16, 16)
    boundary[:, 8] = 1
    high_res = np.zeros((1, 32, 32), np.float32)
    high_res[0, 14:18, 4:8] = 1
    how = IRNSettings(walk_exponent=10, walk_radius=3, walk_background=0.5)
    mask = walked_mask(maps_of(high_res, [3]), boundary, how)
    assert mask.shape == (32, 32) and mask.dtype == np.uint8
    assert (mask[:, :15] == 4).all()
    assert (mask[:, 17:] == 0).all()


def test_positions_stay_where_they_are_if_the_last_reach_beyond_the_image():
    """15 x 13 pixels have the 4 x 4 positions of 16 x 16 pixels, and the same scores."""
    strided = np.zeros((2, 4, 4), np.float32)
    strided[0, 0, 1], strided[1, 2, 2] = 1, 0.7
    boundary = torch.linspace(0, 0.6, 16).reshape(4, 4)
    whole, part = (
        walked_scores(maps_of(np.ones((2, *size)), strided=strided), boundary, SETTINGS)
        for size in ((16, 16), (15, 13))
    )
    assert part.shape == (2, 15, 13)
    assert whole.max() == whole[:, :15, :13].max()
    np.testing.assert_allclose(part, whole[:, :15, :13], rtol=1e-6)


def test_a_class_wins_where_it_is_strongest_and_beats_the_background():
    high_res = np.zeros((2, 8, 24), np.float32)
    high_res[0, :, :8], high_res[1, :, 8:16], high_res[1, :, 16:] = 1, 0.8, 0.3
    still = IRNSettings(walk_exponent=0, walk_radius=1.1, beta=50, walk_background=0.4)
    walls = torch.zeros(4, 12)
    walls[:, [4, 8]] = 1
    mask = walked_mask(maps_of(high_res, [0, 6]), walls, still)
    assert (mask[:, :7] == 1).all()
    assert (mask[:, 11:15] == 7).all()
    assert (mask[:, 19:] == 0).all()
    scores = walked_scores(maps_of(high_res), walls, still)  # divided by the largest of all classes
    assert scores.max() == scores[0].max() == 1 and scores[1].max() < 0.9


def test_the_power_comes_before_the_walk():
    high_res = np.random.default_rng(0).random((1, 8, 8), np.float32)
    by_power, plain = (
        walked_scores(
            maps_of(high_res, strided=np.array(strided, np.float32)),
            torch.full((2, 2), 0.3),
            IRNSettings(walk_radius=3, walk_exponent=1, **how),
        )
        for strided, how in (
            ([[[0.5, 1.0], [0.2, 0.1]]], {"power": 2}),
            ([[[0.25, 1.0], [0.04, 0.01]]], {}),
        )
    )
    assert by_power == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("n", [0, 1])
def test_without_maps_or_with_empty_ones_all_is_background(n):
    mask = walked_mask(maps_of(np.zeros((n, 9, 7))), torch.zeros(5, 4), SETTINGS)
    assert mask.shape == (9, 7) and mask.dtype == np.uint8 and not mask.any()
    walls = torch.ones(4, 4)  # that swallow the maps
    assert not walked_mask(maps_of(np.ones((1, 8, 8))), walls, SETTINGS).any()
