"""Choosing, drawing and placing the objects of a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from ribnb.data.scenes.classes import SCENE_CLASSES
from ribnb.data.scenes.colours import Coat, Tones, hsv
from ribnb.data.scenes.sketch import HEAD, Sketch

OWN = 0.7  # probability that a body's hue, its texture or its build is its own class's
COUNTS = (0.6, 0.32, 0.08)  # probability of one, two and three objects, if they find room
HEAD_PIXELS = 25  # that each object's head shows at least, in a scene of 96 x 96 pixels

_REFERENCE = 96  # side of the scenes that the lengths below are meant for
_WIDEST = 1.25  # a long image is drawn for no more than this times its short side
_COMPANION = 0.25  # probability that a further object takes the first one's class
_UNIT = (21.0, 32.0)  # pixels a unit
_CROWD = (1.0, 0.84, 0.74)  # what is left of that with one, two and three objects
_LEAN, _NOD = 0.45, 0.2  # largest rotation of an object, and of a head on it, radians
_REACH = 1.98  # units around an object's origin that hold it
_TRIES = 25  # poses tried before the object gets smaller; after as many again it is left out


@dataclass(frozen=True)
class Pose:
    """Where an object lies (x and y, pixels), its size (pixels a unit) and its rotations."""

    centre: tuple[float, float]
    scale: float
    lean: float
    nod: float
    mirrored: bool

    def in_image(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of a point of the object."""
        x = -x if self.mirrored else x
        cosine, sine = self.scale * math.cos(self.lean), self.scale * math.sin(self.lean)
        return self.centre[0] + cosine * x - sine * y, self.centre[1] + sine * x + cosine * y


@dataclass(frozen=True)
class Choice:
    """What an object is: its class, 0-based, and those of which its body has each trait.

    A trait is the class's own with probability 0.7.
    """

    class_id: int
    hue_of: int
    texture_of: int
    build_of: int


@dataclass(frozen=True)
class Placed:
    """A drawn object: the pixels of the image that it and its head cover.

    ``size`` and ``head_size`` count them with those outside of the image.
    """

    choice: Choice
    sketch: Sketch
    region: Bool[ndarray, "H W"]
    head: Bool[ndarray, "H W"]
    size: int
    head_size: int


def place_objects(
    generator: np.random.Generator, height: int, width: int, num_classes: int
) -> tuple[list[Placed], UInt8[ndarray, "H W"]]:
    """Draw one to three objects of the first ``num_classes`` classes, later ones on top.

    The second result is 0 where there is none, else the number, from 1, of the one in sight.
    """
    count = 1 + int(np.searchsorted(np.cumsum(COUNTS[:-1]), generator.random(), side="right"))
    unit = min(math.sqrt(height * width), _WIDEST * min(height, width)) / _REFERENCE
    placed: list[Placed] = []
    numbers = np.zeros((height, width), np.uint8)
    for _ in range(count):
        # What it is stays as it is, whatever place is found, so that no class is rarer for its
        # shape; one that finds no room gets smaller. The first one needs a few tries at most.
        choice = _choose(generator, num_classes, placed[0].choice if placed else None)
        for attempt in range(2 * _TRIES if placed else 20 * _TRIES):
            scale = unit * _CROWD[count - 1] * 0.97 ** max(0, attempt - _TRIES)
            pose = _pose(generator, scale, height, width)
            if not _may_fit(pose, choice, numbers):
                continue
            new = draw_object(generator, choice, pose, height, width)
            if _fits(new, placed, numbers, math.ceil(1.4 * HEAD_PIXELS * unit**2)):
                placed.append(new)
                numbers[new.region] = len(placed)
                break
    return placed, numbers


def _choose(generator, num_classes, first):
    """A class, uniformly, and a body of which each trait is that class's with ``OWN``."""
    class_id = int(generator.integers(num_classes))
    if first is not None and generator.random() < _COMPANION:
        class_id = first.class_id
    kind = type(SCENE_CLASSES[class_id].build)
    everyone = range(num_classes)
    kin = [other for other in everyone if isinstance(SCENE_CLASSES[other].build, kind)]
    return Choice(
        class_id,
        hue_of=_own_or_other(generator, class_id, everyone),
        texture_of=_own_or_other(generator, class_id, everyone),
        build_of=_own_or_other(generator, class_id, kin),
    )


def _own_or_other(generator, class_id, candidates):
    others = [candidate for candidate in candidates if candidate != class_id]
    if not others or generator.random() < OWN:
        return class_id
    return others[generator.integers(len(others))]


