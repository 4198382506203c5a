"""Dense CRF: labels that follow the colours of their image. The library is pydensecrf2.

Mean field with the symmetrically normalised kernels of ``CRFSettings``, in which a pixel also
pulls itself; the library approximates the sums over all pixel pairs on a permutohedral lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from ribnb.core.files import Maps
from ribnb.core.image_set import ImageSet
from ribnb.core.runner import Report
from ribnb.core.settings import Settings, setting
from ribnb.masks.stages import Mask, SplitImage, masks_from_maps
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
    confidence: float = setting(0.7, "probability that a pixel's given label is right", gt=0, lt=1)
    smooth_width: float = setting(3.0, "of the smoothness kernel, pixels", ge=_NARROWEST)
    smooth_weight: float = setting(3.0, "of the smoothness kernel", ge=0)
    near_width: float = setting(50.0, "of the appearance kernel, pixels", ge=_NARROWEST)
    colour_width: float = setting(
        5.0,
        "of the appearance kernel, grey levels of 0 to 255 in each channel",
        ge=_NARROWEST,
    )
    near_weight: float = setting(10.0, "of the appearance kernel", ge=0)

    @classmethod
    def deeplab(cls, **changes: Any) -> CRFSettings:
        """What DeepLab-v2's reproductions put after the net, for its probabilities."""
        numbers = {
            "smooth_width": 1.0,
            "smooth_weight": 3.0,
            "near_width": 67.0,
            "colour_width": 3.0,
            "near_weight": 4.0,
        }
        return cls(**{**numbers, **changes})

    @classmethod
    def scenes(cls, **changes: Any) -> CRFSettings:
        """IRN's for scenes of 96 x 96 pixels, whose colours are as far apart as photographs'.

        A photograph of VOC is 4.5 times as wide, so widths in pixels are 1 / 4.5 of those there,
        but the appearance kernel's: objects fill more of a scene, and 16 pixels in place of 11
        gained more on scenes of other seeds than the book's (2 to 3 points of mIoU over seeds at
        threshold 0.2, against 1 to 1.5).
        """
        numbers = {"smooth_width": 0.7, "near_width": 16.0}
        return cls(**{**numbers, **changes})


class CRFMissing(ImportError):
    """The library of the dense CRF is not installed, or cannot be loaded."""


def crf_available() -> bool:
    """Whether the library of the dense CRF can be loaded."""
    try:
        require_crf()
    except CRFMissing:
        return False
    return True


