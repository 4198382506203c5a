"""The loss that does not saturate: L_RIB (Lee et al. 2021), and others to compare it with."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ribnb.core.own import Functions


def rib_loss(
    logits: Float[Tensor, "B C"],
    labels: Shaped[Tensor, "B C"],
    margin: float = 600.0,
    reduction: str = "sum",
) -> Tensor:
    """L_RIB = - sum_c t_c min(m, y^c): raise the logits of the present classes, up to a margin.

    There is no sigmoid, so nothing saturates: the gradient with respect to the logit of a
    present class is -1 below the margin and 0 at or above it. Classes that are absent do not
    count.

    Args:
        logits: (B, C) raw class scores y^c, any real number but NaN.
        labels: (B, C) image-level labels t_c, each 0 or 1, of any number type or bool.
        margin: m > 0, in the unit of a logit; 600 in the authors' settings.
        reduction: as in ``torch.nn.functional``: ``"sum"`` over images and classes (the
            paper's form), ``"mean"`` over all B x C entries, or ``"none"`` for the (B, C) terms.

    Returns:
        A scalar tensor, or (B, C) with ``reduction="none"``.

    Raises:
        ValueError: shapes other than two equal (B, C), labels outside {0, 1}, NaN logits, a
            margin that is not positive.
        KeyError: an unknown reduction.

    Lee et al. 2021: the definition of L_RIB, with the margin m.
    """
    if logits.ndim != 2 or labels.shape != logits.shape:
        raise ValueError(
            "logits and labels must both have the shape (B, C); "
            f"logits are {tuple(logits.shape)}, labels {tuple(labels.shape)}"
        )
    if not ((labels == 0) | (labels == 1)).all() or logits.isnan().any():
        raise ValueError("labels must be 0 or 1, and no logit NaN")
    if not margin > 0:
        raise ValueError(f"margin must be positive, in the unit of a logit; got {margin}")
    # torch.minimum would split the gradient in two where a logit equals the margin.
    capped = torch.where(logits < margin, logits, margin)
    terms = torch.where(labels == 1, -capped, torch.zeros_like(capped))
    return {"sum": torch.sum, "mean": torch.mean, "none": torch.clone}[reduction](terms)


def _rib(logits: Tensor, labels: Tensor, settings: Any) -> Tensor:
    """The authors' code has no min(m, y); it stops instead."""
    return rib_loss(logits, labels, settings.margin if settings.margin_rule == "cap" else math.inf)


def _softmax(logits: Tensor, labels: Tensor, _: Any) -> Tensor:
    shares = labels / labels.sum(dim=1, keepdim=True).clamp(min=1)
    return F.cross_entropy(logits, shares, reduction="sum")


def _bce(logits: Tensor, labels: Tensor, _: Any) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")


# What ``RIBSettings.loss`` may be: logits (B, C), labels (B, C) in {0., 1.}, those settings -> a
# scalar, summed over rows and classes.
LOSSES = Functions(
    "losses",
    {"rib": _rib, "bce": _bce, "softmax": _softmax},
    ("logits", "labels", "settings"),
)
