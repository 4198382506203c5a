"""Scenes: their masks agree, a head alone names a class, and a seed fixes every byte."""

import hashlib
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ribnb.data.scenes import images as scenes_module
from ribnb.data.scenes.classes import SCENE_CLASSES
from ribnb.data.scenes.images import (
    BORDER,
    CLASS_NAMES,
    Scene,
    SceneImages,
    SceneObject,
    render_scene,
)
from ribnb.data.scenes.objects import Choice, Pose, draw_object
from ribnb.data.scenes.rendering import find_border
from ribnb.data.scenes.sketch import Sketch

HEAD, BODY = 1, 2
CROSS = ndimage.generate_binary_structure(2, 1)


@pytest.fixture(scope="module")
def small() -> list[Scene]:
    """400 scenes of 96 x 96 pixels."""
    return [render_scene([5, index]) for index in range(400)]


@pytest.fixture(scope="module")
def large() -> list[Scene]:
    """Eight of VOC's size and of all classes."""
    return [render_scene([6, index], (375, 500), 20) for index in range(8)]


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


def test_the_same_seed_gives_the_same_bytes_in_any_order_and_process(small):
    backwards = [digest(render_scene([5, index])) for index in (7, 3, 0)]
    assert backwards == [digest(small[index]) for index in (7, 3, 0)]
    code = (
        "import hashlib; from ribnb.data.scenes.images import render_scene;"
        "s = render_scene([5, 3]);"
        "a = b''.join(x.tobytes() for x in (s.image, s.mask, s.instances, s.parts));"
        "print(hashlib.sha256(a).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(small[3])


def test_other_seeds_give_other_scenes(small):
    assert len({digest(scene) for scene in small}) == len(small)
    assert digest(render_scene(6)) not in {digest(scene) for scene in small}


def test_arrays_have_the_shape_asked_for(small, large):
    for scenes, shape in ((small, (96, 96)), (large, (375, 500))):
        for scene in scenes:
            assert scene.image.shape == (*shape, 3)
            assert scene.image.flags["C_CONTIGUOUS"]
            for array in (scene.mask, scene.instances, scene.parts):
                assert array.shape == shape
            for array in (scene.image, scene.mask, scene.instances, scene.parts):
                assert array.dtype == np.uint8


@pytest.mark.parametrize("size", [64, (64, 300), (300, 64), (97, 131)])
def test_any_size_holds_an_object(size):
    scene = render_scene([1, 2], size)
    assert scene.mask.shape == ((size, size) if isinstance(size, int) else size)
    assert scene.objects


def test_masks_agree(small, large):
    for scene in small + large:
        present = {*np.unique(scene.instances)} - {0, BORDER}
        assert present == set(range(1, len(scene.objects) + 1)), "an object cannot be seen"
        assert np.array_equal(scene.mask == BORDER, scene.instances == BORDER)
        assert np.array_equal(scene.parts > 0, (scene.mask > 0) & (scene.mask != BORDER))
        assert scene.parts.max() == BODY
        for number, item in enumerate(scene.objects, start=1):
            assert (scene.mask[scene.instances == number] == item.class_id + 1).all()
            assert item.name == CLASS_NAMES[item.class_id]
        assert scene.class_ids == tuple(np.unique(scene.mask[scene.parts > 0]).astype(int) - 1)


def test_every_object_shows_its_head_and_its_body(small, large):
    for scene, number, _ in objects(small):
        own = scene.instances == number
        assert (own & (scene.parts == HEAD)).sum() >= 25
        assert (own & (scene.parts == BODY)).sum() >= 25
    for scene, number, _ in objects(large):
        own = scene.instances == number
        assert (own & (scene.parts == HEAD)).sum() >= 25 * 375 * 500 / 96**2


def test_a_border_of_one_pixel_parts_all_that_differs(small):
    for scene in small:
        seen = scene.instances != BORDER
        for axis in (0, 1):
            here, there = np.delete(scene.instances, -1, axis), np.delete(scene.instances, 0, axis)
            both = np.delete(seen, -1, axis) & np.delete(seen, 0, axis)
            assert np.array_equal(here[both], there[both]), "no border between two things"
        near = ndimage.binary_dilation(scene.parts > 0, CROSS)
        # What is only a pixel wide can vanish in the border around something else.
        assert near[~seen].mean() > 0.95, "border away from every object"


def test_the_border_at_vocs_size_is_five_pixels_wide():
    numbers = np.zeros((375, 500), np.uint8)
    numbers[100:200, 100:200] = 1
    numbers[100:200, 200:300] = 2
    numbers[300:, :100] = 3
    border = find_border(numbers)
    assert np.flatnonzero(border[150, :150]).tolist() == [97, 98, 99, 100, 101]
    assert np.flatnonzero(border[:150, 150]).tolist() == [97, 98, 99, 100, 101]
    assert np.flatnonzero(border[150, 150:250] != 0).tolist() == [47, 48, 49, 50, 51]
    assert np.flatnonzero(border[290:, 50]).tolist() == [7, 8, 9, 10, 11], "none at the edge"


def test_the_border_of_a_small_scene_takes_nothing_from_what_is_in_front():
    numbers = np.zeros((96, 96), np.uint8)
    numbers[20:40, 20:40] = 1
    numbers[20:40, 40:60] = 2
    border = find_border(numbers)
    assert np.flatnonzero(border[30]).tolist() == [19, 39, 60]


def test_borders_stay_thin(large):
    for scene in large:
        border = scene.mask == BORDER
        assert ndimage.distance_transform_edt(border).max() < 7
        assert 0.015 < border.mean() < 0.12


def test_boxes_hold_what_is_in_sight(small, large):
    for scenes, margin in ((small, 1), (large, 4)):
        gaps = []
        for scene, number, item in objects(scenes):
            rows, columns = np.nonzero(scene.instances == number)
            found = columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1
            gap = np.array(found) - item.box
            gaps.extend(np.abs(gap))
            assert (gap[:2] >= 0).all() and (gap[2:] <= 0).all(), "box smaller than its object"
        # Whiskers and the like lie within the border.
        assert np.mean(np.array(gaps) <= margin) > 0.9


def test_truncated_objects_touch_the_edge(small):
    for scene, _, item in objects(small):
        height, width = scene.mask.shape
        left, top, right, bottom = item.box
        if item.truncated:
            assert left == 1 or top == 1 or right == width or bottom == height
    share = np.mean([item.truncated for *_, item in objects(small)])
    assert 0.05 < share < 0.35


def test_only_what_comes_later_occludes(small):
    assert not any(scene.objects[-1].occluded for scene in small)
    share = np.mean([item.occluded for scene in small for item in scene.objects[:-1]])
    assert 0.2 < share < 0.7


def test_the_main_object_is_large_and_central():
    def item(box, pixels):
        return SceneObject(0, "cat", box, "Left", False, False, pixels, 0, 0, 0)

    blank = np.zeros((100, 100), np.uint8)
    corner, middle = (1, 1, 20, 20), (40, 40, 60, 60)
    for boxes, sizes, expected in (
        ((corner, middle), (300, 300), 1),
        ((middle, corner), (300, 310), 0),
        ((corner, middle), (2000, 300), 0),
    ):
        listed = tuple(item(box, pixels) for box, pixels in zip(boxes, sizes, strict=True))
        scene = Scene(blank, blank, blank, blank, listed)
        assert np.argmax(scene.prominence) == expected


def test_shares_and_counts_are_those_of_the_recipe(small):
    inside = [(scene.mask > 0) & (scene.mask != BORDER) for scene in small]
    assert 0.24 < np.mean(inside) < 0.30, "share of the foreground"
    heads = sum((scene.parts == HEAD).sum() for scene in small)
    bodies = sum((scene.parts == BODY).sum() for scene in small)
    assert 0.20 < heads / (heads + bodies) < 0.26, "share of the heads in it"
    counts = np.bincount([len(scene.objects) for scene in small], minlength=4) / len(small)
    assert counts[0] == 0 and abs(counts[1] - 0.6) < 0.08 and counts[3] > 0.03
    assert 1.2 < np.mean([len(scene.class_ids) for scene in small]) < 1.42


@pytest.mark.parametrize("trait", ["hue_of", "texture_of", "build_of"])
def test_a_body_is_its_own_classs_seven_times_in_ten(small, trait):
    pairs = [(item.class_id, getattr(item, trait)) for *_, item in objects(small)]
    own = np.mean([class_id == source for class_id, source in pairs])
    assert abs(own - 0.7) < 0.06
    others = {(class_id, source) for class_id, source in pairs if class_id != source}
    creature = [type(kind.build) for kind in SCENE_CLASSES]
    if trait == "build_of":
        assert all(creature[class_id] is creature[source] for class_id, source in others)
        assert len(others) == 4 * 3 + 2 * 1
    else:
        assert len(others) == 6 * 5


def test_classes_are_equally_frequent_and_equally_large(small):
    by_class = [[item for *_, item in objects(small) if item.class_id == k] for k in range(6)]
    counts = np.array([len(items) for items in by_class])
    assert counts.min() > 0.7 * counts.mean()
    sizes = np.array([np.mean([item.pixels for item in items]) for items in by_class])
    assert sizes.max() / sizes.min() < 1.5


POSE = Pose(centre=(60.0, 60.0), scale=26.0, lean=0.2, nod=-0.1, mirrored=True)


def drawing(class_id: int, build: int, pose: Pose = POSE):
    """An object whose body is of other classes; its colours are the same for every class."""
    choice = Choice(class_id, hue_of=3, texture_of=1, build_of=build)
    return draw_object(np.random.default_rng(0), choice, pose, 120, 120)


def families():
    kinds = {type(kind.build) for kind in SCENE_CLASSES}
    return [[k for k in range(20) if type(SCENE_CLASSES[k].build) is kind] for kind in kinds]


def test_a_body_betrays_nothing_of_its_head():
    for family in families():
        drawings = [drawing(class_id, build=family[0]).sketch for class_id in family]
        for one, other in combinations(drawings, 2):
            both = (one.parts == BODY) & (other.parts == BODY) & (one.alpha == 1)
            # Away from the heads, of which whiskers cover pixels that still count as body.
            heads = (one.parts == HEAD) | (other.parts == HEAD)
            both &= ~ndimage.binary_dilation(heads, CROSS, iterations=10)
            assert both.sum() > 500
            assert np.array_equal(one.rgb[:, both], other.rgb[:, both])


def test_every_head_is_unlike_all_others():
    pictures = []
    for class_id, kind in enumerate(SCENE_CLASSES):
        sketch = drawing(class_id, build=class_id).sketch
        rows, columns = np.nonzero(sketch.parts == HEAD)
        middle = int(rows.mean()), int(columns.mean())
        picture = np.where(sketch.parts == HEAD, sketch.rgb, 0)
        window = (slice(middle[0] - 12, middle[0] + 13), slice(middle[1] - 12, middle[1] + 13))
        pictures.append(picture[:, window[0], window[1]])
        assert (sketch.parts == HEAD).sum() > 200, kind.name
    for one, other in combinations(pictures, 2):
        assert np.abs(one - other).max(axis=0).mean() > 0.2


def test_no_drawing_reaches_over_its_window():
    for family in families():
        for class_id in family:
            for build in family:
                sketch = drawing(class_id, build, Pose((60.0, 60.0), 26.0, 0.0, 0.2, False)).sketch
                edge = np.concatenate(
                    [sketch.alpha[[0, -1]].ravel(), sketch.alpha[:, [0, -1]].ravel()]
                )
                assert not edge.any(), (SCENE_CLASSES[class_id].name, SCENE_CLASSES[build].name)


@pytest.mark.parametrize("mirrored", [False, True])
def test_words_are_never_mirrored(mirrored):
    sketch = Sketch((40.0, 40.0), 10.0, angle=0.0, mirrored=mirrored, reach=3.0)
    sketch.disc(1.5, 0, 0.4, (1, 1, 1))
    assert (np.nonzero(sketch.parts)[1].mean() + sketch.left > 40) is not mirrored
    with sketch.moved(0, -1.5, zoom=0.9, legible=True):
        sketch.disc(1.5, 0, 0.4, (1, 1, 1))
    columns = np.nonzero(sketch.parts[: len(sketch.parts) // 2 - 6])[1] + sketch.left
    assert columns.mean() > 40


@pytest.mark.parametrize("num_classes", range(2, 21))
def test_only_the_first_classes_are_drawn(num_classes):
    found = {k for index in range(6) for k in render_scene([8, index], 64, num_classes).class_ids}
    assert found <= set(range(num_classes))


def test_all_twenty_classes_are_drawn():
    assert len(set(CLASS_NAMES)) == 20
    images = SceneImages(150, seed=4, num_classes=20)
    assert images.labels.sum(dim=0).min() >= 1
    assert images.labels.shape == (150, 20)


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
        assert np.array_equal(np.asarray(images.image(index)), scene.image)
        present = set(np.unique(scene.mask)) - {0, BORDER}
        assert {k + 1 for k in images.labels[index].nonzero()[:, 0].tolist()} == present
    with pytest.raises(IndexError, match="scene 6 of 6"):
        images.image(6)


def test_splits_and_seeds_share_neither_scenes_nor_names():
    sets = [
        SceneImages(4, 64, seed, split) for seed in (0, 1) for split in ("train", "val", "test")
    ]
    scenes = [digest(images.scene(index)) for images in sets for index in range(4)]
    assert len(set(scenes)) == len(scenes)
    names = [name for images in sets for name in images.ids]
    assert len(set(names)) == len(names)


def test_a_scene_is_drawn_once_and_not_spoilt_by_its_users(monkeypatch):
    images = SceneImages(2, 64)
    before = digest(images.scene(0))
    images.mask(0)[:], images.parts(0)[:] = 7, 7
    np.asarray(images.image(0)).copy()[:] = 7
    assert images.scene(0) is images.scene(0)
    assert digest(images.scene(0)) == before
    monkeypatch.setattr(scenes_module, "_ROOM", 6 * 64 * 64)
    frugal = SceneImages(2, 64)
    assert frugal.scene(0) is frugal.scene(0)
    assert frugal.scene(1) is not frugal.scene(1)
    assert digest(frugal.scene(1)) == digest(images.scene(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, r"num_classes must lie in \[2, 20\]; got 1"),
        ({"num_classes": 21}, r"num_classes must lie in \[2, 20\]; got 21"),
        ({"size": 63}, "at least 64 pixels a side; got 63 x 63"),
        ({"size": (96, 40)}, "at least 64 pixels a side; got 96 x 40"),
        ({"seed": -1}, "seed must be whole numbers of at least 0, one or several; got -1"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_scene(**{"seed": 0, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 2.5}, "num_classes must be a whole number; got 2.5"),
        ({"size": 96.5}, "size must be a side or .height, width., pixels; got 96.5"),
        ({"size": (96, 96, 96)}, "size must be a side or"),
        ({"size": "96"}, "size must be a side or"),
        ({"seed": 0.5}, "seed must be whole numbers"),
    ],
)
def test_values_of_another_type_are_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        render_scene(**{"seed": 0, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "num_images must be at least 1; got 0"),
        ({"seed": -1}, "seed must be at least 0 and below 2..32; got -1"),
        ({"seed": 2**32}, "seed must be at least 0 and below 2..32; got 4294967296"),
        ({"split": "training"}, "split must be one of train, val, test; got 'training'"),
        ({"size": 32}, "at least 64 pixels"),
        ({"num_classes": 30}, r"\[2, 20\]"),
    ],
)
def test_image_sets_that_cannot_be_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        SceneImages(**{"num_images": 3, **arguments})
