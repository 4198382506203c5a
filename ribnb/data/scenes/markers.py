"""Markers of vehicles: each alone names its class. The origin is where it stands on the roof."""

from __future__ import annotations

from math import pi

from ribnb.data.scenes.colours import (
    BLACK,
    BLUE,
    BROWN,
    CREAM,
    GOLD,
    GREEN,
    PINK,
    RED,
    SLATE,
    STEEL,
    TAN,
    WHITE,
    YELLOW,
    Tones,
)
from ribnb.data.scenes.sketch import Sketch

_SIDES = (-1, 1)


def taxi(sketch: Sketch, tones: Tones) -> None:
    """A yellow sign with a chequered band."""
    with sketch.moved(0, 0, zoom=0.9, legible=True):
        sketch.box(0, -0.02, 0.3, 0.08, SLATE, 0.03)
        sketch.box(0, -0.38, 0.66, 0.36, YELLOW, 0.1)
        sketch.box(0, -0.24, 0.58, 0.17, WHITE, line=0)
        for column in range(7):
            x, y = -0.51 + 0.17 * column, -0.325 + 0.17 * (column % 2)
            sketch.box(x, y, 0.085, 0.085, BLACK, line=0)
        _letters(sketch, -0.56)


def _letters(sketch, y):
    """TAXI, as strokes."""
    strokes = (
        [(-0.36, -1), (-0.2, -1)],
        [(-0.28, -1), (-0.28, 1)],
        [(-0.15, 1), (-0.07, -1), (0.01, 1)],
        [(0.06, -1), (0.2, 1)],
        [(0.2, -1), (0.06, 1)],
        [(0.3, -1), (0.3, 1)],
    )
    for stroke in strokes:
        sketch.path([(x, y + 0.075 * row) for x, row in stroke], 0.025, BLACK, line=0)


def ambulance(sketch: Sketch, tones: Tones) -> None:
    """A star of life, blue on a white disc."""
    sketch.box(0, -0.02, 0.2, 0.08, SLATE, 0.03)
    sketch.disc(0, -0.5, 0.5, WHITE)
    for turn in (0, pi / 3, -pi / 3):
        sketch.box(0, -0.5, 0.105, 0.4, BLUE, 0.01, turn, line=0)


def policecar(sketch: Sketch, tones: Tones) -> None:
    """A blue dome that flashes."""
    for turn in (-1.15, -0.6, 0.0, 0.6, 1.15):
        with sketch.moved(0, -0.3, turn=turn):
            beam = [(-0.09, -0.5), (0.09, -0.5), (0, -0.82)]
            sketch.polygon(beam, (0.6, 0.9, 1.0), 0.01, line=0.025)
    sketch.box(0, -0.34, 0.38, 0.38, BLUE, 0.37)
    sketch.ellipse(-0.14, -0.44, 0.08, 0.16, (0.75, 0.88, 1.0), turn=0.3, line=0)
    sketch.box(0, -0.06, 0.48, 0.12, STEEL, 0.05)


def fireengine(sketch: Sketch, tones: Tones) -> None:
    """A ladder that rises to the front."""
    sketch.box(-0.4, -0.08, 0.24, 0.16, SLATE, 0.05)
    with sketch.moved(-0.46, -0.26, turn=-0.55):
        for x in (0.1, 0.36, 0.62, 0.88, 1.14):
            sketch.path([(x, -0.2), (x, 0.2)], 0.07, (1.0, 0.93, 0.6), line=0.025)
        for y in (-0.22, 0.22):
            sketch.path([(-0.1, y), (1.3, y)], 0.095, RED)
    sketch.disc(-0.44, -0.22, 0.13, YELLOW)


def icecreamvan(sketch: Sketch, tones: Tones) -> None:
    """A cone with three scoops and a cherry."""
    with sketch.moved(0, 0, zoom=1.18):
        sketch.polygon([(-0.3, -0.46), (0.3, -0.46), (0.0, 0.02)], TAN, 0.04)
        for side in _SIDES:
            for top, bottom in (((-0.2, -0.44), (0.08, -0.06)), ((0.02, -0.44), (0.16, -0.26))):
                ends = [(side * top[0], top[1]), (side * bottom[0], bottom[1])]
                sketch.path(ends, 0.016, (0.66, 0.42, 0.18), line=0)
        sketch.disc(0.17, -0.62, 0.27, (0.62, 0.36, 0.2))
        sketch.disc(-0.19, -0.62, 0.28, CREAM)
        sketch.disc(0.0, -0.88, 0.27, PINK)
        sketch.disc(0.02, -1.16, 0.1, RED)
        sketch.disc(0.05, -1.2, 0.03, WHITE, line=0)


def pizzavan(sketch: Sketch, tones: Tones) -> None:
    """A slice with salami."""
    sketch.polygon([(-0.52, -0.86), (0.52, -0.86), (0.0, 0.0)], (1.0, 0.82, 0.3), 0.04)
    sketch.path([(-0.52, -0.88), (0, -0.96), (0.52, -0.88)], 0.12, (0.82, 0.52, 0.2))
    for x, y in ((-0.24, -0.64), (0.22, -0.6), (0.0, -0.32)):
        sketch.disc(x, y, 0.13, RED, line=0.03)
    for x, y in ((0.0, -0.68), (-0.12, -0.4), (0.14, -0.4)):
        sketch.ellipse(x, y, 0.055, 0.03, GREEN, line=0)


def flowervan(sketch: Sketch, tones: Tones) -> None:
    """A daisy on a stalk."""
    sketch.path([(0, 0), (0.02, -0.4)], 0.05, GREEN)
    for side in _SIDES:
        sketch.ellipse(side * 0.2, -0.14, 0.2, 0.09, GREEN, turn=-side * 0.5)
    for step in range(8):
        with sketch.moved(0, -0.66, turn=step * pi / 4):
            sketch.ellipse(0, -0.32, 0.14, 0.2, WHITE)
    sketch.disc(0, -0.66, 0.2, GOLD)
    for side in _SIDES:
        sketch.disc(side * 0.07, -0.7, 0.03, BLACK, line=0)
    sketch.arc(0, -0.66, 0.09, pi / 2, 0.9, 0.018, BLACK, line=0)


def piratevan(sketch: Sketch, tones: Tones) -> None:
    """A black flag with a skull."""
    sketch.path([(-0.5, 0.04), (-0.5, -1.06)], 0.05, BROWN)
    flag = [(-0.45, -1.0), (0.62, -1.0), (0.62, -0.26), (-0.45, -0.26)]
    sketch.polygon(flag, BLACK, 0.02, line=0)
    for a, b in (((-0.2, -0.5), (0.36, -0.28)), ((0.36, -0.5), (-0.2, -0.28))):
        sketch.path([a, b], 0.045, WHITE, line=0)
    sketch.box(0.08, -0.5, 0.12, 0.12, WHITE, 0.03, line=0)
    sketch.disc(0.08, -0.66, 0.2, WHITE, line=0)
    for side in _SIDES:
        sketch.disc(0.08 + side * 0.08, -0.65, 0.06, BLACK, line=0)
    sketch.path([(0.08, -0.55), (0.08, -0.53)], 0.022, BLACK, line=0)
