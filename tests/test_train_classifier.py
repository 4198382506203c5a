"""Training a classifier, or loading it; the file it is kept in; its score."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import nn

from ribnb.classifier import (
    classifier_metadata,
    load_classifier,
    mean_average_precision,
    save_classifier,
)
from ribnb.classifier_settings import ClassifierSettings
from ribnb.models import CAMNet
from ribnb.settings import SettingsError
from ribnb.train import train_classifier
from ribnb.views import to_tensor

COLOURS = ("red", "lime", "blue")
SMALL = ClassifierSettings.scenes(epochs=3, batch_size=4, warm_up_steps=2)


class Squares:
    """An image set of coloured squares on noise, one class a colour."""

    class_names = COLOURS

    def __init__(self, num_images: int = 10, seed: int = 0, sizes: tuple = ((24, 24),)) -> None:
        generator = np.random.default_rng(seed)
        self.ids = [f"{seed}-{index}" for index in range(num_images)]
        present = generator.random((num_images, 3)) < 0.4
        present[np.arange(num_images), generator.integers(3, size=num_images)] = True
        self.labels = torch.from_numpy(present.astype(np.uint8))
        self.sizes, self.seed, self.shown = sizes, seed, 0

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        self.shown += 1
        generator = np.random.default_rng([self.seed, index])
        width, height = self.sizes[index % len(self.sizes)]
        noise = generator.integers(0, 90, (height, width, 3), np.uint8)
        image = Image.fromarray(noise)
        for place, (name, present) in enumerate(zip(COLOURS, self.labels[index], strict=False)):
            if present:
                ImageDraw.Draw(image).rectangle([8 * place, 4, 8 * place + 5, 16], fill=name)
        return image


class Killed(Squares):
    """A set whose n-th image kills the training, as a power cut would."""

    def __init__(self, after: int, **options) -> None:
        super().__init__(**options)
        self.after = after

    def image(self, index: int) -> Image.Image:
        if self.shown == self.after:
            raise KeyboardInterrupt
        return super().image(index)


@pytest.fixture(autouse=True)
def one_thread():
    """Two cores and several test processes: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fresh(seed: int = 0, num_classes: int = 3) -> CAMNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CAMNet("scenes", num_classes)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit, batch norm's statistics included."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Fixed(nn.Module):
    """Logits that are handed in, one row an image, however the images are grouped."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows, self.num_classes, self.calls = iter(rows), len(rows[0]), []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(tuple(images.shape))
        return torch.tensor([next(self.rows) for _ in images])


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


# Load or train ----------------------------------------------------------------------------


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


# The file ---------------------------------------------------------------------------------


def test_a_net_comes_back_as_it_was_saved(tmp_path):
    net, path = fresh(seed=3), tmp_path / "new" / "net.safetensors"
    save_classifier(net, path, {"class_names": COLOURS, "seed": 3})
    torch.manual_seed(1)
    drawn = torch.rand(2)
    torch.manual_seed(1)
    back = load_classifier(path)
    assert torch.equal(torch.rand(2), drawn)
    assert same(back, net)
    assert not back.training
    assert classifier_metadata(path) == {
        "format": 1,
        "arch": "scenes",
        "num_classes": 3,
        "output_stride": 4,
        "class_names": list(COLOURS),
        "seed": 3,
    }
    assert [file.name for file in path.parent.iterdir()] == ["net.safetensors"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # others can read it


def test_half_precision_halves_the_file(tmp_path):
    net, images = fresh(), torch.randn(2, 3, 24, 24)
    for name, dtype in (("full", torch.float32), ("half", torch.float16)):
        save_classifier(net, tmp_path / name, {"class_names": COLOURS}, dtype)
    full, half = (tmp_path / "full").stat().st_size, (tmp_path / "half").stat().st_size
    assert half < 0.55 * full
    (tmp_path / "half").rename(tmp_path / "half.safetensors")
    back = load_classifier(tmp_path / "half.safetensors")
    assert back.class_layer.weight.dtype == torch.float32
    torch.testing.assert_close(back(images), net.eval()(images), rtol=0.02, atol=0.02)


def test_the_output_stride_comes_back(tmp_path):
    path = tmp_path / "net.safetensors"
    save_classifier(CAMNet("resnet18", 3, output_stride=8), path, {"class_names": COLOURS})
    back = load_classifier(path, arch="resnet18", num_classes=3)
    assert back.output_stride == 8
    assert back.class_maps(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 8, 8)


def test_another_kind_of_net_than_asked_for_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_classifier(fresh(), path, {"class_names": COLOURS})
    with pytest.raises(ValueError, match="arch is 'scenes' there, 'resnet50' here"):
        load_classifier(path, arch="resnet50")
    with pytest.raises(ValueError, match="num_classes is 3 there, 20 here"):
        load_classifier(path, num_classes=20)


def test_what_is_no_classifier_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match=f"no classifier at {path}"):
        load_classifier(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="no classifier of format 1"):
        load_classifier(path)
    save_classifier(fresh(), path, {"class_names": COLOURS})
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:40], b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole classifier"):
            load_classifier(path)


def test_a_classifier_is_not_saved_without_its_class_names(tmp_path):
    for metadata in ({}, {"class_names": ["red"]}):
        with pytest.raises(ValueError, match="must name the 3 classes"):
            save_classifier(fresh(), tmp_path / "net.safetensors", metadata)
    assert not list(tmp_path.iterdir())


def test_a_training_says_how_it_was_made(tmp_path):
    training = train_classifier(fresh(), Squares(), SMALL, tmp_path, validation=Squares(seed=1))
    path = tmp_path / "classifier.safetensors"
    metadata = classifier_metadata(path)
    assert metadata["history"] == training.history
    assert metadata["mean_average_precision"] == training.mean_average_precision
    assert metadata["identity"]["weight_decay"] == SMALL.weight_decay
    assert torch.__version__.startswith(metadata["versions"]["torch"])
    assert {"date", "device", "git_commit", "seconds"} <= metadata.keys()
    assert json.dumps(metadata)
    assert same(load_classifier(path), training.model)


# The score --------------------------------------------------------------------------------


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


def test_large_logits_keep_their_order():
    """Their sigmoid is 1 in float32; a tie would give 0.5."""
    assert mean_average_precision(Fixed([[25.0], [26.0]]), with_labels([[0], [1]])) == 1


def test_images_of_different_sizes_go_through_one_by_one():
    labels = [[1], [0], [1], [0], [0]]
    images = with_labels(labels, sizes=((24, 24), (24, 24), (24, 24), (30, 20)))
    net = Fixed([[5.0], [4.0], [3.0], [2.0], [1.0]])
    assert mean_average_precision(net, images, batch_size=3) == pytest.approx((1 + 2 / 3) / 2)
    assert net.calls == [(3, 3, 24, 24), (1, 3, 20, 30), (1, 3, 24, 24)]


def test_scoring_leaves_the_mode_and_the_statistics_alone():
    net = fresh().train()
    net.backbone.bn1.eval()
    mean_average_precision(net, Squares())
    assert net.training and not net.backbone.bn1.training
    assert same(net, fresh())


def test_images_without_any_label_have_no_score():
    with pytest.raises(ValueError, match="no image has a label"):
        mean_average_precision(Fixed([[1.0]]), with_labels([[0]]))
