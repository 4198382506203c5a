"""What a folder of localisation maps says of itself: which images, and how they were made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ribnb.core.image_set import ImageSet

RECORD = "maps.json"


def images_digest(images: ImageSet) -> str:
    """12 hexadecimal digits of the ids and labels of an image set."""
    text = json.dumps([list(images.ids), images.labels.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def maps_digest(maps_dir: str | Path, images: ImageSet) -> str:
    """12 hexadecimal digits that tell which maps a folder holds, once they are those of a split.

    Args:
        maps_dir: folder of ``<id>.npz`` that ``localization_maps`` wrote, ``RUN/maps``.
        images: the images that the maps must be of.

    Raises:
        FileNotFoundError: no such folder, or one without ``maps.json`` beside it.
        ValueError: a ``maps.json`` that is damaged, or of other images.
    """
    folder = Path(maps_dir)
    path = folder.parent / RECORD
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder of maps {folder}; run the chapter voc_rib")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing, which says whose maps {folder} holds; run the chapter voc_rib"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        digest = record["images"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); make its maps again") from error
    if digest != images_digest(images):
        raise ValueError(
            f"{folder} holds maps of other images than the {len(images)} here ({images.ids[0]} to "
            f"{images.ids[-1]}), or of other labels. Take the split, num_images, seed and labels "
            "that the maps were made with"
        )
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]
