"""The stages of the scoreboard, and where the numbers of their rows come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One kind of maps at one stage.

    Attributes:
        key: its name, also for ``ribnb.evidence.reported``.
        maps: what the stage began with, in a reader's words.
        scenes: chapter and metric of ours on scenes; None: there is none.
        voc: chapter and metric of ours on VOC; None: there is none.
    """

    key: str
    maps: str
    scenes: tuple[str, str] | None = None
    voc: tuple[str, str] | None = None


@dataclass(frozen=True)
class Stage:
    """Rows that were made and scored in the same way.

    Attributes:
        name: of the stage.
        split: what it is scored on; the data set too, if it is neither VOC nor scenes.
        post_processing: what comes after the maps or the network.
        threshold: how the background threshold was chosen; empty if there is none.
        apart: what differs between the columns, in words.
        rows: its rows.
    """

    name: str
    split: str
    post_processing: str
    threshold: str
    apart: str
    rows: tuple[Row, ...]


def _two(stage: str, metric: str) -> tuple[Row, Row]:
    """The rows of CAM and RIB of a stage of ``voc_masks``."""
    one, other = (("voc_masks", f"mask_miou.{kind}{metric}") for kind in ("cam", "rib"))
    return Row(f"{stage} cam", "CAM", one, one), Row(f"{stage} rib", "RIB", other, other)


def _networks(stage: str, metric: str) -> tuple[Row, ...]:
    kinds = {"cam": ("CAM", "cam_irn"), "rib": ("RIB", "rib_irn"), "truth": ("true masks", "truth")}
    found = []
    for key, (maps, kind) in kinds.items():
        source = ("voc_segmentation", f"val_miou.{kind}{metric}")
        found.append(Row(f"{stage} {key}", maps, source, source))
    return tuple(found)


STAGES = (
    Stage(
        "Seeds", "train", "none", "oracle; ours of 0.02 to 0.80, reported: of 0.20 to 0.49",
        "The program that was released with the paper picks the best of 30 thresholds on the "
        "truth of the images it scores; ours are the best of a wider range.",
        (
            Row("seed cam", "CAM", ("voc_masks", "mask_miou.cam"), ("voc_rib", "cam_seed_miou")),
            Row("seed rib", "RIB", ("voc_masks", "mask_miou.rib"), ("voc_rib", "seed_miou")),
        ),
    ),
    Stage(
        "Seeds with CRF", "train", "dense CRF",
        "ours: the seeds' oracle; reported: not known",
        "The settings of the reported CRF are not known to us.", _two("crf", "_crf"),
    ),
    Stage(
        "Pseudo masks", "train", "ours: IRN; reported: IRN, perhaps a CRF too", "a setting",
        "In issue 5 the authors write of 69.x before CRF; whether the reported number is after "
        "it is not known to us.", _two("irn", "_irn"),
    ),
    Stage(
        "Pseudo masks with saliency", "train", "saliency", "a setting",
        "We know of no reported number. Saliency maps of scenes are drawn, with true outlines.",
        (Row("saliency rib", "RIB", ("voc_masks", "mask_miou.rib_saliency")),),
    ),
    Stage(
        "DeepLab-v2", "val", "none", "", "We know of no number that is said to be without CRF.",
        _networks("val plain", ""),
    ),
    Stage(
        "DeepLab-v2 with CRF", "val", "dense CRF", "",
        "What others re-ran is said to be with CRF.", _networks("val crf", "_crf"),
    ),
    Stage(
        "DeepLab-v2 as reported", "val", "not known", "",
        "Whether the paper's networks have a CRF after them is not known to us: compare with "
        "either stage above, and with care.",
        (Row("val cam", "CAM"), Row("val rib", "RIB")),
    ),
    Stage(
        "DeepLab-v2 as reported", "test", "not known", "",
        "The truth of VOC's test images is on its own server only.",
        (Row("test cam", "CAM"), Row("test rib", "RIB")),
    ),
    Stage(
        "DeepLab-v2, saliency as supervision", "val", "not known", "",
        "This book trains no network on masks with saliency.", (Row("saliency val rib", "RIB"),),
    ),
    Stage(
        "DeepLab-v2, saliency as supervision", "test", "not known", "", "As above.",
        (Row("saliency test rib", "RIB"),),
    ),
    Stage(
        "Pseudo masks", "COCO 2014 train", "IRN", "not known", "This book has no COCO.",
        (Row("coco irn rib", "RIB"),),
    ),
    Stage(
        "DeepLab-v2 as reported", "COCO 2014 val", "not known", "", "This book has no COCO.",
        (Row("coco val rib", "RIB"),),
    ),
)  # fmt: skip
