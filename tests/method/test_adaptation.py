"""Adapting to one image: its maps, its record of the steps, and what the settings do to them."""

import pytest
import torch
import torch.nn.functional as F
from plain_adaptation import (
    LABELS,
    VARIANT,
    one_thread,  # noqa: F401
    run,
    settings_of,
    small_net,
    some_batches,
    some_views,
)

from ribnb.method.cam import class_activation_maps, normalize
from ribnb.method.pooling import gndrp

PRESENT = [1, 3]


@VARIANT
@pytest.mark.parametrize("normalize_maps", [True, False])
def test_without_steps_it_is_the_cam_over_its_maximum(variant, normalize_maps):
    """The CAM of every scale and its flip, resized to the image and added."""
    settings = settings_of(variant, iterations=0, normalize_maps=normalize_maps)
    net, views = small_net(), some_views(settings)
    found = run(settings, net, views, batches=[])
    total = 0
    for view in views:
        image, flip = class_activation_maps(net, view)[:, PRESENT]
        cam = (image + flip.flip(-1))[None]
        total = total + F.interpolate(cam, (48, 16), mode="bilinear")[0]
    tolerance = {"rtol": 0, "atol": 1e-4}  # the authors add 1e-5 to the maximum
    torch.testing.assert_close(found.high_res, normalize(total), **tolerance)
    assert (found.losses, found.stopped_at, found.stop_reason) == ([], None, None)
    assert len(found.target_losses) == 1


@VARIANT
@pytest.mark.parametrize(("height", "width"), [(48, 16), (33, 50), (16, 9), (61, 7)])
def test_maps_have_the_images_size_and_a_quarter_of_it(variant, height, width):
    settings = settings_of(variant, iterations=1)
    found = run(settings, views=some_views(settings, height, width))
    assert found.high_res.shape == (2, height, width)
    assert found.strided.shape == (2, -(-height // 4), -(-width // 4))
    assert found.class_ids.tolist() == PRESENT
    for maps in (found.high_res, found.strided):
        assert maps.min() >= 0
        torch.testing.assert_close(maps.amax(dim=(1, 2)), torch.ones(2), rtol=0, atol=1e-3)
        assert not maps.requires_grad


@VARIANT
@pytest.mark.parametrize("side", [80, 81, 100])
def test_the_map_lies_where_the_object_does(variant, side):
    """Whatever the image's size: a bright square on black is found at its place."""
    net = small_net(num_classes=1)
    for name, value in net.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.zero_()  # so that black gives 0
    net.class_layer.weight.data.fill_(1)
    image = torch.zeros(1, 3, side, side)
    image[:, :, 55:68, 55:68] = 1
    settings = settings_of(variant, iterations=0, scales=(1,), flip=False)
    found = run(settings, net, [image], torch.ones(1), [])
    for maps, step in ((found.high_res[0], 1), (found.strided[0], 4)):
        places = step * torch.arange(len(maps)) + (step - 1) / 2
        centre = (maps.sum(dim=0) * places).sum() / maps.sum()
        assert centre.item() == pytest.approx(61, abs=3), "the square's centre is at 61"


@VARIANT
def test_trace_keeps_every_step_and_changes_no_map(variant):
    settings = settings_of(variant, scales=(1, 0.5, 2), loss_scales=(1, 2))
    net, views = small_net(), some_views(settings)
    traced, spared = (run(settings, net, views, trace=trace) for trace in (True, False))
    assert torch.equal(traced.high_res, spared.high_res)
    assert torch.equal(traced.strided, spared.strided)
    assert len(traced.steps) == (4 if variant == "paper" else 3)
    assert len(traced.losses) == 3
    assert len(spared.losses) == settings.num_updates == (3 if variant == "paper" else 2)
    assert spared.steps == []
    first = traced.steps[0]
    assert [cam.shape for cam in first.cams] == [(2, 12, 4), (2, 6, 2), (2, 24, 8)]
    maps = net.class_maps(views[0]).detach()
    cam = normalize(maps) if variant == "paper" else maps / maps.amax(dim=(2, 3), keepdim=True)
    pooled = gndrp(maps, cam, 0.4, variant)[:, PRESENT]
    torch.testing.assert_close(first.target_logits[:2], pooled)
    torch.testing.assert_close(first.gap_logits, maps.mean(dim=(2, 3))[:, PRESENT])
    assert first.target_logits.shape == (4, 2)
    means = [step.gap_logits.mean().item() for step in traced.steps]
    assert traced.gap_logits == spared.gap_logits == pytest.approx(means)
    assert means[-1] > means[0]
    for step, target_loss in zip(traced.steps, traced.target_losses, strict=True):
        assert step.target_logits.sum().item() == pytest.approx(target_loss)
        if step.k < 3:
            assert step.batch_logits.shape == (3, 5)
            loss = step.target_logits.sum() + (step.batch_logits * some_batches(3)[step.k][1]).sum()
            assert traced.losses[step.k] == pytest.approx(-loss.item(), rel=1e-5, abs=1e-6)
        else:
            assert step.batch_logits is step.learning_rates is None


def test_classes_may_be_numbered_in_another_order():
    """Absent classes and the order of the rows play no part."""
    settings, order = settings_of("released"), torch.tensor([3, 0, 4, 1, 2])
    net, shuffled = small_net(), small_net()
    shuffled.class_layer.weight.data = net.class_layer.weight.data[order]
    batches = [(images, labels[:, order]) for images, labels in some_batches(3)]
    found = run(settings, shuffled, labels=LABELS[order], batches=batches)
    assert found.class_ids.tolist() == [0, 3]
    torch.testing.assert_close(found.high_res, run(settings, net).high_res[[1, 0]])


@VARIANT
def test_a_batch_may_be_empty_and_its_images_of_another_size(variant):
    settings = settings_of(variant)
    none = [(images[:0], labels[:0]) for images, labels in some_batches(3)]
    alone = run(settings, batches=none)
    assert alone.losses == pytest.approx([-y for y in alone.target_losses[: len(alone.losses)]])
    larger = run(settings, batches=some_batches(3, side=48))
    assert (larger.high_res - alone.high_res).abs().max() > 0.01


def test_the_margin_of_the_paper_caps_each_logit():
    """With all logits above it nothing is left to raise, and every map is the CAM."""
    settings = settings_of("paper", margin=1e-6, pooling="gap")
    net, labels = small_net(), torch.ones(5)
    net.class_layer.weight.data.abs_()
    batches = [(images, torch.ones(3, 5)) for images, _ in some_batches(3)]
    found = run(settings, net, labels=labels, batches=batches, trace=True)
    assert found.losses == pytest.approx([-1e-6 * (2 + 3) * 5] * 3)
    for step in found.steps[1:]:
        assert torch.equal(step.cams[0], found.steps[0].cams[0])
    assert found.stop_reason is None
    free = run(settings_of("paper", pooling="gap"), net, labels=labels, batches=batches)
    assert (free.high_res - found.high_res).abs().max() > 0.01


@pytest.mark.parametrize("factor", [10, 1, 0.5])
def test_the_rate_falls_and_the_class_layer_has_its_own(factor):
    settings = settings_of("released", iterations=10, class_layer_factor=factor)
    found = run(settings, trace=True)
    rates = [1e-3 * (1 - k / 10) ** 0.9 for k in range(10)]
    backbone, class_layer = zip(*(step.learning_rates for step in found.steps), strict=True)
    assert list(backbone) == pytest.approx(rates)
    assert list(class_layer) == pytest.approx([factor * rate for rate in rates])
