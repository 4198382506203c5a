"""Folding batch norm into convolutions changes no output and nothing of the net."""

import pytest
import torch
from plain_adaptation import (
    one_thread,  # noqa: F401
    small_net,
)
from torch import nn

from ribnb.method.walk import folded


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


def test_a_batch_norm_that_stands_alone_stays():
    """It has no convolution before it: nothing to fold it into."""
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.ReLU()).eval()
    net[0].running_mean.fill_(1)
    images = torch.randn(1, 3, 4, 4)
    assert torch.equal(folded(net)(images), net(images))


def test_hooks_of_a_stage_are_called():
    net, seen = small_net(), []
    net.backbone.layer1.register_forward_hook(lambda *_: seen.append(1))
    folded(net.frozen_modules())(torch.randn(1, 3, 32, 32))
    assert seen == [1]
