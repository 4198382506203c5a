"""Predictions of a segmentation network, and the masks of a split."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_masks import Blocks, few, small_net
from torch import nn

import ribnb.segmentation.prediction
from ribnb.core.voc import read_mask
from ribnb.data.views import IMAGENET_COLOURS
from ribnb.masks.crf import CRFSettings
from ribnb.segmentation.prediction import predict, segmentation_masks
from ribnb.segmentation.training import SegmentationSettings

ONE = {"test_scales": (1.0,), "test_flip": False}
CRFS = CRFSettings.scenes(iterations=1)


class Looking(nn.Module):
    """A net whose logits are the red of the pixels that its positions are centred on."""

    output_stride = 8
    normalization = IMAGENET_COLOURS
    gain = 1.0

    def forward(self, images):
        red = images[:, :1, ::8, ::8] * self.gain
        return torch.cat([red, -red], 1)


def ramp(width: int, height: int, across: bool = True):
    """An image whose red grows evenly, from left to right or from top to bottom."""
    steps = np.linspace(0, 255, width if across else height)
    red = np.broadcast_to(steps if across else steps[:, None], (height, width))
    return Image.fromarray(np.stack([red, red, red], -1).round().astype(np.uint8))


def test_probabilities_add_up_at_the_images_size():
    net = small_net().train()
    image = ramp(43, 29)
    found = predict(net, image, SegmentationSettings.voc())
    assert found.shape == (4, 29, 43) and found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert net.training  # as it was


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1.5])
def test_a_prediction_lies_where_its_image_does(across, scale):
    """A ramp comes back as a ramp: bilinear steps between positions are exact on it."""
    image = ramp(97, 83, across)
    found = predict(Looking(), image, few(**{**ONE, "test_scales": (scale,)}))
    logits = np.log(found[0] / found[1]) / 2
    line = logits[40] if across else logits[:, 40]
    wanted = np.linspace(0, 1, len(line)) / 0.229 - 0.485 / 0.229
    inside = slice(0 if scale == 1 else 16, -24)  # at the far edge the view was filled up
    np.testing.assert_allclose(line[inside], wanted[inside], atol=0.06)


def test_with_flips_a_mirrored_image_has_the_mirrored_prediction():
    net, image = small_net(), Blocks().image(1)
    mirrored = image.transpose(0)
    settings = few(test_scales=(1.0, 0.75))
    there, back = (predict(net, one, settings) for one in (image, mirrored))
    np.testing.assert_allclose(there, back[:, :, ::-1], atol=1e-6)
    plain = few(test_scales=(1.0, 0.75), test_flip=False)
    one_sided = predict(net, image, plain), predict(net, mirrored, plain)
    assert np.abs(one_sided[0] - one_sided[1][:, :, ::-1]).max() > 1e-4
    mean = (one_sided[0] + one_sided[1][:, :, ::-1]) / 2
    np.testing.assert_allclose(there, mean, atol=1e-6)


def test_scales_are_averaged():
    net, image, scales = small_net(), Blocks().image(1), (0.75, 1.0)
    one, other = (predict(net, image, few(**{**ONE, "test_scales": (scale,)})) for scale in scales)
    whole = predict(net, image, few(test_scales=scales, test_flip=False))
    np.testing.assert_allclose(whole, (one + other) / 2, atol=1e-6)
    assert np.abs(one - other).max() > 1e-4


@pytest.fixture
def smooth(monkeypatch):
    """In place of the CRF: the background's probability times 0, noted."""
    images = []

    def refine(image, probabilities, settings):
        assert image.dtype == np.uint8 and image.shape[:2] == probabilities.shape[1:]
        images.append(image)
        if len(images) == refine.fails:
            raise RuntimeError("the CRF failed")
        foreground = probabilities.copy()
        foreground[0] = 0
        return foreground / foreground.sum(0)

    refine.fails, refine.images = None, images
    monkeypatch.setattr(ribnb.segmentation.prediction, "require_crf", lambda: None)
    monkeypatch.setattr(ribnb.segmentation.prediction, "crf_probabilities", refine)
    return refine


