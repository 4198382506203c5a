"""CAMs: two lines of algebra, and a map between 0 and 1."""

import math

import pytest
import torch
from small_split import net as alive

from ribnb.method.cam import class_activation_maps
from ribnb.method.pooling import normalize


@pytest.fixture
def net():
    return alive()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 24, generator=torch.Generator().manual_seed(1))


# From features to maps --------------------------------------------------------------------


def test_is_the_positive_part_of_the_weighted_sum_of_features(net, images):
    with torch.no_grad():
        weights = net.class_layer.weight[:, :, 0, 0]
        expected = torch.einsum("cd, bdhw -> bchw", weights, net.features(images)).clamp(min=0)
    cams = class_activation_maps(net, images)
    torch.testing.assert_close(cams, expected)
    assert cams.shape == (2, 3, 8, 6)
    assert cams.min() == 0, "a map that is positive everywhere would not show the ReLU"
    assert cams.max() > 0 and cams.max() != 1, "in units of the logit"


def test_leaves_the_model_as_it_was(net, images):
    """One part of it trains, the other does not; its batch norm sees no image."""
    expected = class_activation_maps(net, images)
    net.train()
    net.backbone.layer1.eval()
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    cams = class_activation_maps(net, images)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(net.state_dict()[name], value) for name, value in state.items())
    assert not cams.requires_grad
    assert torch.equal(cams, expected), "in eval mode, so that one image does not sway another"


# Between 0 and 1 --------------------------------------------------------------------------


def test_normalize_by_hand():
    """Each map by its own maximum; the argument stays."""
    cam = torch.tensor([[4.0, -3.0], [1.0, 0.0]])
    both = torch.stack([cam, 1e6 * cam])
    assert normalize(both).tolist() == [[[1, 0], [0.25, 0]]] * 2
    assert both[0].tolist() == [[4, -3], [1, 0]]


def test_a_nan_is_not_hidden_and_nothing_beside_it_exceeds_1():
    done = normalize(torch.tensor([[math.nan, 500.0], [-1.0, 2.0]]))
    assert done[0, 0].isnan()
    assert not (done > 1).any()
