"""Heads of creatures: each alone names its class. About one unit wide, around the origin."""

from __future__ import annotations

from math import pi

from ribnb.data.scenes.colours import (
    BLACK,
    BLUSH,
    BROWN,
    CREAM,
    GOLD,
    IVORY,
    ORANGE,
    PINK,
    RED,
    ROSE,
    SKY,
    TAN,
    WHITE,
    YELLOW,
    Tones,
)
from ribnb.data.scenes.sketch import Sketch

_SIDES = (-1, 1)


def _eyes(sketch, apart, y, radius, pupil=0.66, iris=BLACK):
    for side in _SIDES:
        x = side * apart
        sketch.disc(x, y, radius, WHITE, line=0.03)
        sketch.disc(x, y + radius * 0.1, radius * pupil, iris, line=0)
        sketch.disc(x + radius * 0.25, y - radius * 0.25, radius * 0.27, WHITE, line=0)


def _beads(sketch, apart, y, radius):
    """Eyes that are all pupil."""
    for side in _SIDES:
        sketch.disc(side * apart, y, radius, BLACK, line=0)
        sketch.disc(side * apart + radius * 0.3, y - radius * 0.35, radius * 0.35, WHITE, line=0)


def _smile(sketch, y, bend, sweep=0.8, colour=BLACK, x=0.0):
    sketch.arc(x, y - bend, bend, pi / 2, sweep, 0.022, colour, line=0)


def _cheeks(sketch, apart, y, radius=0.08):
    for side in _SIDES:
        sketch.ellipse(side * apart, y, radius, radius * 0.75, BLUSH, line=0)


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
        _smile(sketch, 0.27, 0.08, 1.2, x=side * 0.08)
    sketch.polygon([(-0.08, 0.11), (0.08, 0.11), (0, 0.18)], ROSE, 0.02, line=0)


def rabbit(sketch: Sketch, tones: Tones) -> None:
    """Long ears, front teeth."""
    for side in _SIDES:
        sketch.ellipse(side * 0.21, -0.66, 0.16, 0.46, tones.skin, turn=side * 0.16)
        sketch.ellipse(side * 0.21, -0.63, 0.075, 0.34, PINK, turn=side * 0.16, line=0)
    sketch.ellipse(0, 0, 0.47, 0.44, tones.skin, shade=0.1)
    for side in _SIDES:
        sketch.box(side * 0.06, 0.3, 0.06, 0.1, WHITE, 0.02, line=0.02)
    for side in _SIDES:
        sketch.ellipse(side * 0.11, 0.18, 0.15, 0.1, tones.light, line=0.012)
    _beads(sketch, 0.2, -0.08, 0.095)
    _cheeks(sketch, 0.34, 0.1)
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
    for side in _SIDES:
        sketch.ellipse(side * 0.15, 0.23, 0.06, 0.05, BLACK, line=0)
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


def elephant(sketch: Sketch, tones: Tones) -> None:
    """Fans of ears, a trunk, tusks."""
    for side in _SIDES:
        sketch.ellipse(side * 0.5, -0.1, 0.33, 0.42, tones.skin, turn=side * 0.2)
        sketch.ellipse(side * 0.52, -0.08, 0.22, 0.3, PINK, turn=side * 0.2, line=0)
    sketch.ellipse(0, -0.04, 0.4, 0.43, tones.skin, shade=0.1)
    for side in _SIDES:
        sketch.arc(side * 0.06, 0.22, 0.2, pi / 2 - side * 0.9, 0.6, 0.055, WHITE)
    sketch.path([(0, 0.05), (0, 0.42), (0.08, 0.62), (0.26, 0.66)], 0.16, tones.skin, tip=0.1)
    for y in (0.22, 0.34, 0.46):
        sketch.path([(-0.08, y), (0.08, y)], 0.018, tones.shade, line=0)
    _eyes(sketch, 0.2, -0.12, 0.095)


