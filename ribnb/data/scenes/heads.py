"""Heads of creatures and markers of vehicles: each alone names its class.

A head is about one unit wide, around the origin; a marker stands at the origin, on the roof.
"""

from __future__ import annotations

from math import pi

from ribnb.data.scenes.colours import BLACK, PINK, RED, SLATE, WHITE, YELLOW, Tones
from ribnb.data.scenes.sketch import Sketch

IVORY, TAN = (0.96, 0.92, 0.78), (0.90, 0.72, 0.50)
ORANGE, GOLD, BROWN = (0.98, 0.58, 0.12), (0.95, 0.74, 0.18), (0.45, 0.27, 0.13)
BLUE = (0.13, 0.34, 0.92)
ROSE, BLUSH = (0.88, 0.36, 0.46), (0.96, 0.50, 0.50)
_SIDES = (-1, 1)


def _pair(draw, x, *rest, **style):
    """The same shape on the left and on the right."""
    for side in _SIDES:
        draw(side * x, *rest, **style)


def _eyes(sketch, apart, y, radius):
    for side in _SIDES:
        x = side * apart
        sketch.disc(x, y, radius, WHITE, line=0.03)
        sketch.disc(x, y + radius * 0.1, radius * 0.66, BLACK, line=0)
        sketch.disc(x + radius * 0.25, y - radius * 0.25, radius * 0.27, WHITE, line=0)


def _beads(sketch, apart, y, radius):
    """Eyes that are all pupil."""
    for side in _SIDES:
        sketch.disc(side * apart, y, radius, BLACK, line=0)
        sketch.disc(side * apart + radius * 0.3, y - radius * 0.35, radius * 0.35, WHITE, line=0)


def cat(sketch: Sketch, tones: Tones) -> None:
    """Pointed ears, green slit eyes, whiskers."""
    for side in _SIDES:
        ear = [(side * 0.5, -0.02), (side * 0.47, -0.68), (side * 0.04, -0.38)]
        sketch.polygon(ear, tones.skin, 0.03)
        inner = [(side * 0.4, -0.26), (side * 0.4, -0.54), (side * 0.2, -0.4)]
        sketch.polygon(inner, PINK, 0.01, line=0)
    sketch.ellipse(0, 0.02, 0.56, 0.46, tones.skin, shade=0.1)
    for x in (-0.17, 0, 0.17):
        sketch.path([(x, -0.4), (x * 0.7, -0.2)], 0.05, BROWN, tip=0.02, line=0)
    for side in _SIDES:
        sketch.ellipse(side * 0.13, 0.24, 0.18, 0.16, WHITE, line=0)
        sketch.ellipse(side * 0.25, -0.05, 0.165, 0.165, (0.5, 0.92, 0.25), line=0.04)
        sketch.ellipse(side * 0.25, -0.05, 0.055, 0.145, BLACK, line=0)
        sketch.disc(side * 0.25 + 0.05, -0.11, 0.035, WHITE, line=0)
        for drop in (-0.05, 0.05):
            whisker = [(side * 0.22, 0.2 + drop * 0.4), (side * 0.72, 0.17 + drop * 1.8)]
            sketch.path(whisker, 0.018, WHITE, tip=0.01, line=0)
        sketch.arc(side * 0.08, 0.27 - 0.08, 0.08, pi / 2, 1.2, 0.022, BLACK, line=0)
    sketch.polygon([(-0.08, 0.11), (0.08, 0.11), (0, 0.18)], ROSE, 0.02, line=0)


def rabbit(sketch: Sketch, tones: Tones) -> None:
    """Long ears, front teeth."""
    for side in _SIDES:
        sketch.ellipse(side * 0.21, -0.66, 0.16, 0.46, tones.skin, turn=side * 0.16)
        sketch.ellipse(side * 0.21, -0.63, 0.075, 0.34, PINK, turn=side * 0.16, line=0)
    sketch.ellipse(0, 0, 0.47, 0.44, tones.skin, shade=0.1)
    _pair(sketch.box, 0.06, 0.3, 0.06, 0.1, WHITE, 0.02, line=0.02)
    _pair(sketch.ellipse, 0.11, 0.18, 0.15, 0.1, tones.light, line=0.012)
    _beads(sketch, 0.2, -0.08, 0.095)
    _pair(sketch.ellipse, 0.34, 0.1, 0.08, 0.08 * 0.75, BLUSH, line=0)
    sketch.ellipse(0, 0.1, 0.07, 0.05, ROSE, line=0)


