"""Digits and embedded scenes: their data, the nets that come along, many adaptations."""

from itertools import islice

import pytest
import torch

from ribnb.book.scenes import (
    TRAINED,
    SceneRIBSettings,
    SceneSettings,
    ToySettings,
    adapt_one,
    adapt_to_all,
    digit_net,
    digit_recipe,
    gain,
    maps_after,
    scene_nets,
    toy_data,
    train_scene_net,
)
from ribnb.data.scenes.images import SceneImages
from ribnb.data.scenes.rendering import CLASS_NAMES
from ribnb.nets.classifier import load_classifier
from ribnb.nets.digit_net import train_digit_net
from ribnb.nets.fitting import fit
from ribnb.nets.weights import CHECKPOINTS, checkpoint_metadata
from ribnb.scores import seed_miou

HOW = SceneRIBSettings().rib


@pytest.fixture(scope="module")
def scenes() -> SceneImages:
    return SceneImages(4, seed=TRAINED[0], split="test")


@pytest.fixture(scope="module")
def model():
    return load_classifier(CHECKPOINTS / f"scenes_{TRAINED[0]}.safetensors")


def test_the_nets_that_come_along_are_small_and_know_their_classes():
    for (net, images, score), seed in zip(scene_nets(SceneSettings(), "cpu"), TRAINED, strict=True):
        assert score > 0.9 and images.ids[0].startswith(f"s{seed}_train")
        assert not net.training
        path = CHECKPOINTS / f"scenes_{seed}.safetensors"
        metadata = checkpoint_metadata(path, "classifier")
        assert path.stat().st_size < 3_000_000
        assert metadata["command"] == f"python data_scripts/train_scene_nets.py --seeds {seed}"
        assert tuple(metadata["class_names"]) == CLASS_NAMES[:6]


def test_a_retraining_is_by_the_recipe_of_the_nets_that_come_along(tmp_path, monkeypatch):
    """On fewer scenes, for the whole recipe takes minutes; from the same weights."""
    monkeypatch.setattr("ribnb.book.scenes.NUM_TRAINING", 32)
    train_scene_net(TRAINED[0], tmp_path)
    paths = tmp_path / "classifier.safetensors", CHECKPOINTS / f"scenes_{TRAINED[0]}.safetensors"
    new, old = (checkpoint_metadata(path, "classifier")["identity"] for path in paths)
    assert {**new, "images": old["images"]} == old != new


@pytest.mark.parametrize(
    ("name", "design"),
    [("0", {}), ("1", {}), ("2", {}), ("0_bias", {"bias": True}), ("0_max", {"pooling": "max"})],
)
def test_the_digit_nets_that_come_along_say_how_they_were_made(name, design):
    made = checkpoint_metadata(CHECKPOINTS / f"digits_{name}.safetensors", "digits")
    seed = int(name[0])
    assert made["identity"] == digit_recipe(ToySettings(), seed, **design)
    assert design.items() <= made["design"].items()
    assert made["command"] == f"python data_scripts/train_digit_nets.py --seeds {seed}"
    assert made["class_names"] == ["2", "8"] and made["git_commit"].isalnum()


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels, _ = toy_data(ToySettings(), seed=0, num_held_out=1)["train"]
    return images, labels


@pytest.mark.parametrize("design", [{}, {"bias": True}, {"pooling": "max"}])
def test_training_begins_as_that_of_the_digit_nets_that_come_along(design, digits, monkeypatch):
    """The first of eight epochs. When the nets were made, all were the same, bit for bit."""

    def first_epoch(net, optimizer, batches, ends, *rest, **more):
        return fit(net, optimizer, lambda k: islice(batches(k), ends[0]), ends[:1], *rest, **more)

    monkeypatch.setattr("ribnb.nets.digit_net.fit", first_epoch)
    _, losses = train_digit_net(*digits, seed=0, **design)
    _, history = digit_net(ToySettings(), 0, *digits, **design)
    assert len(history) == ToySettings().epochs
    assert losses == pytest.approx(history[:1], rel=1e-3)  # a processor may round otherwise


@pytest.mark.parametrize(
    ("change", "seed", "design"),
    [({"epochs": 1}, 0, {}), ({"digits": "mnist"}, 0, {}), ({}, 1, {"bias": True}), ({}, 3, {})],
)
def test_other_settings_train_the_digit_net(change, seed, design, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ribnb.book.scenes.train_digit_net", lambda *given, **more: asked.append((*given, more))
    )
    digit_net(ToySettings(**change), seed, "images", "labels", **design)
    assert asked == [("images", "labels", change.get("epochs", 8), seed, design)]


def test_retraining_does_not_load(monkeypatch, model):
    asked = []
    monkeypatch.setattr(
        "ribnb.book.scenes.train_scene_net", lambda *given: asked.append(given) or model
    )
    settings = SceneSettings(first_seed=8, nets=1, num_images=2, retrain=True, output_dir="out")
    ((net, images, score),) = scene_nets(settings, torch.device("cpu"))
    ((seed, folder, _),) = asked
    assert (seed, folder.as_posix()) == (8, "out/net_8")
    assert net is model and len(images) == 2 and 0 <= score <= 1


def test_many_at_a_time_are_as_one_by_one(model, scenes):
    how = HOW.replace(iterations=2, batch_size=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    together = adapt_to_all(model, scenes, how)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert (len(together), len(adapt_to_all(model, scenes, how, 1))) == (len(scenes), 1)
    for index, found in enumerate(together):
        assert len(found.steps[0].batch_logits) == 2
        alone = adapt_one(model, scenes, index, how)
        torch.testing.assert_close(found.high_res, alone.high_res, rtol=0, atol=1e-4)


def test_maps_after_some_steps_are_the_maps_of_fewer_steps(model, scenes):
    constant = {"learning_rate": 1e-3, "power": 0.0}  # a rate that does not depend on K
    long, short = (HOW.replace(iterations=k, **constant) for k in (3, 1))
    results, fewer = (adapt_to_all(model, scenes, how) for how in (long, short))
    cam, one, all_of_them, beyond = (
        maps_after(results, k, scenes.size, long)[0]["high_res"] for k in (0, 1, 3, 9)
    )
    torch.testing.assert_close(one, fewer[0].high_res, rtol=0, atol=1e-5)
    assert torch.equal(all_of_them, results[0].high_res)
    assert torch.equal(beyond, results[0].high_res)
    assert not torch.allclose(cam, all_of_them, atol=1e-3)


def test_a_gain_is_that_of_the_scores(model, scenes):
    how = HOW.replace(iterations=2)
    maps = adapt_to_all(model, scenes, how)
    cams = maps_after(maps, 0, scenes.size, how)
    _, _, masks, _ = scenes.batch()
    new, old = (seed_miou(each, masks, num_classes=6).best_miou for each in (maps, cams))
    assert gain(maps, cams, scenes).difference == pytest.approx(new - old)


def test_missing_mnist_is_downloaded_only_if_allowed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("ribnb.book.scenes.download_mnist", asked.append)
    for download, expected in ((False, []), (True, [str(tmp_path)])):
        settings = ToySettings(digits="mnist", data_root=str(tmp_path), download=download)
        with pytest.raises(FileNotFoundError, match="no MNIST in"):
            toy_data(settings, seed=0)
        assert asked == expected
