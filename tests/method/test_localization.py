"""Maps of a whole split: what a run gives, in workers and shards, killed and resumed."""

import io
import math
import multiprocessing
import os
import random
import signal
import statistics
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import times
from small_split import LABELS, Noise, few_steps, maps_in, net

from ribnb.core.files import read_maps
from ribnb.data.views import multi_scale_views
from ribnb.method import localization
from ribnb.method.adaptation import Course, adapt
from ribnb.method.inputs import AdaptationInputs
from ribnb.method.localization import MapsReport, localization_maps, maps_digest, read_steps

WORKERS = pytest.mark.parametrize("workers", [0, 2])


def run(folder, images=None, model=None, settings=None, **options) -> MapsReport:
    """`localization_maps`, with what is not given made up."""
    images, settings = Noise() if images is None else images, settings or few_steps()
    return localization_maps(model or net(), images, settings, folder, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The maps of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder)
    return maps_in(folder)


# What a run gives -------------------------------------------------------------------------


def adaptations(settings, **options) -> list:
    """What `adapt` gives for each image that has labels."""
    images, model = Noise(), net()
    inputs = AdaptationInputs(images, settings)
    return [
        adapt(
            model,
            multi_scale_views(images.image(target), settings.scales),
            images.labels[target],
            [inputs.batch(target, step)[0] for step in range(settings.iterations)],
            settings,
            **options,
        )
        for target in images.labels.any(dim=1).nonzero()[:, 0].tolist()
    ]


@pytest.mark.parametrize("settings", [few_steps(), few_steps("paper")])
def test_an_image_has_the_maps_that_adapt_gives(tmp_path, settings):
    """Each in a file; the one without labels has one without maps."""
    report = run(tmp_path, settings=settings)
    assert (report.written, report.kept, report.failed) == (Noise().ids, 0, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "maps.json", "steps"]
    assert maps_in(tmp_path).keys() == {f"{name}.npz" for name in Noise().ids}
    nothing = read_maps(tmp_path / "maps" / "n004.npz")
    assert (nothing.high_res.shape, nothing.strided.shape) == ((0, 24, 32), (0, 6, 8))
    for target, found in zip((0, 1, 2, 3, 5, 6, 7, 8), adaptations(settings), strict=True):
        maps = read_maps(tmp_path / "maps" / f"n00{target}.npz")
        assert maps.class_ids.tolist() == found.class_ids.tolist()
        np.testing.assert_array_equal(maps.high_res, found.high_res)
        np.testing.assert_array_equal(maps.strided, found.strided)


def test_the_steps_of_each_image_are_on_record(tmp_path):
    settings = few_steps(margin=1e-9, pooling="gap")
    report = run(tmp_path, settings=settings)
    records = {path.stem: read_steps(path) for path in (tmp_path / "steps").iterdir()}
    assert sorted(records) == Noise().ids
    labelled = [name for name, labels in zip(Noise().ids, LABELS, strict=True) if any(labels)]
    for name, found in zip(labelled, adaptations(settings), strict=True):
        there = records[name]
        assert (there.losses, there.target_losses) == (found.losses, found.target_losses)
        assert (there.stopped_at, there.stop_reason) == (found.stopped_at, found.stop_reason)
        assert there.gap_logits == found.gap_logits
    assert math.isnan(records["n004"].logit_growth)
    assert Course(gap_logits=[1.0, 0.5, 2.5]).logit_growth == 1.5
    assert (records["n004"].losses, records["n004"].stop_reason) == ([], None)  # has no labels
    mean = statistics.fmean(record.seconds for record in records.values())
    assert report.seconds_per_image == mean > 0


@WORKERS
def test_the_global_generators_are_left_as_they_were(tmp_path, workers):
    torch.manual_seed(1)
    random.seed(1)
    drawn = torch.rand(2), random.random(), np.random.get_state()[1].copy()  # noqa: NPY002
    torch.manual_seed(1)
    random.seed(1)
    run(tmp_path, workers=workers)
    assert torch.equal(torch.rand(2), drawn[0])
    assert random.random() == drawn[1]
    assert np.array_equal(np.random.get_state()[1], drawn[2])  # noqa: NPY002


# Workers and shards -----------------------------------------------------------------------


@pytest.mark.parametrize("stops", [False, True])
def test_the_number_of_workers_changes_nothing(tmp_path, stops):
    """Whether all steps are made, or some of the images stop early."""
    settings, images = few_steps(), Noise(broken=(2, 8))
    if stops:
        free = few_steps(pooling="gap", iterations=4, margin=1e9)
        reached = [max(map(abs, one.target_losses)) for one in adaptations(free)]
        settings = free.replace(margin=float(np.median(reached)))
    here = run(tmp_path / "0", images, settings=settings)
    ahead = run(tmp_path / "2", images, settings=settings, workers=2)
    assert maps_in(tmp_path / "0") == maps_in(tmp_path / "2")
    for name in ("written", "failed", "unreadable", "stopped"):
        assert getattr(here, name) == getattr(ahead, name)
    stopped = here.stopped["margin"]
    assert 0 < stopped < 7 if stops else stopped == 0
    assert f"stopped by margin {stopped}, by flood 0" in str(here)
    again = run(tmp_path / "2", images, settings=settings)
    assert (again.kept, again.stopped) == (7, here.stopped)


