"""Whether a folder in VOC's layout is whole: what is there, damaged, or of the wrong size."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ribnb.core.progress import progress
from ribnb.core.runner import run_jobs
from ribnb.data.voc import MASK_FOLDERS
from ribnb.data.voc_folder import class_names_of, read_split, voc_folder
from ribnb.data.voc_inspect import ANNOTATIONS, IMAGES, SUFFIXES, Finding, Task, inspect_file
from ribnb.data.voc_labels import LABELS_NAME, StoredLabels, read_labels
from ribnb.data.voc_official import FOLDER_COUNTS, LIST_COUNTS, names_in


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
        unfit: names of the lists that cannot be used as they are.
    """

    folder: Path
    quick: bool
    scenes: bool
    folders: list[Row]
    lists: list[Row]
    unfit: list[str]

    @property
    def good(self) -> bool:
        """Whether there is a list, and all that the lists need is there and whole."""
        return not self.unfit and any(row.there for row in self.lists)


def check_voc(root: str | Path, quick: bool = False, workers: int = 1) -> CheckReport:
    """Look at all images, annotations, masks and lists of a folder in VOC's layout.

    Args:
        root: see ``ribnb.data.voc.VOCImages``; scenes will do as well.
        quick: look at names, and at the headers of images and masks, but decode nothing.
        workers: processes.

    Returns:
        A table; see ``CheckReport``.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a damaged ``classes.txt``.
    """
    return _Check(voc_folder(root), quick, workers).report()


class _Check:
    """The state of one check: names by folder, findings, lists."""

    def __init__(self, voc: Path, quick: bool, workers: int) -> None:
        self.voc, self.quick = voc, quick
        self.class_names = class_names_of(voc)
        self.scenes = (voc / "classes.txt").is_file()
        folders = (IMAGES, ANNOTATIONS, *MASK_FOLDERS)
        self.names = {
            folder: names_in(voc / folder, SUFFIXES.get(folder, ".png")) for folder in folders
        }
        self.lists, self.damaged = _read_lists(voc)
        self.needed = {name for ids in self.lists.values() for name in ids}
        self.findings = self._look(workers)
        self.stored: StoredLabels | None = None
        self.stored_fault = ""

    def report(self) -> CheckReport:
        folders = [self._folder_row(folder) for folder in self.names]
        folders.append(self._labels_row())
        if self.scenes:  # what get_voc.py would add is not missed
            folders = [row for row in folders if row.there or row.faults]
        lists = [self._list_row(name, ids) for name, ids in self.lists.items()]
        for name, fault in self.damaged.items():
            lists.append(Row(name, 0, self._official(LIST_COUNTS, name), faults=[fault]))
        if not self.scenes:
            absent = [name for name in LIST_COUNTS if name not in {*self.lists, *self.damaged}]
            lists += [Row(name, 0, LIST_COUNTS[name], LIST_COUNTS[name]) for name in absent]
        unfit = [row.name for row in lists if row.faults or row.unreadable or row.wrong_size]
        return CheckReport(self.voc, self.quick, self.scenes, folders, lists, unfit)

    def _look(self, workers: int) -> dict[tuple[str, str], Finding]:
        tasks = [
            Task(self.voc, folder, name, self.class_names, self.quick)
            for folder, names in self.names.items()
            for name in sorted(names)
            if not (self.quick and folder == ANNOTATIONS)
        ]
        found = progress(run_jobs(inspect_file, tasks, workers), "files", len(tasks))
        return {(finding.folder, finding.image_id): finding for finding in found}

    def _official(self, counts: dict[str, int], name: str) -> int | None:
        return None if self.scenes else counts.get(name)

    def _folder_row(self, folder: str) -> Row:
        names = self.names[folder]
        expected = self._official(FOLDER_COUNTS, folder)
        if expected is None and folder != MASK_FOLDERS[1]:
            expected = len(self.needed)
        row = Row(folder, len(names), expected, max(0, (expected or 0) - len(names)))
        if folder in MASK_FOLDERS:
            row.wrong_size = 0
        for name in sorted(names):
            if fault := self._fault(folder, name):
                row.unreadable += 1
                row.faults.append(f"{name}: {fault}")
            elif fault := self._wrong_size(folder, name):
                row.wrong_size += 1
                row.faults.append(f"{name}: {fault}")
        return row

    def _fault(self, folder: str, name: str) -> str:
        finding = self.findings.get((folder, name))
        return finding.fault if finding else ""

    def _wrong_size(self, folder: str, name: str) -> str:
        """In words, if a mask is not of its image's size."""
        mask, image = self.findings.get((folder, name)), self.findings.get((IMAGES, name))
        sizes = [finding.size for finding in (mask, image) if finding and finding.size]
        if folder not in MASK_FOLDERS or len(sizes) < 2 or sizes[0] == sizes[1]:
            return ""
        (width, height), (image_width, image_height) = sizes
        return f"is {width} x {height}, its image {image_width} x {image_height}"

    def _labels_row(self) -> Row:
        expected = self._official(FOLDER_COUNTS, ANNOTATIONS) or len(self.names[ANNOTATIONS])
        row = Row(LABELS_NAME, 0, expected, missing=expected)
        try:
            stored = read_labels(self.voc / LABELS_NAME)
        except FileNotFoundError:
            return row
        except ValueError as error:
            row.unreadable, self.stored_fault = 1, str(error)
            row.faults.append(str(error))
            return row
        self.stored = stored
        row.there = len(stored.ids)
        row.missing = max(0, expected - row.there)
        if stored.class_names != self.class_names:
            self.stored_fault = f"its classes are {', '.join(stored.class_names)}"
            row.faults.append(self.stored_fault)
            return row
        for name, labels in zip(stored.ids, stored.labels.tolist(), strict=True):
            finding = self.findings.get((ANNOTATIONS, name))
            if finding and finding.labels is not None and finding.labels != tuple(labels):
                row.faults.append(f"{name}: its labels are not those of its annotation")
        self.stored_fault = "; ".join(row.faults[:1])
        return row

    def _list_row(self, name: str, ids: list[str]) -> Row:
        row = Row(name, len(ids), self._official(LIST_COUNTS, name), wrong_size=0)
        stored = set(self.stored.ids) if self.stored else set()
        for image_id in ids:
            masks = next((each for each in MASK_FOLDERS if image_id in self.names[each]), None)
            labelled = image_id in stored or image_id in self.names[ANNOTATIONS]
            has = {"image": image_id in self.names[IMAGES], "mask": masks, "labels": labelled}
            lacking = [what for what, there in has.items() if not there]
            if lacking:
                row.missing += 1
                row.faults.append(f"{image_id}: no {', no '.join(lacking)}")
            # With labels.npz, nobody reads the annotation.
            used = [IMAGES, masks] + ([] if image_id in stored else [ANNOTATIONS])
            row.unreadable += any(self._fault(folder, image_id) for folder in used if folder)
            row.wrong_size += bool(masks and self._wrong_size(masks, image_id))
        if self.stored_fault:
            row.faults.append(f"{LABELS_NAME} is at fault")
        return row


def _read_lists(voc: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The ids of each list, and of damaged lists the fault."""
    paths = {path.stem: path for path in (voc / "ImageSets" / "Segmentation").glob("*.txt")}
    names = [name for name in LIST_COUNTS if name in paths]
    names += sorted(paths.keys() - set(names))
    lists, damaged = {}, {}
    for name in names:
        try:
            lists[name] = read_split(voc, paths[name])
        except (OSError, ValueError) as error:
            damaged[name] = str(error)
    return lists, damaged
