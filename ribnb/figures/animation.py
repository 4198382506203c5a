"""An animation that lives in the page: frames, a slider and a play button, no server."""

from __future__ import annotations

import base64
import html
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.display import HTML
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.figures.pictures import grid, outlined, overlay
from ribnb.figures.style import styled_figure

_SCRIPT = """
(function () {
  const player = document.getElementById("ID");
  const frames = player.querySelectorAll("img");
  const slider = player.querySelector("input");
  const button = player.querySelector("button");
  let timer = null;
  function show() {
    frames.forEach((frame, index) => { frame.hidden = index !== Number(slider.value); });
    slider.setAttribute("aria-valuetext", frames[slider.value].alt);
  }
  function stop() { clearInterval(timer); timer = null; button.textContent = "Play"; }
  function advance() {
    slider.value = (Number(slider.value) + 1) % frames.length;
    show();
    if (Number(slider.value) === frames.length - 1) { stop(); }
  }
  slider.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => {
    if (timer !== null) { stop(); return; }
    button.textContent = "Pause";
    advance();
    if (frames.length > 2) { timer = setInterval(advance, 600); }
  });
})();
"""
# Frames are drawn on white, so the player stays white in a dark page.
_STYLE = "margin:auto;padding:0.5em;background:white;color:black"
_numbers = itertools.count(1)


def map_player(
    image: Image.Image,
    maps: Mapping[str, Sequence[Float[ndarray, "H W"]]],
    truth: Bool[ndarray, "H W"] | None = None,
    cut: float | None = None,
) -> HTML:
    """An animation of maps laid over their image, step by step, with their mean on the object.

    ``maps`` is method -> its map in [0, 1] at k = 0, 1, ...; ``truth`` is where the class is. Where
    nobody knows, the share of the image above ``cut`` is said, and outlined in white.
    """

    def draw(axis: Axes, values: Float[ndarray, "H W"]) -> str:
        overlay(axis, image, values, truth, cut)
        if truth is None:
            return f"above {cut}: {(values > cut).mean():.0%} of the photo"
        return f"mean on the object: {values[truth].mean():.2f}"

    return _player(maps, draw, 2.2, image.height / image.width)


def gradient_player(
    maps: Mapping[str, Float[Tensor, "K+1 H W"]],
    regions: Mapping[str, Bool[Tensor, "H W"]],
    ratio: Callable[[Float[Tensor, "H W"]], float],
) -> HTML:
    """An animation of gradient maps in units of the first one's maximum, with the shape's HGR.

    ``maps`` is loss -> the map at k = 0, 1, ..., K, where all begin with the same one; ``ratio``
    gives a map's HGR of the shape.
    """
    scale = next(iter(maps.values()))[0].abs().max()

    def draw(axis: Axes, values: Float[Tensor, "H W"]) -> str:
        outlined(axis, values.abs() / scale, regions)
        return f"HGR of the shape: {ratio(values):.2f}"

    return _player(maps, draw, 2.5)


def _player(
    maps: Mapping[str, Sequence[Any]],
    draw: Callable[[Axes, Any], str],
    side: float,
    aspect: float = 1.0,
) -> HTML:
    """Maps of several methods side by side, a frame a step.

    ``draw`` draws a map, and gives the words under it; ``side`` is a panel's, in inches.
    """

    @styled_figure
    def frame(k: int, row: Sequence[Any]) -> Figure:
        names = [f"{name}, k = {k}" for name in maps]
        figure, axes = grid(1, len(row), side, columns=names, aspect=aspect)
        for axis, values in zip(axes[0], row, strict=True):
            axis.set_xlabel(draw(axis, values), fontsize=9)
        return figure

    shown = {}
    for k, row in enumerate(zip(*maps.values(), strict=True)):
        figure = frame(k, row)
        pairs = zip(maps, figure.axes, strict=True)
        words = "; ".join(f"{name}, {axis.get_xlabel()}" for name, axis in pairs)
        shown[re.sub("[${}]", "", f"k = {k}; {words}")] = figure
    return player(shown)


def player(frames: Mapping[str, Figure], start: int = 0) -> HTML:
    """Figures with a slider and a button that plays them; reads offline, in a page or on Colab.

    ``frames`` is what a figure says, for who does not see it -> the figure, in order; the one with
    the number ``start`` is shown first.
    """
    identity, images, width = f"ribnb-player-{next(_numbers)}", [], 0.0
    for number, (words, figure) in enumerate(frames.items()):
        picture, width = io.BytesIO(), figure.get_figwidth()
        figure.savefig(picture, format="webp", dpi=144, pil_kwargs={"quality": 70})
        # Jupyter Book dims pictures on a dark page, except those of the class dark-light.
        images.append(
            '<img class="dark-light" src="data:image/webp;base64,'
            f'{base64.b64encode(picture.getvalue()).decode()}" alt="{html.escape(words)}" '
            f'style="width:100%"{"" if number == start else " hidden"}>'
        )
    return HTML(
        f'<div class="ribnb-player" id="{identity}" style="max-width:{90 * width:.0f}px;{_STYLE}">'
        f'{"".join(images)}<div style="display:flex;gap:0.8em;align-items:center">'
        '<button type="button" style="min-width:4.5em">Play</button>'
        f'<input type="range" min="0" max="{len(images) - 1}" value="{start}" step="1" '
        'aria-label="step" style="flex:1"></div></div>'
        f"<script>{_SCRIPT.replace('ID', identity)}</script>"
    )
