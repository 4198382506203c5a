"""Make "VOC 2012, five animals, 320 px" from a folder of VOC 2012 that get_voc.py completed.

the rule:
  images   those whose masks show a cat, cow, dog, horse or sheep, as book/settings/voc_animals
           lists them: 437 of train, 445 of val, and train_aug, which is train and 500 more.
           choose is every fifth of these 500, in sorted order: 100 images to choose settings on
  masks    8, 10, 12, 13, 17 become 1 to 5, in that order; 255 stays; all else is 0. They are
           SegmentationClass's, or SegmentationClassAug's where it has none
  size     the long side becomes 320 px, the other is rounded; Lanczos for images, JPEG of quality
           85; nearest neighbour for masks

A call that was broken off goes on where it stopped when it is repeated; the lists come last. The
labels are those of the masks: data.labels_from = "masks".
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import digest, write_whole
from ribnb.core.runner import Kind, RecordedFolder, Report, over_images
from ribnb.core.voc import CLASS_NAMES, IGNORED, write_mask
from ribnb.data.voc import LISTS, MASK_FOLDERS, VOCImages, names_in, voc_folder

IDS = Path(__file__).resolve().parents[1] / "book" / "settings" / "voc_animals"
SPLITS = ("train", "val", "train_aug", "choose")
ANIMALS = ("cat", "cow", "dog", "horse", "sheep")
LONG_SIDE, QUALITY, SHOWN = 320, 85, 5

NUMBERS = np.zeros(256, np.uint8)  # VOC's number of a class -> ours
NUMBERS[[CLASS_NAMES.index(name) + 1 for name in ANIMALS]] = range(1, len(ANIMALS) + 1)
NUMBERS[IGNORED] = IGNORED


def make_animals(root: str | Path, output: str | Path) -> Report:
    """Write the data set, in VOC's layout, into ``output``; the lists only if no image failed.

    Raises:
        FileNotFoundError: no folder of VOC, or it lacks images or masks; nothing is written then.
        ValueError: ``output`` holds images that were made otherwise.
        OSError: a file cannot be written.
    """
    voc, output = voc_folder(root), Path(output)
    if output.resolve() == voc.resolve():
        raise ValueError(f"{output} is VOC's own folder: OUT must be another")
    splits = [VOCImages(voc, IDS / f"{name}.txt") for name in SPLITS]
    places = {name: (images, index) for images in splits for index, name in enumerate(images.ids)}
    masks = set().union(*(names_in(voc / folder, ".png") for folder in MASK_FOLDERS))
    there = names_in(voc / "JPEGImages", ".jpg") & masks
    if lacking := sorted(places.keys() - there):
        raise FileNotFoundError(
            f"{voc} lacks the image or the mask of {len(lacking):,} of {len(places):,} images, "
            f"such as {', '.join(lacking[:SHOWN])}; get_voc.py gets VOC 2012 and makes the masks "
            "of train_aug"
        )
    lists = {output / LISTS / Path(images.split).name: images.ids for images in splits}
    record = {"classes": ANIMALS, "long_side": LONG_SIDE, "quality": QUALITY}
    record["ids"] = digest(list(lists.values()))
    files = RecordedFolder(output / "JPEGImages", ANIMAL_FILES, record)
    for folder in (MASK_FOLDERS[0], LISTS):
        (output / folder).mkdir(parents=True, exist_ok=True)
    report = over_images(partial(animal, places), sorted(places), files)
    for path, lines in {output / "classes.txt": ANIMALS, **lists}.items():
        if not report.failed and not path.exists():
            text = "".join(f"{line}\n" for line in lines).encode()
            write_whole(path, lambda file, text=text: file.write(text))
    return report


def animal(
    places: dict[str, tuple[VOCImages, int]], image_id: str
) -> tuple[Image.Image, UInt8[ndarray, "h w"]]:
    """Image and mask of the data set; OSError or ValueError names the image."""
    images, index = places[image_id]
    image, mask = images.image(index), NUMBERS[images.mask(index)]
    size = tuple(round(side * LONG_SIDE / max(image.size)) for side in image.size)
    mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    if not (mask % IGNORED).any():  # neither 0 nor 255
        raise ValueError(
            f"the mask of image {image_id} shows no {', '.join(ANIMALS[:-1])} or {ANIMALS[-1]}: "
            f"{images.root} holds other masks than VOC 2012's"
        )
    return image.resize(size, Image.Resampling.LANCZOS), mask


def _mask_of(image: Path) -> Path:
    return image.parents[1] / MASK_FOLDERS[0] / f"{image.stem}.png"


def _look(image: Path) -> None:
    """OSError if the image or its mask is missing or no picture."""
    for path in (image, _mask_of(image)):
        Image.open(path).close()


def _write(path: Path, pair: tuple[Image.Image, UInt8[ndarray, "h w"]]) -> None:
    image, mask = pair
    write_whole(path, lambda file: image.save(file, "JPEG", quality=QUALITY))
    write_mask(_mask_of(path), mask)


ANIMAL_FILES = Kind(
    "images of five animals", ".jpg", "voc_animals.json", _look, _write, beside=True
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="VOC_ROOT", help="holds VOCdevkit/VOC2012, or itself one")
    parser.add_argument("output", metavar="OUT", help="the folder of the data set; is made")
    given = parser.parse_args()
    try:
        report = make_animals(given.root, given.output)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(report)
    if report.failed:
        print("no lists yet: replace the files named and run this again", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
