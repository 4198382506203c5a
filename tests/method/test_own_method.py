"""A loss, a pooling and a backbone of a reader's own, in the adaptation."""

import pytest
import torch
from plain_adaptation import run, settings_of, small_net
from small_split import Noise
from torch import nn

from ribnb.method.localization import localization_maps
from ribnb.nets.backbones import STAGES, Backbone, SceneBackbone
from ribnb.nets.cam_net import CAMNet


def my_rib(logits, labels, settings):
    return -(labels * logits).sum()


def my_gap(class_maps, settings):
    return class_maps.mean((2, 3))


def test_what_is_written_as_the_package_has_it_gives_its_maps():
    own = run(settings_of("paper", loss=my_rib, pooling=my_gap, margin=1e9))
    theirs = run(settings_of("paper", pooling="gap", margin=1e9))
    torch.testing.assert_close(own.high_res, theirs.high_res)
    torch.testing.assert_close(own.losses, theirs.losses)


def rows(logits, labels, settings):
    return -(labels * logits).sum(1)


def detached(logits, labels, settings):
    return -(labels * logits).detach().sum()


def with_phase(logits, labels, settings):
    return torch.view_as_complex(-(labels * logits)[..., :2]).sum()


def number(logits, labels, settings):
    return 1.0


def logarithm(logits, labels, settings):
    return (labels * logits - 1e6).log().sum()


def of_one_class(class_maps, settings):
    return class_maps[:, :-1].mean((2, 3))


def not_summed(class_maps, settings):
    return class_maps


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"loss": rows}, ValueError, r"at step 0 must be one real number, .* of shape \(2,\)"),
        ({"loss": number}, ValueError, "at step 0 must be one real number, .* it is a float"),
        ({"loss": with_phase}, ValueError, r"must be one real number, .* torch.complex64"),
        ({"loss": detached}, ValueError, "detached@.* at step 0 must have a gradient"),
        ({"loss": logarithm}, FloatingPointError, "the loss at step 0 is nan"),
        ({"pooling": of_one_class}, ValueError, r"\(B, C\) = \(2, 5\) of .* shape \(2, 4\)"),
        ({"pooling": not_summed}, ValueError, r"not_summed@.* must give a tensor \(B, C\)"),
    ],
)
def test_what_cannot_be_a_loss_or_a_pooling_is_refused_in_words(changes, kind, message):
    net = small_net()
    before = [weight.clone() for weight in net.parameters()]
    with pytest.raises(kind, match=message):
        run(settings_of("paper", **changes), net)
    assert all(map(torch.equal, before, net.parameters()))


def my_backbone(output_stride):
    return Backbone(SceneBackbone(), STAGES, 48, 4)


def test_a_backbone_of_ones_own_is_adapted_stored_and_loaded(tmp_path):
    images, settings = Noise(), settings_of("paper", iterations=1, scales=(1,), crop_size=24)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        same = CAMNet("scenes", 3)
    for given in (my_backbone, my_backbone(4)):
        net = CAMNet(given, 3)
        net.load_state_dict(same.state_dict())
        folder = tmp_path / type(given).__name__
        report = localization_maps(net.eval(), images, settings, folder)
        assert len(report.written) == 9 and not report.failed
    path = tmp_path / "net.safetensors"
    CAMNet(my_backbone, 3).save(path, {"class_names": images.class_names})
    assert CAMNet.load(path).arch.startswith("test_own_method:my_backbone@")
    with pytest.raises(ValueError, match=r"net\.arch"):
        localization_maps(same.eval(), images, settings, folder)


class Coarse(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 4, 4, 8), nn.Conv2d(4, 6, 4, 4)


@pytest.mark.parametrize(
    ("stages", "channels", "stride", "message"),
    [
        (
            (("stem",), ("body",)),
            6,
            32,
            r"no output stride of 8 or 16 .* = 32 .*\(1, 6, 2, 2\)",
        ),
        ((("stem",), ("body",)), 6, 16, r"output_stride = 16 and 6 channels .* is \(1, 6, 2, 2\)"),
        ((("stem",),), 6, 8, r"6 channels its map of 64 x 64 pixels is \(1, 4, 8, 8\)"),
        ((("body",), ("stem",)), 4, 8, "one module of its stages after the other; at 'body'"),
        ((("stem",), ("layer",)), 6, 8, "at 'layer'"),
    ],
)
def test_a_backbone_whose_face_is_not_what_it_says_is_refused(stages, channels, stride, message):
    with pytest.raises(ValueError, match=message):
        CAMNet(Backbone(Coarse(), stages, channels, stride), 3)
    with pytest.raises(ValueError, match=r"my_gap\(output_stride\), but has missing"):
        CAMNet(my_gap, 3)
