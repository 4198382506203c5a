"""The picture of the front page and of README: an ImageNet net's map, growing.

    python book/tools/picture.py [book/growing.gif]

Two photographs of the chapter ``photographs``, RIB with GNDRP at its default settings: the map of
the net as it is, then of each of the ten steps. It stops on the last one.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

from ribnb import CAMNet
from ribnb.book import CHAPTERS
from ribnb.book.photographs import Photographs
from ribnb.book.scenes import adapt_to_all, cam_at
from ribnb.figures.pictures import grid, overlay, show_image

PICTURE = Path(__file__).parents[1] / "growing.gif"
SHOWN = ("espresso", "motorcycle")
CUT = 0.3  # of a map's maximum, the outline
STEP, LAST = 260, 4000  # milliseconds of a frame


def frame(photos: Photographs, walks: list, k: int) -> Image.Image:
    """Each photograph beside its map at step k."""
    aspect = photos.image(0).height / photos.image(0).width
    figure, axes = grid(len(photos), 2, 3.0, labels=photos.ids, aspect=aspect)
    words = "what an ImageNet net looks at" if k == 0 else f"after {k} small steps"
    axes[0, 1].set_title(words, fontsize=11)
    for index, walk in enumerate(walks):
        image = photos.image(index)
        show_image(axes[index, 0], image)
        size = image.height, image.width
        overlay(axes[index, 1], image, cam_at(walk, k, size), None, CUT)
    content = io.BytesIO()
    figure.savefig(content, dpi=100, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    return Image.open(content).convert("RGB")


def main(path: str | Path = PICTURE) -> None:
    torch.set_num_threads(1)  # one a photograph
    settings = CHAPTERS["photographs"]()
    images = settings.photographs()
    net = CAMNet.imagenet(settings.arch)
    photos = Photographs({name: images[name] for name in SHOWN}, net)
    walks = adapt_to_all(net, photos, settings.rib)
    frames = [frame(photos, walks, k) for k in range(settings.rib.iterations + 1)]
    palette = frames[-1].quantize(96, dither=Image.Dither.NONE)
    first, *others = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames]
    times = [1500, *[STEP] * (len(others) - 1), LAST]
    first.save(path, save_all=True, append_images=others, duration=times, optimize=True)
    print(f"{path}: {len(frames)} frames of {first.width} x {first.height}, once")


if __name__ == "__main__":
    main(*sys.argv[1:])
