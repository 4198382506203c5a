"""The file that a classifier is kept in, and its score."""

import json

import pytest
import torch
from plain_adaptation import one_thread  # noqa: F401
from safetensors.torch import save_file
from small_training import COLOURS, SMALL, Squares, fresh, same
from torch import nn

from ribnb.nets.classifier import (
    classifier_metadata,
    load_classifier,
    mean_average_precision,
    save_classifier,
)
from ribnb.nets.models import CAMNet
from ribnb.nets.train import train_classifier


class Fixed(nn.Module):
    """Logits that are handed in, one row an image, however the images are grouped."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows, self.num_classes, self.calls = iter(rows), len(rows[0]), []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(tuple(images.shape))
        return torch.tensor([next(self.rows) for _ in images])


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
