"""Photographs: those that scikit-image comes with, and the reader of all other pictures."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

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

    It is read as by ``upright_rgb``; of an animation the first frame is taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, is damaged, larger than 179 million pixels, or so small or
            narrow that its shorter side would have fewer than 32 pixels.
    """
    given, path = path, Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{given} is no file: give the path of a picture on this machine")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # half of the limit
            with Image.open(path) as file:
                file.draft("RGB", (2 * long_side, 2 * long_side))  # a JPEG is decoded smaller
                image = upright_rgb(file)
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{path} is no picture that can be read; save it as JPEG or PNG"
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    return _fitted(image, long_side, f"{path}")


def orientation(image: Image.Image) -> int:
    """How EXIF data say that a picture is to be turned to stand upright: 1, not at all, to 8."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # else Pillow would read it to its end to see whether some follow
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):  # damaged EXIF data
        return 1
    return found if found in range(2, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of what ``upright_rgb`` gives, of the header alone."""
    return image.size[::-1] if orientation(image) > 4 else image.size


def upright_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode in RGB, turned as its EXIF data say.

    Greys of more than 8 bits are brought from the least even number of bits that holds them to 8,
    floats from [0, 1] or from such a range; what is transparent becomes white.

    Raises:
        ValueError: greys below 0 or above 16 bits, or that are no numbers; colours of 16 bits of
            which Pillow, which takes the upper 8, would leave less than 6.
    """
    deep = ";16" in str(image.tile[0].args if getattr(image, "tile", None) else "")
    if orientation(image) > 1:
        image = ImageOps.exif_transpose(image)
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;"):
        values = np.asarray(image, dtype=np.float64)
        tops = ([1] if mode == "F" else []) + [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
        top = next((top for top in tops if values.max() <= top), None)
        if top is None or not values.min() >= 0:
            raise ValueError(
                f"its greys (mode {mode}) reach from {values.min():g} to {values.max():g}; save it "
                "with 8 or 16 bits"
            )
        image = Image.fromarray((values / top * 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if deep and mode.startswith("RGB") and max(high for _, high in image.getextrema()) < 64:
        raise ValueError("its colours use less than 14 of their 16 bits; save it with 8 bits")
    return image


def _fitted(image: Image.Image, long_side: int, name: str) -> Image.Image:
    factor = min(1.0, long_side / max(image.size))
    size = tuple(round(side * factor) for side in image.size)
    if min(size) < SHORTEST:
        raise ValueError(
            f"{name} is {image.width} x {image.height} pixels; with a longer side of {long_side} "
            f"the shorter one must have at least {SHORTEST}"
        )
    return image if factor == 1 else image.resize(size, Image.Resampling.LANCZOS)
