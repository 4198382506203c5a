"""Photographs: those that scikit-image comes with, and any file of the reader's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

LONG_SIDE = 320
SHORTEST = 32  # pixels of the shorter side: below, a map is a position or two
SAMPLES = ("cat", "espresso", "motorcycle")


def sample_photo(name: str, long_side: int = LONG_SIDE) -> Image.Image:
    """One of ``SAMPLES``, photographs of scikit-image: RGB, its longer side ``long_side``."""
    from skimage import data  # takes a second

    read = {
        "cat": data.chelsea,
        "espresso": data.coffee,
        "motorcycle": lambda: data.stereo_motorcycle()[0],
    }
    return _fitted(Image.fromarray(read[name]()), long_side, name)


def read_photo(path: str | Path, long_side: int = LONG_SIDE) -> Image.Image:
    """A picture as a net looks at it: RGB, upright, its longer side at most ``long_side`` pixels.

    The camera's rotation (EXIF) is followed, 16 bits and floats are brought to 8, what is
    transparent becomes white, and of an animation the first frame is taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, is damaged, larger than 179 million pixels, or so small or
            narrow that its shorter side would have fewer than 32 pixels.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no photo {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # half of the limit
            with Image.open(path) as file:
                file.draft("RGB", (2 * long_side, 2 * long_side))  # a JPEG is decoded smaller
                image = ImageOps.exif_transpose(file)
                return _fitted(_in_rgb(image), long_side, f"{path}")
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture that can be read, such as JPEG or PNG") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image, dtype=np.float64)
        top = 65535 if image.mode != "F" else 1.0 if values.max() <= 1 else 255.0
        image = Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _fitted(image: Image.Image, long_side: int, name: str) -> Image.Image:
    factor = min(1.0, long_side / max(image.size))
    size = tuple(round(side * factor) for side in image.size)
    if min(size) < SHORTEST:
        raise ValueError(
            f"{name} is {image.width} x {image.height} pixels; with a longer side of {long_side} "
            f"the shorter one must have at least {SHORTEST}"
        )
    return image if factor == 1 else image.resize(size, Image.Resampling.LANCZOS)
