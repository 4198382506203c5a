"""The file that a net is kept in: written, read back, told from others."""

import pytest
import torch
from safetensors.torch import save_file
from small_training import COLOURS, fresh, same

from ribnb.core.files import weights_digest
from ribnb.nets.classifier import load_classifier
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.digit_net import DigitNet
from ribnb.nets.weights import checkpoint_metadata

NAMED = {"class_names": COLOURS}


def deeplab() -> DeepLabV2:
    return DeepLabV2("scenes", 3, atrous_rates=(1, 3))


def digits() -> DigitNet:
    return DigitNet(3, channels=(4, 4, 4, 4, 6), pooling="max", bias=True)


@pytest.mark.parametrize("build", [fresh, deeplab, digits])
def test_a_net_comes_back_as_it_was_saved(tmp_path, build):
    net, path = build(), tmp_path / "new" / "net.safetensors"
    net.save(path, {**NAMED, "seed": 3})
    state = torch.random.get_rng_state()
    back = type(net).load(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(back, net) and not back.training
    assert back.design() == net.design()
    metadata = checkpoint_metadata(path)
    assert metadata["design"] == net.design() and metadata["kind"] == net.kind
    assert metadata["class_names"] == list(COLOURS) and metadata["seed"] == 3
    assert metadata["digest"] == weights_digest(back)
    assert [file.name for file in path.parent.iterdir()] == ["net.safetensors"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # others can read it


def test_half_precision_halves_the_file(tmp_path):
    net, images = fresh(), torch.randn(2, 3, 24, 24)
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    net.save(full, NAMED)
    net.save(half, NAMED, torch.float16)
    assert half.stat().st_size < 0.55 * full.stat().st_size
    back = load_classifier(half)
    assert back.class_layer.weight.dtype == torch.float32
    torch.testing.assert_close(back(images), net.eval()(images), rtol=0.02, atol=0.02)


def test_another_net_than_asked_for_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    fresh().save(path, NAMED)
    with pytest.raises(ValueError, match="num_classes is 3 there, 20 here"):
        load_classifier(path, num_classes=20)
    with pytest.raises(ValueError, match="is of the kind 'classifier', not 'segmentation'"):
        DeepLabV2.load(path)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match=f"no classifier at {path}"):
        load_classifier(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="no checkpoint of format 2"):
        load_classifier(path)
    fresh().save(path, NAMED)
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:40], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole classifier"):
            load_classifier(path)
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        load_classifier(path)


def test_a_net_is_not_saved_without_its_class_names(tmp_path):
    for metadata in ({}, {"class_names": ["red"]}):
        with pytest.raises(ValueError, match="must name the 3 classes"):
            fresh().save(tmp_path / "net.safetensors", metadata)
    assert not list(tmp_path.iterdir())
