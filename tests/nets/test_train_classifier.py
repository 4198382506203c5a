"""Training a classifier: its schedule, what moves, what is refused."""

import math

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from small_training import SMALL, Squares, fresh, same

from ribnb.core.settings import SettingsError
from ribnb.data.views import to_tensor
from ribnb.nets.classifier_settings import ClassifierSettings
from ribnb.nets.train import train_classifier

# The schedule -----------------------------------------------------------------------------


def test_the_rate_warms_up_and_falls_as_a_polynomial():
    settings = ClassifierSettings(learning_rate=0.2, warm_up_steps=4, power=0.9)
    assert settings.rate(0, 100) == pytest.approx(0.2 * 1 / 4)
    assert settings.rate(2, 100) == pytest.approx(0.2 * 3 / 4 * 0.98**0.9)
    assert settings.rate(50, 100) == pytest.approx(0.2 * 0.5**0.9)
    assert 0 < settings.rate(99, 100) == pytest.approx(0.2 * 0.01**0.9)
    assert ClassifierSettings(learning_rate=0.2).rate(0, 100) == 0.2


def test_each_step_uses_the_scheduled_rate_and_the_class_layers_factor(monkeypatch):
    rates, kinds = [], set()

    def note(optimizer, *_):
        rates.append([(group["lr"], len(group["params"])) for group in optimizer.param_groups])
        for group in optimizer.param_groups:
            kinds.add((group["momentum"], group["nesterov"], group["weight_decay"]))

    monkeypatch.setattr(torch.optim.SGD, "step", note)
    settings = ClassifierSettings.scenes(epochs=2, batch_size=4, class_layer_factor=7)
    train_classifier(fresh(), Squares(10), settings)
    assert kinds == {(0.9, True, 3e-3)}
    assert len(rates) == 2 * 3  # the last batch of an epoch has two images
    others = len(list(fresh().parameters())) - 1
    for step, (backbone, class_layer) in enumerate(rates):
        expected = 0.05 * (step + 1) / 50 * (1 - step / 6) ** 0.9
        assert backbone == (pytest.approx(expected), others)
        assert class_layer == (pytest.approx(7 * expected), 1)


def test_first_loss_is_the_mean_over_images_and_classes():
    """All images in one batch, the rate 0: the epoch's loss is that of the untrained net."""
    images, net = Squares(6), fresh()
    batch = torch.stack([to_tensor(images.image(index)) for index in range(6)])
    with torch.no_grad():
        chance = fresh().train()(batch).sigmoid()
    expected = -torch.where(images.labels == 1, chance, 1 - chance).log().mean().item()
    settings = ClassifierSettings.scenes(epochs=1, batch_size=6, learning_rate=0, flip=False)
    assert train_classifier(net, images, settings).history == pytest.approx([expected], rel=1e-4)


# Training ---------------------------------------------------------------------------------


def test_learns_a_few_images_by_heart():
    images, net = Squares(10), fresh()
    settings = ClassifierSettings.scenes(epochs=40, batch_size=5, warm_up_steps=5)
    training = train_classifier(net, images, settings, validation=images)
    assert training.model is net
    assert not any(module.training for module in net.modules())
    assert all(parameter.is_contiguous() for parameter in net.parameters())
    assert training.history[-1] < 0.2 * training.history[0]
    assert training.mean_average_precision == 1
    assert (len(training.history), training.loaded) == (40, False)
    assert training.seconds > 0


def test_the_number_of_workers_changes_nothing():
    """Nor does the state of the global generator, which is left as it was."""
    settings = ClassifierSettings.scenes(
        epochs=2, batch_size=4, crop_size=16, long_side_min=12, long_side_max=30
    )
    here = train_classifier(fresh(), Squares(), settings)
    torch.manual_seed(9)
    drawn = torch.rand(3)
    torch.manual_seed(9)
    ahead = train_classifier(fresh(), Squares(), settings, workers=2)
    assert torch.equal(torch.rand(3), drawn)
    assert same(here.model, ahead.model)
    assert here.history == ahead.history


def test_another_seed_gives_another_order():
    first, other = (
        train_classifier(fresh(), Squares(), ClassifierSettings.scenes(epochs=1, seed=seed))
        for seed in (0, 1)
    )
    assert not same(first.model, other.model)