def pig(sketch: Sketch, tones: Tones) -> None:
    """A big pink snout, folded ears."""
    for side in _SIDES:
        ear = [(side * 0.12, -0.36), (side * 0.44, -0.6), (side * 0.5, -0.12)]
        sketch.polygon(ear, tones.skin, 0.04)
        fold = [(side * 0.26, -0.36), (side * 0.42, -0.5), (side * 0.44, -0.24)]
        sketch.polygon(fold, PINK, 0.01, line=0)
    sketch.ellipse(0, 0.0, 0.5, 0.47, tones.skin, shade=0.1)
    _beads(sketch, 0.24, -0.14, 0.085)
    _cheeks(sketch, 0.38, 0.12)
    _smile(sketch, 0.38, 0.2, 0.7)
    sketch.ellipse(0, 0.1, 0.27, 0.2, (0.98, 0.62, 0.68))
    for side in _SIDES:
        sketch.ellipse(side * 0.1, 0.1, 0.055, 0.085, (0.6, 0.2, 0.28), line=0)


def lion(sketch: Sketch, tones: Tones) -> None:
    """A mane like the sun."""
    for step in range(10):
        with sketch.moved(0, 0.02, turn=step * pi / 5):
            sketch.ellipse(0, -0.46, 0.19, 0.22, (0.8, 0.42, 0.1), ink=0.5)
    sketch.disc(0, 0.02, 0.5, (0.8, 0.42, 0.1), line=0)
    for side in _SIDES:
        sketch.disc(side * 0.3, -0.32, 0.13, tones.skin)
        sketch.disc(side * 0.3, -0.31, 0.06, PINK, line=0)
    sketch.ellipse(0, 0.03, 0.4, 0.39, tones.skin, shade=0.1)
    _beads(sketch, 0.16, -0.06, 0.075)
    for side in _SIDES:
        sketch.ellipse(side * 0.1, 0.2, 0.13, 0.11, CREAM, line=0)
        _smile(sketch, 0.27, 0.09, 1.1, x=side * 0.09)
    sketch.polygon([(-0.09, 0.07), (0.09, 0.07), (0, 0.16)], BROWN, 0.02, line=0)


def frog(sketch: Sketch, tones: Tones) -> None:
    """Eyes on the top, a mouth from side to side."""
    for side in _SIDES:
        sketch.disc(side * 0.3, -0.32, 0.23, tones.skin)
        sketch.disc(side * 0.3, -0.34, 0.16, WHITE, line=0.03)
        sketch.ellipse(side * 0.3, -0.33, 0.1, 0.06, BLACK, line=0)
    sketch.ellipse(0, 0.06, 0.58, 0.4, tones.skin, shade=0.1)
    for side in _SIDES:
        sketch.ellipse(side * 0.08, -0.06, 0.025, 0.02, BLACK, line=0)
    sketch.ellipse(0, 0.17, 0.42, 0.2, (0.62, 0.12, 0.2), line=0.04)
    sketch.ellipse(0, 0.06, 0.46, 0.14, tones.skin, line=0)
    sketch.ellipse(0, 0.29, 0.18, 0.07, ROSE, line=0)
    _cheeks(sketch, 0.46, 0.02)


def mouse(sketch: Sketch, tones: Tones) -> None:
    """Two round ears as big as the face, a pointed nose."""
    for side in _SIDES:
        sketch.disc(side * 0.4, -0.4, 0.31, tones.skin)
        sketch.disc(side * 0.4, -0.39, 0.2, PINK, line=0)
    sketch.path([(0, -0.06), (0, 0.34)], 0.44, tones.skin, tip=0.13, shade=0.1)
    _beads(sketch, 0.17, -0.08, 0.085)
    for side in _SIDES:
        for drop in (-0.06, 0.06):
            whisker = [(side * 0.1, 0.26), (side * 0.5, 0.26 + drop * 1.6)]
            sketch.path(whisker, 0.016, BLACK, line=0)
    sketch.disc(0, 0.36, 0.1, ROSE, line=0.03)
    sketch.box(0, 0.5, 0.05, 0.06, WHITE, 0.01, line=0.02)