def test_shards_together_are_the_run_as_a_whole(tmp_path, undisturbed):
    """In any order. Who ends last knows it, and reports the stops and times of all."""
    settings = few_steps(margin=1e-9, pooling="gap")
    first = run(tmp_path, shard=(2, 3), workers=2, settings=settings)
    assert (first.written, first.pending) == (["n002", "n005", "n008"], 6)
    assert first.stopped["margin"] == 3
    assert run(tmp_path, shard=(0, 3), settings=settings).pending == 3
    last, whole = (
        run(folder, settings=settings, shard=shard)
        for folder, shard in ((tmp_path, (1, 3)), (tmp_path / "whole", (0, 1)))
    )
    assert last.pending == 0 and last.stopped == whole.stopped == {"margin": 8, "flood": 0}
    assert maps_in(tmp_path) == maps_in(tmp_path / "whole")
    before, images = times(tmp_path / "maps"), Noise()
    assert run(tmp_path, images, settings=settings, workers=2).kept == 9
    assert times(tmp_path / "maps") == before and images.shown == [], (
        "nothing is made or read again"
    )


@pytest.mark.parametrize("fails", [False, True])
def test_no_worker_outlives_the_run(tmp_path, fails, monkeypatch):
    if fails:
        monkeypatch.setattr(localization, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, workers=2)
    else:
        run(tmp_path, workers=2)
    assert multiprocessing.active_children() == []


# Resuming ---------------------------------------------------------------------------------


def test_a_file_that_is_not_whole_is_made_anew_and_the_others_left(tmp_path, undisturbed):
    run(tmp_path)
    for index, length in enumerate((0, 500, -1)):
        path = tmp_path / "maps" / f"n{index:03}.npz"
        path.write_bytes(path.read_bytes()[:length])
    (tmp_path / "maps" / "n003.npz").unlink()
    np.savez(tmp_path / "maps" / "n004.npz", maps=np.zeros(3))  # of something else
    (tmp_path / "steps" / "n005.json").unlink()
    for name, damage in {"n006": "{", "n007": '{"losses": []}'}.items():
        (tmp_path / "steps" / f"{name}.json").write_text(damage)
    last = tmp_path / "maps" / "n008.npz"
    before = last.stat().st_mtime_ns
    report = run(tmp_path)
    assert report.written == Noise().ids[:8]
    assert report.kept == 1
    assert maps_in(tmp_path) == undisturbed
    assert last.stat().st_mtime_ns == before


def slowly(file, **arrays):
    """As `np.savez`, with time to be killed in the middle."""
    whole = io.BytesIO()
    savez(whole, **arrays)
    file.write(whole.getvalue()[:1000])
    file.flush()
    time.sleep(0.02)
    file.write(whole.getvalue()[1000:])


savez = np.savez


@WORKERS
def test_killed_again_and_again_and_resumed_it_is_as_if_nothing_had_been(
    tmp_path, undisturbed, workers, monkeypatch
):
    monkeypatch.setattr(np, "savez", slowly)
    moments, maps = random.Random(workers), tmp_path / "maps"
    for kills in range(5):
        process = multiprocessing.get_context("fork").Process(
            target=run, args=(tmp_path,), kwargs={"workers": workers}
        )
        process.start()
        while process.is_alive() and (kills == 4 or len(list(maps.glob("*.npz"))) <= kills):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert kills == 4 or 0 < len(maps_in(tmp_path)) < 9  # reads them: all are whole
    assert process.exitcode == 0
    assert maps_in(tmp_path) == undisturbed


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


def test_a_loss_that_is_not_a_number_stops_its_image_alone(tmp_path, undisturbed, monkeypatch):
    """Whether or not its batches had been taken."""
    calls = []

    def failing(model, views, labels, batches, settings):
        calls.append(labels)
        if len(calls) in (2, 8):
            if len(calls) == 8:
                next(batches)
            raise FloatingPointError("the loss is nan")
        return adapt(model, views, labels, batches, settings)

    monkeypatch.setattr(localization, "adapt", failing)
    report = run(tmp_path, workers=2)
    assert report.failed == {name: "the loss is nan" for name in ("n001", "n008")}
    expected = {name: maps for name, maps in undisturbed.items() if name[:4] not in report.failed}
    assert maps_in(tmp_path) == expected
    monkeypatch.undo()
    assert run(tmp_path).written == ["n001", "n008"]
    assert maps_in(tmp_path) == undisturbed


# The record -------------------------------------------------------------------------------


def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path):
    run(tmp_path, shard=(0, 3))
    before = times(tmp_path / "maps")
    weight, statistics, stride, label, order = net(), net(), net(), Noise(), Noise()
    weight.class_layer.weight.data[0] += 1e-6
    statistics.backbone.layer3[0].bn1.running_mean += 1e-6
    stride.output_stride = 8
    label.labels[0, 1] = 1
    order.ids.reverse()
    for changes, words in (
        ({"settings": few_steps(seed=1, scales=(1, 2))}, r"settings.scales .* settings.seed is 0"),
        ({"model": weight}, "weights is"),
        ({"model": statistics}, "weights is"),
        ({"model": stride}, "net.output_stride is 4 there, 8 here"),
        ({"images": label}, "images is"),
        ({"images": order}, "images is"),
    ):
        with pytest.raises(ValueError, match=f"holds maps that were made otherwise \\({words}"):
            run(tmp_path, **changes)
    assert times(tmp_path / "maps") == before
    assert run(tmp_path, shard=(0, 3)).kept == 3


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
    with pytest.raises(ValueError, match=r"maps of other images than the 2 here"):
        maps_digest(tmp_path / "one" / "maps", Noise([[1, 1, 0], LABELS[1]]))


def test_a_disk_without_room_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"maps need about .* MB in .*maps, and 0\.0 MB are free"):
        localization_maps(net(), Noise(), few_steps(), tmp_path)
    assert not maps_in(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(localization, "LARGE", 0)
    with pytest.warns(UserWarning, match=r"million pixels, .*read_photo\(path, 500\) makes copies"):
        localization_maps(net(), Noise(), few_steps(), tmp_path)
