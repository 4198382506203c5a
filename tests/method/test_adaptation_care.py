"""Adapting to one image: when it stops, what it spares and puts back, and how it computes."""

import contextlib
import math

import pytest
import torch
from plain_adaptation import (
    LABELS,
    VARIANT,
    run,
    settings_of,
    small_net,
    some_batches,
    some_views,
)


class Counted:
    """Batches that count how many were taken, and fail where they are told to."""

    def __init__(self, count, fail_at=None):
        self.batches, self.fail_at, self.taken = some_batches(count), fail_at, 0

    def __iter__(self):
        for k, batch in enumerate(self.batches):
            if k == self.fail_at:
                raise OSError(f"batch {k} cannot be read")
            self.taken += 1
            yield batch


# When it stops, and what it spares --------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "trace", "iterations", "taken"),
    [
        ("released", False, 3, 2),
        ("released", True, 3, 3),
        ("paper", False, 3, 3),
        ("released", False, 1, 0),
        ("paper", True, 0, 0),
    ],
)
def test_takes_no_batch_whose_update_is_never_looked_at(variant, trace, iterations, taken):
    batches, updates = Counted(5), []
    settings = settings_of(variant, iterations=iterations)
    found = run(settings, batches=batches, trace=trace, after_update=updates.append)
    assert batches.taken == len(found.losses) == taken
    assert updates == list(range(taken))


def test_the_released_code_stops_after_the_step_whose_logits_exceed_the_margin():
    """Its batch is not taken."""
    quick = {"scales": (1,), "learning_rate": 2e-3}
    free = run(settings_of("released", **quick), trace=True)
    assert abs(free.target_losses[0]) < abs(free.target_losses[1])
    stopping = settings_of("released", **quick, margin=abs(free.target_losses[1]) - 1e-4)
    batches = Counted(3)
    found = run(stopping, batches=batches)
    assert (found.stopped_at, found.stop_reason) == (1, "margin")
    assert found.target_losses == free.target_losses[:2]
    assert batches.taken == len(found.losses) == 1


def test_the_released_code_caps_no_logit():
    """Those of other images may exceed the margin: only the target's stop the loop."""
    settings = settings_of("released", scales=(1,), pooling="gap", margin=5)
    batches = [(30 * images, labels) for images, labels in some_batches(3)]
    found = run(settings, batches=batches, trace=True)
    logits = found.steps[0].batch_logits[batches[0][1] == 1]
    assert logits.max() > 5 > abs(found.target_losses[0])
    assert found.losses[0] == pytest.approx(-found.target_losses[0] - logits.sum().item())


def test_logits_that_fall_far_stop_the_released_code_too():
    """It looks at the sum's absolute value."""
    net = small_net()
    net.class_layer.weight.data[[1, 3]] -= 1
    found = run(settings_of("released", pooling="gap", margin=1), net)
    assert found.target_losses[0] < -1
    assert (found.stopped_at, found.stop_reason) == (0, "margin")


@VARIANT
def test_a_flood_stops_before_the_other_scales_and_the_batch(variant):
    """At step 0 it does not count; at step 1 the other scales are neither run nor added."""
    batches, net, runs = Counted(3), small_net(), []
    net.class_layer.register_forward_hook(lambda *_: runs.append(1))
    flood = {"flood_share": 0.1, "flood_level": 0.3}
    found = run(settings_of(variant, **flood), net, batches=batches)
    assert (found.stopped_at, found.stop_reason) == (1, "flood")
    assert batches.taken == len(found.losses) == len(found.target_losses) == 1
    assert len(found.gap_logits) == 2, "one for each map in the sum"
    assert len(runs) == 2 + 1 + 1, "both scales, the batch, and scale 1 of the next step"
    assert run(settings_of(variant, **flood | {"flood_level": None})).stopped_at is None
    traced = run(settings_of(variant, **flood), trace=True)
    assert [len(step.cams) for step in traced.steps] == [2, 1]
    assert all(0.1 < step.flooded <= 1 for step in traced.steps)
    high = [cam > 0.3 * cam.max() for cam in traced.steps[1].cams[0]]
    assert traced.steps[1].flooded == torch.stack(high).any(dim=0).float().mean().item()
    assert traced.steps[1].target_logits is traced.steps[1].learning_rates is None
    assert torch.equal(traced.high_res, found.high_res)


@VARIANT
def test_runs_and_keeps_graphs_only_where_something_depends_on_them(variant):
    """The frozen stages see the target once; a graph is kept for a scale that is in the loss."""
    net, frozen, moving = small_net(), [], []
    net.backbone.layer2.register_forward_hook(lambda m, i, o: frozen.append(o.requires_grad))
    net.backbone.layer4.register_forward_hook(lambda m, i, o: moving.append(o.requires_grad))
    settings = settings_of(variant, iterations=2)
    run(settings, net)
    updates = settings.num_updates
    assert frozen == [False] * (2 + updates), "two scales, then a batch for each update"
    step, last = [True, False, True], [False, False]  # scale 1, scale 0.5, batch; no update
    assert moving == step * updates + last


