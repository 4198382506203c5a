"""The style of every figure of the book."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


def styled_figure(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style; close the figure so that a notebook shows it only once."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return styled


def legend_below(figure: Figure, axis: Axes, columns: int = 3) -> None:
    """One legend for the whole figure, under it."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def coarse(picture: Float[ndarray, "H W 3"]) -> Float[ndarray, "H W 3"]:
    """12 levels a channel: noise that nobody sees would fill a stored notebook."""
    return np.round(picture * 11) / 11


def bare(axes: ndarray) -> None:
    """No ticks, grid or frame."""
    for axis in np.ravel(axes):
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
