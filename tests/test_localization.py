"""Maps of a whole split: killed, resumed, in shards, with workers, with images that fail."""

import dataclasses
import io
import json
import multiprocessing
import os
import random
import resource
import signal
import statistics
import time

import numpy as np
import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_split import CLASSES, LABELS, Noise, few_steps, maps_in, net

from ribnb import localization, map_files
from ribnb.adaptation import adapt
from ribnb.feed import AdaptationInputs
from ribnb.localization import MapsReport, localization_maps, weights_digest
from ribnb.map_files import read_maps
from ribnb.step_files import read_steps
from ribnb.views import multi_scale_views

WORKERS = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("RIBNB_PROGRESS", "off")


def run(folder, images=None, model=None, settings=None, **options) -> MapsReport:
    """`localization_maps`, with what is not given made up."""
    images, settings = Noise() if images is None else images, settings or few_steps()
    return localization_maps(model or net(), images, settings, folder, **options)


def times(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "maps").iterdir()}


def everything_in(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


@pytest.mark.parametrize("settings", [few_steps(), few_steps("paper"), few_steps(seed=3)])
def test_an_image_has_the_maps_that_adapt_gives(tmp_path, settings):
    run(tmp_path, settings=settings)
    for target, found in zip((0, 1, 2, 3, 5, 6, 7, 8), adaptations(settings), strict=True):
        maps = read_maps(tmp_path / "maps" / f"n00{target}.npz")
        assert maps.class_ids.tolist() == found.class_ids.tolist()
        np.testing.assert_array_equal(maps.high_res, found.high_res)
        np.testing.assert_array_equal(maps.strided, found.strided)


def test_the_maps_are_those_of_all_steps_and_batches(tmp_path, undisturbed):
    """So that a step or a batch that is another one is seen below, where bits are compared."""
    cases = few_steps(iterations=2), few_steps(iterations=0), few_steps(seed=1)
    for number, settings in enumerate(cases):
        run(tmp_path / str(number), settings=settings)
        other = maps_in(tmp_path / str(number))
        same = {name for name in undisturbed if other[name] == undisturbed[name]}
        # image 4 has no labels, and is the only one that shares no class with image 6
        assert same == ({"n004.npz", "n006.npz"} if settings.seed else {"n004.npz"})


def test_the_files_of_a_run(tmp_path):
    report = run(tmp_path, Noise(sizes=((32, 24), (25, 39))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "maps.json", "steps"]
    assert [path.name for path in sorted((tmp_path / "maps").iterdir())] == [
        f"n{index:03}.npz" for index in range(9)
    ]
    for index, labels in enumerate(LABELS):
        maps = read_maps(tmp_path / "maps" / f"n{index:03}.npz")
        present = [c for c, label in enumerate(labels) if label]
        assert maps.class_ids.tolist() == present
        width, height = (25, 39) if index % 2 else (32, 24)
        assert maps.high_res.shape == (len(present), height, width)
        assert maps.strided.shape == (len(present), -(-height // 4), -(-width // 4))
        assert maps.class_ids.dtype == np.int64
        assert maps.high_res.dtype == maps.strided.dtype == np.float32
        assert ((maps.high_res >= 0) & (maps.high_res <= 1)).all()
    assert report.folder == tmp_path / "maps"
    assert report.written == Noise().ids
    assert (report.kept, report.failed, report.unreadable) == (0, {}, {})
    assert report.seconds > 0


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
    assert (records["n004"].losses, records["n004"].stop_reason) == ([], None)  # has no labels
    mean = statistics.fmean(record.seconds for record in records.values())
    assert report.seconds_per_image == mean > 0


def test_a_resumed_run_counts_the_stops_of_all_its_images(tmp_path):
    settings = few_steps(margin=1e-9, pooling="gap")
    whole = run(tmp_path / "whole", settings=settings)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Interrupted(5), settings=settings)
    resumed = run(tmp_path / "killed", settings=settings)
    assert 0 < resumed.kept < 9
    assert resumed.stopped == whole.stopped != {"margin": 0, "flood": 0}
    assert run(tmp_path / "killed", settings=settings).stopped == whole.stopped


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"losses": []}', None])
def test_an_image_whose_record_is_not_whole_is_done_again(tmp_path, damage, undisturbed):
    run(tmp_path)
    path = tmp_path / "steps" / "n002.json"
    before = dataclasses.replace(read_steps(path), seconds=0.0)
    path.unlink() if damage is None else path.write_text(damage)
    assert run(tmp_path).written == ["n002"]
    assert dataclasses.replace(read_steps(path), seconds=0.0) == before
    assert maps_in(tmp_path) == undisturbed


def test_an_image_without_labels_has_a_file_without_maps(tmp_path):
    run(tmp_path, Noise(sizes=((30, 21),)))
    maps = read_maps(tmp_path / "maps" / "n004.npz")
    assert [array.shape for array in maps] == [(0,), (0, 21, 30), (0, 6, 8)]
    assert maps.class_ids.dtype == np.int64


def test_without_steps_it_is_the_cam_and_no_batch_is_read(tmp_path):
    images = Noise()
    run(tmp_path, images, settings=few_steps(iterations=0, batch_size=5))
    assert sorted(images.shown) == list(range(9))


def test_nothing_is_read_for_an_update_that_no_map_looks_at(tmp_path):
    """Three steps of the authors' variant take two batches; a stop spares those after it."""
    images = Noise([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    run(tmp_path / "whole", images, settings=few_steps(batch_size=2))
    assert len(images.shown) == 3 * (1 + 2 * 2)
    images.shown.clear()
    report = run(tmp_path / "stopped", images, settings=few_steps(margin=1e-9, pooling="gap"))
    assert images.shown == [0, 1, 2]
    assert report.stopped == {"margin": 3, "flood": 0}


def some_stop(reason, **changes):
    """Settings with which about half of the images stop, whatever the net's weights are."""
    free = few_steps(pooling="gap", iterations=4, margin=1e9, **changes)
    if reason == "margin":
        reached = [max(map(abs, one.target_losses)) for one in adaptations(free)]
        return dataclasses.replace(free, margin=float(np.median(reached)))
    found = adaptations(dataclasses.replace(free, flood_share=1.0), trace=True)
    reached = [max(step.flooded for step in one.steps[1:]) for one in found]
    return dataclasses.replace(free, flood_share=float(np.median(reached)))


@pytest.mark.parametrize("reason", ["margin", "flood"])
def test_the_report_counts_the_stops(tmp_path, reason):
    settings = some_stop(reason)
    report, found = run(tmp_path, settings=settings), adaptations(settings)
    count = sum(one.stop_reason == reason for one in found)
    assert 0 < count < 8
    assert report.stopped == {"margin": 0, "flood": 0, reason: count}
    assert f"stopped by margin {report.stopped['margin']}, by flood" in str(report)


def test_the_report_in_words():
    report = MapsReport("maps", ["a", "b"], 3, {"c": "no file"}, {"c": "none"}, seconds=61.4)
    assert str(report).splitlines() == [
        "2 images in 61 s, 3 were there; stopped by margin 0, by flood 0; failed 1",
        "failed: c: no file",
        "left out of batches: c: none",
    ]


@WORKERS
def test_the_net_and_the_global_generators_are_left_as_they_were(tmp_path, workers):
    model = net().train()
    model.backbone.bn1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    random.seed(1)
    drawn = torch.rand(2), random.random(), np.random.get_state()[1].copy()  # noqa: NPY002
    torch.manual_seed(1)
    random.seed(1)
    run(tmp_path, model=model, workers=workers)
    assert torch.equal(torch.rand(2), drawn[0])
    assert random.random() == drawn[1]
    assert np.array_equal(np.random.get_state()[1], drawn[2])  # noqa: NPY002
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert model.training and not model.backbone.bn1.training


# Workers and shards -----------------------------------------------------------------------


@pytest.mark.parametrize("case", ["released", "paper", "margin", "flood"])
def test_the_number_of_workers_changes_nothing(tmp_path, case):
    settings = few_steps(case) if case in ("released", "paper") else some_stop(case)
    images = Noise(broken=(2, 8))
    here = run(tmp_path / "0", images, settings=settings)
    ahead = run(tmp_path / "2", images, settings=settings, workers=2)
    assert maps_in(tmp_path / "0") == maps_in(tmp_path / "2")
    for name in ("written", "failed", "unreadable", "stopped"):
        assert getattr(here, name) == getattr(ahead, name)


def test_shards_together_are_the_run_as_a_whole(tmp_path, undisturbed):
    """In any order, into one folder or several."""
    last = run(tmp_path, shard=(2, 3), workers=2)
    assert last.written == ["n002", "n005", "n008"]
    for index in (0, 1):
        assert len(run(tmp_path, shard=(index, 3)).written) == 3
    assert maps_in(tmp_path) == undisturbed
    assert run(tmp_path).kept == 9


def test_there_may_be_more_shards_than_images(tmp_path):
    assert run(tmp_path, shard=(10, 20)).written == []
    assert run(tmp_path, shard=(8, 20)).written == ["n008"]


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), (1, 0), (3, 2), (0, -1)])
def test_a_shard_that_does_not_exist_is_refused(tmp_path, shard):
    with pytest.raises(ValueError, match=r"shard must be \(i, n\) with 0 <= i < n; got \("):
        run(tmp_path / "new", shard=shard)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_no_worker_outlives_the_run(tmp_path, fails, monkeypatch):
    if fails:
        monkeypatch.setattr(localization, "write_maps", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, workers=2)
    else:
        run(tmp_path, workers=2)
    assert multiprocessing.active_children() == []


# Resuming ---------------------------------------------------------------------------------


def test_a_second_run_makes_nothing_and_reads_nothing(tmp_path):
    run(tmp_path)
    before, images = times(tmp_path), Noise()
    again = run(tmp_path, images, workers=2)
    assert (again.written, again.kept, images.shown) == ([], 9, [])
    assert times(tmp_path) == before


def damage(path, kind: str) -> None:
    whole = path.read_bytes()
    contents = {"half": whole[: len(whole) // 2], "short": whole[:-1], "empty": b"", "text": b"hi"}
    if kind == "missing":
        path.unlink()
    elif kind == "foreign":
        np.savez(path, maps=np.zeros(3))
    elif kind == "pickle":
        np.savez(path, class_ids=np.array([None]), high_res=[], strided=[])
    elif kind == "shapes":
        np.savez(path, class_ids=np.array(1), high_res=np.zeros((1, 4, 4)), strided=np.zeros(1))
    else:
        path.write_bytes(contents[kind])


KINDS = ["half", "empty", "text", "short", "missing", "foreign", "pickle", "shapes"]


def test_a_file_that_is_not_whole_is_made_anew_and_the_others_left(tmp_path, undisturbed):
    run(tmp_path)
    for index, kind in enumerate(KINDS):
        damage(tmp_path / "maps" / f"n{index:03}.npz", kind)
    before = times(tmp_path)["n008.npz"]
    report = run(tmp_path)
    assert report.written == Noise().ids[:8]
    assert report.kept == 1
    assert maps_in(tmp_path) == undisturbed
    assert times(tmp_path)["n008.npz"] == before


def test_what_a_kill_left_half_written_does_not_matter(tmp_path, undisturbed):
    (tmp_path / "maps").mkdir()
    (tmp_path / ".maps.json.17").write_text("{")
    for name in (".n001.npz.17", f".n002.npz.{os.getpid()}"):
        (tmp_path / "maps" / name).write_bytes(b"half")
    assert run(tmp_path).written == Noise().ids
    assert maps_in(tmp_path) == undisturbed
    assert run(tmp_path).kept == 9


class Interrupted(Noise):
    """Its n-th image is interrupted by Ctrl-C."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def image(self, index):
        if len(self.shown) == self.after:
            raise KeyboardInterrupt
        return super().image(index)


def test_ctrl_c_leaves_whole_files_and_the_run_goes_on(tmp_path, undisturbed):
    for after in (20, 1, 13):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Interrupted(after))
        there = maps_in(tmp_path)
        assert there.items() <= undisturbed.items()
        assert len(list((tmp_path / "maps").iterdir())) == len(there)
    report = run(tmp_path)
    assert report.kept == len(there) > 2
    assert maps_in(tmp_path) == undisturbed


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
def test_killed_at_random_moments_and_resumed_it_is_as_if_nothing_had_been(
    tmp_path, undisturbed, workers, monkeypatch
):
    monkeypatch.setattr(np, "savez", slowly)
    start = time.perf_counter()
    run(tmp_path / "timed", workers=workers)
    whole = time.perf_counter() - start
    moments, codes, counts = random.Random(workers), [], []
    while codes[-1:] != [0] and len(codes) < 60:
        process = multiprocessing.get_context("fork").Process(
            target=run, args=(tmp_path / "killed",), kwargs={"workers": workers}
        )
        process.start()
        process.join(moments.uniform(0.1, 0.5) * whole if len(codes) < 50 else None)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        codes.append(process.exitcode)
        counts.append(len(maps_in(tmp_path / "killed")))  # reads them: all are whole
    assert codes[-1] == 0
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert any(0 < count < 9 for count in counts), counts
    assert maps_in(tmp_path / "killed") == undisturbed


def test_a_full_disk_leaves_whole_files_and_the_run_goes_on(tmp_path, undisturbed):
    """Here the files of two classes do not fit any more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*n003\.npz: File too large"):
            run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["n000.npz", "n001.npz", "n002.npz"]
    assert run(tmp_path).kept == 3
    assert maps_in(tmp_path) == undisturbed


# The record -------------------------------------------------------------------------------


def test_the_record_says_how_the_maps_were_made(tmp_path):
    settings = few_steps("paper", seed=4)
    run(tmp_path, settings=settings)
    record = json.loads((tmp_path / "maps.json").read_text())
    assert record["settings"] == settings.as_dict()
    assert record["settings_hash"] == settings.hash()
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


def resnet(output_stride):
    return net(arch="resnet18", output_stride=output_stride)


TINY = {"settings": few_steps(iterations=0, scales=(1,))}
RESNET = {**TINY, "model": resnet(16), "images": Noise([[1, 0, 0]])}
OTHERS = {
    "a setting": ({"settings": few_steps(threshold=0.3)}, "threshold is 0.4 there, 0.3 here"),
    "two settings": (
        {"settings": few_steps(seed=1, flip=False)},
        "flip is True there, False here; seed is 0 there, 1 here",
    ),
    "the other variant": ({"settings": few_steps("paper")}, ".*variant is 'released' there"),
    "a list": (
        {"settings": few_steps(scales=(1, 2))},
        r"scales is \[1.0, 0.5\] there, \[1.0, 2.0\] here",
    ),
    "weights": ({"model": net(seed=1)}, "the weights are others"),
    "one weight": ({"model": moved("class_layer.weight")}, "the weights are others"),
    "one frozen weight": ({"model": moved("backbone.conv1.weight")}, "the weights are others"),
    "statistics": ({"model": other_statistics()}, "the weights are others"),
    "an id": ({"images": other_images("id")}, "the images are others"),
    "a label": ({"images": other_images("label")}, "the images are others"),
    "the order": ({"images": other_images("order")}, "the images are others"),
    "more images": ({"images": Noise([*LABELS, [1, 0, 0]])}, "the images are others"),
    "all": (
        {"images": Noise(LABELS[:2]), "model": net(seed=1), "settings": few_steps(seed=1)},
        "seed is 0 there, 1 here; the weights are others; the images are others",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path, case):
    run(tmp_path, shard=(0, 3))
    before = everything_in(tmp_path)
    changes, words = OTHERS[case]
    with pytest.raises(ValueError, match=f"{tmp_path} holds maps of another run \\({words}"):
        run(tmp_path, **changes)
    assert everything_in(tmp_path) == before


def test_the_output_stride_is_no_weight_and_yet_refused(tmp_path):
    run(tmp_path, **RESNET)
    with pytest.raises(ValueError, match="output_stride is 16 there, 8 here"):
        run(tmp_path, **{**RESNET, "model": resnet(8)})
    assert run(tmp_path, **RESNET).kept == 1


def test_other_frozen_stages_are_refused(tmp_path):
    run(tmp_path)
    model = net()
    model.frozen_stages = model.frozen_stages[:3]
    with pytest.raises(ValueError, match=r"frozen_stages is .*'layer2'\] there"):
        run(tmp_path, model=model)


def test_the_same_run_of_other_objects_is_not_refused(tmp_path):
    """600 and 600.0 are one margin; what was drawn in between does not count."""
    run(tmp_path, settings=few_steps(margin=600))
    torch.manual_seed(3)
    assert run(tmp_path, settings=few_steps(margin=600.0)).kept == 9


def test_maps_without_a_record_are_refused_and_left_alone(tmp_path):
    run(tmp_path)
    (tmp_path / "maps.json").unlink()
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match=r"maps holds maps, but .*maps\.json does not say how"):
        run(tmp_path)
    assert everything_in(tmp_path) == before


RECORD = {"settings": few_steps().as_dict(), "settings_hash": few_steps().hash()}
BROKEN = ["", "{", "[]", "3", "null", "{}", json.dumps(RECORD), '"' + "x" * 99, "\udcff\udcfe"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_record_is_named_and_left_alone(tmp_path, text):
    run(tmp_path)
    (tmp_path / "maps.json").write_bytes(text.encode(errors="surrogateescape"))
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match=rf"maps.json cannot be read \(.*\); move {tmp_path} away"):
        run(tmp_path)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("value", [3, None, [], "text"])
@pytest.mark.parametrize("key", ["settings", "net"])
def test_a_record_of_other_things_is_named(tmp_path, key, value):
    run(tmp_path)
    record = json.loads((tmp_path / "maps.json").read_text())
    (tmp_path / "maps.json").write_text(json.dumps({**record, key: value}))
    with pytest.raises(ValueError, match=r"maps\.json cannot be read"):
        run(tmp_path)


def test_a_record_of_another_version_is_refused(tmp_path):
    run(tmp_path)
    record = json.loads((tmp_path / "maps.json").read_text())
    record["settings"]["gone"] = 3
    (tmp_path / "maps.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"another run \(its settings have other fields\)"):
        run(tmp_path)


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
