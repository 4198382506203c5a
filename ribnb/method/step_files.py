"""How the adaptation to one image went, in a file beside its maps."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from ribnb.core.whole_files import whole_file


@dataclass(frozen=True)
class StepRecord:
    """The course of one image's adaptation.

    Attributes:
        losses: of each step, see ``Adaptation``.
        target_losses: sums of the image's own logits at each step.
        gap_logits: the mean GAP logit of its present classes at each step; none without labels.
        stopped_at: the step at which it stopped early; None if it went to its end.
        stop_reason: ``"margin"``, ``"flood"`` or None.
        seconds: that the image took, waiting for its data included.
    """

    losses: list[float]
    target_losses: list[float]
    gap_logits: list[float]
    stopped_at: int | None
    stop_reason: str | None
    seconds: float

    @property
    def logit_growth(self) -> float:
        """How far the mean GAP logit went from theta_0 to the last map; NaN without labels."""
        return self.gap_logits[-1] - self.gap_logits[0] if self.gap_logits else math.nan


def write_steps(path: str | Path, record: StepRecord) -> None:
    """Write a record as JSON; the file appears under its name only when it is whole.

    Raises:
        OSError: the file cannot be written; its name is in the message.
    """
    try:
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error


def read_steps(path: str | Path) -> StepRecord | None:
    """The record that ``write_steps`` wrote; None if there is none, or not a whole one."""
    try:
        record = StepRecord(**json.loads(Path(path).read_text(encoding="utf-8")))
        if math.isfinite(record.seconds) and record.stop_reason in ("margin", "flood", None):
            return record
    except (OSError, ValueError, TypeError):
        pass
    return None
