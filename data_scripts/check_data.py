"""Tell what of a data set in VOC's layout is there, damaged, or of the wrong size.

The exit status is 0 if all that the lists of images need is there and whole, else 1. Other
counts than the official ones are shown but are no fault: a data set may be a part, or made up.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ribnb.core.runner import progress, run_jobs
from ribnb.core.voc import LIST_COUNTS, read_mask
from ribnb.data.labels import LABELS_NAME, disagreement, image_labels, pixels_of, read_labels
from ribnb.data.photos import upright_rgb, upright_size
from ribnb.data.voc import (
    IMAGE_SUFFIXES,
    LISTS,
    MASK_FOLDERS,
    MASK_SUFFIXES,
    class_names_of,
    names_in,
    read_split,
    voc_folder,
)

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
SUFFIXES = {  # of the files in each folder
    IMAGES: IMAGE_SUFFIXES,
    ANNOTATIONS: (".xml",),
    **dict.fromkeys(MASK_FOLDERS, MASK_SUFFIXES),
}
# How many files the official folders have; the last holds those of train_aug and val.
COUNTS = dict(zip(SUFFIXES, (17_125, 17_125, 2913, 12_031), strict=True))
SHOWN = 5  # faults of a row
NOTHING = ("", None, None)  # what is known of a file that was not looked at


@dataclass
class Row:
    """What is known of a folder, of ``labels.npz`` or of a list.

    Attributes:
        there: how many files or ids it has.
        expected: how many it should have; None if nothing tells.
        missing: how many lack; of a list, ids without image, mask or labels.
        unreadable: how many are damaged; of a list, ids of which a file is.
        wrong_size: masks that are not of their image's size.
        faults: what is wrong, a line each.
        doubts: what looks wrong, though it can be used.
    """

    there: int
    expected: int | None = None
    missing: int = 0
    unreadable: int = 0
    wrong_size: int = 0
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def faulty(self) -> bool:
        return bool(self.faults or self.unreadable or self.wrong_size)


def look(voc: Path, class_names: tuple[str, ...], quick: bool, file: tuple[str, str]) -> tuple:
    """A file's fault, "" for none; its (width, height), or an XML's labels; a mask's pixels."""
    folder, name = file
    paths = (voc / folder / f"{name}{suffix}" for suffix in SUFFIXES[folder])
    path = next(path for path in paths if path.is_file())
    try:
        if folder == ANNOTATIONS:
            return "", image_labels(voc, [name], class_names)[0].tolist(), None
        if folder in MASK_FOLDERS and not quick:
            mask = read_mask(path, len(class_names))
            return "", mask.shape[::-1], pixels_of(mask)
        with Image.open(path) as image:
            size = upright_size(image)
            if not quick:
                upright_rgb(image)
            return "", size, None if folder in MASK_FOLDERS else image.size
    except Exception as error:  # damage makes Pillow raise nearly anything
        return str(error) or type(error).__name__, None, None


