"""One file of a folder in VOC's layout, looked at for damage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ribnb.data.voc_folder import IGNORED
from ribnb.data.voc_labels import image_labels

# Folders, and how the files in them end.
IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
SUFFIXES = {IMAGES: ".jpg", ANNOTATIONS: ".xml"}  # masks: .png


@dataclass(frozen=True)
class Task:
    """A file to look at.

    Attributes:
        voc: VOC's own folder.
        folder: JPEGImages, Annotations or a folder of masks.
        image_id: names the file in it.
        class_names: without background.
        quick: look at the header of an image or a mask only.
    """

    voc: Path
    folder: str
    image_id: str
    class_names: tuple[str, ...]
    quick: bool


@dataclass(frozen=True)
class Finding:
    """What a file is like.

    Attributes:
        folder: see ``Task``.
        image_id: see ``Task``.
        fault: why it cannot be read; empty if it can.
        size: width and height of an image or a mask.
        labels: (C,) 0 or 1, of an annotation.
    """

    folder: str
    image_id: str
    fault: str = ""
    size: tuple[int, int] | None = None
    labels: tuple[int, ...] | None = None


def inspect_file(task: Task) -> Finding:
    """Read an image, a mask or an annotation, and note what is wrong instead of raising it."""
    try:
        if task.folder == ANNOTATIONS:
            labels = image_labels(task.voc, [task.image_id], task.class_names)[0]
            return Finding(task.folder, task.image_id, labels=tuple(labels.tolist()))
        suffix = SUFFIXES.get(task.folder, ".png")
        with Image.open(task.voc / task.folder / f"{task.image_id}{suffix}") as image:
            fault = _fault(image, task)
            return Finding(task.folder, task.image_id, fault, None if fault else image.size)
    except Exception as error:  # damage makes Pillow raise nearly anything
        return Finding(task.folder, task.image_id, str(error) or type(error).__name__)


def _fault(image: Image.Image, task: Task) -> str:
    if not task.quick:
        image.load()
    if task.folder == IMAGES:
        return ""
    if image.mode not in ("P", "L"):
        return f"is of mode {image.mode}, not a mask of indices"
    if task.quick:
        return ""
    values = np.flatnonzero(np.bincount(np.asarray(image).ravel(), minlength=IGNORED + 1))
    wrong = values[(values > len(task.class_names)) & (values != IGNORED)]
    return f"holds {wrong[:3].tolist()}, which are no classes" if wrong.size else ""