def bug(sketch: Sketch, tones: Tones) -> None:
    """A black face with feelers and enormous eyes."""
    for side in _SIDES:
        feeler = [(0.14, -0.3), (0.2, -0.52), (0.34, -0.66), (0.46, -0.7)]
        feeler = [(side * x, y) for x, y in feeler]
        sketch.path(feeler, 0.04, BLACK, line=0)
        sketch.disc(side * 0.46, -0.7, 0.13, YELLOW)
    sketch.ellipse(0, 0.02, 0.46, 0.45, (0.2, 0.18, 0.22), shade=0.2)
    for side in _SIDES:
        sketch.ellipse(side * 0.22, -0.06, 0.19, 0.22, WHITE, line=0.03)
        sketch.ellipse(side * 0.17, -0.02, 0.085, 0.11, BLACK, line=0)
        sketch.disc(side * 0.17 + 0.03, -0.07, 0.035, WHITE, line=0)
    _smile(sketch, 0.34, 0.2, 0.8, RED)


def unicorn(sketch: Sketch, tones: Tones) -> None:
    """A golden horn, a rainbow mane; seen from the side."""
    curls = (-0.36, 0.3, SKY), (-0.4, 0.04, PINK), (-0.32, -0.2, YELLOW), (-0.1, -0.36, PINK)
    for x, y, colour in curls:
        sketch.disc(x, y, 0.2, colour)
    sketch.polygon([(-0.14, -0.3), (-0.02, -0.66), (0.1, -0.34)], tones.skin, 0.03)
    sketch.path([(-0.08, 0.0), (0.42, 0.3)], 0.34, tones.skin, tip=0.21, shade=0.1)
    sketch.ellipse(0.48, 0.33, 0.16, 0.18, tones.light, line=0)
    sketch.polygon([(0.1, -0.3), (0.3, -0.2), (0.44, -0.86)], GOLD, 0.02)
    for share in (0.2, 0.45, 0.7):
        x, y = 0.2 + 0.24 * share, -0.26 - 0.6 * share
        sketch.path([(x - 0.08, y - 0.02), (x + 0.09, y + 0.06)], 0.02, (0.75, 0.5, 0.05), line=0)
    sketch.disc(0.08, -0.04, 0.1, BLACK, line=0)
    sketch.disc(0.12, -0.08, 0.035, WHITE, line=0)
    sketch.ellipse(0.56, 0.28, 0.035, 0.05, BLACK, line=0)
    sketch.ellipse(0.16, 0.18, 0.08, 0.06, BLUSH, line=0)


def deer(sketch: Sketch, tones: Tones) -> None:
    """Branching antlers, a red nose."""
    for side in _SIDES:
        stem = [(side * 0.14, -0.34), (side * 0.26, -0.66), (side * 0.5, -0.86)]
        low = [(side * 0.24, -0.6), (side * 0.14, -0.9)]
        high = [(side * 0.32, -0.72), (side * 0.6, -0.66)]
        for twig in (stem, low, high):
            sketch.path(twig, 0.065, BROWN, tip=0.04, line=0.02)
        sketch.ellipse(side * 0.46, -0.2, 0.22, 0.1, tones.skin, turn=-side * 0.35)
        sketch.ellipse(side * 0.46, -0.2, 0.13, 0.05, PINK, turn=-side * 0.35, line=0)
    sketch.ellipse(0, -0.06, 0.36, 0.4, tones.skin, shade=0.1)
    sketch.ellipse(0, 0.22, 0.24, 0.24, tones.light, line=0)
    _beads(sketch, 0.17, -0.1, 0.085)
    _smile(sketch, 0.4, 0.14)
    sketch.disc(0, 0.2, 0.13, RED, line=0.03)
    sketch.disc(0.04, 0.15, 0.035, WHITE, line=0)
