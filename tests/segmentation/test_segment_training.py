"""Training DeepLab-v2: loss, rates, what is frozen and learnt; which masks it learns from."""

import numpy as np
import pytest
import torch
from small_masks import Blocks, few, small_net, train, write_masks
from small_training import same
from torch import nn

from ribnb.core.voc import read_mask, write_mask
from ribnb.data.views import LabelledViews, ShuffledBatches
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.weights import checkpoint_metadata
from ribnb.segmentation.training import SegmentationSettings, parameter_groups


def test_vocs_recipe_is_deeplabs():
    voc = SegmentationSettings.voc()
    assert (voc.crop_size, voc.batch_size, voc.steps) == (321, 10, 20_000)
    assert (voc.learning_rate, voc.bias_factor) == (2.5e-4, 2)
    assert (voc.momentum, voc.weight_decay, voc.power, voc.head_factor) == (0.9, 5e-4, 0.9, 10)
    assert (voc.scale_min, voc.scale_max, voc.flip, voc.frozen_batch_norm) == (0.5, 1.5, True, True)
    assert voc.rate(10_000) == pytest.approx(2.5e-4 * 0.5**0.9)
    assert voc.test_scales == (0.5, 0.75, 1, 1.25, 1.5) and voc.test_flip


@pytest.mark.parametrize("arch", ["scenes", "resnet50"])
def test_every_moving_parameter_is_in_one_group_with_its_rate(arch):
    net = DeepLabV2(arch, 3)
    net.backbone.conv1.weight.requires_grad_(False)
    groups = parameter_groups(net, SegmentationSettings.voc())
    where = {}
    for group in groups:
        for parameter in group["params"]:
            assert parameter not in where
            where[parameter] = group["factor"], group["weight_decay"]
    assert set(where) == {one for one in net.parameters() if one.requires_grad}
    assert where[net.backbone.layer4[0].conv1.weight] == (1, 5e-4)
    assert where[net.backbone.layer4[0].bn1.bias] == (2, 0)
    assert where[net.branches[1].weight] == (10, 5e-4)
    assert where[net.branches[3].bias] == (20, 0)


def test_a_step_is_the_one_written_out():
    """Cross entropy over the labelled positions, each at the pixel that it is centred on."""
    images = Blocks()
    settings = few(steps=1, momentum=0.0, weight_decay=0.0)
    net, ours = small_net(), small_net()
    train(images, settings=settings, net=ours)

    (keys,) = ShuffledBatches(len(images), 3, steps=1)
    scales = settings.scale_min, settings.scale_max
    source = LabelledViews(images, images.mask, settings.crop_size, scales, settings.flip, 0)
    views, masks = map(torch.stack, zip(*(source[key] for key in keys), strict=True))
    for parameter in net.backbone.parameters():
        parameter.requires_grad_(parameter.ndim == 4)  # batch norm's stay as they are
    net.eval()
    logits = net(views)
    places = [
        (image, y, x)
        for image in range(3)
        for y in range(6)
        for x in range(6)
        if masks[image, 4 * y, 4 * x] != 255
    ]
    losses = [
        -logits[image, :, y, x].log_softmax(0)[masks[image, 4 * y, 4 * x].long()]
        for image, y, x in places
    ]
    (sum(losses) / len(places)).backward()
    for (name, parameter), mine in zip(net.named_parameters(), ours.parameters(), strict=True):
        factor = (10 if "branches" in name else 1) * (2 if name.endswith("bias") else 1)
        step = 0 if parameter.grad is None else 1e-3 * factor * parameter.grad
        torch.testing.assert_close(mine, parameter - step, rtol=1e-4, atol=1e-7)


def test_a_batch_without_labels_changes_nothing():
    class Blank(Blocks):
        def mask(self, index):
            mask = super().mask(index)
            return mask if index == last else np.full_like(mask, 255)

    settings = few(steps=6, batch_size=1, weight_decay=0.0)
    last = list(ShuffledBatches(7, 1, steps=7))[-1][0][1]  # it comes after the training
    net = train(Blank(), settings=settings).net
    assert same(net, small_net())


