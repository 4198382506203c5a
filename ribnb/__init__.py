"""RIB (Lee et al., NeurIPS 2021): the paper in ten names; the rooms below hold the rest.

``ribnb.data``, ``ribnb.nets``, ``ribnb.method``, ``ribnb.masks``, ``ribnb.segmentation``: from an
image to a network. ``ribnb.scores``, ``ribnb.runs``, ``ribnb.evidence``: from a map to a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ribnb.method import (
        RIBSettings,
        adapt,
        class_activation_maps,
        gap,
        gndrp,
        gradient_maps,
        high_gradient_ratio,
        localization_maps,
        rib_loss,
    )
    from ribnb.nets import CAMNet

__version__ = "0.2.0"
__all__ = [
    "CAMNet",
    "RIBSettings",
    "adapt",
    "class_activation_maps",
    "gap",
    "gndrp",
    "gradient_maps",
    "high_gradient_ratio",
    "localization_maps",
    "rib_loss",
]


def __getattr__(name: str) -> Any:
    """The public names load PyTorch, which ``import ribnb`` alone does not need."""
    if name not in __all__:
        raise AttributeError(f"module 'ribnb' has no attribute {name!r}")
    import ribnb.method
    import ribnb.nets

    return getattr(ribnb.nets if name == "CAMNet" else ribnb.method, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
