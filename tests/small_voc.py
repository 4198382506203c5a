"""A VOC 2012 folder of three small images, made by hand, for the tests of its reader."""

import numpy as np
from conftest import ROOT
from PIL import Image

SAMPLE = ROOT.parent / "shared" / "data" / "voc_sample"
SAMPLE_IDS = ["2011_000003", "2011_000006", "2011_000025"]
IDS = ["2007_000032", "2007_000039", "2008_000001"]
MASK = np.array([[0, 1, 1, 255], [20, 0, 15, 255]], np.uint8)

OBJECT = "<object>{2}<name>{0}</name><difficult>{1}</difficult>{2}</object>"
PART = "<part><name>head</name></part>"


def make_voc(folder):
    """The VOC2012 folder, below `folder`, of three images 4 x 2 in one split, `train`."""
    root = folder / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    write_list(root, "train", "".join(f"{image_id}\n" for image_id in IDS))
    for place, image_id in enumerate(IDS):
        grey = Image.new("RGB", (4, 2), (60 * place,) * 3)
        grey.save(root / "JPEGImages" / f"{image_id}.jpg")
        write_mask(root, image_id, MASK)
    write_annotation(root, IDS[0], OBJECT.format("aeroplane", 0, ""))
    write_annotation(
        root, IDS[1], OBJECT.format("person", 0, PART), OBJECT.format("tvmonitor", 1, "")
    )
    write_annotation(root, IDS[2])
    return root


def write_annotation(root, image_id, *objects) -> None:
    text = f"<annotation><filename>{image_id}.jpg</filename>{''.join(objects)}</annotation>"
    (root / "Annotations" / f"{image_id}.xml").write_text(text)


def write_list(root, name, text) -> None:
    (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(text)


def write_mask(root, image_id, values, folder="SegmentationClass") -> None:
    (root / folder).mkdir(exist_ok=True)
    mask = Image.fromarray(values)
    mask.putpalette([*range(256)] * 3)
    mask.save(root / folder / f"{image_id}.png")
