"""Adapting to one image: wherever it is called, in any precision; what it refuses; folding."""

import math

import pytest
import torch
from plain_adaptation import (
    VARIANT,
    one_thread,  # noqa: F401
    run,
    settings_of,
    small_net,
    some_batches,
    some_views,
)
from torch import nn

from ribnb.method.walk import folded

POOLING = pytest.mark.parametrize("pooling", ["gndrp", "gap"])


# Numbers that are none --------------------------------------------------------------------


@VARIANT
@POOLING
@pytest.mark.parametrize("iterations", [0, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_nan_in_the_image_is_no_map(variant, pooling, iterations, value):
    """GNDRP keeps no position of a NaN map, so its logits are 0 and look sound."""
    settings = settings_of(variant, pooling=pooling, iterations=iterations)
    views = some_views(settings)
    views[0][:, 0, 8, 8] = value
    with pytest.raises(FloatingPointError, match="step 0"):
        run(settings, views=views)


@VARIANT
@POOLING
@pytest.mark.parametrize("loss", ["rib", "bce"])
def test_a_nan_in_a_batch_is_found_at_its_step(variant, pooling, loss):
    settings, batches = settings_of(variant, pooling=pooling, loss=loss), some_batches(3)
    batches[1][0][0, 1, 8, 8] = math.nan
    with pytest.raises(FloatingPointError, match="step 1"):
        run(settings, batches=batches)


@VARIANT
@POOLING
def test_steps_so_large_that_the_weights_overflow_give_no_map(variant, pooling):
    settings = settings_of(variant, pooling=pooling, learning_rate=1e30, margin=1e38)
    with pytest.raises(FloatingPointError, match=r"step [12]"):
        run(settings)


# Arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(5), "the image has no labels: there is no class to adapt to"),
        (torch.ones(4), r"labels must have the shape \(5,\), .* got \(4,\)"),
        (torch.tensor([0, 1, 0, 2, 0]), r"labels must be 0 or 1; got \[0, 1, 0, 2, 0\]"),
        (torch.tensor([0, 1, 0, math.nan, 0]), "labels must be 0 or 1"),
    ],
)
def test_refuses_wrong_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        run(settings_of("released"), labels=labels)


def test_refuses_views_that_are_not_one_a_scale_with_its_flip():
    views = [torch.zeros(2, 3, 32, 24), torch.zeros(1, 3, 16, 12)]
    with pytest.raises(ValueError, match=r"each of the scales \(1\.0, 0\.5\); got 1"):
        run(settings_of("released"), views=views[:1])
    with pytest.raises(ValueError, match=r"\(2, 3, h, w\), the image and its flip; got \(1, 3, 16"):
        run(settings_of("released"), views=views)


@pytest.mark.parametrize(
    ("variant", "given", "step"), [("paper", 2, 2), ("released", 1, 1), ("released", 0, 0)]
)
def test_names_the_step_that_has_no_batch(variant, given, step):
    with pytest.raises(ValueError, match=f"there is no batch for step {step}: .* take"):
        run(settings_of(variant), batches=some_batches(given))


@pytest.mark.parametrize("loss", ["rib", "bce"])
@pytest.mark.parametrize("value", [2, math.nan])
def test_refuses_a_batch_whose_labels_are_not_0_or_1(loss, value):
    batches = [(images, labels.float()) for images, labels in some_batches(3)]
    batches[0][1][0, 0] = value
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        run(settings_of("released", loss=loss), batches=batches)


# Where it is called, and how exactly it computes -------------------------------------------


@VARIANT
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_switched_off(variant, context):
    settings, net = settings_of(variant), small_net()
    expected = run(settings, net)
    with context():
        found = run(settings, net)
    assert torch.equal(found.high_res, expected.high_res)
    assert found.losses == expected.losses


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_an_autocast_around_it_changes_nothing(precision):
    settings, net = settings_of("released", precision=precision), small_net()
    expected = run(settings, net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(settings, net)
    assert found.target_losses == expected.target_losses
    assert torch.equal(found.high_res, expected.high_res)


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")]
)
def test_float32_is_rounded_to_tf32_on_the_way_only_when_asked_for(precision, expected):
    net, seen = small_net(), []
    convolution = torch.backends.cudnn.conv
    for layer in (net.backbone.conv1, net.class_layer):
        layer.register_forward_hook(lambda *_: seen.append(convolution.fp32_precision))
    assert convolution.fp32_precision == "tf32", "as PyTorch has it"
    run(settings_of("released", precision=precision), net)
    assert set(seen) == {expected}
    assert convolution.fp32_precision == "tf32"


@VARIANT
def test_bfloat16_is_near_float32(variant):
    exact, rough = (run(settings_of(variant, precision=p)) for p in ("float32", "bfloat16"))
    assert not torch.equal(exact.high_res, rough.high_res)
    assert rough.high_res.dtype == torch.float32
    for threshold in (0.2, 0.4, 0.6):
        same = (exact.high_res > threshold) == (rough.high_res > threshold)
        assert same.float().mean() > 0.95


# Batch norm folded into convolutions ------------------------------------------------------


@pytest.mark.parametrize("arch", ["scenes", "resnet18", "resnet50"])
def test_gives_what_the_frozen_stages_give(arch):
    net, images = small_net(arch=arch), torch.randn(2, 3, 48, 40)
    expected = net.frozen_features(images)
    with torch.no_grad():
        twin = folded(net.frozen_modules())
        torch.testing.assert_close(twin(images), expected, rtol=1e-5, atol=1e-5)
    assert not [module for module in twin.modules() if isinstance(module, nn.BatchNorm2d)]


def test_leaves_the_net_alone():
    """Its modules, its weights and how they lie in memory."""
    net = small_net()
    before = {name: (value.clone(), value.stride()) for name, value in net.state_dict().items()}
    modules = [type(module) for module in net.modules()]
    twin = folded(net.frozen_modules())
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    assert [type(module) for module in net.modules()] == modules
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name][0]), name
        assert value.stride() == before[name][1], name
