"""Textured landscapes that say nothing about what stands before them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ribnb.data.scenes.colours import hsv

_HILLS = (0.35, 0.35, 0.3)  # probability of no, one and two ranges of hills
_SUN, _SPECKS, _GRATING = 0.3, 0.35, 0.4  # probability of each


def draw_background(
    generator: np.random.Generator, height: int, width: int
) -> Float[ndarray, "3 height width"]:
    """A sky that blends two colours, perhaps with a sun, hills and specks; all under soft noise.

    Its values are about in [0, 1], not clipped.
    """
    picture = _sky(generator, height, width)
    if generator.random() < _SUN:
        _sun(generator, picture)
    for layer in range(generator.choice(len(_HILLS), p=_HILLS)):
        _hills(generator, picture, 0.35 + 0.25 * layer)
    if generator.random() < _SPECKS:
        _specks(generator, picture)
    grey = np.float32(0.1) * cloud(generator, 5, height, width)
    grey += np.float32(0.06) * cloud(generator, 16, height, width)
    if generator.random() < _GRATING:
        grey += _grating(generator, height, width)
    for channel, tint in zip(picture, generator.uniform(0.7, 1, 3), strict=True):
        channel += np.float32(tint) * grey
    return picture


def cloud(
    generator: np.random.Generator, cells: int, height: int, width: int
) -> Float[ndarray, "height width"]:
    """Normal noise of a square grid of ``cells`` values a side, enlarged by a cubic."""
    grid = generator.standard_normal((cells, cells), dtype=np.float32)
    return _enlarge(_enlarge(grid, height).T, width).T


def _enlarge(grid, size):
    """The rows of a grid, interpolated to ``size`` by Catmull and Rom's cubic.

    Written as four weighted sums and not as a product of matrices, whose last bits depend on
    the machine's library.
    """
    places = np.linspace(0, len(grid) - 1, size)
    start = np.minimum(places.astype(int), len(grid) - 2)
    t = (places - start).astype(np.float32)[:, None]
    weights = (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    rows = (np.clip(start + shift, 0, len(grid) - 1) for shift in (-1, 0, 1, 2))
    return sum(weight * grid[row] for weight, row in zip(weights, rows, strict=True))


def _colour(generator):
    colour = hsv(generator.random(), generator.uniform(0.05, 0.5), generator.uniform(0.42, 1.0))
    return np.array(colour, np.float32)


def _sky(generator, height, width):
    first, second = _colour(generator), _colour(generator)
    middle, spread = generator.uniform(0.3, 0.7), generator.uniform(0.05, 0.6)
    rows = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / height
    ramp = np.clip((rows - np.float32(middle)) / np.float32(spread) + np.float32(0.5), 0, 1)
    column = first[:, None] + (second - first)[:, None] * ramp
    return np.repeat(column[:, :, None], width, axis=2)


def _disc(picture, x, y, radius, colour, softness=1.0):
    """Blend a disc into the pixels around it; ``softness`` is its edge's width in pixels."""
    _, height, width = picture.shape
    reach = radius + softness
    rows = slice(max(0, math.floor(y - reach)), min(height, math.ceil(y + reach)))
    columns = slice(max(0, math.floor(x - reach)), min(width, math.ceil(x + reach)))
    across = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - x)
    down = np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5 - y)
    far = np.sqrt(across * across + (down * down)[:, None])
    cover = np.clip((np.float32(radius) - far) / np.float32(softness) + np.float32(0.5), 0, 1)
    view = picture[:, rows, columns]
    view += (colour[:, None, None] - view) * cover


def _sun(generator, picture):
    _, height, width = picture.shape
    x, y = width * generator.uniform(0.08, 0.92), height * generator.uniform(0.05, 0.3)
    radius = math.sqrt(height * width) * generator.uniform(0.05, 0.1)
    light = np.array(hsv(generator.uniform(0.05, 0.17), 0.35, 1.0), np.float32)
    _disc(picture, x, y, radius * 1.3, light * np.float32(0.5) + _colour(generator) / 2, radius)
    _disc(picture, x, y, radius, light)


def _hills(generator, picture, start):
    """A range of hills from one side to the other, its crest about at the share ``start``."""
    _, height, width = picture.shape
    across = (np.arange(width) + 0.5) / width
    crest = np.full(width, start + generator.uniform(-0.1, 0.15))
    for waves, swing in ((generator.uniform(0.4, 1.4), 0.07), (generator.uniform(2, 4), 0.02)):
        crest += swing * np.sin(2 * math.pi * (waves * across + generator.random()))
    rows = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    cover = np.clip(rows - (crest * height).astype(np.float32) + np.float32(0.5), 0, 1)
    light = np.float32(1.08) - np.float32(0.3 / height) * rows
    for channel, value in zip(picture, _colour(generator), strict=True):
        channel += (value * light - channel) * cover


def _specks(generator, picture):
    """Flowers, pebbles, snow: small dots of one colour in the lower or the whole picture."""
    _, height, width = picture.shape
    colour, unit = _colour(generator), math.sqrt(height * width) / 96
    top = generator.choice([0.0, 0.6])
    for _ in range(generator.integers(6, 18)):
        x, y = width * generator.random(), height * generator.uniform(top, 1)
        _disc(picture, x, y, unit * generator.uniform(0.5, 1.3), colour, max(1.0, 0.6 * unit))


def _grating(generator, height, width):
    """A faint wave of 4 to 14 periods in any direction."""
    angle, waves = generator.uniform(0, math.pi), generator.uniform(4, 14)
    step = 2 * math.pi * waves / math.sqrt(height * width)
    rows = np.arange(height) * (step * math.sin(angle)) + generator.uniform(0, 2 * math.pi)
    columns = np.arange(width) * (step * math.cos(angle))
    # sin(a + b), so that there are sines for rows and columns only, not for every pixel
    sines, cosines = np.sin((rows, rows + math.pi / 2)), np.sin((columns + math.pi / 2, columns))
    sines, cosines = sines.astype(np.float32), cosines.astype(np.float32)
    wave = sines[0][:, None] * cosines[0] + sines[1][:, None] * cosines[1]
    return np.float32(0.05) * wave
