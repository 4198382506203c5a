"""The classes of the scenes: what each one's head is, and what its body tends to be.

A body is a creature's or a vehicle's, of proportions that any class of its kind may have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ribnb.data.scenes import heads
from ribnb.data.scenes.colours import BLACK, GLASS, RED, SLATE, STEEL, WHITE, YELLOW, Coat, Tones
from ribnb.data.scenes.sketch import Sketch


@dataclass(frozen=True)
class Creature:
    """Proportions of a creature's body, a trunk, legs and a tail, in units.

    Attributes:
        long, high: half axes of the trunk.
        legs: number of legs in view: 2 or 4.
        leg: length of a leg below the trunk.
        thick: radius of a leg.
        tail: thin, puff, tuft or fan.
        wing: whether a wing lies on the flank.

    ``MIDDLE`` of the body lies there from the middle of the whole object; a head on it is drawn
    ``ZOOM`` times as large, and ``HEAD_MIDDLE`` is the head's from its origin.
    """

    MIDDLE, ZOOM, HEAD_MIDDLE = (-0.15, 0.1), 0.83, (0.0, 0.0)

    long: float
    high: float
    legs: int
    leg: float
    thick: float
    tail: str
    wing: bool = False

    @property
    def neck(self) -> tuple[float, float]:
        """Where the origin of a head belongs, from the middle of the trunk."""
        return 0.84 * self.long, -0.58 * self.high - 0.12

    def draw(self, sketch: Sketch, coat: Coat) -> None:
        """Draw the body around the origin."""
        _TAILS[self.tail](sketch, -0.86 * self.long, -0.3 * self.high, coat.tones)
        for place in _FAR[self.legs]:
            self._leg(sketch, place, coat.tones.shade)
        for place in _NEAR[self.legs]:
            self._leg(sketch, place, coat.tones.skin)
        sketch.ellipse(0, 0, self.long, self.high, coat, shade=0.18)
        if self.wing:
            self._wing(sketch, coat)

    def _leg(self, sketch, place, colour):
        x, thick = place * self.long, self.thick
        hip = 0.7 * self.high * math.sqrt(1 - place**2)
        ground = self.high + self.leg - thick
        with sketch.moved(x, 0):
            sketch.path([(0, hip), (0.03, ground)], thick * 1.2, colour, tip=thick * 0.85)
            sketch.ellipse(0.03 + thick * 0.4, ground + 0.02, thick * 1.35, thick * 0.95, colour)

    def _wing(self, sketch, coat):
        sketch.path([(0.16, -0.08), (-0.16, 0.0), (-0.56, 0.1)], 0.25, coat.tones.shade, tip=0.06)
        for start, end in (((0.08, 0.03), (-0.38, 0.14)), ((0.06, -0.12), (-0.4, 0.0))):
            sketch.path([start, end], 0.028, coat.tones.light, tip=0.02, line=0)


_NEAR = {2: (0.12,), 4: (-0.62, 0.48)}
_FAR = {2: (-0.2,), 4: (-0.34, 0.74)}


def _thin(sketch, x, y, tones):
    sketch.arc(x - 0.06, y - 0.34, 0.34, 2.3, 0.95, 0.1, tones.skin, tip=0.06)


def _puff(sketch, x, y, tones):
    for dx, dy, radius in ((-0.04, 0.08, 0.13), (-0.16, 0.04, 0.13), (-0.1, -0.08, 0.14)):
        sketch.disc(x + dx, y + dy, radius, WHITE)
    sketch.disc(x - 0.08, y + 0.01, 0.12, WHITE, line=0)


def _tuft(sketch, x, y, tones):
    sketch.arc(x - 0.02, y + 0.28, 0.28, 3.5, 1.0, 0.05, tones.skin, tip=0.07)
    sketch.ellipse(x - 0.24, y + 0.5, 0.1, 0.17, BLACK, turn=-0.2)


def _fan(sketch, x, y, tones):
    for turn, colour in ((0.6, tones.shade), (-0.25, tones.shade), (0.18, tones.skin)):
        with sketch.moved(x + 0.1, y, turn=turn):
            sketch.ellipse(-0.36, 0, 0.34, 0.13, colour)


_TAILS = {tail.__name__[1:]: tail for tail in (_thin, _puff, _tuft, _fan)}


@dataclass(frozen=True)
class Vehicle:
    """Proportions of a vehicle's body, coachwork, windows and wheels, in units.

    Attributes:
        long, high: half length and half height of the coachwork.
        cabin: where the cabin begins and ends on it, from back to front.
        tall: height of the cabin.
        lean: how far the cabin's back and front lean inwards.
        windows: number of windows.
        wheel: radius of a wheel.
        corner: radius of the coachwork's corners.

    The others are as in ``Creature``, for a marker in place of a head.
    """

    MIDDLE, ZOOM, HEAD_MIDDLE = (0.0, 0.5), 0.98, (0.0, -0.45)

    long: float
    high: float
    cabin: tuple[float, float]
    tall: float
    lean: tuple[float, float]
    windows: int
    wheel: float
    corner: float

    @property
    def neck(self) -> tuple[float, float]:
        """Where the origin of a marker belongs: the middle of the roof."""
        back, front = self.cabin[0] + self.lean[0], self.cabin[1] - self.lean[1]
        return (back + front) / 2, -self.high - self.tall

    def draw(self, sketch: Sketch, coat: Coat) -> None:
        """Draw the body around the middle of the coachwork, which is the origin."""
        self._cabin(sketch, coat, -self.high - self.tall)
        sketch.box(0, 0, self.long, self.high, coat, self.corner, shade=0.16)
        self._trim(sketch, coat)
        for x in (-0.58 * self.long, 0.6 * self.long):
            sketch.disc(x, self.high, self.wheel * 1.22, coat.tones.shade)
            sketch.disc(x, self.high + 0.03, self.wheel, SLATE)
            sketch.disc(x, self.high + 0.03, self.wheel * 0.55, STEEL, line=0.03)
            sketch.disc(x, self.high + 0.03, self.wheel * 0.18, SLATE, line=0)

    def _cabin(self, sketch, coat, roof):
        (back, front), (lean_back, lean_front) = self.cabin, self.lean
        low, rim = -self.high + 0.12, 0.05
        corners = [(back, low), (back + lean_back, roof + rim), (front - lean_front, roof + rim)]
        sketch.polygon([*corners, (front, low)], coat.tones.skin, rim)
        top, bottom = roof + 0.15, -self.high - 0.05
        each = (front - back - 0.14) / self.windows
        for index in range(self.windows):
            left = back + 0.1 + index * each
            right = left + each - 0.06
            first = lean_back * 0.75 if index == 0 else 0
            last = lean_front * 0.75 if index == self.windows - 1 else 0
            window = [(left, bottom), (left + first, top), (right - last, top), (right, bottom)]
            sketch.polygon(window, GLASS, 0.02, line=0.03)
            shine = [(left + first + 0.08, top + 0.02), (left + first / 2 + 0.02, bottom - 0.04)]
            sketch.path(shine, 0.02, (0.92, 0.98, 1.0), line=0)

    def _trim(self, sketch, coat):
        """Lights, bumpers and a sill."""
        long, high = self.long, self.high
        sketch.box(0, high - 0.02, long - 0.05, 0.06, coat.tones.shade, 0.05, line=0.03)
        for x in (-long + 0.04, long - 0.04):
            sketch.box(x, high * 0.72, 0.1, 0.07, STEEL, 0.06, line=0.03)
        sketch.ellipse(long - 0.1, -0.1 * high, 0.08, 0.1, YELLOW, line=0.03)
        sketch.box(-long + 0.08, -0.1 * high, 0.05, 0.09, RED, 0.03, line=0.03)


@dataclass(frozen=True)
class SceneClass:
    """One class: its head or marker is always its own, the rest only usually.

    Attributes:
        head: draws the part that names the class.
        colour: hue, saturation and value of the body, each in [0, 1].
        texture: see ``ribnb.data.scenes.colours.Coat``.
        skin: hue, saturation and value of the head; markers have no use for it. Unlike
            ``colour``, or a net that looks for the head would find the body as well.
    """

    name: str
    head: Callable[[Sketch, Tones], None]
    colour: tuple[float, float, float]
    texture: str
    build: Creature | Vehicle
    skin: tuple[float, float, float] = (0.0, 0.0, 1.0)


# fmt: off
SCENE_CLASSES = (
    SceneClass("cat", heads.cat, (0.44, 0.58, 0.78), "bands",
        Creature(1.0, 0.5, 4, 0.42, 0.14, "thin"), skin=(0.066, 0.88, 1.0)),
    SceneClass("rabbit", heads.rabbit, (0.77, 0.42, 0.9), "spots",
        Creature(0.88, 0.68, 4, 0.24, 0.18, "puff"), skin=(0.9, 0.04, 0.97)),
    SceneClass("taxi", heads.taxi, (0.145, 0.85, 0.97), "checks",
        Vehicle(1.24, 0.35, (-0.84, 0.64), 0.45, (0.26, 0.34), 2, 0.27, 0.2)),
    SceneClass("ambulance", heads.ambulance, (0.52, 0.6, 0.86), "lines",
        Vehicle(1.08, 0.46, (-1.05, 0.92), 0.42, (0.04, 0.26), 3, 0.26, 0.1)),
    SceneClass("bull", heads.bull, (0.0, 0.7, 0.8), "patches",
        Creature(1.08, 0.6, 4, 0.4, 0.17, "tuft"), skin=(0.65, 0.12, 0.26)),
    SceneClass("bird", heads.bird, (0.59, 0.68, 0.93), "chevrons",
        Creature(0.98, 0.62, 2, 0.46, 0.08, "fan", wing=True), skin=(0.36, 0.72, 0.72)),
)
# fmt: on
