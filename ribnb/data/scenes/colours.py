"""Colours, and the patterns of a creature's coat or a vehicle's coachwork."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

WHITE, BLACK, SLATE = (0.98, 0.98, 0.96), (0.09, 0.08, 0.10), (0.20, 0.20, 0.24)
STEEL, GLASS = (0.74, 0.77, 0.82), (0.70, 0.89, 0.97)
RED, YELLOW, PINK = (0.88, 0.13, 0.14), (1.00, 0.83, 0.12), (0.97, 0.66, 0.70)

Colour = tuple[float, float, float]
Grid = Float[ndarray, "h w"]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Red, green and blue in [0, 1]; the hue goes round, the others are cut to [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))


@dataclass(frozen=True)
class Tones:
    """A plain colour, a darker and a lighter one."""

    skin: Colour
    shade: Colour
    light: Colour

    @classmethod
    def of(cls, hue: float, saturation: float, value: float) -> Tones:
        """From the plain one's hue, saturation and value."""
        return cls(
            skin=hsv(hue, saturation, value),
            shade=hsv(hue, saturation * 1.05, value * 0.74),
            light=hsv(hue, saturation * 0.3, value * 0.4 + 0.6),
        )


@dataclass(frozen=True)
class Coat:
    """What covers a body; a function of places x, y (h, w) that gives colours (3, h, w).

    Attributes:
        second: the colour of the pattern on the plain tones.
        texture: one of ``_PATTERNS``.
        shift: moves the pattern, units of the object.
        scale: pixels a unit.
    """

    tones: Tones
    second: Colour
    texture: str
    shift: float
    scale: float

    def __call__(self, x: Grid, y: Grid) -> Float[ndarray, "3 h w"]:
        """The colours at points of the object, with the pattern anti-aliased."""
        skin, second = (
            np.array(colour, np.float32)[:, None, None] for colour in (self.tones.skin, self.second)
        )
        inside = _PATTERNS[self.texture](x + np.float32(self.shift), y) * np.float32(self.scale)
        return skin + (second - skin) * np.clip(inside + np.float32(0.5), 0, 1)


def _stripes(across, period, share):
    """Stripes of the second colour that fill this share of each period."""
    place = np.abs(across % np.float32(period) - np.float32(period / 2))
    return np.float32(period * share / 2) - place


def _lattice(x, y, wide, high):
    """Distance to the nearest point of a lattice whose rows are shifted by half a step."""
    row = np.floor(y * np.float32(1 / high))
    u = (x + row * np.float32(wide / 2)) % np.float32(wide) - np.float32(wide / 2)
    v = y - (row + np.float32(0.5)) * np.float32(high)
    return np.sqrt(u * u + v * v)


def _checks(x, y):
    side = np.float32(0.26)
    u, v = x * (1 / side), y * (1 / side)
    odd = (np.floor(u) + np.floor(v)) % 2 * 2 - 1
    u, v = u - np.round(u), v - np.round(v)
    return odd * np.minimum(np.abs(u), np.abs(v)) * side


def _patches(x, y):
    wave = np.sin(x * 5.1 + np.sin(y * 4.3) * 1.4) + np.sin(y * 5.7 + np.sin(x * 3.1) * 1.7)
    return (wave - np.float32(0.4)) * np.float32(0.12)


def _zigzag(y):
    return np.abs(y % np.float32(0.44) - np.float32(0.22))


# Each gives about the distance, in units, to the nearest edge, positive in the second colour.
_PATTERNS = {
    "bands": lambda x, y: _stripes(x, 0.46, 0.5),
    "lines": lambda x, y: _stripes((x + y) * np.float32(0.7071), 0.21, 0.38),
    "chevrons": lambda x, y: _stripes(x + _zigzag(y), 0.38, 0.5) * 0.7,
    "spots": lambda x, y: np.float32(0.12) - _lattice(x, y, 0.4, 0.31),
    "checks": _checks,
    "patches": _patches,
}
