"""Maps of a whole split: images that fail, and what is refused."""

import os

import pytest
import torch
from localization_runs import WORKERS, no_bar, run, undisturbed_maps  # noqa: F401
from plain_adaptation import one_thread  # noqa: F401
from small_split import CLASSES, Noise, few_steps, maps_in, net

from ribnb.core import map_files
from ribnb.method import localization
from ribnb.method.adaptation import adapt

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


def test_an_unreadable_image_is_not_called_a_failure_if_it_is_no_target(tmp_path):
    report = run(tmp_path, Noise(broken=(1,)), shard=(0, 3))
    assert report.failed == {}
    assert report.unreadable == {"n001": "image n001 cannot be read"}
    assert report.written == ["n000", "n003", "n006"]


def test_if_no_image_can_be_read_each_is_named(tmp_path):
    report = run(tmp_path, Noise(broken=range(9)), workers=2)
    assert list(report.failed) == Noise().ids
    assert maps_in(tmp_path) == {}


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


def test_a_net_of_another_number_of_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"net has 4 classes, the 9 images have 3 class names"):
        run(tmp_path / "new", model=net(4))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("shape", [(9, 2), (9, 4), (8, 3), (9,)])
def test_labels_of_the_wrong_shape_are_refused(tmp_path, shape):
    images = Noise()
    images.labels = torch.ones(shape, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"labels of the shape .*; it must be \(9, 3\)"):
        run(tmp_path / "new", images)
    assert not (tmp_path / "new").exists()


def test_no_images_are_refused(tmp_path):
    images = Noise([])
    assert images.class_names == CLASSES
    with pytest.raises(ValueError, match="the image set is empty"):
        run(tmp_path, images)


@WORKERS
def test_other_images_of_different_sizes_need_a_crop(tmp_path, workers):
    settings = few_steps(crop_size=0, long_side_min=0, long_side_max=0)
    images = Noise(sizes=((32, 24), (20, 28)))
    with pytest.raises(ValueError, match=r"24 x 32, 28 x 20 pixels among them\): set crop_size$"):
        run(tmp_path / "two", images, settings=settings, workers=workers)
    assert len(run(tmp_path / "one", settings=settings, workers=workers).written) == 9


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match=str(tmp_path / "runs")):
        run(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "a file"


def test_a_folder_that_cannot_be_written_is_named_at_once(tmp_path, monkeypatch):
    images = Noise()

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), "write_text", refuse)
    with pytest.raises(OSError, match=rf"Permission denied: '{tmp_path}/\.maps\.json"):
        run(tmp_path, images)
    assert images.shown == []


def test_a_finished_folder_may_be_read_only(tmp_path, monkeypatch):
    run(tmp_path)

    def refuse(*_, **__):
        raise AssertionError("something is written")

    monkeypatch.setattr(type(tmp_path), "write_text", refuse)
    monkeypatch.setattr(map_files, "write_maps", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    assert run(tmp_path).kept == 9
