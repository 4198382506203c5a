"""The stages of the scoreboard: what others reported, and which results of ours belong there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

# What others reported, mIoU in % in their words, and where. Of the paper's numbers only those of
# RIB's networks, and the one on COCO's val, were read in a public table; the rest is not checked
# against its text here. Its networks of the CAM are IRN's own, with a ResNet-50.
SEEDS, MASKS = "(table of seeds)", "(table of pseudo masks)"
NETS = "(table of segmentation networks)"
PAPER = {
    "seed cam": f"48.3 {SEEDS}",
    "seed rib": f"56.5 {SEEDS}",
    "crf cam": f"53.7 {SEEDS}",
    "crf rib": f"62.9 {SEEDS}",
    "irn cam": f"66.3 {MASKS}",
    "irn rib": f"70.6 {MASKS}",
    "val cam": f"63.5 {NETS}",
    "val rib": f"68.3 {NETS}",
    "test cam": f"64.8 {NETS}",
    "test rib": f"68.6 {NETS}",
    "saliency val rib": f"70.2 {NETS}",
    "saliency test rib": f"70.0 {NETS}",
    "coco val rib": "43.8 (table of COCO)",
}
# From https://github.com/jbeomlee93/RIB/issues: issue 5 after advice by the authors (the same user
# first had 67.1), its network from ImageNet's weights and the masks of 67.1; issue 6 as it is.
OTHERS = {
    "irn rib": "69.x (issue 5)",
    "val crf rib": "65.3 (issue 5)",
    "coco irn rib": "39.9 (issue 6)",
}


Source = tuple[str, str]  # a chapter, and the name of its maps or masks
STARTS = {"cam": "CAM", "rib": "RIB", "truth": "true masks"}


class Row(NamedTuple):
    """One kind of maps at one stage; the rows of a stage were made and scored in the same way.

    Attributes:
        stage: its name, and the split that is scored; the data set too, if neither VOC nor scenes.
        how: what comes after the maps or the network, and how the background's threshold was
            chosen.
        key: the row's name in ``PAPER`` and ``OTHERS``; its last word is a key of ``STARTS``.
        scenes: where ours on scenes stands; None: there is none.
        voc: where ours on VOC stands; None: there is none.
    """

    stage: str
    how: str
    key: str
    scenes: Source | None = None
    voc: Source | None = None

    @property
    def began_with(self) -> str:
        """What the stage began with, in a reader's words."""
        return STARTS[self.key.split()[-1]]


def _rows(stage: str, how: str, key: str, chapter: str, names: Mapping[str, str]) -> list[Row]:
    """Rows whose numbers of ours stand at the same place on VOC and on scenes."""
    sources = {start: (chapter, name) for start, name in names.items()}
    return [Row(stage, how, f"{key} {start}", of, of) for start, of in sources.items()]


ORACLE = "none; threshold: oracle; ours of 0.02 to 0.80, reported: of 0.20 to 0.49"
CRF = "dense CRF; threshold: ours: the seeds' oracle; reported: not known"  # nor its settings
IRN = "ours: IRN; reported: IRN, perhaps a CRF too; threshold: a setting"  # 69.x is before CRF
AS_REPORTED = "DeepLab-v2 as reported"  # whether a CRF comes after it is not known to us
ROWS = (
    Row("Seeds, train", ORACLE, "seed cam", ("voc_masks", "cam"), ("voc_rib", "cam")),
    Row("Seeds, train", ORACLE, "seed rib", ("voc_masks", "rib"), ("voc_rib", "seeds")),
    *_rows("Seeds with CRF, train", CRF, "crf", "voc_masks", {"cam": "cam_crf", "rib": "rib_crf"}),
    *_rows("Pseudo masks, train", IRN, "irn", "voc_masks", {"cam": "cam_irn", "rib": "rib_irn"}),
    Row("Pseudo masks with saliency, train", "saliency; threshold: a setting", "saliency rib",
        ("voc_masks", "rib_saliency")),  # on scenes drawn, with true outlines
    *_rows("DeepLab-v2, val", "none", "val plain", "voc_segmentation",
           {"cam": "cam_irn", "rib": "rib_irn", "truth": "truth"}),
    *_rows("DeepLab-v2 with CRF, val", "dense CRF", "val crf", "voc_segmentation",
           {"cam": "cam_irn_crf", "rib": "rib_irn_crf", "truth": "truth_crf"}),
    Row(f"{AS_REPORTED}, val", "not known", "val cam"),
    Row(f"{AS_REPORTED}, val", "not known", "val rib"),
    Row(f"{AS_REPORTED}, test", "not known", "test cam"),
    Row(f"{AS_REPORTED}, test", "not known", "test rib"),
    Row("DeepLab-v2, saliency as supervision, val", "not known", "saliency val rib"),
    Row("DeepLab-v2, saliency as supervision, test", "not known", "saliency test rib"),
    Row("Pseudo masks, COCO 2014 train", "IRN; threshold: not known", "coco irn rib"),
    Row(f"{AS_REPORTED}, COCO 2014 val", "not known", "coco val rib"),
)  # fmt: skip