def require_crf() -> ModuleType:
    """The library's module.

    Raises:
        CRFMissing: it is not installed or broken; says how to install it.
    """
    try:
        from pydensecrf import densecrf
    except Exception as error:  # one built for another numpy raises a kind of its own
        raise CRFMissing(
            f"the dense CRF needs pydensecrf2, which cannot be loaded here ({error}). Install it "
            'with `pip install "ribnb[crf]"`. It is compiled then, which needs a C++ compiler and '
            "Python's headers (Debian's packages g++ and python3-dev). On Python 3.13, or where "
            'that fails: `pip install "cython>=3.0.11" setuptools`, then `pip install '
            "--force-reinstall --no-deps --no-build-isolation pydensecrf2`"
        ) from error
    return densecrf


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
    ``masks_from_maps``.

    Args:
        images: those that the maps are of.
        maps_dir: folder of map files ``<id>.npz``.
        output_dir: where the masks ``<id>.png`` go.
        threshold: the background's score in the seed, in (0, 1).
        settings: the CRF's; IRN's if None.
        workers: processes.

    Raises:
        CRFMissing: the library of the dense CRF is not there; nothing was made.
        ValueError: a threshold outside (0, 1); see ``masks_from_maps`` for others.
        FileNotFoundError, OSError: see ``masks_from_maps``.
    """
    settings = CRFSettings() if settings is None else settings
    require_crf()
    checked_thresholds([threshold])
    record = {"stage": "crf", "settings": settings.as_dict(), "threshold": threshold}
    refined = partial(_refined, threshold=threshold, settings=settings)
    return masks_from_maps(refined, images, maps_dir, output_dir, record, workers)


def _refined(image: SplitImage, maps: Maps, threshold: float, settings: CRFSettings) -> Mask:
    return refined_seed(np.asarray(image.read()), maps, threshold, settings)


def refined_seed(
    image: UInt8[ndarray, "H W 3"], maps: Maps, threshold: float, settings: CRFSettings
) -> Mask:
    """The seed of one image; it chooses between background and all classes of the maps."""
    labels = [0, *(maps.class_ids + 1).tolist()]
    return crf_mask(image, seed_mask(maps, threshold), labels, settings)


def crf_mask(
    image: UInt8[ndarray, "H W 3"],
    mask: UInt8[ndarray, "H W"],
    values: Sequence[int] | None = None,
    settings: CRFSettings | None = None,
) -> UInt8[ndarray, "H W"]:
    """Refine a mask of labels with a dense CRF.

    A pixel's own label has the probability ``confidence``, the other labels share the rest
    equally. A pixel of 255 has no opinion: all labels are equal there. With one label only the
    mask comes back as it is.

    Args:
        image: RGB, 0 to 255.
        mask: 0 background, class_id + 1, 255 no opinion.
        values: the labels to choose from; None: 0 and those that occur.
        settings: the CRF's; IRN's if None.

    Returns:
        (H, W) of ``values``, each pixel's most probable one; the first of equal ones.

    Raises:
        CRFMissing: the library is not there.
        ValueError: image and mask that do not fit each other, a mask that holds none of the
            values, a confidence that prefers the other labels, a result that is not finite.
        RuntimeError: the library failed.
    """
    settings = CRFSettings() if settings is None else settings
    _check_image(image, mask.shape)
    if mask.dtype != np.uint8:
        raise ValueError(f"the mask must be of uint8; it is of {mask.dtype}")
    labels = _labels(mask, values)
    require_crf()
    if len(labels) == 1:
        return mask.copy()
    number, sure = len(labels), settings.confidence
    if sure <= 1 / number:
        raise ValueError(
            f"confidence = {sure} with {number} labels: a pixel's own label would not be more "
            f"probable than the others; take one above {1 / number:.3g}"
        )
    # A pixel of 255 equals no label: all have the same share there, and only ratios count.
    own = mask.reshape(1, -1) == labels[:, None]
    probabilities = np.where(own, sure, (1 - sure) / (number - 1))
    refined = _mean_field(image, -np.log(probabilities), settings)
    return labels[refined.argmax(axis=0)].reshape(mask.shape)


def crf_probabilities(
    image: UInt8[ndarray, "H W 3"],
    probabilities: Float32[ndarray, "L H W"],
    settings: CRFSettings | None = None,
) -> Float32[ndarray, "L H W"]:
    """Refine the class probabilities of a segmentation net with a dense CRF.

    Args:
        image: RGB, 0 to 255.
        probabilities: of L labels, in [0, 1], adding up to 1 at each pixel (a softmax).
        settings: the CRF's; DeepLab-v2's if None. ``confidence`` plays no part.

    Returns:
        (L, H, W) in [0, 1], adding up to 1 at each pixel.

    Raises:
        CRFMissing: the library is not there.
        ValueError: image and probabilities that do not fit each other, no probabilities, a
            result that is not finite.
        RuntimeError: the library failed.
    """
    settings = CRFSettings.deeplab() if settings is None else settings
    given = np.asarray(probabilities, dtype=np.float32)
    if given.ndim != 3 or not len(given):
        raise ValueError(f"probabilities must be (L, H, W), L at least 1; got {given.shape}")
    _check_image(image, given.shape[1:])
    if not (given.min() >= 0 and abs(given.sum(axis=0) - 1).max() < 1e-2):  # NaN is neither
        raise ValueError(
            "the values are no probabilities: at some pixel they are negative, not finite or do "
            "not add up to 1. Give the net's softmax, not its logits"
        )
    require_crf()
    if len(given) == 1:
        return given.copy()
    energy = -np.log(given.clip(_LOWEST, 1)).reshape(len(given), -1)
    return _mean_field(image, energy, settings).reshape(given.shape)


def _mean_field(
    image: UInt8[ndarray, "H W 3"], energy: Float32[ndarray, "L N"], settings: CRFSettings
) -> Float32[ndarray, "L N"]:
    """Each label's probability at each pixel after ``iterations`` of the mean field."""
    densecrf = require_crf()
    height, width = image.shape[:2]
    try:
        field = densecrf.DenseCRF2D(width, height, len(energy))
        # The library takes float32 and uint8 only, in C order, and nothing that is read-only.
        field.setUnaryEnergy(np.array(energy, dtype=np.float32, order="C"))
        field.addPairwiseGaussian(sxy=settings.smooth_width, compat=settings.smooth_weight)
        field.addPairwiseBilateral(
            sxy=settings.near_width,
            srgb=settings.colour_width,
            rgbim=np.array(image, order="C"),
            compat=settings.near_weight,
        )
        refined = np.array(field.inference(settings.iterations), dtype=np.float32)
    except Exception as error:  # whatever it raises, one image has failed
        raise RuntimeError(
            f"pydensecrf failed on an image of {height} x {width} pixels with {len(energy)} "
            f"labels ({type(error).__name__}: {error})"
        ) from error
    if not np.isfinite(refined).all():
        raise ValueError(
            f"pydensecrf gave values that are not finite on an image of {height} x {width} pixels "
            f"with {len(energy)} labels; take smaller weights than {settings.smooth_weight} and "
            f"{settings.near_weight}"
        )
    return refined


def _labels(mask: UInt8[ndarray, "H W"], values: Sequence[int] | None) -> UInt8[ndarray, " L"]:
    """The labels to choose from, in ascending order."""
    there = np.unique(mask[mask != IGNORED])
    if values is None:
        return np.union1d(there, [0]).astype(np.uint8)
    labels = np.unique(np.asarray(values, dtype=np.int64))
    if not len(labels) or labels[0] < 0 or labels[-1] >= IGNORED:
        raise ValueError(f"values must be some of 0 to 254; got {list(values)}")
    unknown = np.setdiff1d(there, labels)
    if len(unknown):
        raise ValueError(
            f"the mask holds {unknown.tolist()[:5]}, which are none of the values {labels.tolist()}"
        )
    return labels.astype(np.uint8)


def _check_image(image: ndarray, size: tuple[int, ...]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"the image must be (H, W, 3) of uint8; got {image.shape} of {image.dtype}"
        )
    if image.shape[:2] != size or not image.size:
        raise ValueError(
            f"the image is {image.shape[0]} x {image.shape[1]} pixels; what is refined is "
            f"{' x '.join(map(str, size))}"
        )
