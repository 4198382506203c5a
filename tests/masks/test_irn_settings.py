"""IRN's settings: both columns of the table, and which stage each belongs to."""

import pytest

from ribnb.core.settings import SettingsError
from ribnb.masks.irn_settings import IRNSettings


def test_settings_for_rib_and_for_a_cam_side_by_side():
    names = ("foreground_threshold", "background_threshold", "walk_background", "power")
    rib, baseline = IRNSettings.rib(), IRNSettings.baseline()
    assert [getattr(rib, name) for name in names] == [0.35, 0.17, 0.27, 1.3]
    assert [getattr(baseline, name) for name in names] == [0.30, 0.05, 0.25, 1]
    shared = {"crop_size": 512, "batch_size": 32, "epochs": 3, "learning_rate": 0.1, "radius": 10}
    shared |= {"walk_radius": 5, "beta": 10, "walk_exponent": 8, "scale_min": 0.5, "scale_max": 1.5}
    for settings in (rib, baseline):
        assert {name: getattr(settings, name) for name in shared} == shared
        assert settings.walk_steps == 256
    assert IRNSettings() == baseline


def test_each_setting_belongs_to_one_stage_but_for_the_precision():
    settings = IRNSettings.rib()
    parts = (settings.for_labels(), settings.for_training(), settings.for_walk())
    together = [name for part in parts for name in part]
    fields = {*IRNSettings.model_fields}
    assert set(together) == fields
    assert sorted(together) == sorted([*fields, "precision"])


def test_thresholds_and_scales_in_the_wrong_order_are_refused():
    with pytest.raises(SettingsError, match=r"background_threshold = 0\.5 must not be above"):
        IRNSettings(background_threshold=0.5)
    with pytest.raises(SettingsError, match=r"scale_min = 2\.0 must not be above"):
        IRNSettings(scale_min=2)
    with pytest.raises(SettingsError, match="radius = 1"):
        IRNSettings(radius=1)


def test_the_rate_falls_to_0_by_a_polynomial():
    settings = IRNSettings()
    assert settings.rate(0, 10) == 0.1
    assert settings.rate(5, 10) == pytest.approx(0.1 * 0.5**0.9)
    assert settings.rate(9, 10) < 0.02
