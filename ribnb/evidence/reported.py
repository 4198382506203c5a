"""Scores that others reported: the paper's, and those of people who ran its released program.

Every page takes them from here. None was made by this book.
"""

from __future__ import annotations

from dataclasses import dataclass

READ = "read in a public table"
MEMORY = "from memory"
ISSUE = "written by the user who ran it"
ISSUES = "https://github.com/jbeomlee93/RIB/issues/"


@dataclass(frozen=True)
class Reported:
    """One score in %, as somebody else gave it.

    Attributes:
        row: which row of the scoreboard it belongs to.
        value: mIoU in %.
        where: the paper's table or figure, or who reported it.
        sure: how we know: ``READ``, ``MEMORY`` or ``ISSUE``.
        link: where it can be read, for what others ran; empty for the paper.
        note: what a reader has to know before comparing.
    """

    row: str
    value: float
    where: str
    sure: str
    link: str = ""
    note: str = ""


SEEDS, MASKS, NETS = "table of seeds", "table of pseudo masks", "table of segmentation networks"
R50 = "IRN's network has a ResNet-50"

PAPER = (
    Reported("seed cam", 48.3, SEEDS, MEMORY),
    Reported("seed rib", 56.5, SEEDS, MEMORY),
    Reported("crf cam", 53.7, SEEDS, MEMORY),
    Reported("crf rib", 62.9, SEEDS, MEMORY),
    Reported("irn cam", 66.3, MASKS, MEMORY),
    Reported("irn rib", 70.6, MASKS, MEMORY),
    Reported("val cam", 63.5, NETS, MEMORY, note=R50),
    Reported("val rib", 68.3, NETS, READ),
    Reported("test cam", 64.8, NETS, MEMORY, note=R50),
    Reported("test rib", 68.6, NETS, READ),
    Reported("saliency val rib", 70.2, NETS, MEMORY),
    Reported("saliency test rib", 70.0, NETS, MEMORY),
    Reported("coco val rib", 43.8, "table of COCO", READ),
)
OTHERS = (
    Reported(
        "irn rib", 67.1, "issue 5", ISSUE, f"{ISSUES}5",
        "at first; after the authors' advice the same user got 69.x",
    ),
    Reported(
        "val crf rib", 65.3, "issue 5", ISSUE, f"{ISSUES}5",
        "from ImageNet's weights, and from the masks of 67.1; the authors start from another model",
    ),
    Reported("coco irn rib", 39.9, "issue 6", ISSUE, f"{ISSUES}6", "the program as it is"),
)  # fmt: skip


def reported(row: str) -> Reported | None:
    """What the paper reports in a row of the scoreboard; None if nothing."""
    return next((one for one in PAPER if one.row == row), None)


def rerun(row: str) -> Reported | None:
    """What others got in that row when they ran the released program; None if nothing."""
    return next((one for one in OTHERS if one.row == row), None)
