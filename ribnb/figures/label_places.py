"""Labels of points in a figure, placed so that they keep apart."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.text import Text
from numpy import ndarray

FAR = np.array([5, 12, 24, 40, 60, 84])  # of a label from its point, in points
SIDES = [(1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)]


def place_labels(axis: Axes, points: pd.DataFrame, lines: Sequence[Float[ndarray, "n 2"]]) -> None:
    """Write each point's name where it covers no other name, no mark and no line.

    Args:
        axis: with its final limits and layout.
        points: (n, 2) x and y; the index has the names.
        lines: upright and level lines through such points.
    """
    pixels = axis.figure.dpi / 72
    at, frame = axis.transData.transform(points), axis.get_window_extent().extents
    # boxes are left, lower, right, upper; a name keeps so far from others' marks
    solid = np.hstack([at - 5 * pixels, at + 5 * pixels])
    ends = [pair for line in lines for pair in pairwise(axis.transData.transform(line))]
    thin = np.array([[*np.min(pair, 0) - pixels, *np.max(pair, 0) + pixels] for pair in ends])
    far, sides = np.repeat(FAR * pixels, len(SIDES)), np.tile(SIDES, (len(FAR), 1))
    for place in np.argsort(at[:, 0]):
        note = axis.annotate(
            textwrap.fill(points.index[place], 20), points.iloc[place], (0, 0), fontsize=8,
            textcoords="offset points", ha="center", va="center", in_layout=False,
            arrowprops={"arrowstyle": "-", "color": "#AAAAAA", "lw": 0.7, "shrinkB": 3},
        )  # fmt: skip
        size = Text.get_window_extent(note).size  # without the line to the point
        centres = at[place] + sides * (far[:, None] + size / 2)
        boxes = np.hstack([centres - size / 2, centres + size / 2])
        leaders = [_leader(at[place], centre) for centre in centres]
        others = np.delete(solid, place, axis=0)  # its own mark is where it belongs
        crossed = [_shared(leader, others).sum() for leader in leaders]
        outside = np.prod(size) - _shared(boxes, frame[None])
        # what makes it unreadable weighs most, then lines beneath, then the way to the point
        unreadable = _shared(boxes, others) + outside + crossed
        best = np.argmin(10 * unreadable + 4 * _shared(boxes, thin) + 2 * far)
        note.set_position((centres[best] - at[place]) / pixels)
        solid = np.vstack([solid, boxes[best], leaders[best]])


def _leader(point: Float[ndarray, "2"], centre: Float[ndarray, "2"]) -> Float[ndarray, "8 4"]:
    """The line from a point towards its text's centre, as small boxes."""
    places = point + np.linspace(0.1, 0.8, 8)[:, None] * (centre - point)
    return np.hstack([places - 1.5, places + 1.5])


def _shared(boxes: Float[ndarray, "a 4"], others: Float[ndarray, "b 4"]) -> Float[ndarray, " a"]:
    """The area that each box shares with all others together, in square pixels."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
