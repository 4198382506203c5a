"""Masks that come with the package: packed and unpacked they are what the stages made."""

import numpy as np
import pytest

from ribnb.book.masks import SUPERVISION, TRUTH
from ribnb.book.scenes import TRAINED
from ribnb.core.voc import read_mask
from ribnb.data.image_sets import Part
from ribnb.data.scenes.images import SceneImages
from ribnb.masks import stages
from ribnb.masks.stages import NUM_MASKS, packaged_masks, unpack_masks

KINDS = ("cam_irn", "rib_irn")


def mask(kind, index):
    """A mask that tells its kind and image, with each value that a mask may have."""
    values = np.full((96, 96), index, np.uint8)
    values[:10] = 6 * KINDS.index(kind)
    values[-1] = 255
    return values


def pack(ids, kinds=KINDS):
    """Masks as ``data_scripts/train_scene_masks.py`` leaves them in the package."""
    masks = {kind: np.stack([mask(kind, index) for index in range(len(ids))]) for kind in KINDS}
    arrays = {name: masks[kind] for name, kind in zip(KINDS, kinds, strict=True)}
    np.savez_compressed(stages.CHECKPOINTS / "scenes_3_masks.npz", ids=ids, kinds=KINDS, **arrays)


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("RIBNB_PROGRESS", "off")


@pytest.fixture(name="images")
def packed_images(tmp_path, monkeypatch):
    """Four scenes of seed 3, whose masks are in the package."""
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(stages, "CHECKPOINTS", tmp_path / "checkpoints")
    images = SceneImages(4, seed=3)
    pack(images.ids)
    return images


@pytest.mark.parametrize("kind", KINDS)
def test_unpacked_masks_are_those_of_their_images(images, tmp_path, kind):
    ids, kinds = packaged_masks(3)
    assert ids == images.ids and tuple(kinds) == KINDS
    assert all(np.array_equal(one, mask(kind, index)) for index, one in enumerate(kinds[kind]))
    part = Part(images, [3, 1])
    folder = unpack_masks(3, kind, part, tmp_path / "out")
    assert {path.name for path in folder.glob("*.png")} == {f"{name}.png" for name in part.ids}
    for index, name in zip([3, 1], part.ids, strict=True):
        assert np.array_equal(read_mask(folder / f"{name}.png", 6), mask(kind, index))


def test_a_folder_of_other_masks_is_refused(images, tmp_path):
    """Of another kind, or of a package whose masks were made anew."""
    unpack_masks(3, "rib_irn", images, tmp_path / "out")
    with pytest.raises(ValueError, match=r"made otherwise .*the package's rib_irn.*package's cam"):
        unpack_masks(3, "cam_irn", images, tmp_path / "out")
    pack(images.ids, KINDS[::-1])
    with pytest.raises(ValueError, match=r"made otherwise .*masks is"):
        unpack_masks(3, "rib_irn", images, tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "others", "lacking"),
    [
        ("rib_irn", SceneImages(6, seed=3), "2 of the 6 images .* s3_train_000004: .* 4 scenes"),
        ("rib_irn", SceneImages(3, seed=3, split="val"), "3 of the 3 images .* s3_val_000000: "),
        ("cam", SceneImages(4, seed=3), "no mask 'cam' in the package, .* cam_irn, rib_irn of"),
    ],
)
def test_images_without_a_mask_are_named(images, tmp_path, kind, others, lacking):
    with pytest.raises(ValueError, match=f"{lacking}.*masks=FOLDER of a run of voc_masks"):
        unpack_masks(3, kind, others, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", TRAINED)
def test_the_package_has_masks_of_the_first_scenes_of_train(seed):
    ids, kinds = packaged_masks(seed)
    assert ids == SceneImages(NUM_MASKS, seed=seed).ids
    stages = ("", "_crf", "_irn")
    assert {*kinds} == {f"{maps}{stage}" for maps in ("cam", "rib") for stage in stages}
    assert {*SUPERVISION} - {TRUTH} <= {*kinds}
    for masks in kinds.values():
        assert (masks.shape, masks.dtype) == ((NUM_MASKS, 96, 96), np.uint8)
        assert {*np.unique(masks).tolist()} <= {*range(7), 255}
