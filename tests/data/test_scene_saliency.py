"""Saliency of scenes: which objects a detector would see, how sharply, and on disk."""

import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ribnb.data.scenes.images import BORDER, SceneImages, render_scene
from ribnb.data.scenes.layout import write_scenes
from ribnb.data.scenes.rendering import draw_saliency, salient_numbers


@pytest.fixture(scope="module")
def scenes() -> list:
    return [render_scene([11, index]) for index in range(200)]


# Which objects ----------------------------------------------------------------------------


def test_the_main_object_is_salient_and_others_of_its_weight():
    assert salient_numbers([3.0]) == [1]
    assert salient_numbers([7.9, 10.0, 8.1]) == [2, 3]


def test_the_main_object_is_seen_in_every_scene_and_many_others_are_not(scenes):
    seen, missed = [], []
    for scene in scenes:
        for number in range(1, len(scene.objects) + 1):
            share = (scene.saliency > 127)[scene.instances == number].mean()
            if number == np.argmax(scene.prominence) + 1:
                assert share > 0.5
            elif number in salient_numbers(scene.prominence):
                seen.append(share)
            else:
                missed.append(share)
    assert min(seen) > 0.5
    assert np.mean(missed) < 0.05, "what is beside a salient object is taken for it"
    assert 0.2 < len(seen) / (len(seen) + len(missed)) < 0.5
    assert len(missed) > 40, "too few for a recall of non-salient objects"


def test_prominent_is_large_and_near_the_middle(scenes):
    for scene in scenes:
        for item, prominence in zip(scene.objects, scene.prominence, strict=True):
            assert 0.25 * item.pixels < prominence <= item.pixels


# How sharply ------------------------------------------------------------------------------


def test_straight_edges_lie_where_they_should_and_corners_are_round():
    instances = np.zeros((96, 96), np.uint8)
    instances[20:60, 30:80] = 1
    saliency = draw_saliency(instances, [1.0])
    assert saliency[40, 27:33].tolist() == [0, 0, 64, 191, 255, 255]
    assert saliency[17:23, 50].tolist() == [0, 0, 64, 191, 255, 255]
    inside = (saliency > 127) & (instances == 1)
    assert not (saliency[instances == 0] > 127).any()
    assert 0 < 40 * 50 - inside.sum() <= 4 * 9, "four corners, a few pixels each"


@pytest.mark.parametrize(("width", "seen"), [(3, False), (5, True)])
def test_thin_parts_are_gone(width, seen):
    instances = np.zeros((96, 96), np.uint8)
    instances[20:70, 40 : 40 + width] = 1
    assert (draw_saliency(instances, [1.0]) > 127).any() == seen


def test_the_edge_of_the_image_is_no_edge():
    instances = np.zeros((96, 96), np.uint8)
    instances[:30, :40] = 1
    saliency = draw_saliency(instances, [1.0])
    assert (saliency[:20, :30] == 255).all()
    assert not draw_saliency(np.full((96, 96), 2, np.uint8), [1.0, 1e-3]).any()


def test_it_is_good_but_not_the_truth(scenes):
    both = either = partial = 0
    for scene in scenes:
        true = np.isin(scene.instances, salient_numbers(scene.prominence))
        found, counts = scene.saliency > 127, scene.instances != BORDER
        both += (true & found & counts).sum()
        either += ((true | found) & counts).sum()
        near = ndimage.binary_dilation(true, np.ones((3, 3)), 3)
        assert not scene.saliency[~near].any()
        partial += ((scene.saliency > 0) & (scene.saliency < 255)).sum() / found.sum()
    assert 0.9 < both / either < 0.98
    assert partial / len(scenes) < 0.4, "the edge is thick"


# Where it is found ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, (70, 131), (375, 500)])
def test_any_size_has_one_and_it_is_always_the_same(size):
    scene = render_scene([2, 5], size)
    assert scene.saliency.dtype == np.uint8 and scene.saliency.shape == scene.mask.shape
    assert scene.saliency.max() == 255
    assert np.array_equal(render_scene([2, 5], size).saliency, scene.saliency)


def test_image_sets_give_it_in_0_to_1():
    images = SceneImages(3, (64, 80), seed=9)
    for index in range(3):
        saliency = images.saliency(index)
        assert saliency.dtype == np.float32 and saliency.shape == (64, 80)
        assert np.array_equal(saliency * 255, images.scene(index).saliency)
        assert saliency.max() == 1


def test_it_is_on_disk_as_greys_and_an_older_folder_gets_it(tmp_path):
    write_scenes(tmp_path, 6, 64, seed=9)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    drawn = SceneImages(5, 64, seed=9)
    for index in range(5):
        with Image.open(tmp_path / "Saliency" / f"2012_{index + 1:06}.png") as image:
            assert image.mode == "L"
            assert np.array_equal(np.array(image), drawn.scene(index).saliency)
    shutil.rmtree(tmp_path / "Saliency")
    assert write_scenes(tmp_path, 6, 64, seed=9) == 6
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    assert write_scenes(tmp_path, 6, 64, seed=9) == 0
