"""What the results say: differences with intervals, claims and verdicts, the scoreboard."""

from ribnb.evidence.claims import Claim, Side, best, compare, side
from ribnb.evidence.differences import (
    MARGIN,
    RULE,
    Difference,
    combined_difference,
    paired_difference,
)
from ribnb.evidence.results import Published
from ribnb.evidence.scoreboard import (
    NETS,
    Board,
    board_claims,
    notes,
    origins,
    scores_table,
)
from ribnb.evidence.tables import (
    at_the_end,
    claims_table,
    markdown,
    origin,
    tally,
    whats_there,
)

__all__ = [
    "MARGIN",
    "NETS",
    "RULE",
    "Board",
    "Claim",
    "Difference",
    "Published",
    "Side",
    "at_the_end",
    "best",
    "board_claims",
    "claims_table",
    "combined_difference",
    "compare",
    "markdown",
    "notes",
    "origin",
    "origins",
    "paired_difference",
    "scores_table",
    "side",
    "tally",
    "whats_there",
]
