"""Scenes: their masks agree, a head alone names a class, and a seed fixes every byte."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ribnb.core.voc import IGNORED
from ribnb.data.scenes.classes import SCENE_CLASSES, Creature, Vehicle
from ribnb.data.scenes.images import SceneImages
from ribnb.data.scenes.objects import Choice, Pose, draw_object
from ribnb.data.scenes.rendering import (
    CLASS_NAMES,
    Scene,
    draw_saliency,
    render_scene,
)
from ribnb.data.scenes.sketch import BODY, HEAD
from ribnb.data.views import to_tensor

CROSS = ndimage.generate_binary_structure(2, 1)


@pytest.fixture(scope="module")
def small() -> list[Scene]:
    """400 scenes of 96 x 96 pixels."""
    return [render_scene([5, index]) for index in range(400)]


@pytest.fixture(scope="module")
def large() -> list[Scene]:
    """Four of VOC's size."""
    return [render_scene([6, index], (375, 500)) for index in range(4)]


def objects(scenes):
    """Each object, with its scene and its number in ``instances``."""
    return [
        (scene, number, item)
        for scene in scenes
        for number, item in enumerate(scene.objects, start=1)
    ]


def digest(scene: Scene) -> str:
    arrays = (scene.image, scene.mask, scene.instances, scene.parts)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


# Determinism ------------------------------------------------------------------------------


def test_seeds_and_splits_give_scenes_of_their_own_whatever_the_order(small):
    backwards = [digest(render_scene([5, index])) for index in (7, 3, 0)]
    assert backwards == [digest(small[index]) for index in (7, 3, 0)]
    assert len({digest(scene) for scene in small}) == len(small)
    sets = [
        SceneImages(4, 64, seed, split) for seed in (0, 1) for split in ("train", "val", "test")
    ]
    assert len({digest(images.scene(index)) for images in sets for index in range(4)}) == 24
    assert len({name for images in sets for name in images.ids}) == 24


SUMS = [
    [591695, -19229, -18337, -26236, -111],
    [-264474, -12047, -11177, -190154, -865],
    [-137560, 265, 1109, -185537, -1305],
]


def signed_sums(scenes) -> np.ndarray:
    """Of images, masks, instances, saliency and parts, with a random sign for each pixel."""
    sums = np.zeros(5, int)
    for scene in scenes:
        signs = np.random.default_rng(0).choice([-1, 1], scene.image.shape)
        arrays = scene.mask, scene.instances, scene.saliency, scene.parts
        sums[0] += (signs * scene.image).sum()
        sums[1:] += [(signs[..., 0] * array.astype(int)).sum() for array in arrays]
    return sums


def test_scenes_are_drawn_as_when_the_nets_of_the_package_learned_from_them(small, large):
    """On another machine a few pixels may be rounded otherwise, a changed shape changes many."""
    tiny = [render_scene([7, index], 64) for index in range(40)]
    drawn = [signed_sums(scenes) for scenes in (tiny, small[:40], large)]
    assert (np.abs(np.array(drawn) - SUMS) <= [600, 600, 600, 600, 6]).all()


# Masks ------------------------------------------------------------------------------------


def test_masks_agree(small, large):
    for scene in small + large:
        present = {*np.unique(scene.instances)} - {0, IGNORED}
        assert present == set(range(1, len(scene.objects) + 1)), "an object cannot be seen"
        assert np.array_equal(scene.mask == IGNORED, scene.instances == IGNORED)
        assert np.array_equal(scene.parts > 0, (scene.mask > 0) & (scene.mask != IGNORED))
        assert scene.parts.max() == BODY
        for number, item in enumerate(scene.objects, start=1):
            assert (scene.mask[scene.instances == number] == item.class_id + 1).all()
            assert item.name == CLASS_NAMES[item.class_id]
            own, least = scene.instances == number, 25 * scene.mask.size / 96**2
            assert (own & (scene.parts == HEAD)).sum() >= least, "an object without its head"
            assert (own & (scene.parts == BODY)).sum() >= least
        assert scene.class_ids == tuple(np.unique(scene.mask[scene.parts > 0]).astype(int) - 1)


