"""Saliency maps: greys that say where a viewer would look, from a folder or from scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from PIL import Image

from ribnb.core.image_set import ImageSet

FOLDER = "Saliency"  # of an image set's own maps, beside JPEGImages
_LARGEST = {"1": 1, "L": 255, "I": 65_535, "I;16": 65_535, "I;16B": 65_535}  # by Pillow's mode

Size = tuple[int, int]  # height and width


class Saliency(Protocol):
    """Image id, and the size (H, W) it must have or None -> its map (H, W) in [0, 1].

    What has an attribute ``name`` is recorded under it beside the masks it helped to make.
    """

    def __call__(self, image_id: str, size: Size | None = None) -> Float32[ndarray, "H W"]: ...


def read_saliency(path: str | Path) -> Float32[ndarray, "H W"]:
    """A saliency map in [0, 1], from a PNG of greys with 8 or 16 bits.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, or holds colours or a palette.
    """
    try:
        with Image.open(path) as image:
            image.verify()  # the checksums, at which loading does not look
        with Image.open(path) as image:
            image.load()
            mode, values = image.mode, np.array(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no saliency map {path}") from None
    except Exception as error:  # each kind of damage raises a kind of its own
        raise ValueError(f"{path} is not a whole saliency map ({error})") from error
    if mode not in _LARGEST:
        raise ValueError(
            f"{path} is no saliency map: it is of mode {mode}, not of 8-bit or 16-bit greys; if it "
            'shows greys all the same, save it with Pillow\'s image.convert("L")'
        )
    return values.astype(np.float32) / np.float32(_LARGEST[mode])


class SaliencyFolder:
    """Saliency maps ``<id>.png`` in a folder, as any detector may have written them.

    Args:
        root: the folder.

    Attributes:
        name: the folder's absolute path.

    Raises:
        FileNotFoundError: there is no such folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"there is no folder of saliency maps {self.root}; it must hold a grey PNG an "
                "image, <id>.png"
            )
        self.name = str(self.root.resolve())

    def __call__(self, image_id: str, size: Size | None = None) -> Float32[ndarray, "H W"]:
        """See ``of``."""
        return self.of(image_id, size)

    def of(self, image_id: str, size: Size | None = None) -> Float32[ndarray, "H W"]:
        """The map of an image, in [0, 1].

        Args:
            image_id: names the file.
            size: height and width that it must have; None for any.

        Raises:
            FileNotFoundError: the image has no map.
            ValueError: see ``read_saliency``, or a map of another size.
        """
        path = self.root / f"{image_id}.png"
        if not path.is_file():
            raise FileNotFoundError(
                f"image {image_id} has no saliency map: there is no file {path}"
            )
        saliency = read_saliency(path)
        check_saliency(saliency, size, f"the saliency map of image {image_id} ({path})")
        return saliency


class OwnSaliency:
    """Saliency maps of an image set that has them itself, such as ``SceneImages``.

    Args:
        images: with a method ``saliency(index)`` -> (H, W) in [0, 1].
    """

    name = "the image set's own"

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        self._places = {image_id: place for place, image_id in enumerate(images.ids)}

    def __call__(self, image_id: str, size: Size | None = None) -> Float32[ndarray, "H W"]:
        """The map of an image; KeyError for one that is not in the set."""
        saliency = self._images.saliency(self._places[image_id])
        check_saliency(saliency, size, f"the saliency map of image {image_id}")
        return saliency


def saliency_of(images: ImageSet, folder: str | Path = "") -> Saliency | None:
    """Where the saliency maps of an image set come from.

    Args:
        images: an image set, or a part of one.
        folder: of grey PNGs; if empty, the image set's own are taken: those that scenes draw, or
            the folder ``Saliency`` beside JPEGImages.

    Returns:
        Image id and size -> map; None if no folder is given and the image set has none.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if str(folder):
        return SaliencyFolder(folder)
    if hasattr(images, "saliency"):
        return OwnSaliency(images)
    root = getattr(images, "root", None)
    if root is not None and (Path(root) / FOLDER).is_dir():
        own = SaliencyFolder(Path(root) / FOLDER)
        own.name = OwnSaliency.name  # wherever the data set lies
        return own
    whole = getattr(images, "images", None)  # of a Part, whose ids are the whole's
    return None if whole is None else saliency_of(whole)


def by_index(
    images: ImageSet, saliency: Saliency | None
) -> Callable[[int], Float32[ndarray, "H W"]] | None:
    """Saliency maps by an image's index, as ``ribnb.scores.score_masks`` takes them."""
    if saliency is None:
        return None
    return lambda index: saliency(images.ids[index])


def check_saliency(saliency: Float32[ndarray, "H W"], size: Size | None, name: str) -> None:
    """Refuse what is no saliency map of an image.

    Raises:
        ValueError: not (H, W), of another size, or not in [0, 1]; ``name`` says which map.
    """
    if saliency.ndim != 2:
        raise ValueError(f"{name} must be (H, W); it is {saliency.shape}")
    if size is not None and saliency.shape != tuple(size):
        raise ValueError(
            f"{name} is {saliency.shape[1]} x {saliency.shape[0]} pixels, the image {size[1]} x "
            f"{size[0]}; one of them is of another image or was resized"
        )
    if not ((saliency >= 0) & (saliency <= 1)).all():  # greys up to 255, or NaN
        raise ValueError(
            f"{name} must lie in [0, 1]; it goes from {saliency.min():g} to {saliency.max():g}"
        )
