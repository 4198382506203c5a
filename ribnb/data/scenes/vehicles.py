"""Bodies of vehicles: coachwork, windows and wheels, of proportions that any vehicle may have."""

from __future__ import annotations

from dataclasses import dataclass

from ribnb.data.scenes.colours import GLASS, RED, SLATE, STEEL, YELLOW, Coat
from ribnb.data.scenes.sketch import Sketch


@dataclass(frozen=True)
class Vehicle:
    """Proportions of a vehicle's body, in units.

    Attributes:
        long, high: half length and half height of the coachwork.
        cabin: where the cabin begins and ends on it, from back to front.
        tall: height of the cabin.
        lean: how far the cabin's back and front lean inwards.
        windows: number of windows.
        wheel: radius of a wheel.
        corner: radius of the coachwork's corners.
    """

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
