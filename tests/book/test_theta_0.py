"""theta_0 of a chapter: trained once, loaded the next time, or the one that is named."""

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401

from ribnb.book.splits import VOCClassifierSettings, trained_classifier
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import load_classifier, mean_average_precision
from ribnb.nets.weights import checkpoint_metadata

CPU = torch.device("cpu")
SMALL = {
    "data": {"num_training": 40, "num_validation": 30},
    "recipe": {"epochs": 2, "batch_size": 8},
}


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("RIBNB_PROGRESS", "off")


def same(one, other) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIBNB_PROGRESS", "off")
        return folder, trained_classifier(VOCClassifierSettings(**SMALL), folder, CPU)


def test_the_recipe_trains_the_net_on_the_chosen_images(trained):
    folder, training = trained
    settings = VOCClassifierSettings(**SMALL)
    assert not training.loaded
    assert len(training.history) == len(training.validation_history) == 2
    assert training.mean_average_precision == training.validation_history[-1]
    assert not same(training.net, settings.first_net(6))
    found = mean_average_precision(training.net, settings.validation_images())
    assert found == training.mean_average_precision
    metadata = checkpoint_metadata(folder / "classifier.safetensors", "classifier")
    assert metadata["class_names"] == list(settings.images().class_names)


def test_the_next_time_it_is_loaded(trained):
    folder, training = trained
    again = trained_classifier(VOCClassifierSettings(**SMALL), folder, CPU)
    assert again.loaded
    assert same(again.net, training.net)
    assert again.history == training.history
    assert again.mean_average_precision == training.mean_average_precision


def test_another_recipe_is_refused_in_that_folder(trained):
    recipe = {**SMALL["recipe"], "learning_rate": 0.01}
    settings = VOCClassifierSettings(**{**SMALL, "recipe": recipe})
    with pytest.raises(ValueError, match=r"learning_rate is 0\.05 there, 0.01 here"):
        trained_classifier(settings, trained[0], CPU)


def test_a_net_that_is_named_is_not_trained(trained, tmp_path):
    folder, training = trained
    settings = VOCClassifierSettings(**SMALL, classifier=str(folder / "classifier.safetensors"))
    named = trained_classifier(settings, tmp_path / "other", CPU)
    assert named.loaded
    assert same(named.net, training.net)
    assert named.history == training.history
    assert named.mean_average_precision == training.mean_average_precision
    assert not (tmp_path / "other").exists()


def test_a_net_of_elsewhere_needs_no_history(tmp_path):
    settings = VOCClassifierSettings(**SMALL, classifier=str(tmp_path / "net.safetensors"))
    names = list(settings.images().class_names)
    settings.first_net(6).save(settings.classifier, {"class_names": names})
    named = trained_classifier(settings, tmp_path, CPU)
    assert (named.history, named.validation_history) == ([], [])
    assert 0 <= named.mean_average_precision <= 1


def test_a_net_of_other_classes_is_refused(tmp_path):
    CAMNet("scenes", 2).save(tmp_path / "two.safetensors", {"class_names": ["a", "b"]})
    settings = VOCClassifierSettings(**SMALL, classifier=str(tmp_path / "two.safetensors"))
    with pytest.raises(ValueError, match=r"two\.safetensors is another.*num_classes is 2 there, 6"):
        trained_classifier(settings, tmp_path, CPU)


def test_a_net_that_is_not_there_is_said(tmp_path):
    settings = VOCClassifierSettings(**SMALL, classifier=str(tmp_path / "none.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        trained_classifier(settings, tmp_path, CPU)


def test_released_leaves_its_frozen_stages_as_they_were(tmp_path):
    """On images of 96 pixels, with random weights, to see which parameters move."""
    from ribnb.data.scenes.layout import write_scenes

    write_scenes(tmp_path / "scenes", 6)
    small = {"epochs": 1, "batch_size": 2, "crop_size": 48}
    settings = VOCClassifierSettings(
        dataset="voc",
        data_root=str(tmp_path / "scenes"),
        variant="released",
        net={"arch": "resnet18", "weights": "random"},
        recipe={**small, "long_side_min": 48, "long_side_max": 64},
    )
    start = settings.first_net(6).state_dict()
    found = trained_classifier(settings, tmp_path / "run", CPU).net.state_dict()
    moved = {name.split(".")[1] for name in found if not torch.equal(found[name], start[name])}
    assert moved == {"layer3", "layer4", "weight"}  # the last is the class layer's
    loaded = load_classifier(tmp_path / "run" / "classifier.safetensors").state_dict()
    assert all(torch.equal(loaded[name], found[name]) for name in found)
