"""The layer on which one object is drawn, anti-aliased, from signed distances."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

HEAD, BODY = 1, 2  # the values of a parts map

_INK = 0.3  # an outline keeps this much of the colour that it surrounds
_LINE = 0.042  # width of an outline, units of the object
_THINNEST = 0.75  # pixels that an outline has at least

Grid = Float[ndarray, "h w"]
Point = tuple[float, float]
Colour = Sequence[float]
Paint = Colour | Callable[[Grid, Grid], Float[ndarray, "3 h w"]]


class Sketch:
    """One object's colour, coverage and parts in a window of its own.

    Shapes are given in the object's coordinates: x to its front, y down, one unit is ``scale``
    pixels. Each is evaluated on the pixels around it only, which makes drawing fast. The window
    may reach over the image's edge.

    Args:
        centre: (x, y) of the object's origin in the image, pixels.
        scale: pixels a unit.
        angle: rotation, radians, clockwise on the screen.
        mirrored: whether the object looks to the left.
        reach: radius around the origin, units; what lies farther out is cut off.

    Attributes:
        rgb: (3, h, w) float32 in [0, 1].
        alpha: (h, w) float32 in [0, 1], the share of each pixel that the object covers.
        parts: (h, w) uint8, 0 nothing, 1 head or marker, 2 body.
        left, top: the window's first column and row in the image; may be negative.
    """

    def __init__(
        self, centre: Point, scale: float, angle: float, mirrored: bool, reach: float
    ) -> None:
        radius = math.ceil(reach * scale) + 1
        self.left, self.top = math.floor(centre[0]) - radius, math.floor(centre[1]) - radius
        side = 2 * radius + 1
        self.rgb = np.zeros((3, side, side), np.float32)
        self.alpha = np.zeros((side, side), np.float32)
        self.parts = np.zeros((side, side), np.uint8)
        self.part = BODY
        self.scale = scale
        self._origin = centre[0] - self.left, centre[1] - self.top
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        facing = -1 if mirrored else 1
        self._axes = facing * cosine, facing * sine, -sine, cosine  # a unit of x, and one of y
        self._middles = np.arange(side, dtype=np.float32) + np.float32(0.5)

    @contextlib.contextmanager
    def moved(
        self, x: float, y: float, zoom: float = 1.0, turn: float = 0.0, legible: bool = False
    ) -> Iterator[None]:
        """Inside it the origin lies at (x, y), a unit is ``zoom`` times as long, and turned.

        With ``legible`` x goes to the right as one looks at it, so that words are not mirrored.
        """
        kept = self._origin, self._axes, self.scale
        self._origin = self._pixel(x, y)
        along, down, back, below = self._axes
        if legible and along * below < down * back:
            along, down = -along, -down
        cosine, sine = zoom * math.cos(turn), zoom * math.sin(turn)
        self._axes = (
            cosine * along + sine * back,
            cosine * down + sine * below,
            cosine * back - sine * along,
            cosine * below - sine * down,
        )
        self.scale = zoom * self.scale
        try:
            yield
        finally:
            self._origin, self._axes, self.scale = kept

    def _pixel(self, x, y):
        """Column and row in the window of a point."""
        along, down, back, below = self._axes
        return self._origin[0] + along * x + back * y, self._origin[1] + down * x + below * y

    def fill(
        self,
        distance: Callable[[Grid, Grid], Grid],
        box: tuple[float, float, float, float],
        paint: Paint,
        line: float = _LINE,
        ink: float = _INK,
        shade: float = 0.0,
    ) -> None:
        """Paint one shape over what is there.

        Args:
            distance: signed distance in units, negative inside and zero on the edge, of points
                x, y (h, w) from ``box``'s centre.
            box: x, y of a centre and half width and height around it that hold the shape.
            paint: (r, g, b) in [0, 1], or a function of x, y (from the object's origin).
            line: width of the outline inside the shape's edge, units; 0 for none.
            ink: brightness of the outline as a share of the paint's.
            shade: how much darker the box's bottom is than its middle, and the top lighter.
        """
        rows, columns = self._window(*box)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        u, v = self._from(box[0], box[1], rows, columns)
        far = distance(u, v)
        far *= np.float32(self.scale)
        if callable(paint):
            colours = paint(u + np.float32(box[0]), v + np.float32(box[1]))
        else:
            colours = np.array(paint, np.float32)[:, None, None]
        light = self._light(far, v, line, ink, shade / box[3])
        if light is not None:
            colours = colours * light
        cover = np.minimum(np.maximum(np.float32(0.5) - far, 0), 1)
        rgb = self.rgb[:, rows, columns]
        rgb += (colours - rgb) * cover
        alpha = self.alpha[rows, columns]
        np.maximum(alpha, cover, out=alpha)
        self.parts[rows, columns][cover > 0.5] = self.part

    def _light(self, far, v, line, ink, slope):
        """Factor on the colours: dark at the outline, brighter above than below."""
        light = 1 - v * np.float32(slope) if slope else None
        if line:
            edge = far + np.float32(max(line * self.scale, _THINNEST) + 0.5)
            np.minimum(np.maximum(edge, 0, out=edge), 1, out=edge)
            edge *= np.float32(ink - 1)
            edge += 1
            light = edge if light is None else np.multiply(light, edge, out=light)
        return light

    def _window(self, x, y, half_width, half_height):
        """Rows and columns of the pixels around a box."""
        column, row = self._pixel(x, y)
        along, down, back, below = map(abs, self._axes)
        wide = along * half_width + back * half_height + 1
        high = down * half_width + below * half_height + 1
        side = len(self.alpha)
        return (
            slice(max(0, math.floor(row - high)), min(side, math.ceil(row + high))),
            slice(max(0, math.floor(column - wide)), min(side, math.ceil(column + wide))),
        )

    def _from(self, x, y, rows, columns):
        """Coordinates, from the point (x, y), of the middles of a window's pixels."""
        column, row = self._pixel(x, y)
        across = (self._middles[columns] - np.float32(column))[None, :]
        below = (self._middles[rows] - np.float32(row))[:, None]
        a, c, b, d = self._axes
        scale = a * d - b * c
        u = np.float32(d / scale) * across - np.float32(b / scale) * below
        return u, np.float32(a / scale) * below - np.float32(c / scale) * across

    # Shapes. Places and sizes are in units; `turn` is a rotation in radians; `style` goes to fill.

    def ellipse(self, x, y, wide, high, paint, turn=0.0, **style) -> None:
        """An ellipse of half axes ``wide`` and ``high``."""

        def distance(u, v):  # right at its edge
            p, q = u / wide, v / high
            length = _length(p, q)
            p /= wide
            q /= high
            return length * (length - 1) / np.maximum(_length(p, q), np.float32(1e-6))

        with self._turned(x, y, turn) as (x, y):
            self.fill(distance, (x, y, wide, high), paint, **style)

    def disc(self, x, y, radius, paint, **style) -> None:
        """A disc."""
        self.fill(lambda u, v: _length(u, v) - radius, (x, y, radius, radius), paint, **style)

    def box(self, x, y, wide, high, paint, corner=0.0, turn=0.0, **style) -> None:
        """A rectangle of half sides ``wide`` and ``high`` with rounded corners."""

        def distance(u, v):
            p, q = np.abs(u) - (wide - corner), np.abs(v) - (high - corner)
            outside = _length(np.maximum(p, 0), np.maximum(q, 0)) - corner
            return outside + np.minimum(np.maximum(p, q), 0)

        with self._turned(x, y, turn) as (x, y):
            self.fill(distance, (x, y, wide, high), paint, **style)

    def path(self, points, radius, paint, tip=None, **style) -> None:
        """A bent line of round ends whose radius goes from ``radius`` to ``tip``."""
        tip = radius if tip is None else tip
        box, points = _around(points, max(radius, tip))
        step = (tip - radius) / (len(points) - 1)

        def distance(u, v):
            nearest = None
            for index, ((x, y), end) in enumerate(pairwise(points)):
                across, share = _to_segment(u - x, v - y, end[0] - x, end[1] - y)
                across -= step * share + (radius + step * index)
                nearest = across if nearest is None else np.minimum(nearest, across, out=nearest)
            return nearest

        self.fill(distance, box, paint, **style)

    def arc(self, x, y, bend, middle, sweep, radius, paint, tip=None, **style) -> None:
        """A piece of a circle of radius ``bend``, with round ends.

        It spans ``sweep`` radians on both sides of the direction ``middle`` (0: x, a quarter turn:
        y), and its thickness goes from ``radius`` at its first end to ``tip`` at its last.
        """
        tip = radius if tip is None else tip
        reach = bend + max(radius, tip)
        cosine, sine = math.cos(middle), math.sin(middle)

        def distance(u, v):
            u, v = cosine * u + sine * v, cosine * v - sine * u
            angle = np.clip(np.arctan2(v, u), -sweep, sweep)
            across = _length(u - bend * np.cos(angle), v - bend * np.sin(angle))
            return across - ((radius + tip) / 2 + (tip - radius) / (2 * sweep) * angle)

        self.fill(distance, (x, y, reach, reach), paint, **style)

    def polygon(self, points, paint, corner=0.0, **style) -> None:
        """A convex polygon, its edges moved outwards by ``corner`` and its corners rounded.

        Its points may go either way round; outside of a corner the distance is too small.
        """
        box, points = _around(points, corner)
        pairs = list(zip(points, [*points[1:], points[0]], strict=True))
        turn = math.copysign(1, sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs))

        def distance(u, v):
            farthest = None
            for a, b in pairs:
                length = turn * math.dist(a, b)
                normal = (b[1] - a[1]) / length, (a[0] - b[0]) / length
                side = u * normal[0] + v * normal[1]
                side -= a[0] * normal[0] + a[1] * normal[1]
                farthest = side if farthest is None else np.maximum(farthest, side, out=farthest)
            return farthest - corner

        self.fill(distance, box, paint, **style)

    @contextlib.contextmanager
    def _turned(self, x, y, turn):
        if turn == 0:
            yield x, y
        else:
            with self.moved(x, y, turn=turn):
                yield 0.0, 0.0


def _around(points, margin):
    """The box that holds the points with a margin, and the points from its centre."""
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    half_width, half_height = (max(xs) - min(xs)) / 2, (max(ys) - min(ys)) / 2
    x, y = min(xs) + half_width, min(ys) + half_height
    shifted = [(point[0] - x, point[1] - y) for point in points]
    return (x, y, half_width + margin, half_height + margin), shifted


def _length(u, v):
    return np.sqrt(u * u + v * v)


def _to_segment(u, v, along, down):
    """Distance to a segment from the origin, and the share of its length at the nearest point."""
    length = max(along**2 + down**2, 1e-9)
    share = u * (along / length) + v * (down / length)
    np.minimum(np.maximum(share, 0, out=share), 1, out=share)
    return _length(u - share * along, v - share * down), share