# The recipe -------------------------------------------------------------------------------


@pytest.mark.parametrize("trait", ["hue_of", "texture_of", "build_of"])
def test_a_body_is_its_own_classs_seven_times_in_ten(small, trait):
    pairs = [(item.class_id, getattr(item, trait)) for *_, item in objects(small)]
    own = np.mean([class_id == source for class_id, source in pairs])
    assert abs(own - 0.7) < 0.06
    others = {(class_id, source) for class_id, source in pairs if class_id != source}
    kinds = [type(kind.build) for kind in SCENE_CLASSES]
    if trait == "build_of":
        assert all(kinds[class_id] is kinds[source] for class_id, source in others)
        assert len(others) == 4 * 3 + 2 * 1
    else:
        assert len(others) == 6 * 5


@pytest.mark.parametrize("kind", [Creature, Vehicle])
def test_a_body_betrays_nothing_of_its_head(kind):
    pose = Pose(centre=(60.0, 60.0), scale=26.0, lean=0.2, nod=-0.1, mirrored=True)
    family = [k for k in range(6) if type(SCENE_CLASSES[k].build) is kind]
    choices = [Choice(k, hue_of=3, texture_of=1, build_of=family[0]) for k in family]
    drawings = [
        draw_object(np.random.default_rng(0), choice, pose, 120, 120).sketch for choice in choices
    ]
    for a, b in combinations(drawings, 2):
        both = (a.parts == BODY) & (b.parts == BODY) & (a.alpha == 1)
        # Away from the heads, of which whiskers cover pixels that still count as body.
        heads = (a.parts == HEAD) | (b.parts == HEAD)
        both &= ~ndimage.binary_dilation(heads, CROSS, iterations=10)
        assert both.sum() > 500
        assert np.array_equal(a.rgb[:, both], b.rgb[:, both])


# Saliency ---------------------------------------------------------------------------------


def test_the_most_prominent_object_is_salient_and_those_of_more_than_four_fifths_of_it(small):
    three = np.repeat(np.uint8([[1, 2, 3]]), 32, axis=1).repeat(96, axis=0)
    assert (draw_saliency(three, [7.9, 10.0, 8.1])[50, [10, 50, 90]] == [0, 255, 255]).all()
    for scene, number, item in objects(small):
        assert item.prominence > 0.25 * (scene.instances == number).sum()
        if item.prominence == max(each.prominence for each in scene.objects):
            assert (scene.saliency > 127)[scene.instances == number].mean() > 0.5


# The image set ----------------------------------------------------------------------------


def test_images_follow_the_protocol():
    images = SceneImages(6, size=(80, 100), seed=3, split="val")
    assert len(images) == len(images.ids) == 6
    assert images.class_names == CLASS_NAMES[:6]
    assert images.image(2).mode == "RGB" and images.image(2).size == (100, 80)
    assert images.labels.dtype == torch.uint8 and images.labels.shape == (6, 6)
    for index in range(6):
        scene = images.scene(index)
        assert np.array_equal(images.mask(index), scene.mask)
        assert np.array_equal(images.parts(index), scene.parts)
        assert np.array_equal(images.saliency(index) * 255, scene.saliency)
        assert np.array_equal(np.asarray(images.image(index)), scene.image)
        present = set(np.unique(scene.mask)) - {0, IGNORED}
        assert {k + 1 for k in images.labels[index].nonzero()[:, 0].tolist()} == present
    views, labels, masks, parts = images.batch()
    assert torch.equal(views[2], to_tensor(images.image(2)))
    assert torch.equal(labels, images.labels)
    assert np.array_equal(masks[2], images.mask(2)) and np.array_equal(parts[2], images.parts(2))
    with pytest.raises(IndexError):
        images.image(6)


def test_scenes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"num_classes must lie in \[2, 6\]; got 1"):
        render_scene(0, num_classes=1)
    with pytest.raises(ValueError, match="at least 64 pixels a side; got 96 x 40"):
        SceneImages(1, (96, 40))
