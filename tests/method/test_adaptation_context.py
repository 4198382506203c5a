"""Adapting to one image: the same maps wherever it is called, in the precision asked for."""

import pytest
import torch
from plain_adaptation import (
    VARIANT,
    one_thread,  # noqa: F401
    run,
    settings_of,
    small_net,
)


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


def test_on_the_cpu_tf32_is_float32():
    exact, same = (run(settings_of("paper", precision=p)) for p in ("float32", "tf32"))
    assert torch.equal(same.high_res, exact.high_res)


@VARIANT
def test_bfloat16_is_near_float32(variant):
    exact, rough = (run(settings_of(variant, precision=p)) for p in ("float32", "bfloat16"))
    assert not torch.equal(exact.high_res, rough.high_res)
    assert rough.high_res.dtype == torch.float32
    for threshold in (0.2, 0.4, 0.6):
        same = (exact.high_res > threshold) == (rough.high_res > threshold)
        assert same.float().mean() > 0.95
