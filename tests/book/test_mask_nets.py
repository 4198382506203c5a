"""What the chapter on masks starts from: maps of these images, and an IRN of this trunk."""

import json
import shutil

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_results import in_groups

from ribnb.book import masks as voc_masks_settings
from ribnb.book.masks import KINDS, VOCMasksSettings, inputs_of, irn_net, maps_of
from ribnb.core.files import read_maps, weights_digest
from ribnb.data.scenes.images import SceneImages
from ribnb.masks.irn import irn_labels
from ribnb.masks.irn_net import IRN
from ribnb.method.localization import maps_digest
from ribnb.nets.scene_nets import CHECKPOINTS, TRAINED
from ribnb.nets.training_folder import START, weight_sum
from ribnb.nets.weights import checkpoint_metadata

CPU = torch.device("cpu")
IMAGES = SceneImages(4, seed=3)


def few(**changes) -> VOCMasksSettings:
    """Two short epochs of IRN."""
    small = {"retrain": True, "epochs": 2, "batch_size": 2, "crop_size": 48}
    return VOCMasksSettings(**in_groups("voc_masks", {**small, **changes}))


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("RIBNB_PROGRESS", "off")


@pytest.fixture(name="run", scope="module")
def run_folder(tmp_path_factory):
    """A folder with both kinds of maps, as a run of voc_rib leaves them, and confident labels."""
    folder = tmp_path_factory.mktemp("run")
    maps = maps_of(few(), IMAGES, CPU, folder)
    for kind in KINDS:
        irn_labels(IMAGES, maps[kind], folder / f"labels_{kind}", few().irn_for(kind))
    return folder


