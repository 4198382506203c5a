"""The dense CRF after a segmentation network; its worker processes load no PyTorch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from ribnb.masks import crf
from ribnb.masks.crf_settings import CRFSettings


def refined_mask(
    image: UInt8[ndarray, "H W 3"],
    probabilities: Float32[ndarray, "C+1 H W"],
    settings: CRFSettings,
) -> UInt8[ndarray, "H W"] | str:
    """The most probable labels after the CRF; why there are none, if it failed."""
    try:
        refined = crf.crf_probabilities(image, probabilities, settings)
    except (ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        return str(error) or type(error).__name__
    return refined.argmax(0).astype(np.uint8)
