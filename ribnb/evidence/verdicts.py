"""What our numbers say about a claim, by a rule that was fixed before any of them was seen.

The rule looks at two things: the interval over images of the mean difference, and the difference
of every seed. Where they do not both point one way, or there are too few seeds, the answer is
that we cannot tell yet. It has no other words, nothing in it depends on the claim's origin, and
its margin is part of the sentence that it gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ribnb.evidence.paired import PairedDifference, signed

AGREES, DISAGREES, CANNOT_TELL = "agrees", "disagrees", "cannot tell yet"
CLAIMS = ("higher", "lower", "same")
LEAST_SEEDS = 3
MARGIN = 1.0  # points of mIoU; what a reader would still call the same
RULE = f"""\
"Higher" agrees if the 95 % interval over images lies above 0 and so does every seed's difference; \
it disagrees if all of these lie below 0. "Lower" is the reverse. "Same" agrees if the interval \
and every seed's difference lie within the margin on either side of 0; it disagrees if all of them \
lie beyond it on one side. Everything else, and anything with fewer than {LEAST_SEEDS} seeds: \
cannot tell yet."""


@dataclass(frozen=True)
class Verdict:
    """One word about one claim, and what it rests on.

    Attributes:
        word: ``AGREES``, ``DISAGREES`` or ``CANNOT_TELL``.
        claim: ``"higher"``, ``"lower"`` or ``"same"``: the first side against the second.
        margin: of "same", in points; None for the other claims.
        difference: the numbers.
        sentence: word, numbers and reason in one sentence.
    """

    word: str
    claim: str
    margin: float | None
    difference: PairedDifference
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def verdict(difference: PairedDifference, claim: str, margin: float | None = None) -> Verdict:
    """Hold a difference against a claim about it; ``RULE`` says how.

    Args:
        difference: the first setting's mIoU minus the second's, in points.
        claim: what the first is said to be: ``"higher"``, ``"lower"`` or the ``"same"``.
        margin: for "same" only: how many points still count as the same; None: ``MARGIN``.

    Raises:
        ValueError: an unknown claim; a margin that is not above 0, or with another claim; a
            difference that is no number.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim = {claim!r}; it must be one of {', '.join(map(repr, CLAIMS))}")
    if margin is not None and claim != "same":
        raise ValueError(f"margin = {margin} means nothing for the claim {claim!r}; leave it out")
    if claim == "same":
        margin = MARGIN if margin is None else float(margin)
        if not 0 < margin < math.inf:
            raise ValueError(f"margin = {margin}; it must be a number of points above 0")
    values = (difference.difference, difference.low, difference.high, *difference.by_seed)
    if not all(map(math.isfinite, values)):
        raise ValueError(f"a difference that is no number cannot be judged: {difference}")
    edge = margin or 0.0
    lows, highs = (difference.low, *difference.by_seed), (difference.high, *difference.by_seed)
    if difference.seeds < LEAST_SEEDS:
        word = CANNOT_TELL
    elif claim == "same" and min(lows) >= -edge and max(highs) <= edge:
        word = AGREES
    elif min(lows) > edge:  # all above
        word = AGREES if claim == "higher" else DISAGREES
    elif max(highs) < -edge:  # all below
        word = AGREES if claim == "lower" else DISAGREES
    else:
        word = CANNOT_TELL
    return Verdict(word, claim, margin, difference, _sentence(word, difference, margin))


def _sentence(word: str, difference: PairedDifference, margin: float | None) -> str:
    interval = f"[{signed(difference.low)}, {signed(difference.high)}]"
    where = _where(difference.low, difference.high, margin)
    of = "1 seed" if difference.seeds == 1 else f"{difference.seeds} seeds"
    if margin is None:
        below = difference.difference < 0
        count, side = (difference.below, "below") if below else (difference.above, "above")
        seeds = f"{count} of {of} {side} 0"
    else:
        count = sum(abs(value) <= margin for value in difference.by_seed)
        seeds = f"{count} of {of} within {_points(margin)}"
    few = ""
    if difference.seeds < LEAST_SEEDS:
        few = f"; it takes at least {LEAST_SEEDS} seeds to tell"
    return (
        f"{word.capitalize()}: {signed(difference.difference)} points; 95 % interval over images "
        f"{interval}, {where}; {seeds}{few}."
    )


def _where(low: float, high: float, margin: float | None) -> str:
    """Where the interval lies, in words."""
    edge = margin or 0.0
    if margin is not None and -edge <= low and high <= edge:
        return f"within {_points(margin)}"
    if low > edge or high < -edge:
        side = "above" if low > edge else "below"
        return f"{side} 0" if margin is None else f"beyond {_points(margin)}"
    return "not clear of 0" if margin is None else f"across the edge of {_points(margin)}"


def _points(margin: float) -> str:
    return f"±{margin:g} point" + ("" if margin == 1 else "s")
