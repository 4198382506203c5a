"""Scenes: the embedded data set, creatures and vehicles drawn on demand.

Every object has a small part, a head or a marker, that alone names its class, and a larger body
that only tends to be its class's: hue, texture and proportions are each its own with probability
0.7 and another class's otherwise.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ribnb.data.scenes.rendering import (
    CLASS_NAMES,
    Scene,
    check_classes,
    check_size,
    render_scene,
    scene_seed,
)
from ribnb.data.views import to_tensor

_ROOM = 2**30  # bytes of scenes that are kept in memory


class SceneImages(Dataset):
    """Scenes without a disk: image i is drawn from (seed, split, i) when it is asked for.

    What was drawn is kept, up to 1 GiB, so that only the first pass over the images is slow.

    Args:
        num_images: how many.
        size: side in pixels, or (height, width).
        seed: scenes of another seed are others.
        split: ``"train"``, ``"val"`` or ``"test"``; each has scenes of its own.
        num_classes: 2 to 20.

    Attributes:
        ids: a name for each image, like none of another seed or split.
        class_names: of the ``num_classes`` classes, C in all.

    Raises:
        ValueError: a number of images below 1, a seed below 0, an unknown split, a size or a
            number of classes that ``render_scene`` refuses.
    """

    def __init__(
        self,
        num_images: int,
        size: int | tuple[int, int] = 96,
        seed: int = 0,
        split: str = "train",
        num_classes: int = 6,
    ) -> None:
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1; got {num_images}")
        scene_seed(seed, split, 0)  # refuses what is none
        check_classes(num_classes)
        self.size = check_size(size)
        self.seed, self.split = seed, split
        self.class_names = CLASS_NAMES[:num_classes]
        self.ids = [f"s{seed}_{split}_{index:06d}" for index in range(num_images)]
        self._kept: list[Scene | None] = [None] * num_images
        self._to_keep = _ROOM // (6 * self.size[0] * self.size[1])  # 3 bytes a pixel, 3 masks

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was drawn: another process draws a scene sooner than it is sent all."""
        return {**self.__dict__, "_kept": [None] * len(self)}

    def scene(self, index: int) -> Scene:
        """Everything about image ``index``. What it returns is kept: do not write to it."""
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        if (kept := self._kept[index]) is not None:
            return kept
        seed = scene_seed(self.seed, self.split, index)
        scene = render_scene(seed, self.size, len(self.class_names))
        if index < self._to_keep:
            self._kept[index] = scene
        return scene

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """1 where an object of the class is in the image, else 0. Draws every scene once."""
        labels = torch.zeros(len(self), len(self.class_names), dtype=torch.uint8)
        for index in range(len(self)):
            labels[index, list(self.scene(index).class_ids)] = 1
        return labels

    def image(self, index: int) -> Image.Image:
        """Image ``index`` in mode RGB."""
        return Image.fromarray(self.scene(index).image)

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """0 background, class_id + 1, 255 on the border."""
        return self.scene(index).mask.copy()

    def parts(self, index: int) -> UInt8[ndarray, "H W"]:
        """1 head or marker, 2 body, 0 elsewhere."""
        return self.scene(index).parts.copy()

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All at once: normalised images (N, 3, H, W), labels (N, C), masks, parts (N, H, W)."""
        every = range(len(self))
        images = torch.stack([to_tensor(self.image(index)) for index in every])
        masks, parts = (
            torch.stack([torch.from_numpy(of(index)) for index in every])
            for of in (self.mask, self.parts)
        )
        return images, self.labels, masks, parts

    def saliency(self, index: int) -> Float32[ndarray, "H W"]:
        """In [0, 1]: what a saliency detector would see, one or a few of the objects."""
        return self.scene(index).saliency.astype(np.float32) / 255
