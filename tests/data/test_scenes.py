"""Scenes: their masks agree, a head alone names a class, and a seed fixes every byte."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ribnb.core.voc import IGNORED
from ribnb.data.scenes import images as scenes_module
from ribnb.data.scenes.classes import SCENE_CLASSES
from ribnb.data.scenes.images import SceneImages
from ribnb.data.scenes.objects import Choice, Pose, draw_object
from ribnb.data.scenes.rendering import (
    CLASS_NAMES,
    Scene,
    draw_saliency,
    find_border,
    render_scene,
)
from ribnb.data.scenes.sketch import BODY, HEAD, Sketch
from ribnb.data.views import to_tensor

CROSS = ndimage.generate_binary_structure(2, 1)


@pytest.fixture(scope="module")
def small() -> list[Scene]:
    """400 scenes of 96 x 96 pixels."""
    return [render_scene([5, index]) for index in range(400)]


@pytest.fixture(scope="module")
def large() -> list[Scene]:
    """Four of VOC's size and of all classes."""
    return [render_scene([6, index], (375, 500), 20) for index in range(4)]


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


def test_a_seed_gives_the_same_bytes_in_any_order_and_others_others(small):
    backwards = [digest(render_scene([5, index])) for index in (7, 3, 0)]
    assert backwards == [digest(small[index]) for index in (7, 3, 0)]
    assert len({digest(scene) for scene in [*small, render_scene(6)]}) == len(small) + 1


def test_splits_and_seeds_share_neither_scenes_nor_names():
    sets = [
        SceneImages(4, 64, seed, split) for seed in (0, 1) for split in ("train", "val", "test")
    ]
    scenes = [digest(images.scene(index)) for images in sets for index in range(4)]
    assert len(set(scenes)) == len(scenes)
    names = [name for images in sets for name in images.ids]
    assert len(set(names)) == len(names)


# Masks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, (64, 300), (300, 64), (97, 131)])
def test_any_size_holds_an_object(size):
    scene = render_scene([1, 2], size)
    shape = (size, size) if isinstance(size, int) else size
    assert scene.image.shape == (*shape, 3) and scene.image.flags["C_CONTIGUOUS"]
    for array in (scene.image, scene.mask, scene.instances, scene.parts, scene.saliency):
        assert array.dtype == np.uint8 and array.shape[:2] == shape
    assert scene.objects and scene.saliency.max() == 255


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


def test_a_border_of_one_pixel_parts_all_that_differs(small):
    for scene in small:
        seen = scene.instances != IGNORED
        for axis in (0, 1):
            here, there = np.delete(scene.instances, -1, axis), np.delete(scene.instances, 0, axis)
            both = np.delete(seen, -1, axis) & np.delete(seen, 0, axis)
            assert np.array_equal(here[both], there[both]), "no border between two things"
        near = ndimage.binary_dilation(scene.parts > 0, CROSS)
        # What is only a pixel wide can vanish in the border around something else.
        assert near[~seen].mean() > 0.95, "border away from every object"


def test_the_border_is_five_pixels_wide_at_vocs_size_and_takes_nothing_at_the_least():
    numbers = np.zeros((375, 500), np.uint8)
    numbers[100:200, 100:200] = 1
    numbers[100:200, 200:300] = 2
    numbers[300:, :100] = 3
    border = find_border(numbers)
    assert np.flatnonzero(border[150, :150]).tolist() == [97, 98, 99, 100, 101]
    assert np.flatnonzero(border[:150, 150]).tolist() == [97, 98, 99, 100, 101]
    assert np.flatnonzero(border[150, 150:250] != 0).tolist() == [47, 48, 49, 50, 51]
    assert np.flatnonzero(border[290:, 50]).tolist() == [7, 8, 9, 10, 11], "none at the edge"
    numbers = np.zeros((96, 96), np.uint8)
    numbers[20:40, 20:40] = 1
    numbers[20:40, 40:60] = 2
    assert np.flatnonzero(find_border(numbers)[30]).tolist() == [19, 39, 60]


