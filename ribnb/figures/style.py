"""The style of every figure of the book: one colour a method, one a region, VOC's for masks."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

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


class Look(NamedTuple):
    """What tells one thing from another, in colour and in grey."""

    color: str
    marker: str


# Okabe and Ito's colours, which colour-blind readers can tell apart. A name in a chapter, such as
# "RIB, GNDRP" or "CAM+IRN", has the look of the first of these words in it.
BLUE = "#0072B2"  # also of a figure that needs one colour
METHODS = {
    "bce": Look("#CC79A7", "v"),
    "gap": Look("#009E73", "o"),
    "gndrp": Look(BLUE, "s"),
    "rib": Look(BLUE, "s"),
    "cam": Look("#7F7F7F", "^"),
    "truth": Look("#000000", "*"),
    "true": Look("#000000", "*"),
}
STAGES = {"crf": "P", "irn": "D", "saliency": "X"}  # word -> marker; the colour is the maps'
OTHERS = ("#E69F00", "#56B4E9", "#D55E00", "#882255", "#999933")  # of what is no method

# The regions of digits, and the parts of scenes, which play the same roles.
HEAD, BODY, GROUND = Look("#56B4E9", "o"), Look("#D55E00", "s"), Look("#A0A0A0", "^")
REGIONS = {
    "discriminative": HEAD,
    "non_discriminative": BODY,
    "background": GROUND,
    "head": HEAD,
    "body": BODY,
}
REGION_NAMES = {
    "discriminative": "$R_D$ (digit)",
    "non_discriminative": "$R_{ND}$ (small shape)",
    "background": "$R_{BG}$ (background)",
}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each name: its region's, or its method's and stage's; else one of its own."""
    found: dict[str, Look] = {}
    spare = (Look(OTHERS[i % 5], "oPDXv*p"[i % 7]) for i in range(35))
    for name in names:
        words = set(re.findall("[a-z]+", name.lower().replace("_", " ")))
        method = next((look for word, look in METHODS.items() if word in words), None)
        look = REGIONS.get(name, method)
        stage = next((marker for word, marker in STAGES.items() if word in words), None)
        if look and stage:
            look = look._replace(marker=stage)
        found[name] = look if look and look not in found.values() else next(spare)
    return found


def styled_figure(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style; close the figure so that a notebook shows it only once."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        figure._ipython_display_ = partial(_show, figure)
        return figure

    return styled


def _show(figure: Figure) -> None:
    """A figure in a notebook with twice the pixels that it takes up, in the smaller format."""
    from IPython.display import display

    drawn, png, jpeg = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=2 * STYLE["figure.dpi"], bbox_inches="tight")
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(256, kmeans=1).save(png, "png", optimize=True)
    picture.save(jpeg, "jpeg", quality=65, optimize=True)
    content, kind = min(
        (png.getvalue(), "image/png"),
        (jpeg.getvalue(), "image/jpeg"),
        key=lambda each: len(each[0]),
    )
    shown = {kind: base64.b64encode(content).decode(), "text/plain": repr(figure)}
    size = {"width": picture.width // 2, "height": picture.height // 2}
    display(shown, metadata={kind: size}, raw=True)


def legend_below(figure: Figure, axis: Axes, note: str = "") -> None:
    """One legend for the figure, under it, in as many columns as fit; small print over it."""
    handles, labels = axis.get_legend_handles_labels()
    letters = 13 * figure.get_figwidth()
    columns = max(1, int(letters / (7 + max(map(len, labels), default=0))))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * max(0, rows - 1))  # not at the axes' cost
    figure.legend(
        handles, labels, loc="outside lower center", ncols=max(1, min(columns, len(labels))),
        title=textwrap.fill(note, int(1.2 * letters)), title_fontproperties={"size": 8},
    )  # fmt: skip


def whole_ticks(axis: Axes, places: ArrayLike) -> None:
    """Whole ticks on an x-axis whose places are all whole numbers."""
    if np.array_equal(places, np.round(places)):
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
