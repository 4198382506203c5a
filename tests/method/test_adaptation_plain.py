"""`adapt` equals the adaptation written out plainly, in every combination of its settings."""

import pytest
import torch
from plain_adaptation import (
    LABELS,
    VARIANT,
    one_thread,  # noqa: F401
    plain_adaptation,
    small_net,
    some_batches,
    some_views,
)

from ribnb.method.adaptation import adapt
from ribnb.method.settings import RIBSettings

TOLERANCE = 5e-4  # of a map in [0, 1]
BASE = {"iterations": 4, "learning_rate": 3e-4, "scales": (1, 0.5, 2), "loss_scales": (1, 2)}
BASE["flood_share"] = None

CASES = {
    "as it is": {},
    "gap": {"pooling": "gap"},
    "bce": {"loss": "bce"},
    "gap and bce": {"pooling": "gap", "loss": "bce"},
    "momentum": {"momentum": 0.9},
    "weight decay": {"weight_decay": 20.0},
    "momentum and weight decay": {"momentum": 0.9, "weight_decay": 20.0},
    "raw maps": {"normalize_maps": False},
    "normalised maps": {"normalize_maps": True},
    "no flip": {"flip": False},
    "one scale": {"scales": (1,), "loss_scales": (1,)},
    "scale 1 not in the loss": {"scales": (1, 1.5, 0.5), "loss_scales": (0.5, 1.5)},
    "constant rate": {"power": 0},
    "rate falls fast": {"power": 3},
    "class layer faster": {"class_layer_factor": 50},
    "class layer slower": {"class_layer_factor": 0.01},
    "tau 0": {"threshold": 0},
    "tau 0.7": {"threshold": 0.7},
    "tau 1": {"threshold": 1},
    "low margin": {"margin": 0.3},
    "margin": {"margin": 1.4},
    "lowest margin": {"margin": 1e-6},
    "early flood": {"flood_share": 0.7, "flood_level": 0.3},
    "flood of raw maps": {"flood_share": 0.65, "flood_level": 0.5, "normalize_maps": False},
    "flood of normalised maps": {"flood_share": 0.65, "flood_level": 0.5, "normalize_maps": True},
    "margin caps": {"margin_rule": "cap", "margin": 0.3},
    "margin stops": {"margin_rule": "stop", "margin": 1.4},
    "with theta_K's map": {"last_map": True},
    "without theta_K's map": {"last_map": False},
    "GNDRP as a mean": {"pooling_variant": "paper"},
    "GNDRP over all positions": {"pooling_variant": "released"},
    "class layer alone moves": {"moving_stages": 0},
    "one stage moves": {"moving_stages": 1},
    "all stages move": {"moving_stages": 4},
    "K = 0": {"iterations": 0},
    "K = 1": {"iterations": 1},
    "K = 2": {"iterations": 2},
}


@VARIANT
@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_loop(variant, case):
    settings = getattr(RIBSettings, variant)(**{**BASE, **CASES[case]})
    equal_to_the_plain_loop(small_net(), settings)


@VARIANT
@pytest.mark.parametrize("output_stride", [16, 8])
def test_equals_the_plain_loop_for_a_resnet(variant, output_stride):
    changes = {"iterations": 2, "momentum": 0.9, "scales": (1, 0.5), "loss_scales": (1,)}
    settings = getattr(RIBSettings, variant)(**{**BASE, **changes, "learning_rate": 3e-5})
    net = small_net(arch="resnet18", output_stride=output_stride)
    equal_to_the_plain_loop(net, settings, height=64, width=48)


@VARIANT
def test_equals_the_plain_loop_for_a_class_that_is_nowhere(variant):
    """Class 3 is negative everywhere: the paper pools all of it, the released code nothing."""
    net, settings = small_net(), getattr(RIBSettings, variant)(**BASE)
    net.class_layer.weight.data[3] -= 1
    traced = equal_to_the_plain_loop(net, settings)
    raised = traced.steps[0].target_logits[:, 1]
    assert (raised < 0).all() if variant == "paper" else not raised.any()
    assert not traced.steps[0].cams[0][1].any()
    assert not traced.high_res.isnan().any()


def equal_to_the_plain_loop(net, settings, **size):
    views, batches = some_views(settings, **size), some_batches(settings.iterations)
    maps, losses, target_losses, stop = plain_adaptation(net, views, LABELS, batches, settings)
    traced = adapt(net, views, LABELS, batches, settings, trace=True)
    assert traced.stop_reason == stop
    assert traced.losses == pytest.approx(losses, rel=1e-3, abs=1e-4)
    assert traced.target_losses == pytest.approx(target_losses, rel=1e-3, abs=1e-4)
    torch.testing.assert_close(traced.high_res, maps, rtol=0, atol=TOLERANCE)
    spared = adapt(net, views, LABELS, batches, settings)
    assert torch.equal(spared.high_res, traced.high_res)
    assert torch.equal(spared.strided, traced.strided)
    assert spared.target_losses == traced.target_losses
    assert spared.losses == traced.losses[: len(spared.losses)]
    assert (spared.stopped_at, spared.stop_reason) == (traced.stopped_at, traced.stop_reason)
    return traced


@VARIANT
def test_each_case_changes_the_map(variant):
    """So that a setting which does nothing, or the wrong thing, is seen above."""
    base, maps = getattr(RIBSettings, variant)(**BASE), {}
    for case, changes in CASES.items():
        settings = base.replace(**changes)
        views, batches = some_views(settings), some_batches(4)
        maps[case] = adapt(small_net(), views, LABELS, batches, settings).high_res
    alike = {case for case in CASES if (maps[case] - maps["as it is"]).abs().max() < 4 * TOLERANCE}
    defaults = {
        "paper": {"normalised maps", "constant rate", "with theta_K's map", "GNDRP as a mean"},
        "released": {"raw maps", "without theta_K's map", "GNDRP over all positions"},
    }
    not_reached = {"margin"} if variant == "paper" else set()  # by any logit
    assert alike == {"as it is"} | defaults[variant] | not_reached
