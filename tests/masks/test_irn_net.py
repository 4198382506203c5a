"""IRN's network: its frozen trunk, its outputs' size, its files, boundaries of an image."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from small_split import net as classifier

from ribnb.data.views import to_tensor
from ribnb.masks.irn_net import IRN, boundary_map, load_irn
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.weights import checkpoint_metadata


def state(module):
    text = b"".join(value.numpy().tobytes() for value in module.state_dict().values())
    return hashlib.sha256(text).hexdigest()


@pytest.fixture(scope="module")
def net():
    return IRN(classifier()).eval()


@pytest.mark.parametrize(("arch", "stride"), [("scenes", 2), ("resnet18", 4)])
def test_the_output_has_the_first_stage_s_resolution(arch, stride):
    net = IRN(classifier(arch=arch), width=8).eval()
    with torch.no_grad():
        boundary = net(torch.randn(2, 3, 61, 75))
    assert boundary.shape == (2, *(-(-side // stride) for side in (61, 75)))


def test_training_moves_no_weight_and_no_statistic_of_the_trunk():
    model = classifier()
    net = IRN(model).train()
    assert net.branch.training and not any(one.training for one in net.trunk.modules())
    before, untouched = state(net.trunk), state(model)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, weight_decay=0.1)
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    assert state(net.trunk) == before
    assert all(parameter.grad is None for parameter in net.trunk.parameters())
    assert all(parameter.grad is not None for parameter in net.branch.parameters())
    assert state(model) == untouched


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8))


def test_a_boundary_map_is_the_flipped_image_s_flipped(net):
    boundary = boundary_map(net, NOISE)
    assert boundary.shape == (16, 20)
    assert 0 <= boundary.min() < boundary.max() <= 1
    turned = boundary_map(net, NOISE.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert torch.allclose(boundary, turned.flip(-1), atol=1e-6)
    with torch.no_grad():
        alone = net(to_tensor(NOISE)[None])[0].sigmoid()
    assert not torch.allclose(boundary, alone, atol=1e-4)


def test_what_is_saved_is_loaded(net, tmp_path):
    path, model = tmp_path / "irn.safetensors", classifier()
    net.save(path, {"history": [1.5]})
    assert path.stat().st_size < 50_000  # the branch alone
    model.class_layer.weight.data.add_(1)  # which is no part of the trunk
    loaded = load_irn(path, model)
    assert state(loaded) == state(net)
    assert not loaded.branch.training
    metadata = checkpoint_metadata(path)
    assert (metadata["design"]["arch"], metadata["history"]) == ("scenes", [1.5])


def test_another_trunk_is_refused(net, tmp_path):
    path = tmp_path / "irn.safetensors"
    net.save(path, {})
    with pytest.raises(ValueError, match=f"{path} was trained on .*trunk is '.*there, '.*here"):
        load_irn(path, classifier(seed=1))
    with pytest.raises(ValueError, match=r"arch is 'scenes' there, 'resnet18' here"):
        load_irn(path, CAMNet("resnet18", 3))
