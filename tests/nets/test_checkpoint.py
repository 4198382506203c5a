"""The file that a net is kept in: written, read back, told from others."""

import re

import pytest
import torch
from safetensors.torch import save_file
from small_training import COLOURS, fresh, same

from ribnb.core.files import weights_digest
from ribnb.nets.cam_net import CAMNet
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


# Of other programs ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A net, and its weights in a file under any names."""
    net, path = CAMNet("resnet18", 3).eval(), tmp_path_factory.mktemp("others") / "res50_cam.pth"

    def saved(rename, **more):
        state = {rename(n): v for n, v in net.backbone.state_dict().items()}
        torch.save({**state, "classifier.weight": net.class_layer.weight, **more}, path)
        return path

    return net, saved


def staged(name: str) -> str:
    """As IRN's program names the stages of its net."""
    for number, part in enumerate(("conv1", "bn1", "", "", "layer1")):
        name = re.sub(rf"^{part}\.", f"stage1.{number}.", name) if part else name
    return re.sub(r"^layer([234])\.", r"stage\1.0.", name)


@pytest.mark.parametrize(
    "rename",
    ["resnet50.{}".format, "module.resnet50.{}".format, staged],
)
def test_weights_of_irn_and_rib_are_read_and_named(others, rename):
    net, saved = others
    path = saved(
        rename, **{"resnet50.fc.weight": torch.zeros(1000, 512)} if "res" in rename("") else {}
    )
    with pytest.warns(UserWarning, match=r"res50_cam\.pth is a resnet18 by the names of IRN's and"):
        back = load_classifier(path, num_classes=3)
    assert same(back, net) and not back.training and back.bias is None
    with pytest.raises(ValueError, match="another classifier: num_classes is 3 there, 20 here"):
        load_classifier(path, num_classes=20)


@pytest.mark.parametrize(("key", "prefix"), [("state_dict", "model."), ("model_state_dict", "")])
def test_weights_of_torchvision_are_read_also_out_of_a_trainings_state(others, key, prefix):
    net, saved = others
    path = saved(str)
    state = torch.load(path)
    state["fc.weight"] = state.pop("classifier.weight").flatten(1)
    state = {f"{prefix}{n}": v for n, v in {**state, "fc.bias": torch.ones(3)}.items()}
    torch.save({"epoch": 3, key: state}, path)
    with pytest.warns(UserWarning, match="by the names of torchvision; its 3 classes"):
        back = load_classifier(path, "resnet18")
    assert same(back.backbone, net.backbone) and back.bias.tolist() == [1, 1, 1]


def test_what_is_no_whole_net_of_others_is_refused_in_words(others, tmp_path):
    net, saved = others
    path = saved(lambda name: "resnet50." + name.replace("layer2.1.conv1", "odd"))
    with pytest.raises(
        ValueError, match=r"by the names of IRN's .* do not fit resnet18: Missing key"
    ):
        load_classifier(path)
    some = {
        "resnet50.conv1.weight": torch.zeros(64, 3, 7, 7),
        "classifier.weight": torch.zeros(6, 8),
    }
    for state, message in (
        (some, "IRN's and RIB's programs: layer3 has 0 blocks, and there is a class layer"),
        (
            net.backbone.state_dict(),
            "torchvision: layer3 has 2 blocks, and there is no class layer",
        ),
        ([1], "no whole file of weights"),
        (net, "is no file of weights alone, and the program in it is not run"),
    ):
        torch.save(state, tmp_path / "odd.pth")
        with pytest.raises(ValueError, match=message):
            load_classifier(tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth is a file of torch\.save, and no segmentation"):
        DeepLabV2.load(tmp_path / "odd.pth")
