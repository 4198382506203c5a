"""`fit`, for a classifier, IRN and DeepLab alike: killed and resumed, loaded, refused."""

import math
from pathlib import Path

import pytest
import torch
from small_masks import write_labels_of
from small_training import COLOURS, SMALL, Killed, Squares, fresh, same
from torch import nn

from ribnb.core.devices import seeded
from ribnb.data.views import ShuffledBatches
from ribnb.masks.irn import IRNSettings
from ribnb.masks.irn_net import IRN
from ribnb.masks.irn_training import train_irn
from ribnb.nets.classifier import train_classifier
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import Training, fit, shuffled
from ribnb.nets.weights import checkpoint_metadata
from ribnb.segmentation.training import SegmentationSettings, train_segmentation

# All three go three times through ten images, and keep their state after 10, 20 and 30.
IRN_SMALL = IRNSettings.scenes(epochs=3, batch_size=4, crop_size=24, radius=3)
SEGMENT_SMALL = SegmentationSettings.scenes(
    steps=6, batch_size=5, crop_size=24, frozen_batch_norm=False
)


class Classifier:
    file, before = "classifier.safetensors", 1  # images read before the first step
    trainer, settings, beside = staticmethod(train_classifier), SMALL, ()

    def __init__(self, _):
        pass

    def net(self, seed=0):
        return fresh(seed)

    def train(self, folder=None, images=None, net=None, workers=0, **changes) -> Training:
        given = net or self.net(), images or Squares(), *self.beside
        return self.trainer(*given, self.settings.replace(**changes), folder, workers=workers)


class Irn(Classifier):
    file, trainer, settings = "irn.safetensors", staticmethod(train_irn), IRN_SMALL

    def __init__(self, folder):
        self.beside = (write_labels_of(Squares(), folder / "labels"),)

    def net(self, seed=0):
        return IRN(fresh(), seed=seed)


class Segmentation(Classifier):
    file, before = "segmentation.safetensors", 10
    trainer, settings, beside = staticmethod(train_segmentation), SEGMENT_SMALL, (None,)

    def net(self, seed=0):
        with seeded(seed):
            return DeepLabV2.scenes(num_classes=3)


@pytest.fixture(params=[Classifier, Irn, Segmentation], ids=lambda kind: kind.__name__)
def kind(request, tmp_path):
    return request.param(tmp_path)


# What `fit` does in the same way for all is shown for one of them.
ONE = pytest.mark.parametrize("kind", [Classifier], indirect=True)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "net"


def kill(kind, folder, steps_of_images: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        kind.train(folder, Killed(kind.before + steps_of_images))


def test_a_killed_training_goes_on_as_if_nothing_had_been(kind, folder):
    undisturbed = kind.train()
    for shown, losses in ((15, 1), (12, 2)):  # one kill in the second pass, one in the third
        kill(kind, folder, shown)
        state = torch.load(folder / "training.pt", weights_only=True)
        assert len(state["record"]["history"]) == losses
        assert not (folder / kind.file).exists()
    images = Squares()
    resumed = kind.train(folder, images)
    assert images.shown == kind.before + 10  # the last pass only
    assert same(resumed.net, undisturbed.net)
    assert resumed.history == undisturbed.history and len(resumed.history) == 3
    assert not resumed.loaded and not resumed.net.training
    assert [path.name for path in folder.iterdir()] == [kind.file]


@ONE
def test_a_training_killed_while_it_writes_keeps_the_state_before(kind, folder, monkeypatch):
    """And what the kill left half-written is gone at the end."""
    whole, save = kind.train(), torch.save

    def half(state, file):
        if len(state["record"]["history"]) < 2:
            return save(state, file)
        Path(file.name).with_name(".training.pt.1").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch, "save", half)
        kind.train(folder)
    assert same(kind.train(folder).net, whole.net)
    assert [path.name for path in folder.iterdir()] == [kind.file]


def test_the_second_time_the_net_is_loaded(kind, folder):
    first = kind.train(folder)
    images, net = Squares(), kind.net()
    again = kind.train(folder, images, net)
    assert again.loaded and again.net is net and not net.training
    assert images.shown == kind.before
    assert same(net, first.net)
    assert (again.history, again.seconds) == (first.history, first.seconds)
    assert kind.train(folder, net=net).loaded  # a notebook's cell that runs once more
    metadata = checkpoint_metadata(folder / kind.file)
    assert metadata["class_names"] == list(COLOURS)
    assert {"git_commit", "versions", "device", "date", "seconds", "identity"} <= metadata.keys()


