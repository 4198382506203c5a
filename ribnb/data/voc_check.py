"""Whether a folder in VOC's layout is whole: what is there, damaged, or of the wrong size."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ribnb.core.progress import progress
from ribnb.core.runner import run_jobs
from ribnb.core.voc import IGNORED, LIST_COUNTS
from ribnb.data.voc import LISTS, MASK_FOLDERS, class_names_of, names_in, read_split, voc_folder
from ribnb.data.voc_labels import LABELS_NAME, image_labels, read_labels

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
_SUFFIXES = {IMAGES: ".jpg", ANNOTATIONS: ".xml", **dict.fromkeys(MASK_FOLDERS, ".png")}
# How many files the official folders have; the last holds those of train_aug and val.
_FOLDER_COUNTS = dict(zip(_SUFFIXES, (17_125, 17_125, 2913, 12_031), strict=True))
_SHOWN = 5  # faults of a row


@dataclass
class Row:
    """A line of the table.

    Attributes:
        name: of a folder, a file or a list.
        there: how many files it has, or ids.
        expected: how many it should have; None if nothing tells.
        missing: how many lack; of a list, ids without image, mask or labels.
        unreadable: how many are damaged; of a list, ids with a damaged image, mask or annotation.
        wrong_size: masks that are not of their image's size; None where there are none.
        faults: what is wrong, a line each.
    """

    name: str
    there: int
    expected: int | None
    missing: int = 0
    unreadable: int = 0
    wrong_size: int | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """In a word: ``"ok"``, ``"none"``, ``"faulty"``, ``"short"`` or ``"longer"``."""
        if self.faults or self.unreadable or self.wrong_size:
            return "faulty"
        if not self.there:
            return "none"
        if self.missing:
            return "short"
        return "ok" if self.expected in (None, self.there) else "longer"


@dataclass
class CheckReport:
    """What ``check_voc`` found.

    Attributes:
        folder: VOC's own folder.
        quick: whether only headers and names were looked at.
        scenes: whether it holds classes of its own, so that VOC's counts say nothing.
        folders: rows of the folders and of ``labels.npz``.
        lists: rows of the lists.
    """

    folder: Path
    quick: bool
    scenes: bool
    folders: list[Row]
    lists: list[Row]

    @property
    def unfit(self) -> list[str]:
        """Names of the lists that cannot be used as they are."""
        return [row.name for row in self.lists if row.state == "faulty"]

    @property
    def good(self) -> bool:
        """Whether there is a list, and all that the lists need is there and whole."""
        return not self.unfit and any(row.there for row in self.lists)


def check_voc(root: str | Path, quick: bool = False, workers: int = 1) -> CheckReport:
    """Look at all images, annotations, masks and lists of a folder in VOC's layout.

    Args:
        root: see ``ribnb.data.VOCImages``; scenes will do as well.
        quick: look at names, and at the headers of images and masks, but decode nothing.
        workers: processes.

    Returns:
        A table; see ``CheckReport``.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a damaged ``classes.txt``.
    """
    return _Check(voc_folder(root), quick, workers).report()


class _Finding(NamedTuple):
    """What a file is like: its fault if it has one; of images and masks the size (width, height),
    of annotations the labels (C,)."""

    fault: str = ""
    size: tuple[int, int] | None = None
    labels: list[int] | None = None


def _look(voc: Path, class_names: tuple[str, ...], quick: bool, file: tuple[str, str]) -> _Finding:
    """Read an image, a mask or an annotation, and note what is wrong instead of raising it."""
    folder, image_id = file
    try:
        if folder == ANNOTATIONS:
            return _Finding(labels=image_labels(voc, [image_id], class_names)[0].tolist())
        with Image.open(voc / folder / (image_id + _SUFFIXES[folder])) as image:
            if not quick:
                image.load()
            if folder in MASK_FOLDERS:
                if image.mode not in ("P", "L"):
                    return _Finding(f"is of mode {image.mode}, not a mask of indices")
                values = [] if quick else np.bincount(np.asarray(image).ravel()).nonzero()[0]
                if wrong := [int(value) for value in values if len(class_names) < value != IGNORED]:
                    return _Finding(f"holds {wrong[:3]}, which are no classes")
            return _Finding(size=image.size)
    except Exception as error:  # damage makes Pillow raise nearly anything
        return _Finding(str(error) or type(error).__name__)


class _Check:
    """The state of one check: names by folder, findings by folder and name, lists."""

    def __init__(self, voc: Path, quick: bool, workers: int) -> None:
        self.voc, self.quick = voc, quick
        self.class_names = class_names_of(voc)
        self.scenes = (voc / "classes.txt").is_file()
        self.names = {folder: names_in(voc / folder, end) for folder, end in _SUFFIXES.items()}
        self.lists: dict[str, list[str]] = {}
        self.damaged: dict[str, str] = {}
        found = names_in(voc / LISTS, ".txt")
        for name in [
            *(name for name in LIST_COUNTS if name in found),
            *sorted(found - {*LIST_COUNTS}),
        ]:
            try:
                self.lists[name] = read_split(voc, voc / LISTS / f"{name}.txt")
            except (OSError, ValueError) as error:
                self.damaged[name] = str(error)
        files = [
            (folder, name)
            for folder, names in self.names.items()
            for name in sorted(names)
            if not (quick and folder == ANNOTATIONS)
        ]
        look = partial(_look, voc, self.class_names, quick)
        found = progress(run_jobs(look, files, workers), "files", len(files))
        self.findings = dict(zip(files, found, strict=True))
        self.labelled: set[str] = set()  # in labels.npz
        self.labels_fault = ""

    def report(self) -> CheckReport:
        folders = [*map(self._folder_row, self.names), self._labels_row()]
        if self.scenes:  # what get_voc.py would add is not missed
            folders = [row for row in folders if row.there or row.faults]
        lists = [self._list_row(name, ids) for name, ids in self.lists.items()]
        for name, fault in self.damaged.items():
            lists.append(Row(name, 0, self._official(LIST_COUNTS, name), faults=[fault]))
        if not self.scenes:
            absent = [name for name in LIST_COUNTS if name not in {*self.lists, *self.damaged}]
            lists += [Row(name, 0, LIST_COUNTS[name], LIST_COUNTS[name]) for name in absent]
        return CheckReport(self.voc, self.quick, self.scenes, folders, lists)

    def _official(self, counts: dict[str, int], name: str) -> int | None:
        return None if self.scenes else counts.get(name)

    def _finding(self, folder: str, name: str) -> _Finding:
        return self.findings.get((folder, name), _Finding())

    def _wrong_size(self, folder: str, name: str) -> str:
        """In words, if a mask is not of its image's size."""
        mask, image = self._finding(folder, name).size, self._finding(IMAGES, name).size
        if folder not in MASK_FOLDERS or None in (mask, image) or mask == image:
            return ""
        return f"is {mask[0]} x {mask[1]}, its image {image[0]} x {image[1]}"

    def _folder_row(self, folder: str) -> Row:
        names = self.names[folder]
        expected = self._official(_FOLDER_COUNTS, folder)
        if expected is None and folder != MASK_FOLDERS[1]:
            expected = len(set().union(*self.lists.values()))
        row = Row(folder, len(names), expected, max(0, (expected or 0) - len(names)))
        if folder in MASK_FOLDERS:
            row.wrong_size = 0
        for name in sorted(names):
            if fault := self._finding(folder, name).fault:
                row.unreadable += 1
                row.faults.append(f"{name}: {fault}")
            elif fault := self._wrong_size(folder, name):
                row.wrong_size += 1
                row.faults.append(f"{name}: {fault}")
        return row

    def _labels_row(self) -> Row:
        expected = self._official(_FOLDER_COUNTS, ANNOTATIONS) or len(self.names[ANNOTATIONS])
        row = Row(LABELS_NAME, 0, expected, missing=expected)
        try:
            stored = read_labels(self.voc / LABELS_NAME)
        except FileNotFoundError:
            return row
        except ValueError as error:
            row.unreadable = 1
            row.faults.append(str(error))
        else:
            self.labelled = set(stored.ids)
            row.there = len(stored.ids)
            row.missing = max(0, expected - row.there)
            if stored.class_names != self.class_names:
                row.faults.append(f"its classes are {', '.join(stored.class_names)}")
            else:
                for name, labels in zip(stored.ids, stored.labels.tolist(), strict=True):
                    if self._finding(ANNOTATIONS, name).labels not in (None, labels):
                        row.faults.append(f"{name}: its labels are not those of its annotation")
        self.labels_fault = f"{LABELS_NAME} is at fault" if row.faults else ""
        return row

    def _list_row(self, name: str, ids: list[str]) -> Row:
        row = Row(name, len(ids), self._official(LIST_COUNTS, name), wrong_size=0)
        for image_id in ids:
            masks = next((each for each in MASK_FOLDERS if image_id in self.names[each]), None)
            labelled = image_id in self.labelled or image_id in self.names[ANNOTATIONS]
            has = {"image": image_id in self.names[IMAGES], "mask": masks, "labels": labelled}
            if lacking := [what for what, there in has.items() if not there]:
                row.missing += 1
                row.faults.append(f"{image_id}: no {', no '.join(lacking)}")
            # With labels.npz, nobody reads the annotation.
            used = [IMAGES, masks] + ([] if image_id in self.labelled else [ANNOTATIONS])
            row.unreadable += any(
                self._finding(folder, image_id).fault for folder in used if folder
            )
            row.wrong_size += bool(masks and self._wrong_size(masks, image_id))
        if self.labels_fault:
            row.faults.append(self.labels_fault)
        return row


