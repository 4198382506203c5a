"""The numbers of a dense CRF: how sure its labels are, and how far its two kernels reach."""

from __future__ import annotations

from typing import Any

from ribnb.core.settings import Settings, setting

# Kernels that are much narrower overflow the library's lattice, which ends the whole process.
_NARROWEST = 0.1


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
