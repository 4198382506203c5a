"""Adapting to one image: what it refuses, and how it says so."""

import math

import pytest
import torch
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

POOLING = pytest.mark.parametrize("pooling", ["gndrp", "gap"])


# Numbers that are none --------------------------------------------------------------------


@VARIANT
@POOLING
@pytest.mark.parametrize("iterations", [0, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_nan_in_the_image_is_no_map(variant, pooling, iterations, value):
    """GNDRP keeps no position of a NaN map, so its logits are 0 and look sound."""
    settings = settings_of(variant, pooling=pooling, iterations=iterations)
    views = some_views(settings)
    views[0][:, 0, 8, 8] = value
    with pytest.raises(FloatingPointError, match="step 0"):
        run(settings, views=views)


@VARIANT
@POOLING
@pytest.mark.parametrize("loss", ["rib", "bce"])
def test_a_nan_in_a_batch_is_found_at_its_step(variant, pooling, loss):
    settings, batches = settings_of(variant, pooling=pooling, loss=loss), some_batches(3)
    batches[1][0][0, 1, 8, 8] = math.nan
    with pytest.raises(FloatingPointError, match="step 1"):
        run(settings, batches=batches)


@VARIANT
@POOLING
def test_a_nan_in_the_weights_of_an_absent_class_is_found(variant, pooling):
    net = small_net()
    net.class_layer.weight.data[0] = math.nan
    with pytest.raises(FloatingPointError, match="step 0"):
        run(settings_of(variant, pooling=pooling, loss="bce"), net)


@VARIANT
@POOLING
def test_steps_so_large_that_the_weights_overflow_give_no_map(variant, pooling):
    settings = settings_of(variant, pooling=pooling, learning_rate=1e30, margin=1e38)
    with pytest.raises(FloatingPointError, match=r"step [12]"):
        run(settings)


# Arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(5), "the image has no labels: there is no class to adapt to"),
        (torch.ones(4), r"labels must have the shape \(5,\), .* got \(4,\)"),
        (torch.ones(1, 5), r"labels must have the shape \(5,\), .* got \(1, 5\)"),
        (torch.tensor(1), r"labels must have the shape \(5,\), .* got \(\)"),
        (torch.tensor([0, 1, 0, 2, 0]), r"labels must be 0 or 1; got \[0, 1, 0, 2, 0\]"),
        (torch.tensor([0, 1, 0, 0.5, 0]), "labels must be 0 or 1"),
        (torch.tensor([0, 1, 0, math.nan, 0]), "labels must be 0 or 1"),
        (torch.tensor([0, 1, 0, -1, 0]), "labels must be 0 or 1"),
    ],
)
def test_refuses_wrong_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        run(settings_of("released"), labels=labels)


@pytest.mark.parametrize(
    ("flip", "shapes", "message"),
    [
        (True, [(2, 3, 32, 24)], r"one tensor for each of the scales \(1\.0, 0\.5\); got 1"),
        (True, [(2, 3, 32, 24)] * 3, "each of the scales .* got 3"),
        (True, [(2, 3, 32, 24), (1, 3, 16, 12)], r"\(2, 3, h, w\), the image and its flip"),
        (False, [(2, 3, 32, 24), (2, 3, 16, 12)], r"\(1, 3, h, w\), one image; got \(2, 3, 32"),
        (False, [(3, 32, 24), (3, 16, 12)], r"one image; got \(3, 32, 24\)"),
        (True, [(2, 1, 32, 24), (2, 1, 16, 12)], r"got \(2, 1, 32, 24\)"),
    ],
)
def test_refuses_wrong_views(flip, shapes, message):
    views = [torch.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=message):
        run(settings_of("released", flip=flip), views=views)


@pytest.mark.parametrize(
    ("variant", "given", "step"), [("paper", 2, 2), ("released", 1, 1), ("released", 0, 0)]
)
def test_names_the_step_that_has_no_batch(variant, given, step):
    with pytest.raises(ValueError, match=f"there is no batch for step {step}: .* take"):
        run(settings_of(variant), batches=some_batches(given))


@pytest.mark.parametrize(
    "labels", [torch.ones(3, 4), torch.ones(3, 6), torch.ones(2, 5), torch.ones(5), torch.ones(3)]
)
def test_refuses_a_batch_with_labels_of_another_shape(labels):
    batches = [some_batches(1)[0], (torch.zeros(3, 3, 16, 16), labels)]
    with pytest.raises(ValueError, match=r"batch of step 1 .* labels must be \(b, 5\)"):
        run(settings_of("paper"), batches=batches)


@pytest.mark.parametrize("loss", ["rib", "bce"])
@pytest.mark.parametrize("value", [2, 0.5, -1, math.nan])
def test_refuses_a_batch_whose_labels_are_not_0_or_1(loss, value):
    batches = [(images, labels.float()) for images, labels in some_batches(3)]
    batches[0][1][0, 0] = value
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        run(settings_of("released", loss=loss), batches=batches)


@VARIANT
def test_the_wrong_arguments_are_refused_before_the_net_is_touched(variant):
    net = small_net()
    net.register_forward_hook(lambda *_: pytest.fail("it ran"))
    net.backbone.conv1.register_forward_hook(lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match="no labels"):
        run(settings_of(variant), net, labels=0 * LABELS)
