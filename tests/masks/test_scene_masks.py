"""Masks that come with the package: unpacked they are those of their scenes."""

import numpy as np
import pytest

from ribnb.book.masks import SUPERVISION, TRUTH, packaged_scores
from ribnb.book.scenes import TRAINED
from ribnb.core.voc import read_mask
from ribnb.data.scenes.images import SceneImages
from ribnb.data.views import Part
from ribnb.masks import stages
from ribnb.masks.stages import NUM_MASKS, packaged_masks, unpack_masks
from ribnb.scores.iou import mask_miou

IMAGES = SceneImages(4, seed=3)


def test_unpacked_masks_are_those_of_their_images(tmp_path):
    part, (_, kinds) = Part(IMAGES, [3, 1]), packaged_masks(3)
    folder = unpack_masks(3, "rib_irn", part, tmp_path / "out")
    assert {path.name for path in folder.glob("*.png")} == {f"{name}.png" for name in part.ids}
    for index, name in zip([3, 1], part.ids, strict=True):
        assert np.array_equal(read_mask(folder / f"{name}.png", 6), kinds["rib_irn"][index])


def test_a_folder_of_other_masks_is_refused(tmp_path, monkeypatch):
    """Of another kind, or of a package whose masks were made anew."""
    unpack_masks(3, "rib_irn", IMAGES, tmp_path / "out")
    with pytest.raises(ValueError, match=r"made otherwise .*the package's rib_irn.*package's cam"):
        unpack_masks(3, "cam_irn", IMAGES, tmp_path / "out")
    ids, kinds = packaged_masks(3)
    anew = ids, {**kinds, "rib_irn": kinds["cam_irn"]}
    monkeypatch.setattr(stages, "packaged_masks", lambda _: anew)
    with pytest.raises(ValueError, match=r"made otherwise .*masks is"):
        unpack_masks(3, "rib_irn", IMAGES, tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "others", "lacking"),
    [
        ("rib_irn", SceneImages(402, seed=3), "2 of the 402 images .* s3_train_000400: .* 400 sc"),
        ("rib_irn", SceneImages(3, seed=3, split="val"), "3 of the 3 images .* s3_val_000000: "),
        ("deeplab", IMAGES, "no mask 'deeplab' in the package, .* cam_irn.* of"),
    ],
)
def test_images_without_a_mask_are_named(tmp_path, kind, others, lacking):
    with pytest.raises(ValueError, match=f"{lacking}.*masks=FOLDER of a run of voc_masks"):
        unpack_masks(3, kind, others, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_their_scores_are_those_of_the_masks():
    scenes, (_, kinds) = SceneImages(NUM_MASKS, seed=4), packaged_masks(4)
    truths = [scenes.mask(index) for index in range(NUM_MASKS)]
    for kind, score in packaged_scores(4).items():
        counted = mask_miou(kinds[kind], truths, class_names=scenes.class_names)
        assert score.miou == pytest.approx(counted.miou, abs=1e-9)
        assert score.foreground_precision == pytest.approx(counted.foreground_precision, abs=1e-9)


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
