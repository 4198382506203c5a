"""Scores that others reported: the paper's, and those of people who ran its released program.

Every page takes them from here. None was made by this book.
"""

from __future__ import annotations

from dataclasses import dataclass

ISSUES = "https://github.com/jbeomlee93/RIB/issues/"
READ = "read in a public table"
UNCHECKED = "not checked against the paper's text here"


@dataclass(frozen=True)
class Reported:
    """One score, as somebody else gave it.

    Attributes:
        row: which row of the scoreboard it belongs to.
        score: mIoU in %, in the words of its source.
        where: the paper's table or figure, or who reported it.
        note: what a reader has to know before comparing.
        link: where it can be read, for what others ran; empty for the paper.
    """

    row: str
    score: str
    where: str
    note: str
    link: str = ""

    def __str__(self) -> str:
        return f"{self.score} ({self.where})"


SEEDS, MASKS, NETS = "table of seeds", "table of pseudo masks", "table of segmentation networks"
R50 = f"IRN's own network, with a ResNet-50; {UNCHECKED}"

PAPER = (
    Reported("seed cam", "48.3", SEEDS, UNCHECKED),
    Reported("seed rib", "56.5", SEEDS, UNCHECKED),
    Reported("crf cam", "53.7", SEEDS, UNCHECKED),
    Reported("crf rib", "62.9", SEEDS, UNCHECKED),
    Reported("irn cam", "66.3", MASKS, UNCHECKED),
    Reported("irn rib", "70.6", MASKS, UNCHECKED),
    Reported("val cam", "63.5", NETS, R50),
    Reported("val rib", "68.3", NETS, READ),
    Reported("test cam", "64.8", NETS, R50),
    Reported("test rib", "68.6", NETS, READ),
    Reported("saliency val rib", "70.2", NETS, UNCHECKED),
    Reported("saliency test rib", "70.0", NETS, UNCHECKED),
    Reported("coco val rib", "43.8", "table of COCO", READ),
)
OTHERS = (
    Reported(
        "irn rib", "69.x", "issue 5", "after advice by the authors; the same user first had 67.1",
        f"{ISSUES}5",
    ),
    Reported(
        "val crf rib", "65.3", "issue 5", "from ImageNet's weights, and from the masks of 67.1",
        f"{ISSUES}5",
    ),
    Reported("coco irn rib", "39.9", "issue 6", "the program as it is", f"{ISSUES}6"),
)  # fmt: skip


def reported(row: str, sources: tuple[Reported, ...] = PAPER) -> Reported | None:
    """What the paper, or ``OTHERS``, report in a row of the scoreboard; None if nothing."""
    return next((score for score in sources if score.row == row), None)
