"""The colours of VOC's masks."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray


def voc_palette() -> UInt8[ndarray, "256 3"]:
    """VOC's colours: the bits of an index, dealt out to red, green and blue in turn."""
    index = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = index >> (3 * place + channel) & 1
            palette[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return palette