def bull(sketch: Sketch, tones: Tones) -> None:
    """Ivory horns, a broad muzzle with a golden ring."""
    for side in _SIDES:
        sketch.ellipse(side * 0.5, -0.12, 0.2, 0.1, tones.skin, turn=side * 0.35)
        ends = (0.13, 0.025)[::-side]
        middle = pi / 2 - side * 0.75
        sketch.arc(side * 0.26, -0.74, 0.4, middle, 0.75, ends[0], IVORY, tip=ends[1])
    sketch.ellipse(0, -0.08, 0.42, 0.44, tones.skin, shade=0.1)
    sketch.ellipse(0, -0.42, 0.2, 0.12, tones.shade, line=0)
    sketch.arc(0, 0.42, 0.13, pi / 2, 2.4, 0.04, GOLD, line=0.02)
    sketch.ellipse(0, 0.26, 0.37, 0.23, TAN)
    _eyes(sketch, 0.19, -0.13, 0.105)
    _pair(sketch.ellipse, 0.15, 0.23, 0.06, 0.05, BLACK, line=0)
    sketch.arc(0, 0.42, 0.13, pi / 2, 1.3, 0.04, GOLD, line=0.02)


def bird(sketch: Sketch, tones: Tones) -> None:
    """A red crest, a long orange beak."""
    for turn, high in ((-0.75, 0.2), (0.55, 0.2), (-0.1, 0.27)):
        with sketch.moved(-0.02, -0.2, turn=turn):
            sketch.ellipse(0, -0.36, 0.11, high, RED)
    sketch.polygon([(0.24, 0.08), (0.24, 0.3), (0.66, 0.16)], (0.85, 0.42, 0.05), 0.03)
    sketch.disc(0, 0, 0.45, tones.skin, shade=0.1)
    sketch.polygon([(0.24, -0.14), (0.24, 0.16), (0.86, 0.1)], ORANGE, 0.03)
    sketch.disc(0.06, -0.1, 0.17, WHITE, line=0.035)
    sketch.disc(0.1, -0.09, 0.1, BLACK, line=0)
    sketch.disc(0.14, -0.13, 0.035, WHITE, line=0)
    sketch.ellipse(-0.02, 0.19, 0.09, 0.07, BLUSH, line=0)


def taxi(sketch: Sketch, tones: Tones) -> None:
    """A yellow sign with a chequered band."""
    with sketch.moved(0, 0, zoom=0.9, legible=True):
        sketch.box(0, -0.02, 0.3, 0.08, SLATE, 0.03)
        sketch.box(0, -0.38, 0.66, 0.36, YELLOW, 0.1)
        sketch.box(0, -0.24, 0.58, 0.17, WHITE, line=0)
        for column in range(7):
            x, y = -0.51 + 0.17 * column, -0.325 + 0.17 * (column % 2)
            sketch.box(x, y, 0.085, 0.085, BLACK, line=0)
        for letters in (  # TAXI, stroke by stroke
            [(-0.36, -1), (-0.2, -1)],
            [(-0.28, -1), (-0.28, 1)],
            [(-0.15, 1), (-0.07, -1), (0.01, 1)],
            [(0.06, -1), (0.2, 1)],
            [(0.2, -1), (0.06, 1)],
            [(0.3, -1), (0.3, 1)],
        ):
            stroke = [(x, -0.56 + 0.075 * row) for x, row in letters]
            sketch.path(stroke, 0.025, BLACK, line=0)


def ambulance(sketch: Sketch, tones: Tones) -> None:
    """A star of life, blue on a white disc."""
    sketch.box(0, -0.02, 0.2, 0.08, SLATE, 0.03)
    sketch.disc(0, -0.5, 0.5, WHITE)
    for turn in (0, pi / 3, -pi / 3):
        sketch.box(0, -0.5, 0.105, 0.4, BLUE, 0.01, turn, line=0)
