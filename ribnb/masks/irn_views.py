"""Random views of images with their confident labels, and which images have any."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from ribnb.core.files import images_digest
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.core.runner import MASKS, read_record
from ribnb.core.voc import IGNORED, read_mask
from ribnb.data.views import to_tensor
from ribnb.masks.irn_settings import IRNSettings


class LabelledViews(Dataset):
    """Item ``(epoch, i)``: a random view of image i and its labels, (3, h, w) and (h, w).

    Both are resized by one random scale, mirrored in half of the cases and cropped. What is drawn
    depends on the settings' seed, the epoch and the image alone. An image smaller than the crop
    stands at a random place in it, surrounded by 0; its labels by 255.

    Args:
        images: an image set.
        labels_dir: holds ``<id>.png`` for each of them.
        settings: crop, scales, flip and seed.
    """

    def __init__(self, images: ImageSet, labels_dir: str | Path, settings: IRNSettings) -> None:
        self.images, self.labels_dir, self.settings = images, Path(labels_dir), settings

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        rng = np.random.default_rng([self.settings.seed, epoch, index])
        path = self.labels_dir / f"{self.images.ids[index]}.png"
        image, labels = self.images.image(index), Image.fromarray(read_mask(path))
        if image.size != labels.size:
            raise ValueError(
                f"the labels {path} are {labels.width} x {labels.height} pixels, the image is "
                f"{image.width} x {image.height}; make them again"
            )
        scale = rng.uniform(self.settings.scale_min, self.settings.scale_max)
        if scale != 1:
            size = [max(1, round(side * scale)) for side in (image.height, image.width)]
            image = functional.resize(image, size, v2.InterpolationMode.BICUBIC)
            labels = functional.resize(labels, size, v2.InterpolationMode.NEAREST_EXACT)
        view, target = to_tensor(image), torch.from_numpy(np.array(labels))
        if self.settings.flip and rng.random() < 0.5:
            view, target = view.flip(-1), target.flip(-1)
        return _cropped(view, target, self.settings.crop_size, rng)


def _cropped(
    view: Float[Tensor, "3 H W"],
    labels: UInt8[Tensor, "H W"],
    side: int,
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "3 h w"], UInt8[Tensor, "h w"]]:
    """The same random square of both; 0 keeps all."""
    if not side:
        return view, labels
    for axis in (-2, -1):
        room = view.shape[axis] - side
        start = int(rng.integers(abs(room) + 1))
        if room >= 0:
            view, labels = (one.narrow(axis, start, side) for one in (view, labels))
        else:
            around = (start, -room - start) if axis == -1 else (0, 0, start, -room - start)
            view, labels = F.pad(view, around), F.pad(labels, around, value=IGNORED)
    return view, labels


def stack_views(
    items: list[tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "B 3 H W"], UInt8[Tensor, "B H W"]]:
    """The views and the labels of a batch.

    Raises:
        ValueError: views of different sizes.
    """
    views, labels = zip(*items, strict=True)
    if len({one.shape for one in labels}) > 1:
        raise ValueError(
            "the views of a batch must have one size: set crop_size, or batch_size = 1"
        )
    return torch.stack(views), torch.stack(labels)


def usable_labels(
    images: ImageSet, labels_dir: str | Path
) -> tuple[str, list[int], dict[str, str]]:
    """Which images can be trained on.

    Args:
        images: the split.
        labels_dir: of ``irn_labels``.

    Returns:
        12 hexadecimal digits of how the labels were made; the indices of the images with at least
        two confident pixels; id -> why not, of the others.

    Raises:
        FileNotFoundError: the folder has no record.
        ValueError: labels of other images, or no image to train on.
    """
    record = read_record(labels_dir, MASKS)
    if record.get("images") != images_digest(images):
        raise ValueError(
            f"{labels_dir} holds labels of other images than the {len(images)} here "
            f"({images.ids[0]} to {images.ids[-1]}). Take the split, num_images, seed and labels "
            "that they were made with"
        )
    usable, skipped = [], {}
    for index, name in enumerate(progress(images.ids, "confident labels")):
        try:
            labels = read_mask(Path(labels_dir) / f"{name}.png", len(images.class_names))
        except (OSError, ValueError) as error:
            skipped[name] = str(error)
            continue
        if (labels != IGNORED).sum() < 2:
            skipped[name] = "no two of its pixels have a confident label, so there is no pair"
        else:
            usable.append(index)
    if not usable:
        name, why = next(iter(skipped.items()))
        raise ValueError(f"{labels_dir} has no image to train on; {name}, for example: {why}")
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]
    return digest, usable, skipped
