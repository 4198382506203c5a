"""A training's folder: killed and resumed, loaded, refused; and masks that cannot be trained on."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from plain_adaptation import one_thread  # noqa: F401
from segment_tools import Blocks, few, same, small_net, train, write_masks

from ribnb.core.voc import write_mask
from ribnb.segmentation.files import load_segmentation, segmentation_metadata


def kill(folder, read: int, **options) -> None:
    """A training that ends with its n-th image, as if the process were killed."""
    with pytest.raises(KeyboardInterrupt):
        train(Blocks(killed=read), folder, **options)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_killed_training_ends_as_one_that_was_not(tmp_path, frozen):
    settings = few(frozen_batch_norm=frozen)
    whole = train(settings=settings)
    kill(tmp_path, 7 + 11, settings=settings)  # after the check, in the fourth step
    assert (tmp_path / "training.pt").exists()
    assert not (tmp_path / "segmentation.safetensors").exists()
    kill(tmp_path, 7 + 8, settings=settings)  # and again, in another pass
    resumed = train(folder=tmp_path, settings=settings)
    assert same(resumed.model, whole.model)
    assert resumed.history == whole.history and not resumed.loaded
    assert [path.name for path in tmp_path.iterdir()] == ["segmentation.safetensors"]


def test_a_resumed_training_takes_only_the_steps_that_are_left(tmp_path):
    kill(tmp_path, 7 + 17)  # in the sixth and last step; two passes are complete after the fifth
    images = Blocks()
    train(images, tmp_path)
    assert images.read == 7 + 3


def test_a_training_that_is_done_is_loaded(tmp_path):
    first = train(folder=tmp_path)
    again = train(folder=tmp_path)
    assert again.loaded and not first.loaded
    assert same(again.model, first.model)
    assert (again.history, again.seconds) == (first.history, first.seconds)
    assert not again.model.training
    # a net that is trained already, as when a notebook's cell runs twice, is welcome
    assert train(folder=tmp_path, net=first.model).loaded
    record = segmentation_metadata(tmp_path / "segmentation.safetensors")
    assert {"git_commit", "versions", "device", "identity", "digest"} <= record.keys()
    assert torch.equal(
        load_segmentation(tmp_path / "segmentation.safetensors").branches[0].weight,
        first.model.branches[0].weight,
    )


def test_a_trained_net_that_was_damaged_is_not_loaded(tmp_path):
    train(folder=tmp_path)
    path = tmp_path / "segmentation.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        train(folder=tmp_path)


def test_workers_do_not_change_the_net(tmp_path):
    assert same(train(workers=2).model, train().model)


def test_how_the_net_is_asked_is_no_part_of_its_training(tmp_path):
    train(folder=tmp_path)
    assert train(folder=tmp_path, settings=few(test_scales=(1.0,), test_flip=False)).loaded


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"settings": few(learning_rate=0.5)}, r"learning_rate is 0\.001 there, 0\.5 here"),
        ({"settings": few(steps=7)}, "steps is 6 there, 7 here"),
        ({"images": Blocks(5)}, "images is '.*there"),
        ({"images": Blocks(sizes=((20, 30),))}, "masks is '.*there"),
        ({"net": small_net(atrous_rates=(1, 2, 3, 4))}, r"atrous_rates is \[3, 6, 9, 12\] there"),
        ({"net": small_net(seed=1)}, "sum of the initial weights.*build the net anew"),
    ],
)
def test_another_trainings_folder_is_refused(tmp_path, options, named, done):
    train(folder=tmp_path) if done else kill(tmp_path, 7 + 11)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"(?s){tmp_path}.*of another training.*{named}"):
        train(folder=tmp_path, **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_masks_made_with_other_settings_are_refused_by_name(tmp_path):
    images, folder = Blocks(), tmp_path / "net"
    ours = write_masks(tmp_path / "ours", images)
    record = '{"stage": "by hand", "settings": {"threshold": 0.4}}'
    others = write_masks(tmp_path / "others", images, record)
    first = train(images, folder, masks_dir=ours)
    assert same(first.model, train().model)  # they are the truth
    assert train(images, folder, masks_dir=ours).loaded
    with pytest.raises(ValueError, match=r"masks\.settings\.threshold is 0\.3 there, 0\.4 here"):
        train(images, folder, masks_dir=others)
    with pytest.raises(ValueError, match="masks made by is 'by hand' there, 'the truth' here"):
        train(images, folder)
    write_mask(ours / "b03.png", np.zeros((20, 30), np.uint8))  # and one was changed since
    with pytest.raises(ValueError, match=r"masks is '.*' there, '.*' here"):
        train(images, folder, masks_dir=ours)


def test_a_damaged_state_is_warned_of_and_the_training_starts_anew(tmp_path):
    kill(tmp_path, 7 + 11)
    path = tmp_path / "training.pt"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.warns(UserWarning, match=r"training\.pt is not a whole training state"):
        again = train(folder=tmp_path)
    assert same(again.model, train().model)


# Masks ------------------------------------------------------------------------------------


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


def test_of_many_missing_masks_some_are_named(tmp_path):
    images = Blocks()
    masks = write_masks(tmp_path / "masks", images)
    for name in images.ids[1:]:
        (masks / f"{name}.png").unlink()
    with pytest.raises(ValueError, match=r"6 of 7.*b01: .*b02: .*b03: .*and 3 more") as found:
        train(images, masks_dir=masks)
    assert "b04" not in str(found.value)


def test_masks_without_a_label_a_folder_that_is_not_there_and_a_damaged_record(tmp_path):
    images = Blocks()
    with pytest.raises(FileNotFoundError, match=r"no folder of masks .*nowhere"):
        train(images, masks_dir=tmp_path / "nowhere")
    masks = write_masks(tmp_path / "masks", images)
    (masks / "masks.json").write_text("{")
    with pytest.raises(ValueError, match=r"masks\.json cannot be read"):
        train(images, masks_dir=masks)
    for index, name in enumerate(images.ids):
        write_mask(masks / f"{name}.png", np.full_like(images.mask(index), 255))
    with pytest.raises(ValueError, match="no pixel is labelled in all 7 masks"):
        train(images, masks_dir=masks)


def test_masks_of_other_software_have_no_record_and_are_told_apart_by_their_pixels(tmp_path):
    images, folder = Blocks(), tmp_path / "net"
    masks = write_masks(tmp_path / "masks", images)
    (masks / "masks.json").unlink()
    train(images, folder, masks_dir=masks)
    identity = segmentation_metadata(folder / "segmentation.safetensors")["identity"]
    assert identity["masks made by"] == "a folder without masks.json"
    assert json.dumps(identity)
    assert train(images, folder, masks_dir=masks).loaded
