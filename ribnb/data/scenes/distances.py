"""Signed distances to simple shapes: negative inside, zero on the edge, in the points' own unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Grid = Float[ndarray, "h w"]
Point = tuple[float, float]


def ellipse(u: Grid, v: Grid, wide: float, high: float) -> Grid:
    """To an ellipse of half axes ``wide`` and ``high`` around the origin; right at its edge."""
    p, q = u / wide, v / high
    length = np.sqrt(p * p + q * q)
    p /= wide
    q /= high
    slope = np.sqrt(p * p + q * q)
    return length * (length - 1) / np.maximum(slope, np.float32(1e-6))


def disc(u: Grid, v: Grid, radius: float) -> Grid:
    """To a disc around the origin."""
    return np.sqrt(u * u + v * v) - radius


def rectangle(u: Grid, v: Grid, wide: float, high: float, corner: float) -> Grid:
    """To a rectangle of half sides ``wide`` and ``high`` around the origin, corners rounded."""
    p, q = np.abs(u) - (wide - corner), np.abs(v) - (high - corner)
    outside = disc(np.maximum(p, 0), np.maximum(q, 0), corner)
    return outside + np.minimum(np.maximum(p, q), 0)


def path(u: Grid, v: Grid, points: Sequence[Point], radius: float, tip: float) -> Grid:
    """To a bent line of round ends whose radius goes from ``radius`` to ``tip``."""
    step = (tip - radius) / (len(points) - 1)
    nearest = None
    for index, (start, end) in enumerate(pairwise(points)):
        across, share = _segment(u - start[0], v - start[1], end[0] - start[0], end[1] - start[1])
        across -= step * share + (radius + step * index)
        nearest = across if nearest is None else np.minimum(nearest, across, out=nearest)
    return nearest


def _segment(u, v, along, down):
    """Distance to a segment from the origin, and the share of its length at the nearest point."""
    length = max(along**2 + down**2, 1e-9)
    share = u * (along / length) + v * (down / length)
    np.minimum(np.maximum(share, 0, out=share), 1, out=share)
    return disc(u - share * along, v - share * down, 0), share


def arc(
    u: Grid, v: Grid, bend: float, middle: float, sweep: float, radius: float, tip: float
) -> Grid:
    """To an arc of round ends on a circle of radius ``bend`` around the origin.

    It spans ``sweep`` radians on both sides of the direction ``middle`` (0: x, a quarter turn:
    y), and its thickness goes from ``radius`` at its first end to ``tip`` at its last.
    """
    cosine, sine = math.cos(middle), math.sin(middle)
    u, v = cosine * u + sine * v, cosine * v - sine * u
    angle = np.clip(np.arctan2(v, u), -sweep, sweep)
    across = disc(u - bend * np.cos(angle), v - bend * np.sin(angle), 0)
    return across - ((radius + tip) / 2 + (tip - radius) / (2 * sweep) * angle)


def convex(u: Grid, v: Grid, points: Sequence[Point]) -> Grid:
    """To a convex polygon, given either way round; too small outside of a corner."""
    pairs = list(zip(points, [*points[1:], points[0]], strict=True))
    turn = math.copysign(1, sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs))
    farthest = None
    for a, b in pairs:
        length = turn * math.dist(a, b)
        normal = (b[1] - a[1]) / length, (a[0] - b[0]) / length
        side = u * normal[0] + v * normal[1]
        side -= a[0] * normal[0] + a[1] * normal[1]
        farthest = side if farthest is None else np.maximum(farthest, side, out=farthest)
    return farthest
