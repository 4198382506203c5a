"""Maps as the stages of masks take them: whole, in range, of the image's size and classes."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ribnb.core.files import Maps, read_maps
from ribnb.core.image_set import ImageSet
from ribnb.scores.confusion import read_map


def maps_for_masks(path: str | Path, num_classes: int, size: tuple[int, int]) -> Maps:
    """An image's maps, refused where a mask would be made of something else.

    Args:
        path: the map file.
        num_classes: C, without background.
        size: the image's height and width.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, its maps are of another size, hold classes that are none of
            these, or values that are none of a map's.
    """
    maps = read_maps(path)
    read_map(maps, num_classes, f"the map file {path}")
    if maps.high_res.shape[1:] != tuple(size):
        there = " x ".join(map(str, maps.high_res.shape[1:]))
        raise ValueError(
            f"the maps {path} are {there} pixels, the image is {size[0]} x {size[1]}: they are "
            "of another image or another size; make them again"
        )
    return maps


def image_size(images: ImageSet, index: int) -> tuple[int, int]:
    """An image's height and width, from the header of its file where there is one.

    Raises:
        OSError: the image cannot be read.
    """
    if hasattr(images, "image_path"):
        try:
            with Image.open(images.image_path(index)) as image:
                return image.height, image.width
        except OSError:
            pass  # reading all of it says what is wrong, and names the file
    image = images.image(index)
    return image.height, image.width
