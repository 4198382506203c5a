"""FLOPs: a convolution by hand, and the authors' loop as its cost was measured."""

import pytest
import torch
from torch import nn

from ribnb.book.costs import cam_flops, classifier_flops, count, rib_flops, stage_flops
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet


@pytest.fixture(scope="module")
def net():
    with torch.device("meta"):
        return CAMNet("resnet18", 20)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_by_hand(groups):
    """Each of 2 x 8 outputs at 5 x 7 positions multiplies and adds 3 x 3 inputs of each channel."""
    layer = nn.Conv2d(4, 8, 3, padding=1, bias=False, groups=groups, device="meta")
    images = torch.empty(2, 4, 5, 7, device="meta")
    forward = 2 * (2 * 8 * 5 * 7) * (4 // groups * 3 * 3)
    assert count(lambda: layer(images)) == forward
    assert count(lambda: layer(images).sum().backward()) == 2 * forward, "for its weights"
    wanted = images.requires_grad_()
    assert count(lambda: layer(wanted).sum().backward()) == 3 * forward, "and for its inputs"


def test_a_cam_is_a_forward_pass_and_a_training_step_three_less_the_images_gradient(net):
    one_view = RIBSettings.released(scales=(1.0,), loss_scales=(1.0,), flip=False)
    forward = count(lambda: net.class_maps(torch.empty(1, 3, 64, 96, device="meta")))
    assert cam_flops(net, (64, 96), one_view) == forward
    assert cam_flops(net, (64, 96), one_view.replace(flip=True)) == 2 * forward
    images = torch.empty(2, 3, 64, 64, device="meta")
    first = count(lambda: net.backbone.conv1(images))
    assert classifier_flops(net, 2, 64) == 3 * count(lambda: net.eval().logits(images)) - first


@pytest.mark.parametrize(("variant", "looks", "updates"), [("paper", 4, 3), ("released", 3, 2)])
def test_frozen_stages_see_a_target_once_and_no_update_is_made_that_no_map_follows(
    net, variant, looks, updates
):
    """Against one step of the paper's, which has two looks and an update."""
    settings = getattr(RIBSettings, variant)(iterations=3, crop_size=64, batch_size=3)
    found = rib_flops(net, (64, 96), settings)
    single = rib_flops(net, (64, 96), settings.replace(iterations=1, last_map=True))
    assert found["frozen_target"] == single["frozen_target"]
    assert found["moving_target"] * 2 == single["moving_target"] * looks
    for part in ("frozen_batch", "moving_batch", "backward"):
        assert found[part] == single[part] * updates, part
    every_scale = rib_flops(net, (64, 96), settings.replace(loss_scales=settings.scales))
    assert every_scale["backward"] > found["backward"], "gradients are for the scales in the loss"
    assert every_scale["moving_target"] == found["moving_target"]


def test_the_authors_loop_takes_what_was_counted_before():
    """47.5 TFLOP an image of 500 x 375 with ResNet-50 and K = 10."""
    with torch.device("meta"):
        resnet = CAMNet("resnet50", 20)
    parts = rib_flops(resnet, (375, 500), RIBSettings.released())
    # the loop spares nothing: ten looks of all stages, and a tenth update
    loop = 9 * parts["frozen_target"] + sum(parts.values())
    loop += (parts["frozen_batch"] + parts["moving_batch"] + parts["backward"]) / 9
    assert loop == pytest.approx(47.5e12, rel=2e-3)
    found = stage_flops()
    assert found["cam_image"] < found["classifier_step"] < found["rib_image_released"]
    assert found["rib_image_released"] < found["rib_image_paper"] < loop
    with torch.no_grad():  # a trunk sees 32 crops of 512 x 512
        crop = torch.empty(1, 3, 512, 512, device="meta")
        assert found["irn_step"] == 32 * count(lambda: resnet.features(crop))
    scales = sum(scale**2 for scale in (0.5, 0.75, 1, 1.25, 1.5))
    each = found["deeplab_image"] / (2 * scales) * 321**2 / (375 * 500)  # of one crop, forward
    assert 2.5 * 10 * each < found["deeplab_step"] < 3.3 * 10 * each  # and backward
