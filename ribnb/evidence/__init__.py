"""What the results say: differences with intervals, claims and verdicts, the scoreboard."""

from ribnb.evidence.claims import (
    Claim,
    best,
    best_losses,
    claims_table,
    compare,
    in_words,
    side,
    tally,
)
from ribnb.evidence.differences import RULE, paired_difference
from ribnb.evidence.results import at_the_end, origin, whats_there
from ribnb.evidence.scoreboard import NETS, Board, board_claims, notes, origins, scores_table
from ribnb.runs.tables import markdown
