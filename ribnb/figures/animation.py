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
from matplotlib.figure import Figure

_SCRIPT = """
(function () {
  const player = document.getElementById("ID");
  const frames = player.querySelectorAll("img");
  const slider = player.querySelector("input");
  const button = player.querySelector("button");
  let timer = null;
  function show() {
    frames.forEach((frame, index) => { frame.hidden = index !== Number(slider.value); });
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
_STYLE = "max-width:490px;margin:auto;padding:0.5em;background:white;color:black"
_numbers = itertools.count(1)


def player(frames: Sequence[Figure], descriptions: Sequence[str]) -> HTML:
    """Figures as an animation that reads offline, in a book page and on Colab alike.

    Args:
        frames: at least two figures of one size; they are stored as JPEG.
        descriptions: what each frame shows, for readers who do not see it.

    Raises:
        ValueError: fewer than two frames, or other than one description a frame.
    """
    if len(frames) < 2 or len(frames) != len(descriptions):
        raise ValueError(
            "a player needs at least two frames and one description each; "
            f"got {len(frames)} frames, {len(descriptions)} descriptions"
        )
    identity = f"ribnb-player-{next(_numbers)}"
    images = "".join(
        # Jupyter Book dims pictures on a dark page, except those of this class.
        f'<img class="dark-light" src="data:image/jpeg;base64,{_jpeg(frame)}" '
        f'alt="{html.escape(text)}" style="max-width:100%"{"" if index == 0 else " hidden"}>'
        for index, (frame, text) in enumerate(zip(frames, descriptions, strict=True))
    )
    return HTML(
        f'<div class="ribnb-player" id="{identity}" style="{_STYLE}">{images}'
        '<div style="display:flex;gap:0.8em;align-items:center">'
        '<button type="button" style="min-width:4.5em">Play</button>'
        f'<input type="range" min="0" max="{len(frames) - 1}" value="0" step="1" '
        'aria-label="step" style="flex:1"></div></div>'
        f"<script>{_SCRIPT.replace('ID', identity)}</script>"
    )


def play_steps(
    maps: Mapping[str, Sequence[Any]],
    draw: Callable[[dict[str, Any], list[str]], Figure],
    measure: Callable[[Any], float],
    words: str,
) -> HTML:
    """Maps of several methods side by side, a frame a step, each with a number under it.

    Args:
        maps: method -> its map at k = 0, 1, ...
        draw: given titled maps and captions, the frame.
        measure: a map's number.
        words: what the number is.
    """
    frames, descriptions = [], []
    for k, row in enumerate(zip(*maps.values(), strict=True)):
        captions = [f"{words}: {measure(one):.2f}" for one in row]
        titled = {f"{name}, k = {k}": one for name, one in zip(maps, row, strict=True)}
        frames.append(draw(titled, captions))
        said = (f"{name}, {caption}" for name, caption in zip(maps, captions, strict=True))
        descriptions.append(re.sub("[${}]", "", f"k = {k}; {'; '.join(said)}"))
    return player(frames, descriptions)


def _jpeg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=72, pil_kwargs={"quality": 80})
    return base64.b64encode(buffer.getvalue()).decode()
