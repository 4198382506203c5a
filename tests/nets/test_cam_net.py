"""CAMNet: its shape, what of it stands still, and the weights it takes or refuses."""

import pickle

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from small_split import net as alive
from small_training import fresh, same

from ribnb.nets.backbones import RESNETS, folded
from ribnb.nets.cam_net import CAMNet


@pytest.fixture(scope="module")
def resnet18() -> torch.nn.Module:
    """torchvision's, with an fc and statistics that nothing starts with."""
    net = torchvision.models.resnet18(weights=None)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.fill_(0.25)
    return net.eval()


@pytest.fixture
def scenes() -> CAMNet:
    return fresh(num_classes=5).eval()


# Shape ------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", RESNETS)
@pytest.mark.parametrize("output_stride", [16, 8])
def test_stride_and_channels_of_a_resnet(arch, output_stride):
    with torch.device("meta"):  # shapes without numbers
        net = CAMNet(arch, 7, output_stride).eval()
        maps = net.class_maps(torch.zeros(1, 3, 50, 33))
    assert maps.shape == (1, 7, -(-50 // output_stride), -(-33 // output_stride))
    assert net.output_stride == output_stride
    assert net.class_layer.in_channels == (512 if arch in ("resnet18", "resnet34") else 2048)
    dilations = {m.dilation for m in net.modules() if isinstance(m, torch.nn.Conv2d)}
    assert dilations == {(1, 1)}


@pytest.mark.parametrize(("height", "width"), [(96, 96), (33, 50), (4, 4), (1, 1)])
def test_the_net_for_scenes_has_stride_4_for_any_size(scenes, height, width):
    maps = scenes.class_maps(torch.zeros(2, 3, height, width))
    assert maps.shape == (2, 5, -(-height // 4), -(-width // 4))
    assert scenes.output_stride == 4
    assert scenes.class_layer.bias is None


def test_refuses_an_unknown_design():
    with pytest.raises(ValueError, match=r"none of the backbones scenes, .* mean 'resnet18'\?"):
        CAMNet("resnet19", 3)
    with pytest.raises(ValueError, match="output_stride must be 16 or 8; got 32"):
        CAMNet("resnet18", 3, 32)


# What stands still ------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["scenes", "resnet18"])
def test_wherever_it_is_split_the_two_parts_are_the_whole(arch):
    """Also if the second runs again on the same features: nothing is changed in place."""
    net, images = CAMNet(arch, 3).eval(), torch.randn(2, 3, 32, 40)
    names = {id(p): name.split(".")[0] for name, p in net.backbone.named_parameters()}
    stages = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    for count in (0, 1, 2, 3, 4, None):
        frozen, moving = net.split(count)
        middle = frozen(images)
        for _ in range(2):
            assert torch.equal(moving(middle), net.features(images))
        cut = 4 if count is None else 6 - count
        parts = [{names[id(p)] for p in part.parameters()} for part in (frozen, moving)]
        assert parts == [set(stages[:cut]), set(stages[cut:])]
    assert net.frozen_stages == stages[:4]


@pytest.mark.parametrize("arch", ["scenes", "resnet50"])
def test_folded_the_frozen_stages_give_the_same_and_are_left_alone(arch):
    """Their modules, their weights and how they lie in memory."""
    net, images = alive(arch=arch), torch.randn(2, 3, 48, 40)
    before = {name: (value.clone(), value.stride()) for name, value in net.state_dict().items()}
    modules = [type(module) for module in net.modules()]
    frozen = net.split()[0]
    with torch.no_grad():
        expected, twin = frozen(images), folded(frozen)
        error = (twin(images) - expected).abs().max()
        for weight in twin.parameters():
            weight.zero_()
    assert error < 1e-5 * expected.abs().max()
    assert not [m for m in twin.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [type(module) for module in net.modules()] == modules
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1], name


# Weights ----------------------------------------------------------------------------------


def write(state, path):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_takes_torchvisions_weights_but_for_the_fc(resnet18, tmp_path, suffix):
    path = tmp_path / f"resnet18.{suffix}"
    write(resnet18.state_dict(), path)
    net = CAMNet("resnet18", 3, output_stride=8, weights=path).eval()
    theirs = resnet18.state_dict()
    for name, value in net.backbone.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert net.class_layer.weight.std() > 0


def test_takes_its_own_weights_whole(scenes, tmp_path):
    """Old files without batch norms' counters too."""
    state = {n: v for n, v in scenes.state_dict().items() if not n.endswith("batches_tracked")}
    for content, path in ((scenes.state_dict(), tmp_path / "a.pth"), (state, tmp_path / "b.pth")):
        write(content, path)
        assert same(CAMNet("scenes", 5, weights=str(path)), scenes)


def test_weights_that_do_not_fit_are_refused_in_a_few_words(scenes, resnet18, tmp_path):
    """Neither in part nor with a class layer left to chance are they loaded."""
    headless = {n: v for n, v in scenes.state_dict().items() if n != "class_layer.weight"}
    larger = torchvision.models.resnet34(weights=None).state_dict()  # holds all of ResNet-18's
    for arch, state, message in (
        ("scenes", CAMNet("scenes", 7).state_dict(), r"size mismatch for class_layer\.weight"),
        ("scenes", headless, r'Missing key\(s\) in state_dict: "class_layer\.weight"'),
        ("scenes", resnet18.state_dict(), "another architecture"),
        ("resnet18", larger, r'Unexpected key\(s\) in state_dict: "layer1\.2'),
    ):
        write(state, tmp_path / "net.pth")
        with pytest.raises(ValueError, match=rf"net\.pth do not fit {arch}: .*{message}"):
            CAMNet(arch, 5, weights=tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_cut_short_is_refused_by_name(scenes, tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    write(scenes.state_dict(), path)
    whole = path.read_bytes()
    for length in (0, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"cut\.{suffix} is no whole file"):
            CAMNet("scenes", 5, weights=path)


class Malicious:
    def __reduce__(self):
        return (pytest.fail, ("code from a file of weights was run",))


def test_code_in_a_file_of_weights_is_not_run(tmp_path):
    path, evil = tmp_path / "evil.pth", {"backbone.conv1.weight": Malicious()}
    for write_it in (torch.save, lambda it, path: path.write_bytes(pickle.dumps(it, protocol=2))):
        write_it(evil, path)
        with pytest.raises(ValueError, match=r"evil\.pth is no"):
            CAMNet("scenes", 5, weights=path)


def test_a_file_of_something_else_or_none_is_refused_in_words(tmp_path):
    path = tmp_path / "other.pth"
    with pytest.raises(FileNotFoundError, match=r"there are no weights at .*other\.pth"):
        CAMNet("scenes", 5, weights=path)
    wrapped = {"epoch": 3, "state_dict": {"conv1.weight": torch.zeros(1)}}
    for content in (torch.zeros(3), {"a": "b"}, wrapped):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"other\.pth"):
            CAMNet("scenes", 5, weights=path)
