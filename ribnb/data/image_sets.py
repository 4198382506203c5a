"""A part of an image set, chosen by number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.core.voc import ImageSet


class Part:
    """Those images of an image set that have the indices, in this order, as an image set."""

    def __init__(self, images: ImageSet, indices: Sequence[int]) -> None:
        self.images, self.indices = images, list(indices)
        self.ids = [images.ids[index] for index in self.indices]
        self.class_names = images.class_names

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """Chosen once, for they are asked for image by image."""
        return self.images.labels[self.indices]

    def image(self, index: int) -> Image.Image:
        """Image in mode RGB."""
        return self.images.image(self.indices[index])

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth: 0 background, class_id + 1, 255 ignored."""
        return self.images.mask(self.indices[index])


def spread_out(images: ImageSet, count: int) -> ImageSet:
    """``count`` images at equal distances in the list; all for 0, or if there are not more.

    VOC's lists are sorted by year, so that the first ones would be other photographs.
    """
    if count == 0 or count >= len(images):
        return images
    return Part(images, [index * len(images) // count for index in range(count)])


def readable(images: ImageSet, count: int, labelled: bool = False) -> list[int]:
    """Indices of the first ``count`` images whose file and mask can be read, to look at.

    With ``labelled`` only those that show some class; a ValueError if there is none.
    """
    found: list[int] = []
    why = "none shows a class"
    for index in range(len(images)):
        if len(found) < count and (not labelled or images.labels[index].any()):
            try:
                images.image(index)
                images.mask(index)
                found.append(index)
            except (OSError, ValueError) as error:
                why = str(error)
    if count and not found:
        raise ValueError(f"there is nothing to look at in the {len(images)} images: {why}")
    return found
