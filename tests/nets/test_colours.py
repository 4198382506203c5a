"""Every view that a net is given is in the colours that the net is used to."""

import pytest
import torch
from small_masks import write_labels_of
from small_split import few_steps
from small_training import SMALL, Squares

import ribnb.data.views
import ribnb.masks.irn_net
import ribnb.nets.classifier
from ribnb.book.scenes import adapt_one
from ribnb.data.views import IMAGENET_COLOURS, Normalization, to_tensor
from ribnb.masks.irn import IRNSettings
from ribnb.masks.irn_net import IRN, boundary_map
from ribnb.masks.irn_training import train_irn
from ribnb.method.localization import localization_maps
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import train_classifier
from ribnb.nets.deeplab import DeepLabV2
from ribnb.segmentation.prediction import predict
from ribnb.segmentation.training import SegmentationSettings, train_segmentation

OWN = Normalization((0.5, 0.4, 0.3), (0.6, 0.5, 0.4))
IMAGES = Squares(6)


@pytest.fixture
def seen(monkeypatch):
    """The colours of all views that are made."""
    found = []

    def watched(image, normalization=IMAGENET_COLOURS):
        found.append(normalization)
        return to_tensor(image, normalization)

    for module in (ribnb.data.views, ribnb.nets.classifier, ribnb.masks.irn_net):
        monkeypatch.setattr(module, "to_tensor", watched)
    return found


def of_these(kind, *arguments):
    net = kind(*arguments)
    net.normalization = OWN
    return net


def test_each_view_is_in_the_nets_own_colours(seen, tmp_path):
    """Of a classifier, of maps with others in their batches, of IRN and of DeepLab."""
    net = of_these(CAMNet, "scenes", 3)
    train_classifier(net, IMAGES, SMALL.replace(epochs=1), validation=IMAGES)
    localization_maps(net, IMAGES, few_steps(), tmp_path / "run")
    adapt_one(net, IMAGES, 0, few_steps())
    irn, labels = IRN(net), write_labels_of(IMAGES, tmp_path / "labels")
    train_irn(irn, IMAGES, labels, IRNSettings(crop_size=24, batch_size=3, epochs=1, radius=3))
    boundary_map(irn.eval(), IMAGES.image(0))
    net, settings = of_these(DeepLabV2.scenes, "scenes", 3), SegmentationSettings.scenes(steps=1)
    train_segmentation(net, IMAGES, None, settings)
    predict(net, IMAGES.image(0), settings)
    assert set(seen) == {OWN}


def test_colours_are_by_the_formula():
    image = IMAGES.image(0)
    plain = to_tensor(image, Normalization((0.0,) * 3, (1.0,) * 3))
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in OWN)
    torch.testing.assert_close(to_tensor(image, OWN), (plain - mean) / std)
