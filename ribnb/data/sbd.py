"""The augmented training set: VOC's train and SBD's images, less VOC's val, with their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import write_whole
from ribnb.core.progress import progress
from ribnb.core.runner import run_jobs
from ribnb.core.voc import CLASS_NAMES, read_mask, write_mask
from ribnb.data.voc import LISTS, names_in, read_split

AUG_LIST, AUG_FOLDER = "train_aug", "SegmentationClassAug"


def write_train_aug(voc: Path, sbd: Path) -> int:
    """Write ``train_aug.txt`` among VOC's lists: VOC's train and SBD, less VOC's val, sorted.

    Returns:
        How many ids it has.

    Raises:
        OSError, ValueError: a list that is not there, or damaged.
    """
    train = [read_split(voc, path) for path in ("train", sbd / "train.txt", sbd / "val.txt")]
    ids = sorted(set().union(*train) - set(read_split(voc, "val")))
    text = "".join(f"{name}\n" for name in ids).encode()
    write_whole(voc / LISTS / f"{AUG_LIST}.txt", lambda file: file.write(text))
    return len(ids)


def write_aug_masks(voc: Path, sbd: Path, workers: int = 1) -> tuple[int, list[str]]:
    """Write the masks of train_aug and val into ``SegmentationClassAug``, with VOC's palette.

    They are VOC's own where VOC has one, else SBD's. Those that are there are left alone. One
    that cannot be made is named and the rest goes on.

    Args:
        voc: VOC's folder.
        sbd: SBD's, with ``cls``.
        workers: processes.

    Returns:
        How many were made now; what went wrong, a line an image.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = voc / AUG_FOLDER
    folder.mkdir(exist_ok=True)
    for left in folder.glob(".*.png.*"):  # of a call that was killed
        left.unlink(missing_ok=True)
    own = {*read_split(voc, "train"), *read_split(voc, "val")}
    ids, there = own.union(read_split(voc, AUG_LIST)), names_in(folder, ".png")
    jobs = [
        (
            voc / "SegmentationClass" / f"{name}.png"
            if name in own
            else sbd / "cls" / f"{name}.mat",
            voc / "JPEGImages" / f"{name}.jpg",
            folder / f"{name}.png",
        )
        for name in sorted(ids - there)
    ]
    outcomes = progress(
        run_jobs(_make_mask, jobs, workers), AUG_FOLDER, len(ids), len(ids) - len(jobs)
    )
    problems = [problem for problem in outcomes if problem]
    return len(jobs) - len(problems), problems


def _make_mask(job: tuple[Path, Path, Path]) -> str:
    """Make one mask from (source, image, target); what went wrong, or ""."""
    source, image_path, target = job
    try:
        if source.suffix == ".mat":
            mask = read_sbd_mask(source)
        else:
            mask = read_mask(source, len(CLASS_NAMES))
        with Image.open(image_path) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises, too
        return f"{target.stem}: {error}"
    if mask.shape != (height, width):
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        return f"{target.stem}: its mask is {size}, its image {width} x {height} ({source})"
    write_mask(target, mask)
    return ""


def read_sbd_mask(path: Path) -> UInt8[ndarray, "H W"]:
    """The mask of one of SBD's .mat files: 0 background, class_id + 1.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds something else.
    """
    from scipy.io import loadmat

    try:
        mask = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
        with np.errstate(invalid="ignore"):  # of what is not a number
            indices = np.asarray(mask).astype(np.uint8)
    except FileNotFoundError:
        raise
    except Exception as error:  # damage makes SciPy raise anything, from KeyError to zlib's own
        raise ValueError(
            f"{path} is damaged or holds no GTcls.Segmentation ({type(error).__name__}: {error})"
        ) from error
    if indices.ndim != 2 or not np.array_equal(indices, mask) or max(indices.flat, default=21) > 20:
        raise ValueError(
            f"{path} must hold 0 (background) and classes 1 ... {len(CLASS_NAMES)} only, height x "
            f"width; it holds {mask.dtype} {mask.shape}"
        )
    return indices
