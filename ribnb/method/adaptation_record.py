"""What an adaptation leaves behind: the localisation map and how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor


@dataclass
class Step:
    """What happened at one step, kept with ``trace=True``.

    Attributes:
        k: the step, from 0; its maps are those of theta_k.
        cams: a tensor (n, h, w) for each scale that ran: ReLU of the class maps of the present
            classes, image and flip added.
        flooded: share of the scale-1 positions where a present class is high; None without the
            flood rule.
        gap_logits: (2, n) GAP of the scale-1 views' class maps, whatever the loss pools with.
        target_logits: (rows, n) pooled logits of the loss scales' views, image before flip.
        batch_logits: (b, C) pooled logits of the other images; None if they were not run.
        learning_rates: of the backbone and of the class layer; None if nothing was updated.
    """

    k: int
    cams: list[Tensor] = field(default_factory=list)
    flooded: float | None = None
    gap_logits: Tensor | None = None
    target_logits: Tensor | None = None
    batch_logits: Tensor | None = None
    learning_rates: tuple[float, float] | None = None


@dataclass(frozen=True)
class Adaptation:
    """The localisation map of one image and how it came about.

    Attributes:
        losses: the loss before each update, one for each step that had its batch run.
        target_losses: at each step, the sum of the target's pooled logits over its present
            classes and over the views in the loss.
        gap_logits: at each step, the mean of the GAP logits of its present classes at scale 1,
            whatever the loss pools with.
        stopped_at: the step k after whose maps the loop stopped; None if it ran to its end.
        stop_reason: ``"margin"``, ``"flood"`` or None.
        class_ids: (n,) the present classes, 0-based.
        high_res: (n, H, W) in [0, 1], each class divided by its maximum.
        strided: (n, ceil(H / 4), ceil(W / 4)) the same at a quarter of the resolution.
        steps: with ``trace=True``, one ``Step`` for each step.
    """

    losses: list[float]
    target_losses: list[float]
    gap_logits: list[float]
    stopped_at: int | None
    stop_reason: str | None
    class_ids: Tensor
    high_res: Float[Tensor, "n H W"]
    strided: Float[Tensor, "n h w"]
    steps: list[Step] = field(default_factory=list)
