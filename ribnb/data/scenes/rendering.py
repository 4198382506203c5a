"""One scene: drawn creatures and vehicles in a landscape, with masks in VOC's manner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from scipy import ndimage

from ribnb.core.voc import IGNORED
from ribnb.data.scenes.backgrounds import draw_background
from ribnb.data.scenes.classes import SCENE_CLASSES
from ribnb.data.scenes.objects import Choice, Placed, overlap, place_objects

CLASS_NAMES = tuple(each.name for each in SCENE_CLASSES)
DRAWING = 1  # to be raised by one whenever the same seed gives another scene
SPLITS = ("train", "val", "test")

_VOC_BORDER, _VOC_SIDE = 5, math.sqrt(500 * 375)  # width of the border at VOC's size, pixels
_NOISE = 0.05  # standard deviation of the pixel noise
_COMPARABLE = 0.8  # share of the main object's prominence above which another is salient too
_REFERENCE = 96  # side of the scenes that the width below is meant for
_WINDOW = 9  # pixels; about half of it is the width of the finest part that a detector sees


@dataclass(frozen=True)
class SceneObject(Choice):
    """One object of a scene, as a VOC annotation tells it.

    Attributes:
        name: of its class.
        box: (xmin, ymin, xmax, ymax) of what is in sight, 1-based and inclusive as in VOC.
        prominence: how soon a viewer sees it; large and near the middle is soon.
    """

    name: str
    box: tuple[int, int, int, int]
    prominence: float


@dataclass(frozen=True)
class Scene:
    """An image and what is in it. Arrays are uint8.

    Attributes:
        image: (H, W, 3), red, green and blue.
        mask: (H, W), 0 background, class_id + 1, 255 on the border around objects.
        instances: (H, W), 0 background, the number from 1 of the object, 255 on the border.
        parts: (H, W), 1 head or marker, 2 body, 0 elsewhere, also on the border.
        objects: in the order of their numbers; a later one may hide an earlier one.
    """

    image: UInt8[ndarray, "H W 3"]
    mask: UInt8[ndarray, "H W"]
    instances: UInt8[ndarray, "H W"]
    parts: UInt8[ndarray, "H W"]
    objects: tuple[SceneObject, ...]

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The classes in the image, ascending, each once."""
        return tuple(sorted({item.class_id for item in self.objects}))

    @property
    def saliency(self) -> UInt8[ndarray, "H W"]:
        """What a saliency detector would see; see ``draw_saliency``."""
        return draw_saliency(self.instances, [item.prominence for item in self.objects])


def render_scene(
    seed: int | Sequence[int], size: int | tuple[int, int] = 96, num_classes: int = 6
) -> Scene:
    """Draw one scene. The same arguments give the same bytes, in any process and order.

    Args:
        seed: for ``numpy.random.default_rng``, which does not see zeros at the end.
        size: side in pixels, or (height, width), at least 64 each.
        num_classes: objects are of the first so many of ``CLASS_NAMES``, 2 to 6.
    """
    height, width = check_scenes(size, num_classes)
    generator = np.random.default_rng(seed)
    picture = draw_background(generator, height, width)
    placed, numbers = place_objects(generator, height, width, num_classes)
    parts = np.zeros((height, width), np.uint8)
    for item in placed:
        _paste(item, picture, parts)
    border = find_border(numbers)
    classes = np.array([0, *(item.choice.class_id + 1 for item in placed)], np.uint8)
    mask, instances = classes[numbers], numbers.copy()
    mask[border] = instances[border] = IGNORED
    parts[border] = 0
    objects = tuple(_describe(number, item, numbers) for number, item in enumerate(placed, 1))
    return Scene(_photograph(generator, picture), mask, instances, parts, objects)


