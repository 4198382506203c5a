"""PASCAL VOC 2012 and SBD: fetched, unpacked, and what follows from them written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ribnb.data.archives import extract_archive, unpacking_folder
from ribnb.data.download import DownloadError, download_file, wrong_sums
from ribnb.data.voc_aug_masks import AUG_FOLDER, write_aug_masks
from ribnb.data.voc_folder import class_names_of, read_split
from ribnb.data.voc_labels import LABELS_NAME, image_labels, read_labels, write_labels
from ribnb.data.voc_official import (
    LIST_COUNTS,
    SBD_FOLDER,
    find_sbd,
    find_voc,
    has_list,
    is_sbd,
    names_in,
    parts_lacking,
    write_train_aug,
)
from ribnb.data.voc_sources import Source, sbd_source, voc_source


@dataclass
class GetReport:
    """What ``get_voc`` did.

    Attributes:
        folder: VOC's own folder.
        done: what was made now, a line each; empty if all was there.
        warnings: what differs from the official data.
        problems: what could not be made, or of what; empty if all is well.
    """

    folder: Path
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Archive:
    """An archive to unpack: one that is given, or one to fetch into ``root``."""

    source: Source
    root: Path
    given: Path | None
    option: str

    @property
    def path(self) -> Path:
        return self.given or self.root / self.source.filename

    def to_fetch(self) -> int:
        """Bytes that are still to be fetched."""
        if self.path.exists():
            return 0
        part = self.path.with_name(self.path.name + ".part")
        return max(0, self.source.size - (part.stat().st_size if part.exists() else 0))


def get_voc(
    root: str | Path,
    voc_archive: str | Path | None = None,
    sbd_archive: str | Path | None = None,
    with_sbd: bool = True,
    keep_archives: bool = False,
    workers: int = 1,
    voc: Source | None = None,
    sbd: Source | None = None,
    timeout: float = 60.0,
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
        voc: other addresses and sums for VOC.
        sbd: other addresses and sums for SBD.
        timeout: seconds without a byte after which an address is given up.
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
    folder = find_voc(root)
    pending = []
    if folder is not None and voc_archive:
        say(f"{folder} is there already; {voc_archive} is not looked at")
    if folder is None:
        pending.append(_archive(voc or voc_source(), root, voc_archive, "--voc-archive"))
    want_sbd = with_sbd and (folder is None or not _has_aug(folder))
    if want_sbd and find_sbd(root) is None:
        pending.append(_archive(sbd or sbd_source(), root, sbd_archive, "--sbd-archive"))
    _check_space(root, pending, keep_archives, say)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot make the folder {root}: {error.strerror}; choose one where you may write"
        ) from error
    report = GetReport(folder or root / "VOCdevkit" / "VOC2012")
    if folder is None:
        _unpack_voc(pending.pop(0), keep_archives, timeout, report, say)
    _derive_labels(report, say)
    if want_sbd:
        if pending:
            _unpack_sbd(pending.pop(), keep_archives, timeout, report, say)
        _derive_aug(report, find_sbd(root), workers, say)
    _compare_counts(report)
    return report


def _archive(source: Source, root: Path, given: str | Path | None, option: str) -> _Archive:
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"there is no file {given}, which {option} names")
    return _Archive(source, root, None if given is None else Path(given), option)


def _has_aug(voc: Path) -> bool:
    """Whether the augmented list and all masks of it and of val are there."""
    if not has_list(voc, "train_aug"):
        return False
    needed = {*read_split(voc, "train_aug"), *read_split(voc, "val")}
    return needed <= names_in(voc / AUG_FOLDER, ".png")


def _check_space(
    root: Path, archives: list[_Archive], keep: bool, say: Callable[[str], None]
) -> None:
    """OSError unless the disk holds what is to be fetched and unpacked, at its worst moment."""
    used = needed = 0
    for archive in archives:
        fetched = archive.to_fetch()
        size = archive.path.stat().st_size if archive.path.exists() else archive.source.size
        # An archive that was made up needs no more than it holds.
        used += fetched + min(archive.source.unpacked, 10 * size)
        needed = max(needed, used)
        used -= 0 if keep or archive.given else fetched
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise OSError(
            f"{root} has {_gigabytes(free)} free, but {_gigabytes(needed)} are needed at the "
            f"worst moment, to get {' and '.join(archive.source.name for archive in archives)}. "
            "Make room, or choose another folder"
        )
    if needed:
        say(f"this takes up to {_gigabytes(needed)} in {root}, where {_gigabytes(free)} are free")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


@contextmanager
def _at_hand(
    archive: _Archive, keep: bool, timeout: float, report: GetReport, say: Callable[[str], None]
) -> Iterator[Path]:
    """The archive, checked; removed at the end if it was fetched now and nobody keeps it."""
    source, path = archive.source, archive.path
    sums = {"sha256": source.sha256, "md5": source.md5}
    fetch = not path.exists()
    if fetch:
        say(f"downloading {path.name} ({_gigabytes(source.size)})")
        try:
            download_file(source.addresses, path, timeout=timeout, **sums)
        except DownloadError as error:
            raise DownloadError(
                f"{error}, or anywhere else and give it with {archive.option} FILE "
                f"({archive.option[2:].replace('-', '_')}=... of get_voc). Then run this again"
            ) from error
    elif wrong := wrong_sums(path, **sums):
        if not archive.given:
            raise OSError(
                f"{path} is not the official archive, or damaged: {wrong}. Remove it, or give it "
                f"with {archive.option} to have it used anyway"
            )
        report.warnings.append(f"{path} is not the official archive, or damaged: {wrong}")
    say(f"unpacking {path.name}")
    yield path
    if fetch and not keep:
        path.unlink()


def _unpack_voc(archive: _Archive, keep: bool, timeout: float, report: GetReport, say) -> None:
    root = archive.root
    with _at_hand(archive, keep, timeout, report, say) as path, unpacking_folder(root) as folder:
        files = extract_archive(path, folder)
        found = next((place.parent for place in sorted(folder.rglob("JPEGImages"))), folder)
        if lacking := parts_lacking(found):
            raise OSError(f"{path} is not VOC 2012: it lacks {', '.join(lacking)}")
        report.folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(found, report.folder)
    report.done.append(f"unpacked VOC 2012 ({files:,} files)")


def _unpack_sbd(archive: _Archive, keep: bool, timeout: float, report: GetReport, say) -> None:
    root = archive.root
    with _at_hand(archive, keep, timeout, report, say) as path, unpacking_folder(root) as folder:
        files = extract_archive(path, folder, _is_needed_of_sbd)
        parents = sorted({found.parent for found in folder.rglob("cls")})
        found = next((parent for parent in parents if is_sbd(parent)), None)
        if found is None:
            raise OSError(f"{path} is not SBD: it holds no folder with cls, train.txt and val.txt")
        os.replace(found, root / SBD_FOLDER)
    report.done.append(f"unpacked SBD's masks ({files:,} files)")


def _is_needed_of_sbd(name: str) -> bool:
    """The masks of classes and the lists; not the images, which VOC has, nor the code's example."""
    path = PurePosixPath(name)
    if "benchmark_code_RELEASE" in path.parts:
        return False
    return path.name in ("train.txt", "val.txt") or path.parent.name == "cls"


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
    voc = report.folder
    if not has_list(voc, "train_aug"):
        report.done.append(f"wrote train_aug.txt: {len(write_train_aug(voc, sbd)):,} images")
    own = [*read_split(voc, "train"), *read_split(voc, "val")]
    known = set(own)
    others = [name for name in read_split(voc, "train_aug") if name not in known]
    say(f"writing masks into {AUG_FOLDER}")
    written, problems = write_aug_masks(voc, sbd, own, others, workers)
    if written:
        report.done.append(f"wrote {written:,} masks into {AUG_FOLDER}")
    report.problems += problems


def _compare_counts(report: GetReport) -> None:
    for name, official in LIST_COUNTS.items():
        if has_list(report.folder, name):
            found = len(read_split(report.folder, name))
            if found != official:
                report.warnings.append(
                    f"the list {name} has {found:,} images; the official one has {official:,}"
                )
