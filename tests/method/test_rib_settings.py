"""RIBSettings: the two variants' values, what the hash knows, what is refused."""

import pytest

from ribnb.core.settings import SettingsError
from ribnb.method.settings import RIBSettings

# The released settings, from the authors' code.
RELEASED = {
    "iterations": 10, "learning_rate": 8e-6, "class_layer_factor": 10, "power": 0.9,
    "momentum": 1e-4, "weight_decay": 0, "loss": "rib", "margin": 600, "pooling": "gndrp",
    "threshold": 0.4, "variant": "released", "margin_rule": "stop", "last_map": False,
    "pooling_variant": "released", "image_in_batch": False, "batch_size": 20,
    "batch_choice": "disjoint", "crop_size": 512, "long_side_min": 320, "long_side_max": 640,
    "scales": (1, 0.5, 1.5, 2), "loss_scales": (1, 1.5, 2), "flip": True, "flood_level": 0.3,
    "flood_share": 0.7, "normalize_maps": False, "moving_stages": None, "precision": "float32",
    "seed": 0, "others": "fresh", "pool_size": 500,
}  # fmt: skip
# Where the paper's are others.
PAPER = {
    "variant": "paper", "class_layer_factor": 1, "power": 0, "momentum": 0,
    "batch_choice": "random", "flood_level": None, "flood_share": None, "normalize_maps": True,
    "margin_rule": "cap", "last_map": True, "pooling_variant": "paper", "image_in_batch": True,
}  # fmt: skip


def values(settings):
    """As they are, not as JSON has them."""
    return {name: getattr(settings, name) for name in RIBSettings.model_fields}


def test_each_variant_is_whole():
    assert values(RIBSettings.released()) == RELEASED
    assert values(RIBSettings.paper()) == {**RELEASED, **PAPER}
    assert RIBSettings() == RIBSettings.released()


def test_a_setting_that_came_later_is_in_the_hash_only_where_it_is_used():
    """So results and folders from before it are those of these settings."""
    assert not {"others", "pool_size"} & RIBSettings().identity().keys()
    assert RIBSettings(others="pool").identity()["others"] == "pool"


def test_the_released_codes_last_update_is_never_looked_at_and_its_batch_counts_only_others():
    assert RIBSettings.paper(batch_size=5).num_others == 4
    assert RIBSettings.released(batch_size=5).num_others == 5
    assert [RIBSettings.paper(iterations=k).num_updates for k in (0, 1, 2, 10)] == [0, 1, 2, 10]
    assert [RIBSettings.released(iterations=k).num_updates for k in (0, 1, 2, 10)] == [0, 0, 1, 9]


def test_the_rate_falls_to_its_last_step():
    """8e-6 (1 - k / 10) ** 0.9; the paper's is lambda throughout."""
    rates = [RIBSettings.released().rate(k) for k in range(10)]
    assert rates[0] == 8e-6
    assert rates[5] == pytest.approx(8e-6 * 0.5**0.9)
    assert rates[9] == pytest.approx(8e-6 * 0.1**0.9)
    assert rates == sorted(rates, reverse=True)
    assert {RIBSettings.paper().rate(k) for k in range(10)} == {8e-6}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"long_side_min": 641}, "long_side_min = 641 .* long_side_max = 640"),
        ({"scales": (0.5, 1)}, r"scales = \(0\.5, 1\.0\): 1 must come first"),
        ({"scales": (1, 2, 2.0)}, r"scales = \(1\.0, 2\.0, 2\.0\): one stands there twice"),
        ({"scales": (1, 0.5)}, r"loss_scales = \(1\.0, 1\.5, 2\.0\) must be different ones of"),
    ],
)
def test_refuses_a_wrong_value(changes, message):
    with pytest.raises(SettingsError, match=message):
        RIBSettings(**changes)
