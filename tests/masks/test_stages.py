"""What holds for every stage of masks: its masks, resuming, faults, refusals, other processes."""

import json
import pickle
import sys
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import contents
from small_masks import made_up_maps, write_maps_of
from small_split import Noise
from small_split import net as classifier

from ribnb.core.files import read_maps, write_maps
from ribnb.core.voc import read_mask
from ribnb.data.scenes.images import SceneImages
from ribnb.data.views import Part
from ribnb.masks import stages
from ribnb.masks.crf import CRFSettings, crf_available, crf_mask, crf_masks, seed_masks
from ribnb.masks.irn import IRNSettings, confident, irn_labels, irn_masks, walked_mask
from ribnb.masks.irn_net import IRN, boundary_map
from ribnb.masks.saliency import Saliency, saliency_mask, saliency_masks
from ribnb.scores.confusion import seed_mask

needs_crf = pytest.mark.skipif(
    not crf_available(), reason="no pydensecrf2 here: `pip install -e .[crf]` compiles it"
)
CRF = CRFSettings.scenes(iterations=3)
FEW = IRNSettings.scenes(walk_exponent=2, walk_radius=3, foreground_threshold=0.6)


def salient(images, image_id):
    """A saliency map that only this image has."""
    index = images.ids.index(image_id)
    size = images.image(index).size[::-1]
    return np.random.default_rng(index).random(size, np.float32)


def salient_masks(images, maps_dir, output_dir, name="made up", **options):
    saliency = Saliency(name, partial(salient, images))
    return saliency_masks(images, maps_dir, saliency, output_dir, **options)


def irn():
    return IRN(classifier()).eval()


class Stage(NamedTuple):
    """A stage as it is called, the mask that it must make of an image, and what it refuses."""

    run: partial  # (images, maps_dir, output_dir=...) -> its report
    mask: object  # (images, index, maps) -> the mask
    other: dict  # arguments that make other masks
    refused: str  # what is said of a folder of those


def refined(images, index, maps):
    values = [0, *(maps.class_ids + 1)]  # of the map file, though no seed shows some of them
    return crf_mask(np.array(images.image(index)), seed_mask(maps, 0.9), values, CRF)


def walked(images, index, maps):
    return walked_mask(maps, boundary_map(irn(), images.image(index)), FEW)


ALL = {
    "seeds": Stage(
        partial(seed_masks, threshold=0.4),
        lambda images, index, maps: seed_mask(maps, 0.4),
        {"threshold": 0.5},
        r"threshold is 0\.4 there, 0\.5 here",
    ),
    "crf": Stage(
        partial(crf_masks, threshold=0.9, settings=CRF),
        refined,
        {"settings": CRF.replace(iterations=5)},
        r"settings\.iterations is 3 there, 5 here",
    ),
    "labels": Stage(
        partial(irn_labels, settings=FEW),
        lambda images, index, maps: confident(maps, FEW),
        {"settings": FEW.replace(foreground_threshold=0.7)},
        r"foreground_threshold is 0\.6 there, 0\.7 here",
    ),
    "refined labels": Stage(
        partial(irn_labels, settings=FEW, crf=CRF),
        lambda images, index, maps: confident(maps, FEW, np.array(images.image(index)), CRF),
        {"crf": None},
        "crf is .* there, 'no CRF' here",
    ),
    "IRN": Stage(
        lambda *given, **options: irn_masks(irn(), *given, **{"settings": FEW, **options}),
        walked,
        {"settings": FEW.replace(beta=3)},
        r"settings\.beta is 10\.0 there, 3\.0 here",
    ),
    "saliency": Stage(
        salient_masks,
        lambda images, index, maps: saliency_mask(maps, salient(images, images.ids[index])),
        {"name": "another"},
        "saliency is 'made up' there, 'another' here",
    ),
}
IN_ALL = pytest.mark.parametrize(
    "stage",
    [
        pytest.param(one, id=name, marks=needs_crf if name in ("crf", "refined labels") else ())
        for name, one in ALL.items()
    ],
)


@pytest.fixture
def images():
    return Noise(sizes=((32, 24), (21, 33)))


@pytest.fixture
def maps_dir(tmp_path, images):
    return write_maps_of(images, tmp_path / "run")


@IN_ALL
def test_every_image_gets_the_mask_of_its_maps(tmp_path, images, maps_dir, stage):
    report = stage.run(images, maps_dir, output_dir=tmp_path / "out")
    assert report.written == images.ids and not report.failed and not report.kept
    shown = set()
    for index, name in enumerate(images.ids):
        mask = read_mask(tmp_path / "out" / f"{name}.png", 3)
        expected = stage.mask(images, index, made_up_maps(images, index))
        assert mask.dtype == expected.dtype and np.array_equal(mask, expected)
        shown |= set(np.unique(mask).tolist())
    assert shown >= {0, 1, 2, 3}
    record = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert {"stage", "maps", "images"} < record.keys()


@IN_ALL
def test_a_stopped_stage_goes_on_and_damage_is_repaired(tmp_path, images, maps_dir, stage):
    out = tmp_path / "out"
    stage.run(images, maps_dir, output_dir=out)
    whole = contents(out)
    (out / "n002.png").unlink()
    (out / "n005.png").write_bytes(whole["n005.png"][:-20])
    images.shown.clear()
    report = stage.run(images, maps_dir, output_dir=out)
    assert report.written == ["n002", "n005"] and report.kept == 7
    assert set(images.shown) <= {2, 5}
    assert contents(out) == whole


