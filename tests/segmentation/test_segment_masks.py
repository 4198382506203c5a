"""The masks that a segmentation network learns from: checked, told apart, named."""

import json

import numpy as np
import pytest
from PIL import Image
from segment_tools import Blocks, few, small_net, train, write_masks
from small_training import same

from ribnb.core.voc import write_mask
from ribnb.nets.weights import checkpoint_metadata


def test_a_training_is_told_by_its_masks_and_net_and_not_by_how_the_net_is_asked(tmp_path):
    train(folder=tmp_path)
    others = [
        ({"images": Blocks(5)}, "images is '.*there"),
        ({"images": Blocks(sizes=((20, 30),))}, "masks is '.*there"),
        ({"net": small_net(atrous_rates=(1, 2, 3, 4))}, r"atrous_rates is \[3, 6, 9, 12\] there"),
    ]
    for options, named in others:
        with pytest.raises(ValueError, match=f"of another training.*{named}"):
            train(folder=tmp_path, **options)
    assert train(folder=tmp_path, settings=few(test_scales=(1.0,), test_flip=False)).loaded


def test_masks_made_with_other_settings_are_refused_by_name(tmp_path):
    images, folder = Blocks(), tmp_path / "net"
    ours = write_masks(tmp_path / "ours", images)
    record = '{"stage": "by hand", "settings": {"threshold": 0.4}}'
    others = write_masks(tmp_path / "others", images, record)
    first = train(images, folder, masks_dir=ours)
    assert same(first.net, train().net)  # they are the truth
    assert train(images, folder, masks_dir=ours).loaded
    with pytest.raises(ValueError, match=r"masks\.settings\.threshold is 0\.3 there, 0\.4 here"):
        train(images, folder, masks_dir=others)
    with pytest.raises(ValueError, match="masks made by is 'by hand' there, 'the truth' here"):
        train(images, folder)
    write_mask(ours / "b03.png", np.zeros((20, 30), np.uint8))  # and one was changed since
    with pytest.raises(ValueError, match=r"masks is '.*' there, '.*' here"):
        train(images, folder, masks_dir=ours)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda path: path.unlink(), "there is no mask .*b03.png"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "b03.png is not a whole mask"),
        (
            lambda path: write_mask(path, np.zeros((24, 24), np.uint8)),
            "b03: the mask is 24 x 24 pixels, the image 30 x 20",
        ),
        (
            lambda path: write_mask(path, np.full((20, 30), 9, np.uint8)),
            r"b03.png holds \[9\], but there are 3 classes",
        ),
        (lambda path: Image.new("RGB", (30, 20)).save(path), "b03.png is no mask: .* RGB"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named_before_the_training(tmp_path, spoil, named):
    images = Blocks()
    masks = write_masks(tmp_path / "masks", images)
    spoil(masks / "b03.png")
    with pytest.raises(ValueError, match=f"1 of 7 images have no mask to train on.*{named}"):
        train(images, tmp_path / "net", masks_dir=masks)
    assert not (tmp_path / "net").exists()


def test_masks_without_a_label_or_without_a_folder_are_refused(tmp_path):
    images = Blocks()
    with pytest.raises(FileNotFoundError, match=r"no folder of masks .*nowhere"):
        train(images, masks_dir=tmp_path / "nowhere")
    masks = write_masks(tmp_path / "masks", images)
    for index, name in enumerate(images.ids):
        write_mask(masks / f"{name}.png", np.full_like(images.mask(index), 255))
    with pytest.raises(ValueError, match="no pixel is labelled in all 7 masks"):
        train(images, masks_dir=masks)


def test_masks_of_other_software_have_no_record_and_are_told_apart_by_their_pixels(tmp_path):
    images, folder = Blocks(), tmp_path / "net"
    masks = write_masks(tmp_path / "masks", images)
    (masks / "masks.json").unlink()
    train(images, folder, masks_dir=masks)
    identity = checkpoint_metadata(folder / "segmentation.safetensors")["identity"]
    assert identity["masks made by"] == "a folder without masks.json"
    assert json.dumps(identity)
    assert train(images, folder, masks_dir=masks).loaded