def check(root: str | Path, quick: bool = False, workers: int = 1) -> tuple[Path, dict[str, Row]]:
    """Look at all images, annotations, masks and lists of a folder in VOC's layout.

    Args:
        root: see ``ribnb.data.VOCImages``; scenes will do as well.
        quick: look at names, and at the headers of images and masks, but decode nothing.
        workers: processes.

    Returns:
        VOC's own folder; name -> row of the folders, ``labels.npz`` and the lists in it.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a damaged ``classes.txt``.
    """
    voc = voc_folder(root)
    class_names, official = class_names_of(voc), not (voc / "classes.txt").is_file()
    names = {folder: names_in(voc / folder, *suffixes) for folder, suffixes in SUFFIXES.items()}
    looked = [folder for folder in names if not (quick and folder == ANNOTATIONS)]
    files = [(folder, name) for folder in looked for name in sorted(names[folder])]
    findings = run_jobs(partial(look, voc, class_names, quick), files, workers)
    found = dict(zip(files, progress(findings, "files", len(files)), strict=True))

    rows = {folder: Row(len(names[folder]), doubts=others(voc / folder)) for folder in SUFFIXES}
    wrong_size = set()
    for (folder, name), (fault, size, _) in found.items():
        row, image, stored = rows[folder], *found.get((IMAGES, name), NOTHING)[1:]
        if fault:
            row.unreadable += 1
        elif folder in MASK_FOLDERS and image and size not in (image, stored):
            row.wrong_size += 1
            wrong_size.add((folder, name))
            fault = f"is {size[0]} x {size[1]}, its image {image[0]} x {image[1]}"
        if fault:
            row.faults.append(f"{name}: {fault}")

    labelled, rows[LABELS_NAME] = {}, Row(0)
    if (voc / LABELS_NAME).is_file():
        labelled, rows[LABELS_NAME] = stored_labels(voc, class_names, found)
    hopeless = set()
    for folder in () if quick else MASK_FOLDERS:
        text, wrong = compared(names[folder], folder, class_names, labelled, found)
        if text:
            (rows[folder].faults if wrong else rows[folder].doubts).append(text)
        hopeless |= {folder} if wrong else set()

    listed = names_in(voc / LISTS, ".txt")
    ids_of = {name: [] for name in [*LIST_COUNTS, *sorted(listed - {*LIST_COUNTS})]}
    for name in ids_of:
        rows[name] = Row(0)
        if name in listed:
            try:
                ids_of[name] = read_split(voc, voc / LISTS / f"{name}.txt")
            except (OSError, ValueError) as error:
                rows[name].faults.append(str(error))
            else:
                rows[name] = list_row(ids_of[name], names, labelled, found, wrong_size)
                if rows[LABELS_NAME].faulty:
                    rows[name].faults.append(f"{LABELS_NAME} is at fault")
                if used := [each for each in hopeless if names[each] & {*ids_of[name]}]:
                    rows[name].faults.append(f"the masks in {used[0]} show none of the labels")

    counts = {**COUNTS, LABELS_NAME: COUNTS[ANNOTATIONS], **LIST_COUNTS}
    if not official:
        whole = len(set().union(*ids_of.values()))
        counts = dict.fromkeys((IMAGES, ANNOTATIONS, MASK_FOLDERS[0]), whole)
        rows = {name: row for name, row in rows.items() if row.there or row.faults}
    for name, row in rows.items():
        row.expected = counts.get(name)
        if name not in ids_of or not row.there:
            row.missing = max(0, (row.expected or 0) - row.there)
    return voc, rows


def others(folder: Path) -> list[str]:
    """Files of a folder that nobody reads: of other endings, or of a name that is there twice."""
    files = [path for path in folder.glob("*") if path.is_file() and path.name[0] != "."]
    suffixes = SUFFIXES[folder.name]
    unread = [path.name for path in files if path.suffix not in suffixes]
    counts = Counter(path.stem for path in files if path.suffix in suffixes)
    twice = [name for name, count in counts.items() if count > 1]
    found = {
        "have another ending than " + ", ".join(suffixes): unread,
        "are there with two endings, of which the first of these is read": twice,
    }
    return [
        f"{len(names)} files {what}, such as {min(names)}" for what, names in found.items() if names
    ]


def compared(
    ids: set[str], folder: str, class_names: tuple[str, ...], labelled: dict, found: dict
) -> tuple[str, bool]:
    """``disagreement`` of the masks of a folder and the labels of their images, or themselves."""
    rows = []
    for name in sorted(ids):
        if (pixels := found.get((folder, name), NOTHING)[2]) is not None:
            labels = labelled.get(name) or found.get((ANNOTATIONS, name), NOTHING)[1]
            own = pixels[1 : len(class_names) + 1]
            rows.append((labels if labels and len(labels) == len(own) else own, pixels))
    if not rows:
        return "", False
    labels, pixels = map(np.array, zip(*rows, strict=True))
    return disagreement(labels > 0, pixels, class_names)


