"""Maps of a whole split: their record, images that fail, and what is refused."""

import json
import os

import pytest
import torch
from localization_runs import WORKERS, everything_in, no_bar, run, undisturbed_maps  # noqa: F401
from plain_adaptation import one_thread  # noqa: F401
from small_split import LABELS, Noise, few_steps, maps_in, net

from ribnb.core.files import weights_digest
from ribnb.method import localization
from ribnb.method.adaptation import adapt
from ribnb.method.localization import maps_digest

# Images that fail -------------------------------------------------------------------------


@WORKERS
def test_an_unreadable_image_is_named_and_the_rest_is_done(tmp_path, undisturbed, workers):
    report = run(tmp_path, Noise(broken=(1, 4, 8)), workers=workers)
    names = "n001", "n004", "n008"
    assert report.failed == {name: f"image {name} cannot be read" for name in names}
    assert report.written == ["n000", "n002", "n003", "n005", "n006", "n007"]
    assert set(maps_in(tmp_path)) == {f"{name}.npz" for name in report.written}
    assert set(report.unreadable) == set(names)
    assert "failed: n004: image n004 cannot be read" in str(report)
    assert "left out of batches: n001: image n001 cannot be read" in str(report)
    again = run(tmp_path, workers=workers)  # the files have been mended
    assert again.written == list(names)
    there = maps_in(tmp_path)
    assert all(there[f"{name}.npz"] == undisturbed[f"{name}.npz"] for name in again.written)


@WORKERS
@pytest.mark.parametrize("step", [0, 1])
def test_a_loss_that_is_not_a_number_stops_its_image_alone(
    tmp_path, undisturbed, workers, step, monkeypatch
):
    """Whether or not its batches had been taken."""
    calls = []

    def failing(model, views, labels, batches, settings):
        calls.append(labels)
        if len(calls) in (2, 8):
            for _ in range(step):
                next(batches)
            raise FloatingPointError(f"the loss at step {step} is nan")
        return adapt(model, views, labels, batches, settings)

    monkeypatch.setattr(localization, "adapt", failing)
    report = run(tmp_path, workers=workers)
    assert report.failed == {name: f"the loss at step {step} is nan" for name in ("n001", "n008")}
    expected = {name: maps for name, maps in undisturbed.items() if name[:4] not in report.failed}
    assert maps_in(tmp_path) == expected
    monkeypatch.undo()
    assert run(tmp_path).written == ["n001", "n008"]
    assert maps_in(tmp_path) == undisturbed


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_maps_that_are_no_numbers_are_not_written(tmp_path, variant):
    """GNDRP keeps no position of a NaN map, so its logits look sound."""
    model = net()
    model.backbone.layer4[0].conv1.weight.data[0] = torch.nan
    report = run(tmp_path, model=model, settings=few_steps(variant))
    assert list(report.failed) == [name for name in Noise().ids if name != "n004"]
    assert maps_in(tmp_path).keys() == {"n004.npz"}


# Refusals ---------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_named_at_once(tmp_path, monkeypatch):
    images = Noise()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match=rf"cannot write {tmp_path}/maps\.json: Permission denied"):
        run(tmp_path, images)
    assert images.shown == []


# The record -------------------------------------------------------------------------------


def test_the_record_says_how_the_maps_were_made(tmp_path):
    settings = few_steps("paper", seed=4)
    run(tmp_path, settings=settings)
    record = json.loads((tmp_path / "maps.json").read_text())
    assert record["settings"] == settings.as_dict()
    assert record["weights"] == weights_digest(net())
    assert record["net"]["arch"] == "scenes"


def other_images(change):
    images = Noise()
    if change == "id":
        images.ids[-1] = "new"
    elif change == "label":
        images.labels[0, 1] = 1
    else:
        images.ids.reverse()
    return images


def moved(name):
    model = net()
    model.get_parameter(name).data.view(-1)[0] += 1e-6
    return model


def other_statistics():
    model = net()
    model.backbone.layer3[0].bn1.running_mean[0] += 1e-6
    return model


def few_stages_frozen():
    model = net()
    model.frozen_stages = model.frozen_stages[:3]
    return model


def of_stride_8():
    model = net()
    model.output_stride = 8
    return model


OTHERS = {
    "two settings": (
        {"settings": few_steps(seed=1, scales=(1, 2))},
        r"settings.scales is \[1.0, 0.5\] there, \[1.0, 2.0\] here; settings.seed is 0 there",
    ),
    "the other variant": ({"settings": few_steps("paper")}, ".*variant is 'released' there"),
    "weights": ({"model": net(seed=1)}, "weights is"),
    "one weight": ({"model": moved("class_layer.weight")}, "weights is"),
    "one frozen weight": ({"model": moved("backbone.conv1.weight")}, "weights is"),
    "statistics": ({"model": other_statistics()}, "weights is"),
    "stages": ({"model": few_stages_frozen()}, r"net.frozen_stages is .*'layer2'\] there"),
    "stride": (
        {"model": of_stride_8()},
        "net.output_stride is 4 there, 8 here",
    ),
    "an id": ({"images": other_images("id")}, "images is"),
    "a label": ({"images": other_images("label")}, "images is"),
    "the order": ({"images": other_images("order")}, "images is"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path, case):
    run(tmp_path, shard=(0, 3))
    before = everything_in(tmp_path)
    changes, words = OTHERS[case]
    with pytest.raises(
        ValueError, match=f"{tmp_path}/maps holds maps that were made otherwise \\({words}"
    ):
        run(tmp_path, **changes)
    assert everything_in(tmp_path) == before


def test_two_shards_may_begin_at_once(tmp_path, monkeypatch):
    """The other one writes its record, and maps, right after this one has looked for a record."""
    real, asked = type(tmp_path).exists, []

    def exists(path):
        there = real(path)
        if path.name == "maps.json" and not asked:
            asked.append(path)
            run(tmp_path, shard=(1, 2))
        return there

    monkeypatch.setattr(type(tmp_path), "exists", exists)
    assert len(run(tmp_path, shard=(0, 2)).written) == 5
    assert run(tmp_path).kept == 9


def test_the_digest_of_maps_tells_how_they_were_made_and_refuses_those_of_other_images(tmp_path):
    images = Noise(LABELS[:2])
    for place, iterations in (("one", 0), ("moved", 0), ("other", 1)):
        run(tmp_path / place, images, settings=few_steps(iterations=iterations))
    one, moved, other = (
        maps_digest(tmp_path / place / "maps", images) for place in ("one", "moved", "other")
    )
    assert one == moved != other and len(one) == 12
    for others in (Noise(LABELS[:3]), Noise([[1, 1, 0], LABELS[1]])):
        with pytest.raises(ValueError, match=rf"maps of other images than the {len(others)} here"):
            maps_digest(tmp_path / "one" / "maps", others)
    (tmp_path / "one" / "maps.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"one/maps\.json is missing"):
        maps_digest(tmp_path / "one" / "maps", images)
    with pytest.raises(FileNotFoundError, match=f"no folder of maps {tmp_path / 'maps'}"):
        maps_digest(tmp_path / "maps", images)
