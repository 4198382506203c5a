"""Heads of creatures and markers of vehicles: each alone names its class.

A head is about one unit wide, around the origin; a marker stands at the origin, on the roof.
"""

from __future__ import annotations

from math import pi

from ribnb.data.scenes.colours import BLACK, PINK, RED, SKY, SLATE, STEEL, WHITE, YELLOW, Tones
from ribnb.data.scenes.sketch import Sketch

CREAM, IVORY, TAN = (0.98, 0.94, 0.84), (0.96, 0.92, 0.78), (0.90, 0.72, 0.50)
ORANGE, GOLD, BROWN = (0.98, 0.58, 0.12), (0.95, 0.74, 0.18), (0.45, 0.27, 0.13)
GREEN, BLUE = (0.25, 0.66, 0.25), (0.13, 0.34, 0.92)
ROSE, BLUSH = (0.88, 0.36, 0.46), (0.96, 0.50, 0.50)
_SIDES = (-1, 1)


def _pair(draw, x, *rest, turn=0.0, **style):
    """The same shape on the left and on the right."""
    for side in _SIDES:
        draw(side * x, *rest, **style, **({"turn": side * turn} if turn else {}))


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


def _smile(sketch, y, bend, sweep=0.8, colour=BLACK, x=0.0):
    sketch.arc(x, y - bend, bend, pi / 2, sweep, 0.022, colour, line=0)


def _cheeks(sketch, apart, y, radius=0.08):
    _pair(sketch.ellipse, apart, y, radius, radius * 0.75, BLUSH, line=0)


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
    _pair(sketch.box, 0.06, 0.3, 0.06, 0.1, WHITE, 0.02, line=0.02)
    _pair(sketch.ellipse, 0.11, 0.18, 0.15, 0.1, tones.light, line=0.012)
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
    _pair(sketch.ellipse, 0.1, 0.1, 0.055, 0.085, (0.6, 0.2, 0.28), line=0)


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
    _pair(sketch.ellipse, 0.08, -0.06, 0.025, 0.02, BLACK, line=0)
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
    _pair(sketch.ellipse, 0.2, -0.14, 0.2, 0.09, GREEN, turn=-0.5)
    for step in range(8):
        with sketch.moved(0, -0.66, turn=step * pi / 4):
            sketch.ellipse(0, -0.32, 0.14, 0.2, WHITE)
    sketch.disc(0, -0.66, 0.2, GOLD)
    _pair(sketch.disc, 0.07, -0.7, 0.03, BLACK, line=0)
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