def _pose(generator, scale, height, width):
    return Pose(
        centre=(width * generator.uniform(0.2, 0.8), height * generator.uniform(0.2, 0.8)),
        scale=scale * generator.uniform(*_UNIT),
        lean=generator.uniform(-_LEAN, _LEAN),
        nod=generator.uniform(-_NOD, _NOD),
        mirrored=bool(generator.random() < 0.5),
    )


def _may_fit(pose, choice, numbers):
    """Whether the middle of the head is in the image and on no other object.

    Spares most of the drawings that would not fit.
    """
    build = SCENE_CLASSES[choice.build_of].build
    x = build.MIDDLE[0] + build.neck[0] + build.ZOOM * build.HEAD_MIDDLE[0]
    y = build.MIDDLE[1] + build.neck[1] + build.ZOOM * build.HEAD_MIDDLE[1]
    height, width = numbers.shape
    for dx, dy in ((0, 0), (-0.3, 0), (0.3, 0), (0, -0.3), (0, 0.3)):
        column, row = pose.in_image(x + dx, y + dy)
        if not (0 <= column < width and 0 <= row < height) or numbers[int(row), int(column)]:
            return False
    return True


def draw_object(
    generator: np.random.Generator, choice: Choice, pose: Pose, height: int, width: int
) -> Placed:
    """One object alone, in a random colouring."""
    coat, tones = _coat(generator, choice, pose.scale), _tones(generator, choice)
    sketch = Sketch(pose.centre, pose.scale, pose.lean, pose.mirrored, _REACH)
    kind, build = SCENE_CLASSES[choice.class_id], SCENE_CLASSES[choice.build_of].build
    with sketch.moved(*build.MIDDLE):
        build.draw(sketch, coat)
        sketch.part = HEAD
        with sketch.moved(*build.neck, build.ZOOM, pose.nod):
            kind.head(sketch, tones)
    drawn = sketch.alpha > 0.5
    drawn_head = drawn & (sketch.parts == HEAD)
    in_image, in_window = overlap(sketch, height, width)
    region, head = np.zeros((2, height, width), bool)
    region[in_image] = drawn[in_window]
    head[in_image] = drawn_head[in_window]
    return Placed(choice, sketch, region, head, int(drawn.sum()), int(drawn_head.sum()))


def _coat(generator, choice, scale):
    hue, saturation, value = SCENE_CLASSES[choice.hue_of].colour
    hue += generator.uniform(-0.04, 0.04)
    saturation *= generator.uniform(0.6, 1.1)
    value *= generator.uniform(0.75, 1.08)
    tones = Tones.of(hue, saturation, value)
    dark, other = hsv(hue, saturation * 1.1, value * 0.52), hsv(generator.random(), 0.5, 0.85)
    second, strength = (tones.light, dark, other)[generator.integers(3)], generator.uniform(0.4, 1)
    second = tuple(a + strength * (b - a) for a, b in zip(tones.skin, second, strict=True))
    texture = SCENE_CLASSES[choice.texture_of].texture
    return Coat(tones, second, texture, generator.uniform(0, 2), scale)


def _tones(generator, choice):
    hue, saturation, value = SCENE_CLASSES[choice.class_id].skin
    return Tones.of(
        hue + generator.uniform(-0.015, 0.015),
        saturation * generator.uniform(0.9, 1.08),
        value * generator.uniform(0.9, 1.04),
    )


def overlap(sketch: Sketch, height: int, width: int) -> tuple[tuple, tuple]:
    """The pixels that a sketch's window and the image share: as slices of each of the two."""
    in_image, in_window = [], []
    for start, side, length in zip(
        (sketch.top, sketch.left), sketch.alpha.shape, (height, width), strict=True
    ):
        first, last = max(0, start), max(0, min(length, start + side))
        in_image.append(slice(first, last))
        in_window.append(slice(first - start, last - start))
    return tuple(in_image), tuple(in_window)


def _fits(new, placed, numbers, least):
    """Whether enough of the new object, of each older one and of all heads stays in sight.

    ``least`` is for a head, in pixels; some more than ``HEAD_PIXELS``, as the border takes some.
    """
    if new.region.sum() < 0.7 * new.size or new.head.sum() < max(least, 0.8 * new.head_size):
        return False
    if (new.head & (numbers > 0)).sum() > 0.1 * new.head_size:  # a head on another's body
        return False
    for number, old in enumerate(placed, start=1):
        left = (numbers == number) & ~new.region
        if left.sum() < 0.5 * old.size:
            return False
        if (left & old.head).sum() < max(least, 0.8 * old.head_size):
            return False
    return True