@pytest.fixture(name="trained", scope="module")
def trained_net(run, tmp_path_factory):
    """An IRN's training that nothing happened to, and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    return irn_net(few(), "rib", IMAGES, run / "labels_rib", folder, CPU), folder


def same(one: IRN, other: IRN) -> bool:
    """With all its weights."""
    return weights_digest(one) == weights_digest(other)


# Maps -------------------------------------------------------------------------------------


def test_maps_of_both_kinds_are_made(run):
    found = {
        kind: {path.stem: read_maps(path) for path in (run / place).glob("*.npz")}
        for kind, place in {"cam": "cam/maps", "rib": "maps"}.items()
    }
    assert found["cam"].keys() == found["rib"].keys() == set(IMAGES.ids)
    for name, rib in found["rib"].items():
        cam = found["cam"][name]
        assert cam.class_ids.tolist() == rib.class_ids.tolist()
        assert cam.high_res.shape == rib.high_res.shape == (len(cam.class_ids), 96, 96)
        assert (rib.high_res != cam.high_res).any()
    records = [json.loads((run / one / "maps.json").read_text()) for one in ("cam", ".")]
    assert [one["settings"]["iterations"] for one in records] == [0, few().maps.iterations]


def test_maps_that_were_made_are_found_as_a_run(run):
    """And are not made again."""
    times = {path: path.stat().st_mtime_ns for path in run.rglob("*.npz")}
    made = maps_of(few(), IMAGES, CPU, run)
    assert maps_of(few(maps_run=str(run)), IMAGES, CPU, "nowhere") == made
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.npz")} == times


@pytest.mark.parametrize("others", [SceneImages(3, seed=3), SceneImages(4, seed=4)])
def test_a_run_on_other_images_is_refused(run, others):
    settings = few(maps_run=str(run))
    with pytest.raises(
        ValueError, match=rf"cam/maps holds maps of other images than the {len(others)}"
    ):
        maps_of(settings, others, CPU, "nowhere")


def test_maps_of_another_seed_are_not_mixed_with_those_there(run):
    with pytest.raises(ValueError, match="Choose another output_dir"):
        maps_of(few(seed=4), IMAGES, CPU, run)


@pytest.mark.parametrize("lacking", ["cam", "maps"])
def test_a_run_without_maps_of_a_kind_is_named(run, tmp_path, lacking):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    shutil.rmtree(folder / lacking)
    message = f"there is no folder of maps {folder / lacking}.*; run the chapter voc_rib"
    with pytest.raises(FileNotFoundError, match=message):
        maps_of(few(maps_run=str(folder)), IMAGES, CPU, "nowhere")


# Training ---------------------------------------------------------------------------------


def test_an_irn_is_trained_as_the_settings_say(trained):
    training, folder = trained
    assert not training.loaded
    assert not training.net.training
    assert len(training.history) == 2
    identity = checkpoint_metadata(folder / "irn.safetensors")["identity"]
    here = {name: identity[name] for name in ("epochs", "batch_size", "crop_size", "seed")}
    assert here == {"epochs": 2, "batch_size": 2, "crop_size": 48, "seed": 3}
    start = IRN(few().trunk(6), seed=3)
    assert identity["trunk"] == start.trunk_digest
    assert identity[START] == weight_sum(start.branches)


def test_a_finished_training_is_loaded(run, trained):
    training, folder = trained
    again = irn_net(few(), "rib", IMAGES, run / "labels_rib", folder, CPU)
    assert again.loaded
    assert same(again.net, training.net)
    assert again.history == training.history


class Interrupted(SceneImages):
    """Reading its n-th image in a row is interrupted by Ctrl-C."""

    left = 4 + 1  # the first image is looked at before the training

    def image(self, index):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().image(index)


def test_a_training_goes_on_from_its_folder(run, trained, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        irn_net(few(), "rib", Interrupted(4, seed=3), run / "labels_rib", tmp_path, CPU)
    assert (tmp_path / "training.pt").exists()
    on = irn_net(few(), "rib", IMAGES, run / "labels_rib", tmp_path, CPU)
    assert not on.loaded
    assert on.history == trained[0].history
    assert same(on.net, trained[0].net)


def test_a_folder_of_another_training_is_refused(run, trained):
    """Of other parameters, and of the other kind of maps."""
    with pytest.raises(ValueError, match="another training: epochs is 2 there, 3 here"):
        irn_net(few(epochs=3), "rib", IMAGES, run / "labels_rib", trained[1], CPU)
    with pytest.raises(ValueError, match="another training: labels is"):
        irn_net(few(), "cam", IMAGES, run / "labels_cam", trained[1], CPU)


# Nets that are there ----------------------------------------------------------------------


def named(trained, kind="rib", **changes) -> VOCMasksSettings:
    return few(**{f"irn_{kind}": str(trained[1] / "irn.safetensors"), **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_that_is_named_is_loaded(trained, kind, tmp_path):
    found = irn_net(named(trained, kind), kind, IMAGES, "nowhere", tmp_path, CPU)
    assert found.loaded
    assert not found.net.training
    assert same(found.net, trained[0].net)
    assert found.history == trained[0].history
    assert found.seconds == trained[0].seconds
    assert list(tmp_path.iterdir()) == []


def test_a_net_on_another_trunk_is_refused(trained, tmp_path):
    other = named(trained, seed=4)
    with pytest.raises(ValueError, match="trained on other weights of a scenes"):
        irn_net(other, "rib", IMAGES, "nowhere", tmp_path, CPU)


def test_a_net_that_was_trained_otherwise_is_refused(trained, tmp_path):
    """Else the result would name parameters that no net was trained with."""
    message = r"irn\.safetensors was trained otherwise: epochs is 2 there, 3 here\. .* irn_rib,"
    with pytest.raises(ValueError, match=message):
        irn_net(named(trained, epochs=3), "rib", IMAGES, "nowhere", tmp_path, CPU)
    walked = named(trained, walk_exponent=1, foreground_threshold=0.9, precision="bfloat16")
    assert irn_net(walked, "rib", IMAGES, "nowhere", tmp_path, CPU).loaded


@pytest.mark.parametrize("path", ["nowhere", str(CHECKPOINTS / "scenes_3.safetensors")])
def test_what_is_no_irn_is_named(tmp_path, path):
    with pytest.raises((FileNotFoundError, ValueError), match=f"no irn at {path}|is of the kind"):
        irn_net(few(irn_rib=path), "rib", IMAGES, "nowhere", tmp_path, CPU)


def test_the_packages_own_net_is_taken(trained, tmp_path, monkeypatch):
    """A net without a history too."""
    shutil.copy(CHECKPOINTS / "scenes_3.safetensors", tmp_path)
    monkeypatch.setattr(voc_masks_settings, "CHECKPOINTS", tmp_path)
    trained[0].net.save(tmp_path / "scenes_3_irn_cam.safetensors")
    found = irn_net(VOCMasksSettings(), "cam", IMAGES, "nowhere", tmp_path / "out", CPU)
    assert same(found.net, trained[0].net)
    assert (found.loaded, found.history, found.seconds) == (True, [], 0.0)
    with pytest.raises(FileNotFoundError, match=r"no irn at .*scenes_3_irn_rib"):
        irn_net(VOCMasksSettings(), "rib", IMAGES, "nowhere", tmp_path / "out", CPU)


# Record -----------------------------------------------------------------------------------


def test_inputs_tell_maps_and_nets_apart(run, trained):
    maps = {"cam": run / "cam/maps", "rib": run / "maps"}
    other = IRN(few().trunk(6), seed=9)
    found = inputs_of(IMAGES, maps, {"cam": trained[0].net, "rib": other})
    assert found.keys() == {"maps of cam", "maps of rib", "IRN for cam", "IRN for rib"}
    assert len({*found.values()}) == 4
    assert found["maps of rib"] == maps_digest(run / "maps", IMAGES)
    again = inputs_of(IMAGES, maps, {"cam": trained[0].net, "rib": IRN(few().trunk(6), seed=9)})
    assert again == found


# The package ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", TRAINED)
def test_the_package_has_nets_of_todays_settings(seed, kind, tmp_path):
    """One that was trained with other parameters is refused."""
    settings = VOCMasksSettings(seed=seed)
    path = settings.trained_irn(kind)
    if not path.is_file():
        pytest.skip(f"{path} is not there; data_scripts/train_scene_masks.py makes it")
    found = irn_net(settings, kind, SceneImages(1, seed=seed), "nowhere", tmp_path, CPU)
    assert found.loaded
    assert len(found.history) == settings.irn.epochs