def check_scenes(size: int | tuple[int, int], num_classes: int) -> tuple[int, int]:
    """Height and width of a size; a ValueError for what ``render_scene`` cannot draw."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 64:
        raise ValueError(f"size must be at least 64 pixels a side; got {height} x {width}")
    if not 2 <= num_classes <= len(CLASS_NAMES):
        raise ValueError(f"num_classes must lie in [2, {len(CLASS_NAMES)}]; got {num_classes}")
    return height, width


def _paste(item: Placed, picture: Float[ndarray, "3 H W"], parts: UInt8[ndarray, "H W"]) -> None:
    sketch = item.sketch
    in_image, in_window = overlap(sketch, *parts.shape)
    alpha = sketch.alpha[in_window]
    view = picture[(slice(None), *in_image)]
    view += (sketch.rgb[(slice(None), *in_window)] - view) * alpha
    covered = alpha > 0.5
    parts[in_image][covered] = sketch.parts[in_window][covered]


def _photograph(generator, picture):
    """Gain, a tint and the noise of a camera; (H, W, 3) uint8."""
    gain, tint = generator.uniform(0.8, 1.15), generator.uniform(-0.04, 0.04, 3)
    picture *= np.float32(gain)
    picture += tint.astype(np.float32)[:, None, None]
    picture += _noise(generator, picture.shape)
    np.clip(picture, 0, 1, out=picture)
    levels = (picture * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def _noise(generator, shape):
    """About normal with deviation ``_NOISE``: sums of four bytes, far faster than normal draws."""
    draws = np.frombuffer(generator.bytes(4 * math.prod(shape)), np.uint8).reshape(4, *shape)
    total = draws[0].astype(np.float32)
    for draw in draws[1:]:
        total += draw
    total -= np.float32(4 * 127.5)
    total *= np.float32(_NOISE / math.sqrt(4 * (256**2 - 1) / 12))
    return total


def find_border(numbers: UInt8[ndarray, "H W"]) -> Bool[ndarray, "H W"]:
    """Where VOC would write 255: around objects and between them, (H, W) bool.

    It is 5 pixels wide at VOC's size and in proportion at others, at least 1. The odd pixel
    lies outside of what is in front, so that the thinnest border takes nothing from an object
    but where another one covers it.
    """
    total = max(1, round(_VOC_BORDER * math.sqrt(numbers.size) / _VOC_SIDE))
    inside = total // 2
    high = low = numbers
    for step in range(total - inside):
        near = ndimage.generate_binary_structure(2, 1 + step % 2)  # 4 neighbours and 8 in turn
        high = ndimage.maximum_filter(high, footprint=near, mode="nearest")
        if step < inside:
            low = ndimage.minimum_filter(low, footprint=near, mode="nearest")
    return (high > numbers) | (low < numbers)


def _describe(number: int, item: Placed, numbers: UInt8[ndarray, "H W"]) -> SceneObject:
    seen = numbers == number
    height, width = seen.shape
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    ends = columns[0], rows[0], columns[-1], rows[-1]
    left, top, right, bottom = box = tuple(int(side) + 1 for side in ends)
    x, y = (left + right - 1) / (2 * width) - 0.5, (top + bottom - 1) / (2 * height) - 0.5
    return SceneObject(
        **vars(item.choice),
        name=CLASS_NAMES[item.choice.class_id],
        box=box,
        prominence=int(seen.sum()) * (1 - math.hypot(x, y)),
    )


def scene_seed(seed: int, split: str, index: int) -> tuple[int, int, int]:
    """The seed of one scene of a set: another one for each seed, split and index.

    Raises:
        ValueError: an unknown split, or a seed that does not fit into 32 bits: NumPy would join
            it with what follows, and two sets could share scenes.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be at least 0 and below 2**32; got {seed}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    return seed, SPLITS.index(split), index


def draw_saliency(
    instances: UInt8[ndarray, "H W"], prominence: Sequence[float]
) -> UInt8[ndarray, "H W"]:
    """The saliency map of a scene: 255 in salient objects, 0 elsewhere, a thin edge between.

    Salient are the most prominent object and those of more than 0.8 of its prominence, about one
    further object in three. The others are what saliency maps miss.

    Like a detector's it is sharp and not the truth: straight edges lie where they should, with one
    pixel of partial value on either side, but corners are rounded, and parts that are thinner
    than half a window (9 pixels in a scene of 96 x 96, in proportion at other sizes) are gone.
    """
    salient = np.flatnonzero(np.array(prominence) > _COMPARABLE * max(prominence)) + 1
    region = np.isin(instances, salient)
    window = 2 * round(_WINDOW * min(instances.shape) / _REFERENCE / 2 - 0.5) + 1
    inside, ones = region.astype(np.int32), np.ones(window, np.int32)
    for axis in (0, 1):  # the image's edge goes on outside
        inside = ndimage.convolve1d(inside, ones, axis=axis, mode="nearest")
    # The share of a window goes from 0 to 1 over its width: stretched, so over two pixels.
    value = 0.5 + (2 * inside - window**2) / (4 * window)
    return (255 * np.clip(value, 0, 1) + 0.5).astype(np.uint8)
