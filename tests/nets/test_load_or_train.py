"""A training that is taken up again, or a classifier that is there already."""

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_training import COLOURS, SMALL, Killed, Squares, fresh, same

from ribnb.nets.classifier import (
    mean_average_precision,
    save_classifier,
)
from ribnb.nets.classifier_settings import ClassifierSettings
from ribnb.nets.models import CAMNet
from ribnb.nets.train import train_classifier


def test_a_killed_training_goes_on_as_if_nothing_had_been(tmp_path):
    undisturbed = train_classifier(fresh(), Squares(), SMALL, folder=tmp_path / "whole")
    # one image for the folder's record, ten an epoch: one kill in the second, one in the third
    for shown, losses in ((15, 1), (12, 2)):
        with pytest.raises(KeyboardInterrupt):
            train_classifier(fresh(), Killed(shown), SMALL, folder=tmp_path / "killed")
        state = torch.load(tmp_path / "killed" / "training.pt", weights_only=True)
        assert len(state["record"]["history"]) == losses
    images = Squares()
    resumed = train_classifier(fresh(), images, SMALL, folder=tmp_path / "killed")
    assert images.shown == 1 + 10  # the last epoch only
    assert same(resumed.model, undisturbed.model)
    assert resumed.history == undisturbed.history
    assert not resumed.loaded
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["classifier.safetensors"]


def test_a_training_killed_while_it_writes_keeps_the_state_before(tmp_path, monkeypatch):
    """And what the kill left half-written is gone at the end."""
    whole, save = train_classifier(fresh(), Squares(), SMALL), torch.save

    def half(state, path):
        if len(state["record"]["history"]) < 2:
            return save(state, path)
        path.with_name(".training.pt.1").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(fresh(), Squares(), SMALL, folder=tmp_path)
    monkeypatch.undo()
    images = Squares()
    resumed = train_classifier(fresh(), images, SMALL, folder=tmp_path)
    assert images.shown == 1 + 2 * 10
    assert same(resumed.model, whole.model)
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.safetensors"]


def test_the_second_time_the_net_is_loaded(tmp_path):
    held_out = Squares(seed=1)
    first = train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=held_out)
    images, net = Squares(), fresh()
    held_out.shown = 0
    again = train_classifier(net, images, SMALL, tmp_path, validation=held_out)
    assert again.loaded and again.model is net
    assert images.shown == held_out.shown == 1  # to compare their sizes
    assert same(net, first.model)
    assert not net.training
    for name in ("history", "mean_average_precision", "seconds"):
        assert getattr(again, name) == getattr(first, name)
    assert train_classifier(net, images, SMALL, tmp_path).loaded  # a cell that runs once more
    assert train_classifier(fresh(), images, SMALL, tmp_path).mean_average_precision is None


def test_other_validation_images_are_scored_anew(tmp_path):
    train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=Squares(seed=1))
    other = Squares(seed=2)
    again = train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=other)
    assert again.loaded
    assert again.mean_average_precision == mean_average_precision(again.model, other)


def test_validates_after_each_epoch_if_asked(tmp_path):
    settings = ClassifierSettings.scenes(epochs=2, validate_each_epoch=True)
    held_out = Squares(seed=1)
    training = train_classifier(fresh(), Squares(), settings, validation=held_out)
    assert len(training.validation_history) == 2
    assert training.validation_history[-1] == training.mean_average_precision
    silent = train_classifier(fresh(), Squares(), ClassifierSettings.scenes(epochs=2))
    assert same(silent.model, training.model)  # looking changes nothing
    assert (silent.validation_history, silent.mean_average_precision) == ([], None)


def other_trainings():
    images = Squares()
    images.ids = [f"new {name}" for name in images.ids]
    frozen = fresh()
    frozen.backbone.conv1.requires_grad_(False)
    return [
        (fresh(), Squares(), ClassifierSettings.scenes(), "epochs is 3 there, 4 here"),
        (fresh(seed=1), Squares(), SMALL, "initial weights is .* there, .* build the net anew"),
        (fresh(), images, SMALL, "images is '[0-9a-f]{12}' there, '[0-9a-f]{12}' here"),
        (fresh(), Squares(sizes=((32, 32),)), SMALL, "images is"),
        (frozen, Squares(), SMALL, "frozen parameters is 0 there, 1 here"),
        (CAMNet("resnet18", 3), Squares(), SMALL, "arch is 'scenes' there, 'resnet18' here"),
    ]


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("finished", [True, False])
def test_another_training_is_refused_and_its_files_left_alone(tmp_path, case, finished):
    if finished:
        train_classifier(fresh(), Squares(), SMALL, tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            train_classifier(fresh(), Killed(15), SMALL, tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    net, images, settings, message = other_trainings()[case]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=f"{file} is of another training: .*{message}"):
        train_classifier(net, images, settings, tmp_path)
    assert file.read_bytes() == content
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("damage", ["half", "empty", "text", "other"])
def test_a_broken_state_is_named_and_training_starts_anew(tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        train_classifier(fresh(), Killed(15), SMALL, tmp_path)
    path = tmp_path / "training.pt"
    whole = path.read_bytes()
    if damage == "other":
        torch.save({"identity": {}}, path)
    else:
        path.write_bytes({"half": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.warns(UserWarning, match="training.pt is not a whole training state") as warned:
        training = train_classifier(fresh(), Squares(), SMALL, tmp_path)
    assert warned[0].filename == __file__  # it points to who called
    assert same(training.model, train_classifier(fresh(), Squares(), SMALL).model)


def test_a_broken_classifier_is_refused_and_left_alone(tmp_path):
    train_classifier(fresh(), Squares(), SMALL, tmp_path)
    path = tmp_path / "classifier.safetensors"
    half = path.read_bytes()[:1000]
    path.write_bytes(half)
    with pytest.raises(ValueError, match=r"classifier.safetensors is not a whole classifier"):
        train_classifier(fresh(), Squares(), SMALL, tmp_path)
    assert path.read_bytes() == half


def test_a_file_that_does_not_say_how_it_was_trained_is_refused(tmp_path):
    path = tmp_path / "classifier.safetensors"
    save_classifier(fresh(), path, {"class_names": COLOURS})
    with pytest.raises(ValueError, match="does not say how it was trained"):
        train_classifier(fresh(), Squares(), SMALL, tmp_path)
