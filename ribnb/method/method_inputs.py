"""What the method looks at, as data sets: an image at several scales, and random other images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from numpy import ndarray
from torch import Tensor
from torch.utils.data import Dataset

from ribnb.core.devices import seeded
from ribnb.core.image_set import ImageSet
from ribnb.data.views import RandomView, multi_scale_views, stack
from ribnb.method.settings import RIBSettings

Batch = tuple[Tensor, Tensor]  # images (b, 3, H, W), labels (b, C)
_ROWS = 1024  # of the product that are held as numbers; all of VOC's would be 450 MB


def class_disjoint(labels: Num[Tensor, "N C"]) -> Bool[Tensor, "N N"]:
    """Which images share no class, for all pairs at once, by one matrix product."""
    labels = labels.float()
    disjoint = torch.empty(len(labels), len(labels), dtype=torch.bool)
    for rows, found in zip(labels.split(_ROWS), disjoint.split(_ROWS), strict=True):
        torch.eq(rows @ labels.T, 0, out=found)
    return disjoint


class MultiScaleViews(Dataset):
    """Item i: image i at each of the scales, with its left-right flip; see ``multi_scale_views``.

    For a ``DataLoader`` of its own take ``batch_size=None``: the views differ in size.

    Args:
        images: an image set, such as ``SceneImages`` or ``VOCImages``.
        scales: sides in units of the image's.
        flip: False leaves the flip out.
    """

    def __init__(self, images: ImageSet, scales: Sequence[float], flip: bool = True) -> None:
        self.images, self.scales, self.flip = images, tuple(scales), flip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Float[Tensor, "2 3 h w"]]:
        """One tensor a scale, (1, 3, h, w) without the flip; OSError for an unreadable image."""
        return multi_scale_views(self.images.image(index), self.scales, self.flip)


class RandomBatches(Dataset):
    """Item ``(target, k)``: the other images of step k of the adaptation to image ``target``.

    They are b random images, none twice and never the target, each in a random view: images
    (b, 3, H, W) and labels (b, C). With ``batch_choice="disjoint"`` none has a class of the
    target's. b is ``settings.num_others``, or less when there are not so many to draw from.

    Each item has a generator of its own, which depends only on the settings' seed, ``target`` and
    k: neither workers, nor shards, nor a resumed run change it, and no global generator is
    touched. For a ``DataLoader`` take ``sampler=[(target, k), ...], batch_size=None``.

    Args:
        images: an image set, such as ``SceneImages`` or ``VOCImages``.
        settings: seed, size and choice of the batch, ``crop_size`` and the range of long sides.
    """

    def __init__(self, images: ImageSet, settings: RIBSettings) -> None:
        self.images, self.settings = images, settings
        self.labels = images.labels  # read now, not by each worker anew
        sides = settings.long_side_min, settings.long_side_max
        self.view = RandomView(settings.crop_size, sides if sides[1] else None, flip=True)
        if settings.batch_choice == "disjoint":  # an image without labels is so even from itself
            self.disjoint = class_disjoint(self.labels).fill_diagonal_(False)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """The batch without those images that cannot be read, of which a warning tells.

        Raises:
            ValueError: views of different sizes, which ``crop_size=0`` may leave.
        """
        batch, unreadable = self.batch(*key)
        for name, why in unreadable.items():
            warnings.warn(f"left out of batch {key}: {name}: {why}", stacklevel=2)
        return batch

    def batch(self, target: int, step: int) -> tuple[Batch, dict[str, str]]:
        """The same, and ids of the images that could not be read -> why; without a warning."""
        generator = np.random.default_rng([self.settings.seed, target, step])
        candidates = self.candidates(target)
        size = min(self.settings.num_others, len(candidates))
        chosen = generator.choice(candidates, size, replace=False)
        items, unreadable = [], {}
        with seeded(int(generator.integers(2**62))):
            for index in chosen.tolist():
                try:
                    view = self.view(self.images.image(index))
                except (OSError, ValueError) as error:
                    unreadable[self.images.ids[index]] = str(error)
                else:
                    items.append((view, self.labels[index]))
        if not items:
            none = torch.zeros(0, 3, 1, 1), torch.zeros(0, len(self.images.class_names))
            return none, unreadable
        return stack(items), unreadable

    def candidates(self, target: int) -> Int[ndarray, " n"]:
        """Indices of the images that a batch of this target may hold."""
        if self.settings.batch_choice == "disjoint":
            return self.disjoint[target].nonzero()[:, 0].numpy()
        return np.delete(np.arange(len(self.images)), target)
