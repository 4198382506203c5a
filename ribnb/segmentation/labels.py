"""The masks that a segmentation network is trained on, checked before the training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.core.runner import MASKS, read_record, run_jobs
from ribnb.core.voc import IGNORED, read_mask
from ribnb.masks.stages import SplitImage
from ribnb.nets.deeplab import DeepLabV2

TRUTH = "the truth"
_CHUNK = 256  # images that a process takes at a time: few images are quicker without any
_NAMED = 3  # images with faults that an error names


class TrainingMasks:
    """Masks from a folder of ``<id>.png``, or the images' own: full supervision.

    Args:
        images: an image set; for the truth one with masks.
        folder: of the masks; None takes ``images.mask``.

    Raises:
        FileNotFoundError: there is no such folder.
    """

    def __init__(self, images: ImageSet, folder: str | Path | None) -> None:
        self.images, self.folder = images, None if folder is None else Path(folder)
        if self.folder is not None and not self.folder.is_dir():
            raise FileNotFoundError(f"there is no folder of masks {folder}")

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """0 background, class_id + 1, 255 ignored.

        Raises:
            OSError: the mask is missing or cannot be read.
            ValueError: it is damaged or holds an unknown class.
        """
        if self.folder is None:
            return self.images.mask(index)
        path = self.folder / f"{self.images.ids[index]}.png"
        return read_mask(path, len(self.images.class_names))

    def check(self, workers: int = 1) -> dict[str, Any]:
        """Look at every mask; what identifies them all, ready for JSON.

        Args:
            workers: processes.

        Returns:
            ``masks``: 12 hexadecimal digits of all pixels; ``masks made by``: ``"the truth"`` or
            the stage; for a folder with a ``masks.json`` its entries, as ``masks.settings.x``.

        Raises:
            ValueError: masks that are missing, damaged, of another size than their image or of
                an unknown class, or without a labelled pixel in all of them; some are named.
        """
        jobs = range(len(self.images))
        faults, state, labelled = [], hashlib.sha256(), 0
        found = run_jobs(self._look, jobs, max(1, workers), _CHUNK)
        for index, (fault, digest, pixels) in enumerate(progress(found, "masks", len(jobs))):
            if fault:
                faults.append(f"{self.images.ids[index]}: {fault}")
            state.update(digest)
            labelled += pixels
        where = self.folder or TRUTH
        if faults:
            more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
            raise ValueError(
                f"{len(faults)} of {len(jobs)} images have no mask to train on in {where}: "
                f"{'; '.join(faults[:_NAMED])}{more}. Make these masks again, or train on a split "
                "without these images"
            )
        if not labelled:
            raise ValueError(f"no pixel is labelled in all {len(jobs)} masks of {where}")
        return {"masks": state.hexdigest()[:12], **self._origin()}

    def _look(self, index: int) -> tuple[str, bytes, int]:
        """What is wrong with a mask, a hash of its pixels, and how many are labelled."""
        try:
            mask = self.mask(index)
            height, width = SplitImage(self.images, index).size
        except (OSError, ValueError) as error:
            return str(error), b"", 0
        if mask.shape != (height, width):
            fault = f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, the image "
            return f"{fault}{width} x {height}", b"", 0
        pixels = hashlib.sha256(f"{mask.shape}".encode() + np.ascontiguousarray(mask).tobytes())
        return "", pixels.digest(), int((mask != IGNORED).sum())

    def _origin(self) -> dict[str, Any]:
        if self.folder is None:
            return {"masks made by": TRUTH}
        if not (self.folder / MASKS.record).exists():
            return {"masks made by": f"a folder without {MASKS.record}"}
        record = read_record(self.folder, MASKS)
        return {"masks made by": record.get("stage"), **_flat(record, "masks")}


def check_classes(net: DeepLabV2, images: ImageSet) -> None:
    """Raise ValueError unless net and images are of the same number of classes."""
    if len(images.class_names) != net.num_classes:
        raise ValueError(
            f"the net has {net.num_classes} classes besides the background, the images have "
            f"{len(images.class_names)}: {', '.join(images.class_names)}"
        )


def images_identity(images: ImageSet) -> str:
    """12 hexadecimal digits of an image set's ids and classes; its labels play no part."""
    text = json.dumps([list(images.ids), list(images.class_names)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Nested entries under names with dots, so that the one that differs can be named."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}.{key}"
        flat.update(_flat(value, name) if isinstance(value, Mapping) else {name: value})
    return flat
