"""What the results say: differences with intervals, claims, the scoreboard."""

from ribnb.evidence.paired import paired_difference

__all__ = ["paired_difference"]