def test_boxes_and_flags_tell_what_is_in_sight(small, large):
    for scenes, margin in ((small, 1), (large, 4)):
        gaps = []
        for scene, number, item in objects(scenes):
            rows, columns = np.nonzero(scene.instances == number)
            seen = columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1
            gap = np.array(seen) - item.box
            gaps.extend(np.abs(gap))
            assert (gap[:2] >= 0).all() and (gap[2:] <= 0).all(), "box smaller than its object"
            left, top, right, bottom = item.box
            height, width = scene.mask.shape
            if item.truncated:
                assert left == 1 or top == 1 or right == width or bottom == height
        # Whiskers and the like lie within the border.
        assert np.mean(np.array(gaps) <= margin) > 0.9
    assert 0.05 < np.mean([item.truncated for *_, item in objects(small)]) < 0.35
    assert not any(scene.objects[-1].occluded for scene in small)
    share = np.mean([item.occluded for scene in small for item in scene.objects[:-1]])
    assert 0.2 < share < 0.7


# The recipe -------------------------------------------------------------------------------


def test_shares_and_counts_are_those_of_the_recipe(small):
    inside = [(scene.mask > 0) & (scene.mask != IGNORED) for scene in small]
    assert 0.24 < np.mean(inside) < 0.30, "share of the foreground"
    heads = sum((scene.parts == HEAD).sum() for scene in small)
    bodies = sum((scene.parts == BODY).sum() for scene in small)
    assert 0.20 < heads / (heads + bodies) < 0.26, "share of the heads in it"
    counts = np.bincount([len(scene.objects) for scene in small], minlength=4) / len(small)
    assert counts[0] == 0 and abs(counts[1] - 0.6) < 0.08 and counts[3] > 0.03
    assert 1.2 < np.mean([len(scene.class_ids) for scene in small]) < 1.42
    by_class = [[item for *_, item in objects(small) if item.class_id == k] for k in range(6)]
    counts = np.array([len(items) for items in by_class])
    assert counts.min() > 0.7 * counts.mean(), "a class is rare"
    sizes = np.array([np.mean([item.pixels for item in items]) for items in by_class])
    assert sizes.max() / sizes.min() < 1.5


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


POSE = Pose(centre=(60.0, 60.0), scale=26.0, lean=0.2, nod=-0.1, mirrored=True)
KINDS = {type(kind.build) for kind in SCENE_CLASSES}
FAMILIES = [[k for k in range(20) if type(SCENE_CLASSES[k].build) is kind] for kind in KINDS]


def drawing(class_id: int, build: int, pose: Pose = POSE) -> Sketch:
    """An object whose body is of other classes; its colours are the same for every class."""
    choice = Choice(class_id, hue_of=3, texture_of=1, build_of=build)
    return draw_object(np.random.default_rng(0), choice, pose, 120, 120).sketch


def test_a_body_betrays_nothing_of_its_head():
    for family in FAMILIES:
        drawings = [drawing(class_id, build=family[0]) for class_id in family]
        for a, b in combinations(drawings, 2):
            both = (a.parts == BODY) & (b.parts == BODY) & (a.alpha == 1)
            # Away from the heads, of which whiskers cover pixels that still count as body.
            heads = (a.parts == HEAD) | (b.parts == HEAD)
            both &= ~ndimage.binary_dilation(heads, CROSS, iterations=10)
            assert both.sum() > 500
            assert np.array_equal(a.rgb[:, both], b.rgb[:, both])


def test_every_head_is_unlike_all_others():
    pictures = []
    for class_id, kind in enumerate(SCENE_CLASSES):
        sketch = drawing(class_id, build=class_id)
        rows, columns = np.nonzero(sketch.parts == HEAD)
        row, column = int(rows.mean()), int(columns.mean())
        picture = np.where(sketch.parts == HEAD, sketch.rgb, 0)
        pictures.append(picture[:, row - 12 : row + 13, column - 12 : column + 13])
        assert (sketch.parts == HEAD).sum() > 200, kind.name
    for a, b in combinations(pictures, 2):
        assert np.abs(a - b).max(axis=0).mean() > 0.2