def check_table(report: CheckReport) -> str:
    """The report as text: the table, the first faults of each row, and what follows from them."""
    kind = "scenes" if report.scenes else "PASCAL VOC 2012"
    how = "names and headers only" if report.quick else "every file read to its end"
    rows = [*report.folders, *report.lists]
    lines = [f"{report.folder}: {kind}, {how}", ""]
    cells = [("", "there", "expected", "missing", "unreadable", "wrong size", "")]
    for row in rows:
        counts = (row.there, row.expected, row.missing, row.unreadable, row.wrong_size)
        numbers = ("-" if count is None else f"{count:,}" for count in counts)
        cells.append((row.name, *numbers, row.state))
    name_width = max(len(row.name) for row in rows)
    for name, *numbers, state in cells:
        numbers = "".join(f"{number:>12}" for number in numbers)
        lines.append(f"{name:<{name_width}}{numbers}  {state}".rstrip())
    for row in rows:
        if row.faults:
            count = len(row.faults)
            lines += ["", f"{row.name}: {count:,} fault{'' if count == 1 else 's'}"]
            lines += [f"  {fault}" for fault in row.faults[:_SHOWN]]
            if count > _SHOWN:
                lines.append(f"  and {count - _SHOWN:,} more")
    return "\n".join([*lines, "", _conclusion(report, rows)])


def _conclusion(report: CheckReport, rows: list[Row]) -> str:
    if report.unfit:
        advice = (
            "Replace the files named; get_voc.py makes lists, labels and masks that are missing"
        )
        if report.scenes:
            advice = "Remove the files named and run make_scenes.py again with the same settings"
        return f"Not fit for use: {', '.join(report.unfit)}. {advice}"
    fit = [row.name for row in report.lists if row.there]
    if not fit:
        return f"There is no list of images in {report.folder / LISTS}"
    tell = ", as far as names and headers tell" if report.quick else ""
    text = f"All that {', '.join(fit)} need is there{tell}."
    others = [row.name for row in rows if row.state != "ok"]
    return f"{text} Not as in the official data: {', '.join(others)}." if others else text
