"""Seeds as masks, plain or refined by a dense CRF: labels that follow the image's colours.

The library is pydensecrf2: mean field with the symmetrically normalised kernels of
``CRFSettings``, in which a pixel also pulls itself, and sums over all pixel pairs that are
approximated on a permutohedral lattice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import Maps
from ribnb.core.runner import Report
from ribnb.core.settings import Settings, setting
from ribnb.core.voc import ImageSet
from ribnb.masks.stages import Mask, masks_from_maps
from ribnb.scores.confusion import IGNORED, checked_thresholds, seed_mask

# Kernels that are much narrower overflow the library's lattice, which ends the whole process.
_NARROWEST = 0.1
_LOWEST = 1e-5  # probability below which a label is not ruled out further; log 0 is no energy


class CRFSettings(Settings):
    """A dense CRF (Kraehenbuehl and Koltun 2011). The defaults refine masks, as IRN's code does.

    Two pixels of positions p and colours c pull each other to one label with the strength
    smooth_weight * exp(-|p_i - p_j|^2 / (2 smooth_width^2)) + near_weight *
    exp(-|p_i - p_j|^2 / (2 near_width^2) - |c_i - c_j|^2 / (2 colour_width^2)).
    """

    iterations: int = setting(10, "of the mean field", ge=0)
    confidence: float = setting(0.7, "probability of a pixel's given label", gt=0.5, lt=1)
    smooth_width: float = setting(3.0, "of the smoothness kernel, pixels", ge=_NARROWEST)
    smooth_weight: float = setting(3.0, "of the smoothness kernel", ge=0)
    near_width: float = setting(50.0, "of the appearance kernel, pixels", ge=_NARROWEST)
    colour_width: float = setting(
        5.0, "of the appearance kernel, grey levels of 0 to 255 in each channel", ge=_NARROWEST
    )
    near_weight: float = setting(10.0, "of the appearance kernel", ge=0)

    @classmethod
    def deeplab(cls, **changes: Any) -> CRFSettings:
        """What DeepLab-v2's reproductions put after the net, for its probabilities."""
        own = {"smooth_width": 1.0, "near_width": 67.0, "colour_width": 3.0, "near_weight": 4.0}
        return cls(**{**own, **changes})

    @classmethod
    def scenes(cls, **changes: Any) -> CRFSettings:
        """IRN's for scenes of 96 x 96 pixels, whose colours are as far apart as photographs'.

        A photograph of VOC is 4.5 times as wide, so widths in pixels are 1 / 4.5 of those there,
        but the appearance kernel's: objects fill more of a scene, and 16 pixels in place of 11
        gained more on scenes of other seeds than the book's (2 to 3 points of mIoU over seeds at
        threshold 0.2, against 1 to 1.5).
        """
        return cls(**{"smooth_width": 0.7, "near_width": 16.0, **changes})


def crf_available() -> bool:
    """Whether the library of the dense CRF can be loaded."""
    with contextlib.suppress(ImportError):
        return bool(require_crf())
    return False


def require_crf() -> ModuleType:
    """The library's module; ImportError, which says how to install it, if it cannot be loaded."""
    try:
        from pydensecrf import densecrf
    except Exception as error:  # one built for another numpy raises a kind of its own
        raise ImportError(
            f"the dense CRF needs pydensecrf2, which cannot be loaded here ({error}). Install it "
            'with `pip install "ribnb[crf]"`, which compiles it: that takes a C++ compiler and '
            "Python's headers (Debian's packages g++ and python3-dev). On Python 3.13, or where "
            'that fails: `pip install "cython>=3.0.11" setuptools`, then `pip install '
            "--force-reinstall --no-deps --no-build-isolation pydensecrf2`"
        ) from error
    return densecrf


# Stages -----------------------------------------------------------------------------------


def seed_masks(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    threshold: float,
    workers: int = 1,
) -> Report:
    """Each image's seed as a mask, without any refinement; a stage, see ``masks_from_maps``.

    ``threshold`` is the background's score, in (0, 1); ValueError for another.
    """
    checked_thresholds([threshold])
    seed = partial(seed_of, threshold=threshold)
    record = {"stage": "seeds", "threshold": threshold}
    return masks_from_maps(seed, images, maps_dir, output_dir, record, workers)