def test_frozen_parameters_and_their_statistics_are_left_alone():
    net, untouched = fresh(), fresh()
    for stage in ("conv1", "bn1", "layer1"):
        getattr(net.backbone, stage).requires_grad_(False)
    train_classifier(net, Squares(), SMALL)
    moved = {
        name
        for name, value in net.state_dict().items()
        if not torch.equal(value, untouched.state_dict()[name])
    }
    assert moved == {
        name
        for name in net.state_dict()
        if not name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))
    }


def test_running_statistics_stay_where_they_are_kept():
    net = fresh()
    train_classifier(net, Squares(), ClassifierSettings.scenes(epochs=1, running_statistics=True))
    buffers = dict(fresh().named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers())


def test_mixed_precision_stays_near_full_precision():
    settings = ClassifierSettings.scenes(epochs=2, batch_size=5, precision="bfloat16")
    full = ClassifierSettings.scenes(epochs=2, batch_size=5)
    mixed = train_classifier(fresh(), Squares(), settings)
    assert {p.dtype for p in mixed.model.parameters()} == {torch.float32}
    exact = train_classifier(fresh(), Squares(), full)
    assert mixed.history != exact.history
    assert mixed.history == pytest.approx(exact.history, rel=0.02)


def test_a_loss_that_is_not_a_number_stops_with_its_place():
    net = fresh()
    with torch.no_grad():
        net.class_layer.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(FloatingPointError, match=r"loss is nan at epoch 1, step 1 of 3\. Lower"):
        train_classifier(net, Squares(), SMALL)
    assert not net.training


def test_nothing_left_to_train_is_said():
    with pytest.raises(ValueError, match="every parameter of the net is frozen"):
        train_classifier(fresh().requires_grad_(False), Squares(), SMALL)


def test_images_of_different_sizes_need_a_crop():
    images = Squares(sizes=((24, 24), (30, 26)))
    with pytest.raises(ValueError, match=r"24 x 24, 26 x 30 pixels among them.*set crop_size"):
        train_classifier(fresh(), images, SMALL)
    settings = ClassifierSettings.scenes(epochs=1, batch_size=4, crop_size=16)
    assert len(train_classifier(fresh(), images, settings).history) == 1


def test_labels_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match=r"net has 4 classes, the 10 images have 3 class names"):
        train_classifier(fresh(num_classes=4), Squares(), SMALL)
    images = Squares()
    images.labels = images.labels[:-1]
    with pytest.raises(ValueError, match=r"shape \(9, 3\); it must be \(10, 3\)"):
        train_classifier(fresh(), images, SMALL)
    with pytest.raises(ValueError, match="the image set is empty"):
        train_classifier(fresh(), Squares(0), SMALL)


# Settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs = 0 is not allowed; it must be at least 1"),
        ({"batch_size": 0}, "batch_size = 0 is not allowed"),
        ({"learning_rate": -0.1}, "learning_rate = -0.1 is not allowed"),
        ({"momentum": 1.5}, "momentum = 1.5 is not allowed; it must be at most 1"),
        ({"momentum": 0.0}, "nesterov = True needs a momentum above 0"),
        ({"precision": "float16"}, "precision = 'float16' is not allowed"),
        ({"long_side_min": 700}, "long_side_min = 700 and long_side_max = 640 are no range"),
        ({"long_side_min": 0}, "long_side_min = 0 and long_side_max = 640 are no range"),
        ({"crop_size": 1.5}, "crop_size = 1.5 is of type float"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        ClassifierSettings(**wrong)


def test_the_recipes():
    voc, scenes = ClassifierSettings(), ClassifierSettings.scenes(epochs=2)
    assert (voc.crop_size, voc.view().long_side, voc.view().crop.size) == (
        512,
        (320, 640),
        (512, 512),
    )
    assert scenes.view().long_side is None
    assert (scenes.epochs, scenes.batch_size, scenes.weight_decay) == (2, 32, 3e-3)
    released = ClassifierSettings.released()
    assert (released.momentum, released.nesterov, released.learning_rate) == (1e-4, False, 0.1)
    assert ClassifierSettings(validate_each_epoch=True).hash() == voc.hash()
