"""The stages of the scoreboard: what others reported, and which results of ours belong there."""

from __future__ import annotations

from typing import NamedTuple

Source = tuple[str, str]  # a chapter, and the name of its maps or masks
NONE = "–"


class Row(NamedTuple):
    """One kind of maps at one stage; the rows of a stage were made and scored in the same way.

    Attributes:
        stage: its name, and the split that is scored; the data set too, if neither VOC nor scenes.
        how: what comes after the maps or the network, and how the background's threshold was
            chosen.
        began_with: what the stage began with.
        reported: the paper's mIoU in %, and where it stands.
        others: what users of the released program reported at
            https://github.com/jbeomlee93/RIB/issues.
        scenes: where ours on scenes stands; None: there is none.
        voc: where ours on VOC stands; None: there is none.
    """

    stage: str
    how: str
    began_with: str
    reported: str = NONE
    others: str = NONE
    scenes: Source | None = None
    voc: Source | None = None


def _both(chapter: str, name: str) -> tuple[Source, Source]:
    """Ours on scenes and on VOC, where they stand at the same place."""
    return (chapter, name), (chapter, name)


SEED = ("Seeds, train", "none; threshold: oracle; ours of 0.02 to 0.80, reported: of 0.20 to 0.49")
CRF = ("Seeds with CRF, train",
       "dense CRF; threshold: ours: the seeds' oracle; reported: not known")  # fmt: skip
IRN = ("Pseudo masks, train",
       "ours: IRN; reported: IRN, perhaps a CRF too; threshold: a setting")  # fmt: skip
VAL, VAL_CRF = ("DeepLab-v2, val", "none"), ("DeepLab-v2 with CRF, val", "dense CRF")
AS_REPORTED = "DeepLab-v2 as reported"  # whether a CRF comes after it is not known to us
SALIENCY = "DeepLab-v2, saliency as supervision"
SEEDS, MASKS = "(table of seeds)", "(table of pseudo masks)"
NETS = "(table of segmentation networks)"
# Of the paper's numbers only those of RIB's networks, and the one on COCO's val, were read in a
# public table; the rest is not checked against its text here. Its networks of the CAM are IRN's
# own, with a ResNet-50. Issue 5 is after advice by the authors (the same user first had 67.1), its
# 69.x before a CRF, its network from ImageNet's weights and the masks of 67.1.
ROWS = (
    Row(*SEED, "CAM", f"48.3 {SEEDS}", NONE, *_both("voc_rib", "cam")),
    Row(*SEED, "RIB", f"56.5 {SEEDS}", NONE, *_both("voc_rib", "seeds")),
    Row(*CRF, "CAM", f"53.7 {SEEDS}", NONE, *_both("voc_masks", "cam_crf")),
    Row(*CRF, "RIB", f"62.9 {SEEDS}", NONE, *_both("voc_masks", "rib_crf")),
    Row(*IRN, "CAM", f"66.3 {MASKS}", NONE, *_both("voc_masks", "cam_irn")),
    Row(*IRN, "RIB", f"70.6 {MASKS}", "69.x (issue 5)", *_both("voc_masks", "rib_irn")),
    Row("Pseudo masks with saliency, train", "saliency; threshold: a setting", "RIB",
        scenes=("voc_masks", "rib_saliency")),  # on scenes drawn, with true outlines
    Row(*VAL, "CAM", NONE, NONE, *_both("voc_segmentation", "cam_irn")),
    Row(*VAL, "RIB", NONE, NONE, *_both("voc_segmentation", "rib_irn")),
    Row(*VAL, "true masks", NONE, NONE, *_both("voc_segmentation", "truth")),
    Row(*VAL_CRF, "CAM", NONE, NONE, *_both("voc_segmentation", "cam_irn_crf")),
    Row(*VAL_CRF, "RIB", NONE, "65.3 (issue 5)", *_both("voc_segmentation", "rib_irn_crf")),
    Row(*VAL_CRF, "true masks", NONE, NONE, *_both("voc_segmentation", "truth_crf")),
    Row(f"{AS_REPORTED}, val", "not known", "CAM", f"63.5 {NETS}"),
    Row(f"{AS_REPORTED}, val", "not known", "RIB", f"68.3 {NETS}"),
    Row(f"{AS_REPORTED}, test", "not known", "CAM", f"64.8 {NETS}"),
    Row(f"{AS_REPORTED}, test", "not known", "RIB", f"68.6 {NETS}"),
    Row(f"{SALIENCY}, val", "not known", "RIB", f"70.2 {NETS}"),
    Row(f"{SALIENCY}, test", "not known", "RIB", f"70.0 {NETS}"),
    Row("Pseudo masks, COCO 2014 train", "IRN; threshold: not known", "RIB", NONE,
        "39.9 (issue 6)"),
    Row(f"{AS_REPORTED}, COCO 2014 val", "not known", "RIB", "43.8 (table of COCO)"),
)  # fmt: skip
