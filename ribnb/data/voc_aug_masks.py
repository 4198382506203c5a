"""Masks of the augmented training list: SBD's, and VOC's own where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from ribnb.core.files import whole_file
from ribnb.core.progress import progress
from ribnb.core.runner import run_jobs
from ribnb.data.scenes.layout import encode_mask
from ribnb.data.voc_official import names_in

AUG_FOLDER = "SegmentationClassAug"
_CLASSES = 20


@dataclass(frozen=True)
class _Job:
    image_id: str
    source: Path  # a .mat of SBD's or a .png of VOC's
    target: Path
    image: Path


def write_aug_masks(
    voc: Path, sbd: Path, own: Sequence[str], others: Sequence[str], workers: int = 1
) -> tuple[int, list[str]]:
    """Write the masks into ``SegmentationClassAug``, as PNG with VOC's palette.

    Those that are there are left alone. One that cannot be made is named and the rest goes on.

    Args:
        voc: VOC's folder.
        sbd: SBD's, with ``cls``.
        own: ids whose masks are copied from VOC's SegmentationClass.
        others: ids whose masks come from SBD.
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
    there = names_in(folder, ".png")
    sources = [(name, voc / "SegmentationClass" / f"{name}.png") for name in own]
    sources += [(name, sbd / "cls" / f"{name}.mat") for name in others]
    jobs = [
        _Job(name, source, folder / f"{name}.png", voc / "JPEGImages" / f"{name}.jpg")
        for name, source in sources
        if name not in there
    ]
    done = len(sources) - len(jobs)
    outcomes = progress(run_jobs(_write, jobs, workers), AUG_FOLDER, len(sources), done)
    problems = [problem for problem in outcomes if problem]
    return len(jobs) - sum(not job.target.exists() for job in jobs), problems


def read_sbd_mask(path: Path) -> UInt8[ndarray, "H W"]:
    """The mask of one of SBD's .mat files: 0 background, class_id + 1.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds something else.
    """
    from scipy.io import loadmat

    try:
        mask = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
        mask = np.asarray(mask)
    except FileNotFoundError:
        raise
    except Exception as error:  # damage makes SciPy raise anything, from KeyError to zlib's own
        raise ValueError(
            f"{path} is damaged or holds no GTcls.Segmentation ({type(error).__name__}: {error})"
        ) from error
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "uif":
        raise ValueError(
            f"{path} must hold indices, height x width; it holds {mask.dtype} {mask.shape}"
        )
    with np.errstate(invalid="ignore"):  # of what is not a number
        indices = mask.astype(np.uint8)
    if indices.max() > _CLASSES or not np.array_equal(indices, mask):
        raise ValueError(f"{path} must hold 0 (background) and classes 1 ... {_CLASSES} only")
    return indices


def _write(job: _Job) -> str | None:
    """Make one mask; what went wrong, or None."""
    try:
        read = _read_own if job.source.suffix == ".png" else read_sbd_mask
        mask = read(job.source)
        height, width = mask.shape
        size = _image_size(job.image)
        if size not in (None, (width, height)):
            return (
                f"{job.image_id}: its mask is {width} x {height}, its image "
                f"{size[0]} x {size[1]} ({job.source}); not used"
            )
        with whole_file(job.target) as temporary:
            temporary.write_bytes(encode_mask(mask))
    except FileNotFoundError:
        return f"{job.image_id}: there is no file {job.source}"
    except ValueError as error:
        return f"{job.image_id}: {error}"
    return None if size else f"{job.image_id}: there is no readable image {job.image}"


def _read_own(path: Path) -> UInt8[ndarray, "H W"]:
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                raise ValueError(f"{path} must be a PNG with a palette; it is of mode {image.mode}")
            return np.asarray(image)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error


def _image_size(path: Path) -> tuple[int, int] | None:
    """Width and height by the file's header; None if it has none."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, EOFError):
        return None
