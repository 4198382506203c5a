"""DeepLab-v2's network: resolution, dilations and branches."""

import pytest
import torch
from small_masks import small_net
from torch import nn

from ribnb.nets.deeplab import ATROUS_RATES, DeepLabV2
from ribnb.nets.published import IN_PACKAGE
from ribnb.segmentation.training import SegmentationSettings


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [one for one in module.modules() if isinstance(one, nn.Conv2d)]


def symmetric(net: nn.Module) -> None:
    """Every convolution averages: what it makes of something symmetric is symmetric."""
    for convolution in convolutions(net):
        nn.init.constant_(convolution.weight, 1 / convolution.weight[0].numel())


# Resolution and dilations -----------------------------------------------------------------


@pytest.mark.parametrize("arch", ["resnet34", "resnet101"])
def test_all_wide_convolutions_of_a_stage_have_its_dilation(arch):
    with torch.device("meta"):
        backbone = DeepLabV2(arch).backbone
    for stage, dilation in {"layer1": 1, "layer2": 1, "layer3": 2, "layer4": 4}.items():
        inside = convolutions(getattr(backbone, stage))
        wide = [one for one in inside if one.kernel_size == (3, 3)]
        assert wide
        assert all(one.dilation == one.padding == (dilation,) * 2 for one in wide)
        strides = {one.stride for one in inside}
        assert strides == ({(1, 1), (2, 2)} if stage == "layer2" else {(1, 1)})
        assert {one.padding for one in inside if one not in wide} <= {(0, 0)}


PHOTO_CROP = SegmentationSettings.photographs().crop_size


@pytest.mark.parametrize(
    ("arch", "side", "stride"),
    [("resnet18", 321, 8), ("scenes", 97, 4), (IN_PACKAGE, PHOTO_CROP, 8)],
)
def test_position_i_is_centred_on_pixel_i_times_the_stride(arch, side, stride):
    """Labels are taken at these pixels, and logits put back on them."""
    net = DeepLabV2(arch, num_classes=1, atrous_rates=(1,)).eval()
    symmetric(net)
    images = torch.zeros(2, 3, side, side)
    images[0, :, side // 2, side // 2] = 1.0  # pixel stride * (middle position)
    images[1, :, side // 2, side // 2 + stride // 2] = 1.0  # between two positions
    with torch.no_grad():
        centred, beside = net.features(images)[:, 0]
    assert len(centred) == side // stride + 1
    torch.testing.assert_close(centred, centred.flip(0), rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(centred, centred.flip(1), rtol=1e-5, atol=1e-12)
    assert centred.max() > 0
    assert not torch.allclose(beside, beside.flip(1), rtol=1e-2, atol=0)


def test_a_branch_looks_as_far_as_its_rate():
    net = DeepLabV2("resnet18", num_classes=1, atrous_rates=ATROUS_RATES)
    impulse = torch.zeros(1, 512, 61, 61)
    impulse[0, 0, 30, 30] = 1.0
    net.features = lambda images: images
    with torch.no_grad():
        seen = (net(impulse)[0, 0] != 0).nonzero() - 30
    expected = {(0, 0)} | {
        (y * rate, x * rate) for rate in (6, 12, 18, 24) for y in (-1, 0, 1) for x in (-1, 0, 1)
    }
    assert {tuple(offset) for offset in seen.tolist()} == expected


def test_the_branches_add_up_and_start_small_without_bias():
    net = small_net()
    features = torch.randn(2, 48, 9, 9)
    net.features = lambda images: images
    with torch.no_grad():
        parts = [branch(features) for branch in net.branches]
        torch.testing.assert_close(net(features), sum(parts))
    for branch in net.branches:
        assert branch.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert not branch.bias.any()
    assert not torch.equal(net.branches[0].weight, net.branches[1].weight)