@pytest.mark.parametrize("finished", [True, False])
def test_another_training_is_refused_and_its_files_left_alone(kind, folder, finished):
    kind.train(folder) if finished else kill(kind, folder, 15)
    (file,) = folder.iterdir()
    content = file.read_bytes()
    renamed = Squares()
    renamed.class_names = ("red", "green", "blue")
    others = [
        ({"momentum": 0.5}, r"momentum is 0\.9 there, 0\.5 here"),
        ({"net": kind.net(seed=1)}, "initial weights is .* there, .* build the net anew"),
        ({"images": renamed}, r"class_names is \['red', 'lime', 'blue'\] there"),
    ]
    for changes, message in others:
        net = changes.pop("net", None) or kind.net()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with pytest.raises(ValueError, match=f"{file} is of another training: .*{message}"):
            kind.train(folder, net=net, **changes)
        assert file.read_bytes() == content
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@ONE
@pytest.mark.parametrize("damage", ["half", "other"])
def test_a_broken_state_is_named_and_training_starts_anew(kind, folder, damage):
    kill(kind, folder, 15)
    path = folder / "training.pt"
    whole = path.read_bytes()
    torch.save({"identity": {}}, path)
    if damage == "half":
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="training.pt is not a whole training state"):
        training = kind.train(folder)
    assert same(training.net, kind.train().net)


def test_neither_workers_nor_the_global_generator_change_anything(kind):
    here = kind.train()
    torch.manual_seed(9)
    drawn = torch.rand(3)
    torch.manual_seed(9)
    ahead = kind.train(workers=1)
    assert torch.equal(torch.rand(3), drawn)
    assert same(here.net, ahead.net)
    assert here.history == ahead.history
    assert not same(here.net, kind.train(seed=1).net)


@ONE
def test_a_loss_that_is_not_a_number_stops_with_its_place(kind, folder):
    net = kind.net()
    with torch.no_grad():
        list(net.stored.parameters())[-1].fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"loss is nan at step 1 of \d+\. Lower"):
        kind.train(folder, net=net)
    assert not net.training and list(folder.iterdir()) == []


def test_mixed_precision_stays_near_full_precision(kind):
    mixed, exact = kind.train(precision="bfloat16"), kind.train()
    assert {p.dtype for p in mixed.net.parameters()} == {torch.float32}
    assert mixed.history != exact.history
    assert mixed.history == pytest.approx(exact.history, rel=0.03)


# A net of one's own -----------------------------------------------------------------------


class Points:
    """Item (epoch, i): the number i and twice of it."""

    def __getitem__(self, key):
        return torch.tensor([float(key[1])]), torch.tensor([2.0 * key[1]])


def test_the_steps_of_a_line_by_hand():
    """A line through the origin, fitted by plain gradient descent with a rate for each step."""
    with seeded(0):
        net = nn.Linear(1, 1, bias=False)
    keys, rates = ShuffledBatches(4, 3, seed=0, steps=5), (1, 2, 3, 2, 1)
    slope, losses = net.weight.item(), []
    optimizer = torch.optim.SGD([{"params": net.parameters(), "factor": 0.02}], lr=1.0)

    def loss(forward, given, wanted):
        return (forward(given) - wanted).square().mean(), len(given)

    batches = shuffled(Points(), keys, torch.device("cpu"))
    training = fit(net, optimizer, batches, keys.ends(), loss, rates.__getitem__)
    for batch, rate in zip(keys, rates, strict=True):
        numbers = [index for _, index in batch]
        losses.append(sum((slope * x - 2 * x) ** 2 for x in numbers) / 3)
        slope -= 0.02 * rate * sum(2 * x * (slope * x - 2 * x) for x in numbers) / 3
    assert training.net.weight.item() == pytest.approx(slope, rel=1e-5)
    means = [sum(losses[:2]) / 2, *losses[2:]]  # passes end after 2, 3 and 4 steps
    assert training.history == pytest.approx(means, rel=1e-5)
