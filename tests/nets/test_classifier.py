"""The classifier's recipe, what moves in its training, and its score."""

import pytest
import torch
from small_training import SMALL, Squares, fresh, same
from torch import nn

from ribnb.data.views import IMAGENET_COLOURS, to_tensor
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import ClassifierSettings, mean_average_precision, train_classifier


class Fixed(nn.Module):
    """Logits that are handed in, one row an image, however the images are grouped."""

    normalization = IMAGENET_COLOURS

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows, self.num_classes, self.calls = iter(rows), len(rows[0]), []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(tuple(images.shape))
        return torch.tensor([next(self.rows) for _ in images])


def test_each_step_uses_the_scheduled_rate_and_the_class_layers_factor(monkeypatch):
    rates, kinds = [], set()

    def note(optimizer, *_):
        rates.append([(group["lr"], len(group["params"])) for group in optimizer.param_groups])
        for group in optimizer.param_groups:
            kinds.add((group["momentum"], group["nesterov"], group["weight_decay"]))

    monkeypatch.setattr(torch.optim.SGD, "step", note)
    settings = ClassifierSettings.scenes(
        epochs=2, batch_size=4, class_layer_factor=7, warm_up_steps=4
    )
    train_classifier(fresh(), Squares(10), settings)
    assert kinds == {(0.9, True, 3e-3)}
    assert len(rates) == 2 * 3  # the last batch of an epoch has two images
    others = len(list(fresh().parameters())) - 1
    for step, (backbone, class_layer) in enumerate(rates):
        expected = 0.05 * min(1, (step + 1) / 4) * (1 - step / 6) ** 0.9
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


def test_learns_a_few_images_by_heart():
    images, net = Squares(10), fresh()
    settings = ClassifierSettings.scenes(epochs=40, batch_size=5, warm_up_steps=5)
    training = train_classifier(net, images, settings, validation=images)
    assert all(parameter.is_contiguous() for parameter in net.parameters())
    assert training.history[-1] < 0.2 * training.history[0]
    assert training.mean_average_precision == 1 and training.seconds > 0


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


def test_images_of_different_sizes_need_a_crop():
    images = Squares(sizes=((24, 24), (30, 26)))
    with pytest.raises(ValueError, match="must have one size: set crop_size"):
        train_classifier(fresh(), images, SMALL)
    settings = ClassifierSettings.scenes(epochs=1, batch_size=4, crop_size=16)
    assert len(train_classifier(fresh(), images, settings).history) == 1


def test_labels_frozen_parameters_and_architecture_tell_trainings_apart(tmp_path):
    train_classifier(fresh(), Squares(), SMALL, tmp_path)
    relabelled, frozen = Squares(), fresh()
    relabelled.labels = 1 - relabelled.labels
    frozen.backbone.conv1.requires_grad_(False)
    for net, images, message in (
        (fresh(), relabelled, "images is '[0-9a-f]{12}' there, '[0-9a-f]{12}' here"),
        (frozen, Squares(), "frozen parameters is 0 there, 1 here"),
        (CAMNet("resnet18", 3), Squares(), "arch is 'scenes' there, 'resnet18' here"),
    ):
        with pytest.raises(ValueError, match=f"is of another training: .*{message}"):
            train_classifier(net, images, SMALL, tmp_path)


# Validation -------------------------------------------------------------------------------


def test_validates_after_each_epoch_if_asked(tmp_path):
    settings = ClassifierSettings.scenes(epochs=2, validate_each_epoch=True)
    held_out = Squares(seed=1)
    training = train_classifier(fresh(), Squares(), settings, validation=held_out)
    assert len(training.validation_history) == 2
    assert training.validation_history[-1] == training.mean_average_precision
    silent = train_classifier(fresh(), Squares(), ClassifierSettings.scenes(epochs=2))
    assert same(silent.net, training.net)  # looking changes nothing
    assert (silent.validation_history, silent.mean_average_precision) == ([], None)


def test_a_score_is_kept_with_the_net_and_that_on_other_images_is_new(tmp_path):
    held_out = Squares(seed=1)
    first = train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=held_out)
    held_out.shown = 0
    again = train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=held_out)
    assert again.mean_average_precision == first.mean_average_precision
    assert held_out.shown == 1  # to compare its size
    other = Squares(seed=2)
    again = train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=other)
    assert again.loaded
    assert again.mean_average_precision == mean_average_precision(again.net, other)


def with_labels(labels: list[list[int]], sizes=((24, 24),)) -> Squares:
    images = Squares(len(labels), sizes=sizes)
    images.labels = torch.tensor(labels, dtype=torch.uint8)
    images.class_names = tuple(f"class {c}" for c in range(len(labels[0])))
    return images


def test_mean_average_precision_by_hand():
    """Ranks of the positives: class 0 has 1 and 3, so (1/1 + 2/3) / 2; class 1 has 2, so 1/2."""
    images = with_labels([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
    logits = [[9.0, 3.0, 0.0], [1.0, 2.0, 0.0], [-4.0, 1.0, 0.0], [-5.0, -1.0, 0.0]]
    expected = ((1 + 2 / 3) / 2 + 1 / 2) / 2  # class 2 does not occur, and does not count
    assert mean_average_precision(Fixed(logits), images) == pytest.approx(expected)


def test_images_of_different_sizes_go_through_one_by_one():
    labels = [[1], [0], [1], [0], [0]]
    images = with_labels(labels, sizes=((24, 24), (24, 24), (24, 24), (30, 20)))
    net = Fixed([[5.0], [4.0], [3.0], [2.0], [1.0]])
    assert mean_average_precision(net, images, batch_size=3) == pytest.approx((1 + 2 / 3) / 2)
    assert net.calls == [(3, 3, 24, 24), (1, 3, 20, 30), (1, 3, 24, 24)]
