"""Maps of a small split, made up, as `localization_maps` would write them."""

import json

import numpy as np
from scipy.ndimage import gaussian_filter

from ribnb.core.files import Maps, images_digest, write_maps
from ribnb.core.runner import MAPS, MASKS, RecordedFolder
from ribnb.core.voc import write_mask


def made_up_maps(images, index) -> Maps:
    """Smooth blobs, one for each class of the image, divided by their maximum."""
    width, height = images.image(index).size
    classes = images.labels[index].numpy().nonzero()[0]
    rng = np.random.default_rng([7, index])
    shape = (len(classes), height, width)
    high_res = gaussian_filter(rng.random(shape), (0, 3, 3)).astype(np.float32)
    if len(classes):
        high_res -= high_res.min(axis=(1, 2), keepdims=True)
        high_res /= high_res.max(axis=(1, 2), keepdims=True)
    return Maps(classes, high_res, high_res[:, ::4, ::4])


def write_maps_of(images, folder):
    """`folder/maps`, with its record beside it."""
    (folder / "maps").mkdir(parents=True)
    for index, name in enumerate(images.ids):
        write_maps(folder / "maps" / f"{name}.npz", made_up_maps(images, index))
    (folder / MAPS.record).write_text(json.dumps({"images": images_digest(images), "settings": {}}))
    return folder / "maps"


def write_labels_of(images, folder, labels=None, made="by hand", only=None):
    """Confident labels: `labels(index)`, or left background, right the first class."""
    if only is None:
        record = {"stage": made, "images": images_digest(images)}
        RecordedFolder(folder, MASKS, record)
    for index, name in enumerate(images.ids):
        if only is not None and name not in only:
            continue
        if labels is None:
            width, height = images.image(index).size
            one = np.zeros((height, width), np.uint8)
            one[:, width // 2 :] = 1 + int(images.labels[index].argmax())
        else:
            one = labels(index)
        write_mask(folder / f"{name}.png", one.astype(np.uint8))
    return folder