def crf_masks(
    images: ImageSet,
    maps_dir: str | Path,
    output_dir: str | Path,
    threshold: float,
    settings: CRFSettings | None = None,
    workers: int = 1,
) -> Report:
    """Each image's seed, refined by a dense CRF, as a mask ("seed + CRF" of the paper's table).

    A pixel may become background or any class of the image's map file. A stage, see
    ``masks_from_maps``. ``threshold`` is that of the seed, see ``seed_masks``; without settings
    the CRF is IRN's. ImportError if its library is not there: nothing was made.
    """
    settings = settings or CRFSettings()
    require_crf()
    checked_thresholds([threshold])
    record = {"stage": "crf", "settings": settings.as_dict(), "threshold": threshold}
    refined = partial(seed_of, threshold=threshold, crf=settings)
    return masks_from_maps(refined, images, maps_dir, output_dir, record, workers)


def seed_of(
    maps: Maps,
    image: Image.Image | UInt8[ndarray, "H W 3"] | None,
    threshold: float,
    crf: CRFSettings | None = None,
) -> Mask:
    """The seed of one image; refined, it chooses between background and all classes of the maps."""
    seed = seed_mask(maps, threshold)
    if crf is None:
        return seed
    return crf_mask(np.asarray(image), seed, [0, *(maps.class_ids + 1)], crf)


# One image --------------------------------------------------------------------------------


def crf_mask(
    image: UInt8[ndarray, "H W 3"],
    mask: UInt8[ndarray, "H W"],
    values: Sequence[int] = (0,),
    settings: CRFSettings | None = None,
) -> UInt8[ndarray, "H W"]:
    """Each pixel's most probable label after a dense CRF; the smallest of equal ones.

    A pixel's own label has the probability ``confidence``, the other labels share the rest
    equally. A pixel of 255 has no opinion: all labels are equal there. With one label only the
    mask comes back as it is.

    Args:
        image: RGB, 0 to 255.
        mask: 0 background, class_id + 1, 255 no opinion.
        values: labels to choose from besides those in the mask.
        settings: the CRF's; IRN's if None.

    Raises:
        ImportError: the library is not there.
        ValueError: image and mask of different sizes, a result that is not finite.
    """
    require_crf()
    settings = settings or CRFSettings()
    labels = np.union1d(values, mask[mask != IGNORED]).astype(np.uint8)
    number, sure = len(labels), settings.confidence
    if number == 1:
        return mask.copy()
    # A pixel of 255 equals no label: all have the same share there, and only ratios count.
    own = mask == labels[:, None, None]
    probabilities = np.where(own, sure, (1 - sure) / (number - 1))
    return labels[_mean_field(image, -np.log(probabilities), settings).argmax(axis=0)]


def crf_probabilities(
    image: UInt8[ndarray, "H W 3"],
    probabilities: Float32[ndarray, "L H W"],
    settings: CRFSettings | None = None,
) -> Float32[ndarray, "L H W"]:
    """Refine the class probabilities of a segmentation net, a softmax over L labels.

    The settings are DeepLab-v2's if None; ``confidence`` plays no part. The result adds up to 1
    at each pixel too. Errors as of ``crf_mask``.
    """
    energy = -np.log(np.asarray(probabilities, np.float32).clip(_LOWEST, 1))
    return _mean_field(image, energy, settings or CRFSettings.deeplab())


def _mean_field(
    image: UInt8[ndarray, "H W 3"], energy: Float32[ndarray, "L H W"], settings: CRFSettings
) -> Float32[ndarray, "L H W"]:
    """Each label's probability at each pixel after ``iterations`` of the mean field."""
    number, height, width = energy.shape
    if image.shape != (height, width, 3):  # the library would read beyond the array
        raise ValueError(f"the image is {image.shape}; it must be ({height}, {width}, 3)")
    field = require_crf().DenseCRF2D(width, height, number)
    # The library takes float32 and uint8 only, in C order, and nothing that is read-only.
    field.setUnaryEnergy(np.array(energy, np.float32, order="C").reshape(number, -1))
    field.addPairwiseGaussian(sxy=settings.smooth_width, compat=settings.smooth_weight)
    field.addPairwiseBilateral(
        sxy=settings.near_width,
        srgb=settings.colour_width,
        rgbim=np.array(image, order="C"),
        compat=settings.near_weight,
    )
    refined = np.array(field.inference(settings.iterations), dtype=np.float32)
    if not np.isfinite(refined).all():
        raise ValueError("pydensecrf gave values that are not finite; take smaller weights")
    return refined.reshape(energy.shape)
