"""Tell what of a data set in VOC's layout is there, damaged, or of the wrong size.

The exit status is 0 if all that the lists of images need is there and whole, else 1. Other
counts than the official ones are shown but are no fault: a data set may be a part, or made up.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from ribnb.core.runner import progress, run_jobs
from ribnb.core.voc import LIST_COUNTS, read_mask
from ribnb.data.voc import (
    LABELS_NAME,
    LISTS,
    MASK_FOLDERS,
    class_names_of,
    image_labels,
    names_in,
    read_labels,
    read_split,
    voc_folder,
)

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
SUFFIXES = {IMAGES: ".jpg", ANNOTATIONS: ".xml", **dict.fromkeys(MASK_FOLDERS, ".png")}
# How many files the official folders have; the last holds those of train_aug and val.
COUNTS = dict(zip(SUFFIXES, (17_125, 17_125, 2913, 12_031), strict=True))
SHOWN = 5  # faults of a row


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
    """

    there: int
    expected: int | None = None
    missing: int = 0
    unreadable: int = 0
    wrong_size: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def faulty(self) -> bool:
        return bool(self.faults or self.unreadable or self.wrong_size)


def look(voc: Path, class_names: tuple[str, ...], quick: bool, file: tuple[str, str]) -> tuple:
    """A file's fault, "" for none, and an image's or mask's (width, height) or an XML's labels."""
    folder, name = file
    path = voc / folder / (name + SUFFIXES[folder])
    try:
        if folder == ANNOTATIONS:
            return "", image_labels(voc, [name], class_names)[0].tolist()
        if folder in MASK_FOLDERS and not quick:
            return "", read_mask(path, len(class_names)).shape[::-1]
        with Image.open(path) as image:
            if not quick:
                image.load()
            return "", image.size
    except Exception as error:  # damage makes Pillow raise nearly anything
        return str(error) or type(error).__name__, None


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
    names = {folder: names_in(voc / folder, suffix) for folder, suffix in SUFFIXES.items()}
    looked = [folder for folder in names if not (quick and folder == ANNOTATIONS)]
    files = [(folder, name) for folder in looked for name in sorted(names[folder])]
    findings = run_jobs(partial(look, voc, class_names, quick), files, workers)
    found = dict(zip(files, progress(findings, "files", len(files)), strict=True))

    rows = {folder: Row(len(names[folder])) for folder in SUFFIXES}
    wrong_size = set()
    for (folder, name), (fault, size) in found.items():
        row, image = rows[folder], found.get((IMAGES, name), ("", None))[1]
        if fault:
            row.unreadable += 1
        elif folder in MASK_FOLDERS and image and size != image:
            row.wrong_size += 1
            wrong_size.add((folder, name))
            fault = f"is {size[0]} x {size[1]}, its image {image[0]} x {image[1]}"
        if fault:
            row.faults.append(f"{name}: {fault}")

    labelled, rows[LABELS_NAME] = set(), Row(0)
    if (voc / LABELS_NAME).is_file():
        labelled, rows[LABELS_NAME] = stored_labels(voc, class_names, found)

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


def stored_labels(voc: Path, class_names: tuple[str, ...], found: dict) -> tuple[set[str], Row]:
    """The ids that ``labels.npz`` has, and its row."""
    try:
        stored = read_labels(voc / LABELS_NAME)
    except ValueError as error:
        return set(), Row(0, unreadable=1, faults=[str(error)])
    row = Row(len(stored.ids))
    if stored.class_names != class_names:
        row.faults.append(f"its classes are {', '.join(stored.class_names)}")
    for name, labels in zip(stored.ids, stored.labels.tolist(), strict=True):
        if found.get((ANNOTATIONS, name), ("", None))[1] not in (None, labels):
            row.faults.append(f"{name}: its labels are not those of its annotation")
    return set(stored.ids), row


def list_row(
    ids: list[str],
    names: dict[str, set[str]],
    labelled: set[str],
    found: dict[tuple[str, str], tuple],
    wrong_size: set[tuple[str, str]],
) -> Row:
    """The row of one list: which of its images lack something, and of which a file is wrong."""
    row = Row(len(ids))
    for name in ids:
        mask = next((folder for folder in MASK_FOLDERS if name in names[folder]), None)
        has_labels = name in labelled or name in names[ANNOTATIONS]
        has = {"image": name in names[IMAGES], "mask": mask, "labels": has_labels}
        if lacking := [what for what, there in has.items() if not there]:
            row.missing += 1
            row.faults.append(f"{name}: no {', no '.join(lacking)}")
        # With labels.npz, nobody reads the annotation.
        used = [IMAGES, mask] if name in labelled else [IMAGES, mask, ANNOTATIONS]
        row.unreadable += any(found.get((folder, name), ("",))[0] for folder in used)
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
            "or make_scenes.py with the same settings, makes what is missing"
        )
    elif lists := lists_of(rows):
        print(f"All that {', '.join(lists)} need is there")
    else:
        print(f"There is no list of images in {voc / LISTS}")
    return 1 if wrong or not lists_of(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
