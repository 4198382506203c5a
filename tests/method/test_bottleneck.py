"""Gradient maps against nets whose gradient is known on paper, and HGR on maps made by hand."""

import copy

import pytest
import torch
from torch import nn

from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio, region_ratios
from ribnb.nets.digit_net import DigitNet


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def net() -> DigitNet:
    """A digit net with the same random weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DigitNet(channels=(4, 4, 4, 4, 4))


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images and their classes."""
    return images(2, 1, 12, 12), torch.tensor([1, 0])


# Gradient maps ----------------------------------------------------------------------------


def test_maps_of_a_convolution_and_of_the_layer_behind_it():
    """1 x 1 kernels w_1, w_2 and rows v_1, v_2: G_1 = w_1 + w_2 and G_2 = w_1 v_1 + w_2 v_2."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    kernels = model[0].weight.detach().flatten()
    rows = model[2].weight[1].detach().view(2, 2, 2)
    first, last = gradient_maps(model, images(1, 1, 2, 2), torch.tensor([1]))[:, 0]
    torch.testing.assert_close(first, kernels.sum().expand(2, 2))
    torch.testing.assert_close(last, (kernels[:, None, None] * rows).sum(dim=0))


@pytest.mark.parametrize("inplace", [False, True])
def test_activation_belongs_to_its_layer_unless_asked_otherwise(inplace):
    """w = 1 and a bias of -0.5: after the ReLU only pixels above 0.5 act, before it all do."""
    model = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.ReLU(inplace=inplace), nn.Flatten(), nn.Linear(4, 2)
    )
    nn.init.ones_(model[0].weight)
    nn.init.constant_(model[0].bias, -0.5)
    image = torch.tensor([[[[0.2, 0.9], [0.7, 0.1]]]])
    after = gradient_maps(model, image, torch.tensor([0]))
    before = gradient_maps(model, image, torch.tensor([0]), before_activation=True)
    assert after[0, 0].tolist() == [[0, 1], [1, 0]]
    assert before[0, 0].tolist() == [[1, 1], [1, 1]]
    assert torch.equal(after[1], before[1])  # the logit has no activation


def test_every_map_is_the_gradient_of_its_feature_map(net, pair):
    """T_k by running the first k convolutions alone; T_5 is handed on pooled; T_6 is the logit."""
    maps = gradient_maps(net, *pair)
    assert maps.shape == (6, 2, 12, 12)
    leaf = pair[0].clone().requires_grad_(True)
    logits = net(leaf)
    expected = torch.autograd.grad(logits[0, 1] + logits[1, 0], leaf)[0][:, 0]
    torch.testing.assert_close(maps[-1], expected)
    for layers in range(1, 6):
        leaf = pair[0].clone().requires_grad_(True)
        features = leaf
        for convolution in net.convolutions[:layers]:
            features = torch.relu(convolution(features))
        features = features.mean(dim=(2, 3)) if layers == 5 else features
        expected = torch.autograd.grad(features.sum(), leaf)[0][:, 0]
        torch.testing.assert_close(maps[layers - 1], expected)


def test_leaves_the_model_and_the_images_as_they_were(net, pair):
    model = nn.Sequential(net, nn.Dropout(0.5), nn.BatchNorm1d(2))
    model.train()
    net.eval()  # as in fine-tuning with a frozen part
    net.convolutions[0].weight.requires_grad_(False)
    net.class_layer.weight.grad = torch.ones_like(net.class_layer.weight)
    modes = [module.training for module in model.modules()]
    needed = [weight.requires_grad for weight in model.parameters()]
    state = copy.deepcopy(model.state_dict())

    with torch.no_grad():
        gradient_maps(model, *pair)
        assert not torch.is_grad_enabled()
    assert [module.training for module in model.modules()] == modes
    assert [weight.requires_grad for weight in model.parameters()] == needed
    assert torch.equal(net.class_layer.weight.grad, torch.ones_like(net.class_layer.weight))
    assert net.convolutions[1].weight.grad is None
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert not pair[0].requires_grad and pair[0].grad is None


def test_refuses_targets_that_are_no_classes_and_undoes_hooks_and_modes(net):
    for targets in ([0], [0, 2]):
        with pytest.raises(ValueError, match=r"targets must be \(2,\) class indices in 0 \.\.\. 1"):
            gradient_maps(net.train(), images(2, 1, 12, 12), torch.tensor(targets))
    assert not any(module._forward_hooks for module in net.modules())
    assert all(module.training for module in net.modules())


# HGR --------------------------------------------------------------------------------------

MAP = torch.tensor([[2.0, 1.0, -4.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
TOP_ROW = torch.tensor([[True] * 3, [False] * 3, [False] * 3])
EVERYWHERE = torch.ones(3, 3, dtype=torch.bool)


def test_ratio_of_a_map_made_by_hand():
    """|2|, |1|, |-4| over 4 are 0.5, 0.25, 1; sign and unit do not count."""
    assert high_gradient_ratio(MAP, EVERYWHERE) == pytest.approx(3 / 9)
    for unit in (1, -1, 1e-4):
        assert high_gradient_ratio(unit * MAP, TOP_ROW) == pytest.approx(2 / 3)
    middle = torch.tensor([[False] * 3, [True] * 3, [False] * 3])
    assert high_gradient_ratio(MAP, middle, threshold=0.8) == 0
    assert high_gradient_ratio(MAP, TOP_ROW, scale=8.0) == pytest.approx(1 / 3)
    assert high_gradient_ratio(MAP, TOP_ROW, scale=1.0) == 1


def test_ratio_refuses_bad_input_in_words():
    for arguments, message in (
        ((MAP, TOP_ROW[:2]), r"of its shape; got \(3, 3\) and \(2, 3\)"),
        ((MAP, TOP_ROW.float()), r"a bool mask of its shape; .*torch\.float32"),
        ((MAP, ~EVERYWHERE), "'region' has no pixels"),
        ((MAP / 0, TOP_ROW), "gradient map holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            high_gradient_ratio(*arguments)


# HGR of all layers, images and regions ----------------------------------------------------


@pytest.mark.parametrize("scales", [None, torch.tensor([0.5, 2.0, 1.0, 0.1])])
def test_region_ratios_are_the_definition_map_by_map(scales):
    maps = images(2, 4, 5, 5) - 0.5
    regions = {name: images(4, 5, 5, seed=seed) > 0.5 for seed, name in enumerate("ab", start=1)}
    found = region_ratios(maps, regions, 0.4, scales)
    assert list(found) == ["a", "b"]
    for name, ratios in found.items():
        assert ratios.shape == (2, 4)
        for layer, image in ((layer, image) for layer in range(2) for image in range(4)):
            one = maps[layer, image].abs()
            unit = one.max() if scales is None else scales[image]
            high = (one / unit > 0.4)[regions[name][image]]
            assert ratios[layer, image].item() == pytest.approx(high.float().mean().item())
