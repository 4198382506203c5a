"""`adapt` equals the adaptation written out plainly; its maps, and its record of the steps."""

from functools import cache

import pytest
import torch
from plain_adaptation import (
    LABELS,
    VARIANT,
    plain_adaptation,
    run,
    settings_of,
    small_net,
    some_batches,
    some_views,
)

from ribnb.method.pooling import gndrp, normalize
from ribnb.method.settings import RIBSettings

PRESENT = [1, 3]

# Against the plain loop -------------------------------------------------------------------

TOLERANCE = 1e-5  # of a map in [0, 1]
BASE = {"iterations": 3, "learning_rate": 5e-4, "scales": (1, 0.5, 2), "loss_scales": (1, 2)}
BASE["flood_share"] = None
CASES = {
    "gap": {"pooling": "gap"},
    "bce": {"loss": "bce"},
    "momentum and weight decay": {"momentum": 0.9, "weight_decay": 20.0},
    "no flip": {"flip": False},
    "one scale": {"scales": (1,), "loss_scales": (1,)},
    "scale 1 not in the loss": {"scales": (1, 1.5, 0.5), "loss_scales": (0.5, 1.5)},
    "rate falls fast": {"power": 3},
    "class layer slower": {"class_layer_factor": 0.01},
    "tau 0": {"threshold": 0},
    "tau 0.7": {"threshold": 0.7},
    "low margin": {"margin": 0.3},
    "flood": {"flood_share": 0.6, "flood_level": 0.3},
    "other margin rule": {"margin": 0.3, "margin_rule": ("stop", "cap")},
    "other maps": {"last_map": (False, True)},
    "other pooling": {"pooling_variant": ("released", "paper")},
    "other sum": {"normalize_maps": (False, True)},
    "class layer alone moves": {"moving_stages": 0},
    "all stages move": {"moving_stages": 4},
    "K = 0": {"iterations": 0},
    "K = 1": {"iterations": 1},
}
SWITCHES = ("margin_rule", "last_map", "pooling_variant", "normalize_maps")


@VARIANT
@pytest.mark.parametrize("case", CASES)
def test_equals_the_plain_loop(variant, case):
    """And each setting changes the map, so that one which does the wrong thing is seen."""
    other = variant == "released"  # a switch is turned: the paper's value comes first above
    changes = {k: v[other] if k in SWITCHES else v for k, v in CASES[case].items()}
    found = equal_to_the_plain_loop(small_net(), settings_for(variant, **changes))
    assert (found.high_res - as_it_is(variant)).abs().max() > 4 * TOLERANCE


def settings_for(variant, **changes):
    return getattr(RIBSettings, variant)(**{**BASE, **changes})


@cache
def as_it_is(variant):
    return equal_to_the_plain_loop(small_net(), settings_for(variant)).high_res


@pytest.mark.parametrize(("variant", "output_stride"), [("paper", 16), ("released", 8)])
def test_equals_the_plain_loop_for_a_resnet(variant, output_stride):
    changes = {"iterations": 2, "momentum": 0.9, "scales": (1,), "loss_scales": (1,)}
    net = small_net(arch="resnet18", output_stride=output_stride)
    settings = settings_for(variant, **changes, learning_rate=3e-5)
    traced = equal_to_the_plain_loop(net, settings, height=48, width=32)
    assert len(traced.losses) == 2 and traced.high_res.shape[-2:] == (48, 32)


@VARIANT
def test_equals_the_plain_loop_for_a_class_that_is_nowhere(variant):
    """Class 3 is negative everywhere: the paper pools all of it, the released code nothing."""
    net = small_net()
    net.class_layer.weight.data[3] -= 1
    traced = equal_to_the_plain_loop(net, settings_for(variant))
    raised = traced.steps[0].target_logits[:, 1]
    assert (raised < 0).all() if variant == "paper" else not raised.any()
    assert not traced.steps[0].cams[0][1].any()
    assert not traced.high_res.isnan().any()