def batch_norms(net) -> dict:
    return {
        f"{name}.{key}": value.clone()
        for name, module in net.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for key, value in module.state_dict().items()
    }


@pytest.mark.parametrize("frozen", [True, False])
def test_a_batch_norm_moves_unless_it_is_frozen(frozen):
    net = small_net()
    before = batch_norms(net)
    train(net=net, settings=few(frozen_batch_norm=frozen))
    moved = [key for key, value in batch_norms(net).items() if not torch.equal(value, before[key])]
    assert sorted(moved) == ([] if frozen else sorted(before))


# The masks that it learns from -------------------------------------------------------------


def test_a_training_is_told_by_its_masks_and_net_and_not_by_how_the_net_is_asked(tmp_path):
    train(folder=tmp_path)
    others = [
        ({"images": Blocks(5)}, "images is '.*there"),
        ({"images": Blocks(sizes=((20, 30),))}, "masks is '.*there"),
        ({"net": small_net(atrous_rates=(1, 2, 3, 4))}, r"atrous_rates is \[3, 6, 9, 12\] there"),
    ]
    for options, named in others:
        with pytest.raises(ValueError, match=f"of another training.*{named}"):
            train(folder=tmp_path, **options)
    assert train(folder=tmp_path, settings=few(test_scales=(1.0,), test_flip=False)).loaded


def test_masks_made_with_other_settings_are_refused_by_name(tmp_path):
    images, folder = Blocks(), tmp_path / "net"
    ours = write_masks(tmp_path / "ours", images)
    record = '{"stage": "by hand", "settings": {"threshold": 0.4}}'
    others = write_masks(tmp_path / "others", images, record)
    first = train(images, folder, masks_dir=ours)
    assert same(first.net, train().net)  # they are the truth
    assert train(images, folder, masks_dir=ours).loaded
    with pytest.raises(ValueError, match=r"masks\.settings\.threshold is 0\.3 there, 0\.4 here"):
        train(images, folder, masks_dir=others)
    with pytest.raises(ValueError, match="masks made by is 'by hand' there, 'the truth' here"):
        train(images, folder)
    write_mask(ours / "b03.png", np.zeros((20, 30), np.uint8))  # and one was changed since
    with pytest.raises(ValueError, match=r"masks is '.*' there, '.*' here"):
        train(images, folder, masks_dir=ours)


def test_a_mask_that_cannot_be_used_is_named_before_the_training(tmp_path):
    masks = write_masks(tmp_path / "masks", Blocks())
    for size, value, named in (
        ((24, 24), 0, r"b03: the mask is \(24, 24\), the image \(20, 30\)"),
        ((20, 30), 9, r"b03.png holds \[9\], but there are 3 classes"),
    ):
        write_mask(masks / "b03.png", np.full(size, value, np.uint8))
        with pytest.raises(ValueError, match=f"1 of 7 images have no mask to train on.*{named}"):
            train(folder=tmp_path / "net", masks_dir=masks)
    for path in masks.glob("*.png"):
        write_mask(path, np.full_like(read_mask(path), 255))
    with pytest.raises(ValueError, match="no pixel is labelled in all 7 masks"):
        train(folder=tmp_path / "net", masks_dir=masks)
    assert not (tmp_path / "net").exists()
    with pytest.raises(ValueError, match=r"7 of 7 images have no mask to train on in .*nowhere"):
        train(masks_dir=tmp_path / "nowhere")


def test_masks_of_other_software_have_no_record_and_are_told_apart_by_their_pixels(tmp_path):
    masks = write_masks(tmp_path / "masks", Blocks())
    (masks / "masks.json").unlink()
    train(folder=tmp_path / "net", masks_dir=masks)
    identity = checkpoint_metadata(tmp_path / "net" / "segmentation.safetensors")["identity"]
    assert identity["masks made by"] == "a folder without masks.json"
    assert train(folder=tmp_path / "net", masks_dir=masks).loaded