@pytest.mark.parametrize("mirrored", [False, True])
def test_words_are_never_mirrored(mirrored):
    sketch = Sketch((40.0, 40.0), 10.0, angle=0.0, mirrored=mirrored, reach=3.0)
    sketch.disc(1.5, 0, 0.4, (1, 1, 1))
    assert (np.nonzero(sketch.parts)[1].mean() + sketch.left > 40) is not mirrored
    with sketch.moved(0, -1.5, zoom=0.9, legible=True):
        sketch.disc(1.5, 0, 0.4, (1, 1, 1))
    columns = np.nonzero(sketch.parts[: len(sketch.parts) // 2 - 6])[1] + sketch.left
    assert columns.mean() > 40


def test_the_first_classes_are_drawn_and_all_of_them():
    for num_classes in (2, 7, 20):
        scenes = [render_scene([8, index], 64, num_classes) for index in range(9)]
        assert {k for scene in scenes for k in scene.class_ids} <= set(range(num_classes))
    assert len(set(CLASS_NAMES)) == 20
    assert SceneImages(150, seed=4, num_classes=20).labels.sum(dim=0).min() >= 1


# Saliency ---------------------------------------------------------------------------------


def test_the_main_object_is_seen_in_every_scene_and_many_others_are_not(small):
    three = np.repeat(np.uint8([[1, 2, 3]]), 32, axis=1).repeat(96, axis=0)
    assert (draw_saliency(three, [7.9, 10.0, 8.1])[50, [10, 50, 90]] == [0, 255, 255]).all()
    seen, missed = [], []
    for scene, number, item in objects(small):
        prominence = [each.prominence for each in scene.objects]
        assert 0.25 * item.pixels < prominence[number - 1] <= item.pixels
        share = (scene.saliency > 127)[scene.instances == number].mean()
        if prominence[number - 1] == max(prominence):
            assert share > 0.5
        elif prominence[number - 1] > 0.8 * max(prominence):
            seen.append(share)
        else:
            missed.append(share)
    assert min(seen) > 0.5
    assert np.mean(missed) < 0.05, "what is beside a salient object is taken for it"
    assert 0.2 < len(seen) / (len(seen) + len(missed)) < 0.5
    assert len(missed) > 80, "too few for a recall of non-salient objects"


def saliency_of(*window) -> np.ndarray:
    instances = np.zeros((96, 96), np.uint8)
    instances[window] = 1
    return draw_saliency(instances, [1.0])


def test_straight_edges_lie_where_they_should_and_thin_parts_are_gone():
    saliency = saliency_of(slice(20, 60), slice(30, 80))
    assert saliency[40, 27:33].tolist() == [0, 0, 64, 191, 255, 255]
    assert saliency[17:23, 50].tolist() == [0, 0, 64, 191, 255, 255]
    assert 0 < 40 * 50 - (saliency > 127).sum() <= 4 * 9, "four corners, a few pixels each"
    assert not (saliency_of(slice(20, 70), slice(40, 43)) > 127).any()
    assert (saliency_of(slice(20, 70), slice(40, 45)) > 127).any()
    assert (saliency_of(slice(30), slice(40))[:20, :30] == 255).all(), "no edge at the image's"


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
    with pytest.raises(IndexError, match="scene 6 of 6"):
        images.image(6)


def test_a_scene_is_drawn_once_and_not_spoilt_by_its_users(monkeypatch):
    images = SceneImages(2, 64)
    before = digest(images.scene(0))
    images.mask(0)[:], images.parts(0)[:] = 7, 7
    assert images.scene(0) is images.scene(0)
    assert digest(images.scene(0)) == before
    monkeypatch.setattr(scenes_module, "_ROOM", 6 * 64 * 64)
    frugal = SceneImages(2, 64)
    assert frugal.scene(0) is frugal.scene(0)
    assert frugal.scene(1) is not frugal.scene(1)
    assert digest(frugal.scene(1)) == digest(images.scene(1))


def test_scenes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"num_classes must lie in \[2, 20\]; got 1"):
        render_scene(0, num_classes=1)
    with pytest.raises(ValueError, match="at least 64 pixels a side; got 96 x 40"):
        SceneImages(1, (96, 40))