def equal_to_the_plain_loop(net, settings, **size):
    views, batches = some_views(settings, **size), some_batches(settings.iterations)
    maps, losses, target_losses, stop = plain_adaptation(net, views, LABELS, batches, settings)
    traced, spared = (
        run(settings, net, views, batches=batches, trace=trace) for trace in (True, False)
    )
    assert traced.stop_reason == stop
    assert traced.losses == pytest.approx(losses, rel=1e-3, abs=1e-4)
    assert traced.target_losses == pytest.approx(target_losses, rel=1e-3, abs=1e-4)
    torch.testing.assert_close(traced.high_res, maps, rtol=0, atol=TOLERANCE)
    assert torch.equal(spared.high_res, traced.high_res)
    assert torch.equal(spared.strided, traced.strided)
    assert spared.target_losses == traced.target_losses
    assert spared.losses == traced.losses[: len(spared.losses)]
    assert (spared.stopped_at, spared.stop_reason) == (traced.stopped_at, traced.stop_reason)
    return traced


# Maps and steps ---------------------------------------------------------------------------


@VARIANT
@pytest.mark.parametrize(("height", "width"), [(33, 50), (16, 9)])
def test_maps_have_the_images_size_and_a_quarter_of_it(variant, height, width):
    settings = settings_of(variant, iterations=1)
    found = run(settings, views=some_views(settings, height, width))
    assert found.high_res.shape == (2, height, width)
    assert found.strided.shape == (2, -(-height // 4), -(-width // 4))
    assert found.class_ids.tolist() == PRESENT
    for maps in (found.high_res, found.strided):
        assert maps.min() >= 0
        torch.testing.assert_close(maps.amax(dim=(1, 2)), torch.ones(2), rtol=0, atol=1e-3)
        assert not maps.requires_grad


@pytest.mark.parametrize("side", [80, 81, 100])
def test_the_map_lies_where_the_object_does(side):
    """Whatever the image's size: a bright square on black is found at its place."""
    net = small_net(num_classes=1)
    for name, value in net.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.zero_()  # so that black gives 0
    net.class_layer.weight.data.fill_(1)
    image = torch.zeros(1, 3, side, side)
    image[:, :, 55:68, 55:68] = 1
    settings = settings_of("released", iterations=0, scales=(1,), flip=False)
    found = run(settings, net, [image], torch.ones(1), [])
    for maps, step in ((found.high_res[0], 1), (found.strided[0], 4)):
        places = step * torch.arange(len(maps)) + (step - 1) / 2
        centre = (maps.sum(dim=0) * places).sum() / maps.sum()
        assert centre.item() == pytest.approx(61, abs=3), "the square's centre is at 61"


@VARIANT
def test_trace_keeps_every_step(variant):
    settings = settings_of(variant, scales=(1, 0.5, 2), loss_scales=(1, 2))
    net, views = small_net(), some_views(settings)
    traced = run(settings, net, views, trace=True)
    assert len(traced.steps) == (4 if variant == "paper" else 3)
    first = traced.steps[0]
    assert [cam.shape for cam in first.cams] == [(2, 12, 4), (2, 6, 2), (2, 24, 8)]
    maps = net.class_maps(views[0]).detach()
    cam = normalize(maps) if variant == "paper" else maps / maps.amax(dim=(2, 3), keepdim=True)
    pooled = gndrp(maps, cam, 0.4, variant)[:, PRESENT]
    torch.testing.assert_close(first.target_logits[:2], pooled)
    torch.testing.assert_close(first.gap_logits, maps.mean(dim=(2, 3))[:, PRESENT])
    assert first.target_logits.shape == (4, 2)
    means = [step.gap_logits.mean().item() for step in traced.steps]
    assert traced.gap_logits == pytest.approx(means)
    assert means[-1] > means[0]
    for step, target_loss in zip(traced.steps, traced.target_losses, strict=True):
        assert step.target_logits.sum().item() == pytest.approx(target_loss)
        if step.k < 3:
            rate = settings.rate(step.k)
            assert step.learning_rates == (rate, rate * settings.class_layer_factor)
            loss = step.target_logits.sum() + (step.batch_logits * some_batches(3)[step.k][1]).sum()
            assert traced.losses[step.k] == pytest.approx(-loss.item(), rel=1e-5, abs=1e-6)
        else:
            assert step.batch_logits is step.learning_rates is None


@VARIANT
def test_a_batch_may_be_empty_or_its_images_of_another_size(variant):
    settings = settings_of(variant)
    none = [(images[:0], labels[:0]) for images, labels in some_batches(3)]
    alone = run(settings, batches=none)
    assert alone.losses == pytest.approx([-y for y in alone.target_losses[: len(alone.losses)]])
    larger = run(settings, batches=some_batches(3, side=48))
    assert (larger.high_res - alone.high_res).abs().max() > 0.01