def test_an_image_is_predicted_once_for_both_kinds_of_masks(tmp_path, smooth):
    images, net = Blocks(), small_net()
    reports = segmentation_masks(net, images, tmp_path, few(), crf=CRFS)
    assert images.shown == len(smooth.images) == len(images)
    assert [len(report.written) for report in reports.values()] == [7, 7]
    for index, name in enumerate(images.ids):
        shares = predict(net, images.image(index), few())
        assert (read_mask(tmp_path / "plain" / f"{name}.png") == shares.argmax(0)).all()
        assert (read_mask(tmp_path / "crf" / f"{name}.png") == shares[1:].argmax(0) + 1).all()
    record = json.loads((tmp_path / "crf" / "masks.json").read_text())
    assert record["post-processing"] == "CRF" and record["crf"]["iterations"] == 1


def test_only_what_is_missing_is_made_again(tmp_path, smooth):
    images, net = Blocks(), small_net()
    segmentation_masks(net, images, tmp_path, few())
    (tmp_path / "plain" / "b02.png").unlink()
    whole = (tmp_path / "plain" / "b03.png").read_bytes()
    (tmp_path / "plain" / "b03.png").write_bytes(whole[:50])
    again = segmentation_masks(net, images, tmp_path, few())["plain"]
    assert again.written == ["b02", "b03"] and again.kept == 5
    assert (tmp_path / "plain" / "b03.png").read_bytes() == whole
    both = segmentation_masks(net, images, tmp_path, few(), crf=CRFS)
    assert (both["crf"].kept, len(both["crf"].written)) == (0, 7)
    images.shown = 0
    segmentation_masks(net, images, tmp_path, few(), crf=CRFS)
    assert images.shown == 0


def test_one_image_that_fails_is_named_and_the_rest_goes_on(tmp_path, smooth):
    images, smooth.fails = Blocks(), 2
    images.broken = 3
    reports = segmentation_masks(small_net(), images, tmp_path, few(), crf=CRFS)
    for report in reports.values():
        assert report.failed == {"b03": "image b03 cannot be read", "b01": "the CRF failed"}
        assert len(report.written) == 5
    images.broken = smooth.fails = None
    again = segmentation_masks(small_net(), images, tmp_path, few(), crf=CRFS)
    assert again["plain"].written == again["crf"].written == ["b01", "b03"]


def test_masks_of_another_net_other_scales_or_other_images_are_refused(tmp_path):
    images, net = Blocks(), small_net()
    segmentation_masks(net, images, tmp_path, few())
    others = [
        ("weights is", (small_net(seed=1), images), few()),
        (r"test_scales.*there", (net, images), few(test_scales=(1.0,))),
        ("images is", (net, Blocks(5)), few()),
    ]
    for named, (other, shown), settings in others:
        with pytest.raises(ValueError, match=f"(?s)holds masks that were made otherwise.*{named}"):
            segmentation_masks(other, shown, tmp_path, settings)
    # what the training looked like plays no part
    segmentation_masks(net, images, tmp_path, few(steps=99, learning_rate=0.5))
    with pytest.raises(ValueError, match="the net has 5 classes"):
        segmentation_masks(small_net(num_classes=5), images, tmp_path / "other", few())


def test_the_crf_runs_in_other_processes_too(tmp_path):
    pytest.importorskip("pydensecrf", reason="pydensecrf2 is not installed")
    images, net = Blocks(5), small_net()
    here = segmentation_masks(net, images, tmp_path / "here", few(), crf=CRFS)
    there = segmentation_masks(net, images, tmp_path / "there", few(), crf=CRFS, workers=1)
    assert there["crf"].written == images.ids and here["crf"].failed == {}
    for name in images.ids:
        one, other = (tmp_path / place / "crf" / f"{name}.png" for place in ("here", "there"))
        assert one.read_bytes() == other.read_bytes()
