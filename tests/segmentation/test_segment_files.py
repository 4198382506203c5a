"""The file of a trained segmentation network."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from segment_tools import CLASSES, same, small_net

from ribnb.nets.classifier import save_classifier
from ribnb.nets.models import CAMNet
from ribnb.segmentation.files import (
    load_segmentation,
    save_segmentation,
    segmentation_digest,
    segmentation_metadata,
)

NAMES = {"class_names": list(CLASSES), "note": [1, "two"]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "segmentation.safetensors"
    save_segmentation(small_net(atrous_rates=(1, 3)), path, NAMES)
    return path


def test_a_net_comes_back_as_it_was_with_what_was_said_of_it(path):
    state = torch.random.get_rng_state()
    net = load_segmentation(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(net, small_net(atrous_rates=(1, 3)))
    assert net.atrous_rates == (1, 3) and not net.training
    metadata = segmentation_metadata(path)
    assert metadata["note"] == [1, "two"] and metadata["class_names"] == list(CLASSES)
    assert metadata["digest"] == segmentation_digest(net)


def test_the_file_is_small_and_holds_no_counters(path):
    weights = load_file(path)
    assert not any("num_batches_tracked" in name for name in weights)
    numbers = sum(weight.numel() for weight in weights.values())
    assert path.stat().st_size < 4 * numbers + 10_000
    half = path.with_name("half.safetensors")
    save_segmentation(small_net(), half, NAMES, torch.float16)
    assert half.stat().st_size < 0.6 * 4 * numbers
    assert load_segmentation(half).branches[0].weight.dtype == torch.float32


def test_the_digest_changes_with_any_weight_and_with_no_counter():
    net, other = small_net(), small_net()
    other.backbone.bn1.num_batches_tracked += 1
    assert segmentation_digest(net) == segmentation_digest(other)
    with torch.no_grad():
        other.backbone.layer3[0].bn2.running_mean[5] += 1e-6
    assert segmentation_digest(net) != segmentation_digest(other)


def test_a_changed_or_broken_file_is_named(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        load_segmentation(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{path} is not a whole segmentation network"):
        load_segmentation(path)
    with pytest.raises(FileNotFoundError, match=r"no segmentation network at .*nowhere"):
        load_segmentation(path.with_name("nowhere"))


def test_other_files_and_other_nets_are_refused(path, tmp_path):
    with pytest.raises(ValueError, match="arch is 'scenes' there, 'resnet101' here"):
        load_segmentation(path, arch="resnet101")
    with pytest.raises(ValueError, match="num_classes is 3 there, 20 here"):
        load_segmentation(path, num_classes=20)
    classifier = tmp_path / "classifier.safetensors"
    save_classifier(CAMNet("scenes", 3), classifier, NAMES)
    with pytest.raises(ValueError, match=r"classifier\.safetensors is no file of the format"):
        load_segmentation(classifier)
    weights = load_file(path)
    del weights["branches.1.bias"]
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    header["digest"] = json.dumps("0" * 12)
    path.write_bytes(save(weights, header))
    with pytest.raises(ValueError, match="is damaged"):
        load_segmentation(path)


def test_class_names_must_fit(tmp_path):
    for names in ([], ["a", "b"]):
        with pytest.raises(ValueError, match="must name the 3 classes"):
            save_segmentation(small_net(), tmp_path / "net", {"class_names": names})
    assert not list(tmp_path.iterdir())
