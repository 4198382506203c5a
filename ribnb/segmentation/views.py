"""Random views of an image together with its mask, in batches that can be drawn again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ribnb.core.image_set import ImageSet
from ribnb.core.voc import IGNORED
from ribnb.data.views import to_tensor


class SegmentationView:
    """The same random view of an image and of its mask: resized, mirrored, cropped.

    The image is resized bicubically, the mask to the nearest pixel. Where the resized image is
    smaller than the crop it stands at a random place in it; around it the view is 0, which is the
    mean colour, and the mask 255, ignored.

    Args:
        crop_size: side of the view in pixels.
        scales: smallest and largest factor, between which one is drawn evenly.
        flip: mirror one image in two.
    """

    def __init__(self, crop_size: int, scales: tuple[float, float], flip: bool = True) -> None:
        self.crop_size, self.scales, self.flip = crop_size, scales, flip

    def __call__(
        self,
        image: Image.Image,
        mask: UInt8[ndarray, "H W"],
        generator: np.random.Generator,
    ) -> tuple[Float[Tensor, "3 S S"], UInt8[Tensor, "S S"]]:
        labels = Image.fromarray(mask)
        scale = generator.uniform(*self.scales)
        size = tuple(max(1, round(side * scale)) for side in image.size)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BICUBIC)
            labels = labels.resize(size, Image.Resampling.NEAREST)
        mirrored = self.flip and generator.random() < 0.5
        # what of the image is seen, and where it stands: along x, then along y
        (left, x), (top, y) = (self._place(side, generator) for side in size)
        window = min(size[0], self.crop_size), min(size[1], self.crop_size)
        box = (left, top, left + window[0], top + window[1])
        rows, columns = slice(y, y + window[1]), slice(x, x + window[0])
        view = torch.zeros(3, self.crop_size, self.crop_size)
        seen = torch.full((self.crop_size, self.crop_size), IGNORED, dtype=torch.uint8)
        view[:, rows, columns] = to_tensor(image.crop(box))
        seen[rows, columns] = torch.from_numpy(np.array(labels.crop(box)))
        return (view.flip(-1), seen.flip(-1)) if mirrored else (view, seen)

    def _place(self, side: int, generator: np.random.Generator) -> tuple[int, int]:
        """Where along a side the crop begins in the image, and the image in the crop."""
        spare = side - self.crop_size
        drawn = int(generator.integers(abs(spare) + 1))
        return (drawn, 0) if spare > 0 else (0, drawn)


class SegmentationViews(Dataset):
    """Item ``(epoch, i)`` is a view of image i and of its mask.

    What is drawn depends on the seed, the epoch and i alone: neither the other items nor the
    number of worker processes change it.

    Args:
        images: an image set.
        mask: index -> mask.
        view: see ``SegmentationView``.
        seed: of the draws.
    """

    def __init__(
        self,
        images: ImageSet,
        mask: Callable[[int], UInt8[ndarray, "H W"]],
        view: SegmentationView,
        seed: int,
    ) -> None:
        self.images, self.mask, self.view, self.seed = images, mask, view, seed

    def __getitem__(
        self, key: tuple[int, int]
    ) -> tuple[Float[Tensor, "3 S S"], UInt8[Tensor, "S S"]]:
        epoch, index = key
        generator = np.random.default_rng([self.seed, epoch, index])
        return self.view(self.images.image(index), self.mask(index), generator)


class SegmentationBatches(Sampler):
    """The keys of ``SegmentationViews`` for a number of steps, all batches of one size.

    The image set is gone through again and again, each time in another order, which depends on
    the seed and on how often it was gone through; a batch may end one pass and begin the next.

    Args:
        num_images: N.
        batch_size: images a step, over all processes.
        steps: how many.
        seed: of the orders.
        part: (i, n): every n-th image of each batch, from the i-th.

    Attributes:
        first: the step, from 0, that the next iteration begins with.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        steps: int,
        seed: int,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.num_images, self.batch_size, self.steps, self.seed = (
            num_images,
            batch_size,
            steps,
            seed,
        )
        self.part, self.first = part, 0

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        begun, order = -1, np.zeros(0, np.int64)
        for step in range(self.first, self.steps):
            keys = []
            for place in range(step * self.batch_size, (step + 1) * self.batch_size):
                epoch, rank = divmod(place, self.num_images)
                if epoch != begun:
                    generator = np.random.default_rng([self.seed, epoch])
                    begun, order = epoch, generator.permutation(self.num_images)
                keys.append((epoch, int(order[rank])))
            index, count = self.part
            yield keys[index::count]

    def ends(self) -> list[int]:
        """After how many steps each pass over the images is complete, and the last step."""
        passes = range(1, self.steps * self.batch_size // self.num_images + 1)
        whole = {-(-number * self.num_images // self.batch_size) for number in passes}
        return sorted({step for step in whole if step < self.steps} | {self.steps})


def stack_masks(
    items: list[tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "B 3 S S"], Int64[Tensor, "B S S"]]:
    """The views and the masks of a batch's items."""
    views, masks = zip(*items, strict=True)
    return torch.stack(views), torch.stack(masks).long()