# What it puts back ------------------------------------------------------------------------


def snapshot(net):
    """All that can be told of a net: tensors as bytes, who they are and where they lie."""
    gradients = [p.grad for p in net.parameters()]
    return {
        "weights": {name: value.numpy().tobytes() for name, value in net.state_dict().items()},
        "gradients": [g if g is None else (id(g), g.numpy().tobytes()) for g in gradients],
        "parameters": [
            (id(p), p.data_ptr(), p.stride(), p.requires_grad) for p in net.parameters()
        ],
        "modes": [module.training for module in net.modules()],
    }


def in_disorder():
    """A net in the middle of its training: gradients, frozen weights, modules of both modes."""
    net = small_net()
    net.logits(torch.ones(1, 3, 16, 16)).sum().backward()
    net.train()
    net.backbone.layer3.eval()
    net.backbone.conv1.weight.grad = None
    net.backbone.layer4.requires_grad_(False)
    net.backbone.layer1.requires_grad_(False)
    return net


def interrupt(k):
    if k == 1:
        raise KeyboardInterrupt


NOT_A_NUMBER = some_batches(3)
NOT_A_NUMBER[1][0][0, :, 4:8] = math.nan
FAILURES = {
    "none": ({}, contextlib.nullcontext()),
    "batch": ({"batches": Counted(3, fail_at=1)}, pytest.raises(OSError, match="batch 1")),
    "after_update": ({"after_update": interrupt}, pytest.raises(KeyboardInterrupt)),
    "too few": ({"batches": some_batches(1)}, pytest.raises(ValueError, match="batch for step 1")),
    "nan": ({"batches": NOT_A_NUMBER}, pytest.raises(FloatingPointError, match="step 1")),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_the_net_is_as_it_was_whatever_happens(failure):
    options, raised = FAILURES[failure]
    net = in_disorder()
    before = snapshot(net)
    with raised:
        run(settings_of("released", momentum=0.9), net, **options)
    assert snapshot(net) == before


def test_one_image_leaves_no_trace_in_the_next():
    """Nor does the global random state play a part, or change."""
    settings, net = settings_of("released", momentum=0.9), small_net()
    torch.manual_seed(1)
    first = run(settings, net)
    drawn = torch.rand(3)
    run(settings, net, views=some_views(settings, seed=7), labels=1 - LABELS)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(run(settings, net).high_res, first.high_res)


# Numbers that are none --------------------------------------------------------------------


@pytest.mark.parametrize(("iterations", "value"), [(0, math.nan), (3, math.nan), (3, math.inf)])
def test_a_nan_in_the_image_is_no_map(iterations, value):
    """GNDRP keeps no position of a NaN map, so its logits are 0 and look sound."""
    settings = settings_of("released", iterations=iterations)
    views = some_views(settings)
    views[0][:, 0, 8, 8] = value
    with pytest.raises(FloatingPointError, match="step 0"):
        run(settings, views=views)


def test_refuses_wrong_labels_and_views():
    settings = settings_of("released")
    views = [torch.zeros(2, 3, 32, 24), torch.zeros(1, 3, 16, 12)]
    with pytest.raises(ValueError, match=r"labels must be \(5,\), each 0 or 1"):
        run(settings, labels=torch.zeros(5))
    with pytest.raises(ValueError, match=r"views must be \(2, 3, h, w\), one for each of"):
        run(settings, views=views)


# Where it is called, and how exactly it computes -------------------------------------------


def test_works_where_gradients_are_switched_off():
    settings, net = settings_of("released"), small_net()
    expected = run(settings, net)
    with torch.inference_mode():
        found = run(settings, net)
    assert torch.equal(found.high_res, expected.high_res)
    assert found.losses == expected.losses


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")]
)
def test_the_precision_is_the_settings_whatever_is_around_it(precision, expected):
    """An autocast of the caller's changes nothing; float32 is rounded only when asked for."""
    net, seen = small_net(), []
    convolution = torch.backends.cudnn.conv
    for layer in (net.backbone.conv1, net.class_layer):
        layer.register_forward_hook(lambda *_: seen.append(convolution.fp32_precision))
    settings = settings_of("released", precision=precision)
    alone = run(settings, net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(settings, net)
    assert found.target_losses == alone.target_losses
    assert torch.equal(found.high_res, alone.high_res)
    assert set(seen) == {expected}
    assert convolution.fp32_precision == "tf32", "as PyTorch has it"