def stored_labels(
    voc: Path, class_names: tuple[str, ...], found: dict
) -> tuple[dict[str, list[int]], Row]:
    """The labels of each id that ``labels.npz`` has, and its row."""
    try:
        stored = read_labels(voc / LABELS_NAME)
    except ValueError as error:
        return {}, Row(0, unreadable=1, faults=[str(error)])
    row = Row(len(stored.ids))
    if stored.class_names != class_names:
        row.faults.append(f"its classes are {', '.join(stored.class_names)}")
    labelled = dict(zip(stored.ids, stored.labels.tolist(), strict=True))
    for name, labels in labelled.items():
        if found.get((ANNOTATIONS, name), NOTHING)[1] not in (None, labels):
            row.faults.append(f"{name}: its labels are not those of its annotation")
    return labelled, row


def list_row(
    ids: list[str],
    names: dict[str, set[str]],
    labelled: Container[str],
    found: dict[tuple[str, str], tuple],
    wrong_size: set[tuple[str, str]],
) -> Row:
    """The row of one list: which of its images lack something, and of which a file is wrong."""
    row = Row(len(ids))
    for name in ids:
        mask = next((folder for folder in MASK_FOLDERS if name in names[folder]), None)
        has_labels = name in labelled or name in names[ANNOTATIONS]
        has = {"image": name in names[IMAGES], "labels": has_labels}
        if any(names[folder] for folder in MASK_FOLDERS):  # else they are meant to have none
            has["mask"] = mask
        if lacking := [what for what, there in has.items() if not there]:
            row.missing += 1
            row.faults.append(f"{name}: no {', no '.join(lacking)}")
        # With labels.npz, nobody reads the annotation.
        used = [IMAGES, mask] if name in labelled else [IMAGES, mask, ANNOTATIONS]
        row.unreadable += any(found.get((folder, name), NOTHING)[0] for folder in used)
        row.wrong_size += (mask, name) in wrong_size
    return row


def unfit(rows: dict[str, Row]) -> list[str]:
    """The lists that cannot be used as they are."""
    return [name for name in lists_of(rows) if rows[name].faulty]


def lists_of(rows: dict[str, Row]) -> list[str]:
    """The lists that are there, and those that cannot be read."""
    others = (*SUFFIXES, LABELS_NAME)
    return [name for name, row in rows.items() if name not in others and (row.there or row.faulty)]


def table(rows: dict[str, Row]) -> str:
    """The rows' counts, and the first faults of each."""
    lines = [f"{'':<21}   there expected missing unreadable wrong size"]
    for name, row in rows.items():
        expected = "-" if row.expected is None else f"{row.expected:,}"
        counts = f"{row.there:>8,}{expected:>9}{row.missing:>8,}{row.unreadable:>11,}"
        lines.append(f"{name:<21}{counts}{row.wrong_size:>11,}")
    for name, row in rows.items():
        if row.faults:
            lines += ["", f"{name}: {len(row.faults):,} faults"]
            lines += [f"  {fault}" for fault in row.faults[:SHOWN]]
        if len(row.faults) > SHOWN:
            lines.append(f"  and {len(row.faults) - SHOWN:,} more")
        lines += [
            line for doubt in row.doubts for line in ("", f"{name}, to be looked at: {doubt}")
        ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "root", metavar="ROOT", help="folder that holds VOCdevkit/VOC2012, or itself one; or scenes"
    )
    parser.add_argument("--quick", action="store_true", help="look at names and headers only")
    parser.add_argument("--workers", type=int, default=1, help="processes that read files")
    given = parser.parse_args()
    try:
        voc, rows = check(given.root, given.quick, given.workers)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    how = "names and headers only" if given.quick else "every file read to its end"
    print(f"{voc}: {how}\n\n{table(rows)}\n")
    if wrong := unfit(rows):
        print(
            f"Not fit for use: {', '.join(wrong)}. Replace or remove the files named; get_voc.py, "
            "or make_scenes.py with the same settings, makes what is missing. Without labels, "
            "-p data.labels_from=masks takes them from the masks; without masks, voc_classifier "
            "and voc_rib make maps and score nothing"
        )
    elif lists := lists_of(rows):
        masked = any(rows[folder].there for folder in MASK_FOLDERS if folder in rows)
        missing = "" if masked else "; without masks maps are made, and nothing is scored"
        print(f"All that {', '.join(lists)} need is there{missing}")
    else:
        print(f"There is no list of images in {voc / LISTS}")
    return 1 if wrong or not lists_of(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
