"""The digit net and its training."""

import pytest
import torch

from ribnb.book.scenes import ToySettings, toy_data
from ribnb.nets.digit_net import DigitNet, train_digit_net


@pytest.fixture(scope="module")
def scenes() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels, _ = toy_data(ToySettings(num_images=64), seed=0, num_held_out=1)["train"]
    return images, labels


def weights(net: DigitNet) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(net.parameters()).detach()


# The net ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_black_image_gives_the_logits_0(pooling):
    black = torch.zeros(1, 1, 56, 56)
    assert DigitNet(pooling=pooling)(black).tolist() == [[0, 0]]
    assert DigitNet(pooling=pooling, bias=True)(black).abs().min() > 0


# Training ---------------------------------------------------------------------------------


def test_same_seed_gives_the_same_net_and_another_seed_another(scenes):
    """Whatever the global generator has drawn, which is left alone."""
    first = train_digit_net(*scenes, epochs=2, seed=0)
    torch.manual_seed(1)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    again, other = (train_digit_net(*scenes, epochs=2, seed=seed) for seed in (0, 1))
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(weights(first[0]), weights(again[0]))
    assert first[1] == again[1]
    assert not torch.equal(weights(first[0]), weights(other[0]))
