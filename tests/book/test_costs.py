"""FLOPs: a convolution by hand, and the authors' loop as its cost was measured."""

import pytest
import torch
from torch import nn

from ribnb.book.costs import (
    cam_flops,
    classifier_flops,
    count,
    mask_flops,
    rib_flops,
    stage_flops,
)
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet

PARTS = {"frozen_target", "moving_target", "frozen_batch", "moving_batch", "backward"}


@pytest.fixture(scope="module")
def net():
    with torch.device("meta"):
        return CAMNet("resnet18", 20)


def test_a_convolution_by_hand():
    """Each of 2 x 8 outputs at 5 x 7 positions multiplies and adds 3 x 3 x 3 inputs."""
    layer = nn.Conv2d(3, 8, 3, padding=1, bias=False, device="meta")
    images = torch.empty(2, 3, 5, 7, device="meta")
    forward = 2 * (2 * 8 * 5 * 7) * (3 * 3 * 3)
    assert count(lambda: layer(images)) == forward
    assert count(lambda: layer(images).sum().backward()) == 2 * forward, "for its weights"
    wanted = images.requires_grad_()
    assert count(lambda: layer(wanted).sum().backward()) == 3 * forward, "and for its inputs"


def test_a_cam_of_one_view_is_a_forward_pass(net):
    one = RIBSettings.released(scales=(1.0,), loss_scales=(1.0,), flip=False)
    both = RIBSettings.released(scales=(1.0,), loss_scales=(1.0,))
    forward = count(lambda: net.class_maps(torch.empty(1, 3, 64, 96, device="meta")))
    assert cam_flops(net, (64, 96), one) == forward
    assert cam_flops(net, (64, 96), both) == 2 * forward


def test_backward_costs_twice_the_forward_pass_less_the_images_gradient(net):
    images = torch.empty(2, 3, 64, 64, device="meta")
    forward = count(lambda: net.eval().logits(images))
    first = count(lambda: net.backbone.conv1(images))
    assert classifier_flops(net, 2, 64) == 3 * forward - first


@pytest.mark.parametrize(("variant", "looks", "updates"), [("paper", 4, 3), ("released", 3, 2)])
def test_what_is_spared_is_not_counted(net, variant, looks, updates):
    settings = getattr(RIBSettings, variant)(iterations=3, crop_size=64, batch_size=3)
    ours = rib_flops(net, (64, 96), settings)
    plain = rib_flops(net, (64, 96), settings, plain=True)
    assert ours.keys() == plain.keys() == PARTS
    assert plain["frozen_target"] == looks * ours["frozen_target"]
    assert plain["moving_target"] == ours["moving_target"]
    for part in ("frozen_batch", "moving_batch", "backward"):
        assert plain[part] * updates == ours[part] * 3, part


def test_gradients_are_counted_for_the_scales_in_the_loss_alone(net):
    all_three = {"scales": (1.0, 0.5, 2.0), "crop_size": 64, "iterations": 2}
    one, two = (
        rib_flops(net, (64, 96), RIBSettings.released(loss_scales=scales, **all_three))
        for scales in ((1.0,), (1.0, 2.0))
    )
    assert one["backward"] < two["backward"]
    assert one["moving_target"] == two["moving_target"]


def test_the_authors_loop_takes_what_was_counted_before():
    """47.5 TFLOP an image of 500 x 375 with ResNet-50 and K = 10."""
    found = stage_flops()
    assert found["released_loop_image"] == pytest.approx(47.5e12, rel=2e-3)
    assert found["cam_image"] < found["classifier_step"] < found["rib_image_released"]
    assert found["rib_image_released"] < found["rib_image_paper"] < found["released_loop_image"]


def test_the_stages_after_the_maps_by_their_own_arithmetic():
    found = mask_flops("resnet18", "resnet18", size=(320, 320))
    # a trunk sees 32 crops of 512 x 512; the counts of a forward pass go with the area
    with torch.device("meta"):
        one = CAMNet("resnet18", 20)
        image = torch.empty(1, 3, 512, 512)
    with torch.no_grad():
        assert found["irn_step"] == 32 * count(lambda: one.features(image))
    scales = sum(scale**2 for scale in (0.5, 0.75, 1, 1.25, 1.5))
    each = found["deeplab_image"] / (2 * scales)  # of one image of 320 x 320, no gradients
    assert 2.5 * 10 * each < found["deeplab_step"] < 3.3 * 10 * each  # forward and backward


def test_the_net_is_left_alone():
    net = CAMNet("resnet18", 3).train()
    frozen = [p.requires_grad_(i % 2 == 0).requires_grad for i, p in enumerate(net.parameters())]
    rib_flops(net, (64, 64), RIBSettings.released(iterations=1, crop_size=64))
    classifier_flops(net, 1, 64)
    assert [p.requires_grad for p in net.parameters()] == frozen
    assert net.training
    assert {p.device.type for p in net.parameters()} == {"cpu"}


def test_whole_images_have_no_size_to_count():
    with pytest.raises(ValueError, match=r"crop_size = 0.*set crop_size"):
        rib_flops(CAMNet("scenes", 3), (64, 64), RIBSettings.scenes())