SPOILS = {
    # one that a mask's 8 bits would make another class of
    "of a class too large": (lambda m: {"class_ids": m.class_ids * 0 + 256}, r"in 0 ... 2; got"),
    "not divided": (lambda m: {"high_res": m.high_res * 9}, "must lie in [0, 1]"),
    "of another size": (
        lambda m: {"high_res": m.high_res[:, :16, :16], "strided": m.strided[:, :4, :4]},
        "are (16, 16) pixels, the image is (24, 32)",
    ),
}


@IN_ALL
def test_a_fault_of_one_image_is_named_and_the_rest_goes_on(tmp_path, stage):
    images = Noise(labels=[[1, 0, 0]] * (len(SPOILS) + 4))
    maps_dir = write_maps_of(images, tmp_path / "run")
    path = {name: maps_dir / f"{name}.npz" for name in images.ids}
    for name, (spoil, _) in zip(images.ids, SPOILS.values(), strict=False):
        maps = read_maps(path[name])
        write_maps(path[name], maps._replace(**spoil(maps)))
    why = {
        name: (message, str(path[name]))
        for name, (_, message) in zip(images.ids, SPOILS.values(), strict=False)
    }
    missing, damaged, unreadable, good = images.ids[-4:]
    path[missing].unlink()
    path[damaged].write_bytes(path[damaged].read_bytes()[:100])
    images.broken = (images.ids.index(unreadable),)
    why[missing] = ("there are no maps at", str(path[missing]))
    why[damaged] = ("is not a whole map file", str(path[damaged]))
    why[unreadable] = (f"image {unreadable} cannot be read",)
    report = stage.run(images, maps_dir, output_dir=tmp_path / "out")
    assert report.written == [good] and report.failed.keys() == why.keys()
    for name, words in why.items():
        assert all(word in report.failed[name] for word in words), report.failed[name]
    assert [one.stem for one in (tmp_path / "out").glob("*.png")] == [good]
    images.broken = ()
    again = stage.run(images, maps_dir, output_dir=tmp_path / "out")
    assert (again.written, again.kept) == ([unreadable], 1)


@IN_ALL
def test_maps_and_masks_of_something_else_are_refused(tmp_path, images, maps_dir, stage):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="other images than the 5 here"):
        stage.run(Part(images, range(5)), maps_dir, output_dir=out)
    assert not out.exists()
    stage.run(images, maps_dir, output_dir=out)
    before = contents(out)
    with pytest.raises(ValueError, match=stage.refused):
        stage.run(images, maps_dir, output_dir=out, **stage.other)
    record = maps_dir.parent / "maps.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "settings": {"k": 2}}))
    with pytest.raises(ValueError, match=r"maps is '.*' there, '.*' here"):
        stage.run(images, maps_dir, output_dir=out)
    assert contents(out) == before


def test_masks_of_another_net_are_refused_and_the_net_s_mode_is_left_as_it_was(
    tmp_path, images, maps_dir
):
    net = IRN(classifier()).train()
    irn_masks(net, images, maps_dir, tmp_path / "out", FEW)
    assert net.branch.training and not any(one.training for one in net.trunk.modules())
    with pytest.raises(ValueError, match="holds masks that were made otherwise"):
        irn_masks(IRN(classifier(), seed=1), images, maps_dir, tmp_path / "out", FEW)


def test_what_cannot_be_done_makes_nothing(tmp_path, images, maps_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    given = images, maps_dir, tmp_path / "out"
    with pytest.raises(ImportError, match="pydensecrf2"):
        crf_masks(*given, 0.4, CRF)
    with pytest.raises(ValueError, match="thresholds must be"):
        seed_masks(*given, 1.4)
    assert not (tmp_path / "out").exists()


def test_several_threads_give_the_same_files(tmp_path, images, maps_dir):
    for workers in (1, 2):
        ALL["IRN"].run(images, maps_dir, output_dir=tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("name", ["seeds", "labels", "saliency"])
def test_another_process_is_handed_the_job_without_the_scenes_that_were_drawn(
    tmp_path, name, monkeypatch
):
    """The job is pickled with every few images: 20 drawn scenes are over 1 MB."""
    images, jobs = Part(SceneImages(20, seed=10), range(20)), []
    maps_dir = write_maps_of(images, tmp_path / "run")
    monkeypatch.setattr(stages, "over_images", lambda make, *_, **__: jobs.append(make))
    ALL[name].run(images, maps_dir, output_dir=tmp_path / "out")
    sent = pickle.dumps(jobs[0])
    assert len(sent) < 5000
    assert np.array_equal(pickle.loads(sent)(images.ids[3]), jobs[0](images.ids[3]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_makes_the_cpu_s_masks(tmp_path, images, maps_dir):
    for device in ("cpu", "cuda"):
        irn_masks(irn(), images, maps_dir, tmp_path / device, FEW, device, workers=2)
    same = [
        read_mask(tmp_path / "cpu" / f"{name}.png") == read_mask(tmp_path / "cuda" / f"{name}.png")
        for name in images.ids
    ]
    assert np.concatenate([one.ravel() for one in same]).mean() > 0.99
