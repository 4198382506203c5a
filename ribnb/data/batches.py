"""An image set in batches: the same ones again, whatever the number of worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ribnb.core.devices import seeded
from ribnb.core.image_set import ImageSet


class Views(Dataset):
    """An image set through a view: item ``(epoch, i)`` is (view of image i, its labels).

    The view is a tensor (3, h, w), the labels a float tensor (C,). What the view draws depends
    on the seed, the epoch and i alone: neither the other items nor the number of worker processes
    change it, and the global generator is left as it was.

    Args:
        images: an image set.
        view: what makes a tensor of an image: ``to_tensor``, a ``RandomView``.
        seed: of the draws.
    """

    def __init__(
        self, images: ImageSet, view: Callable[[Image.Image], Tensor], seed: int = 0
    ) -> None:
        self.images, self.view, self.seed = images, view, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        entropy = np.random.SeedSequence([self.seed, epoch, index])
        with seeded(int(entropy.generate_state(1, np.uint64)[0])):
            view = self.view(self.images.image(index))
        return view, self.images.labels[index].float()


class ShuffledBatches(Sampler):
    """The batches of one epoch after the other, as the keys of ``Views``.

    The order of an epoch depends on the seed and the epoch alone. All images come; the last
    batch may be smaller.

    Args:
        num_images: N.
        batch_size: images a batch.
        seed: of the orders.

    Attributes:
        epoch: the one that the next pass gives, from 0; set it before each.
    """

    def __init__(self, num_images: int, batch_size: int, seed: int = 0) -> None:
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_images)
        keys = [(self.epoch, int(index)) for index in order]
        for start in range(0, self.num_images, self.batch_size):
            yield keys[start : start + self.batch_size]


def stack(
    items: list[tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B C"]]:
    """The views and the labels of a batch's items.

    Raises:
        ValueError: views of different sizes.
    """
    views, labels = zip(*items, strict=True)
    sizes = sorted({tuple(view.shape[1:]) for view in views})
    if len(sizes) > 1:
        shown = ", ".join(f"{height} x {width}" for height, width in sizes[:3])
        raise ValueError(
            f"the views of a batch must have one size, these have {len(sizes)} ({shown} pixels "
            "among them): set crop_size"
        )
    return torch.stack(views), torch.stack(labels)
