"""The released variant gives the numbers of the authors' code, step by step."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ribnb.method.adaptation import adapt
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "golden"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))
OTHERS = {0: [(0,), (7, 8), (19,), (2, 10)], 1: [(5, 6), (1,), (12,), (3, 18)]}
OTHERS[2] = [(9,), (16,), (11, 13), (17,)]


def smooth(seed, count, height, width):
    noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (height, width), mode="bilinear", align_corners=False)


def hot(*classes):
    return torch.zeros(20).index_fill(0, torch.tensor(classes), 1)


def target_views(settings, height=128, width=112):
    image, views = smooth(1, 1, height, width), []
    for scale in settings.scales:
        size = round(height * scale), round(width * scale)
        view = F.interpolate(image, size, mode="bilinear", align_corners=False)
        views.append(torch.cat([view, view.flip(-1)]))
    return views


def golden_net(scale_one_view):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CAMNet("resnet50", 20).eval()
    with torch.no_grad():
        for name, module in model.backbone.named_modules():
            if name.endswith("bn3"):
                module.weight.fill_(0.2)
        mean = model.features(scale_one_view).double().mean(dim=(0, 2, 3))
        rows = model.class_layer.weight.double().flatten(1)
        rows = rows - (rows @ mean)[:, None] / (mean @ mean) * mean
        model.class_layer.weight.copy_((20 * rows)[:, :, None, None].float())
    return model


def other_images():
    for k, classes in OTHERS.items():
        yield smooth(100 + k, 4, 128, 128), torch.stack([hot(*one) for one in classes])


@cache
def engine(case):
    """The Adaptation, statistics of the weights after each update, and what is expected."""
    expected = json.loads((FOLDER / f"{case}.json").read_text())
    settings = RIBSettings.released(iterations=3, batch_size=4)
    if "explode_ratio" in expected["overrides"]:
        settings = settings.replace(flood_share=expected["overrides"]["explode_ratio"])
    views, weights = target_views(settings), []
    model = golden_net(views[0])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = adapt(
        model,
        views,
        hot(4, 14),
        other_images(),
        settings,
        trace=True,
        after_update=lambda k: weights.append(weight_statistics(model)),
    )
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    return found, weights, expected


def weight_statistics(model):
    def total(module):
        return sum(weight.double().abs().sum().item() for weight in module.parameters())

    layer3, layer4 = model.backbone.layer3, model.backbone.layer4
    return {
        "cls_w_abs_sum": total(model.class_layer),
        "l3_abs_sum": total(layer3),
        "l4_abs_sum": total(layer4),
        "l3_w_sample": layer3[0].conv1.weight.flatten()[0].item(),
        "cls_w_samples": model.class_layer.weight[4, 0].item(),
    }


CASE = pytest.mark.parametrize(
    "case",
    CASES or [pytest.param("default", marks=pytest.mark.skip(f"no golden numbers in {FOLDER}"))],
)


@CASE
def test_losses_and_pooled_logits_of_every_step(case):
    found, _, expected = engine(case)
    steps = [step for step in expected["released_code"]["iters"] if "loss" in step]
    assert found.losses == pytest.approx([step["loss"] for step in steps], rel=1e-4)
    targets = [step["target_loss"] for step in steps]
    assert found.target_losses == pytest.approx(targets, rel=1e-4)
    for step, numbers in zip(found.steps, steps, strict=False):
        near(step.target_logits, numbers["target_logits"])
        labels = torch.stack([hot(*one) for one in OTHERS[step.k]])
        near((step.batch_logits * labels).sum(dim=1), numbers["batch_pos_logits"])
        assert step.learning_rates == pytest.approx(numbers["lr"], rel=1e-12)


@CASE
def test_weights_after_every_update(case):
    _, weights, expected = engine(case)
    steps = [step for step in expected["released_code"]["iters"] if "loss" in step]
    for found, numbers in zip(weights, steps, strict=True):
        for name, value in found.items():
            number = numbers[name][0] if isinstance(numbers[name], list) else numbers[name]
            assert value == pytest.approx(number, rel=2e-7), name


@CASE
def test_maps(case):
    found, _, expected = engine(case)
    for name in ("high_res", "strided"):
        maps, numbers = getattr(found, name), expected["released_code"][name]
        assert list(maps.shape) == numbers["shape"]
        assert maps.sum(dim=(1, 2)).tolist() == pytest.approx(numbers["sum"], rel=1e-4)
        near(maps.amax(dim=(1, 2)), numbers["max"])
        height, width = maps.shape[1:]
        rows, columns = (torch.tensor([0, n // 3, n // 2, n - 1]) for n in (height, width))
        near(maps[:, rows, columns], numbers["samples"])


@CASE
def test_cams_of_every_step_and_the_stop(case):
    found, _, expected = engine(case)
    recipe, stops = expected["plain_torch_recipe"], expected["released_code"]["stops"]
    for step, numbers in zip(found.steps, recipe["iters"], strict=True):
        for value, name in ((torch.sum, "cam_sum"), (torch.max, "cam_max")):
            cams = [value(cam).item() for cam in step.cams]
            assert cams == pytest.approx(numbers[name], rel=1e-4)
        if "explode_frac" in numbers:
            assert step.flooded == pytest.approx(numbers["explode_frac"], abs=1e-6)
    assert found.stopped_at == (stops.index(True) if True in stops else None)
    assert found.stop_reason == {"": None, "explode": "flood"}[recipe["stop"]]


def near(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
