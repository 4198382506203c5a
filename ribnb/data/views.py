"""An image set as the nets see it: images as tensors, random views of them, and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from ribnb.core.devices import seeded
from ribnb.core.image_set import ImageSet

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of red, green and blue in [0, 1]
STD = (0.229, 0.224, 0.225)


def to_tensor(image: Image.Image) -> Float[Tensor, "3 H W"]:
    """The image as a tensor: each channel in [0, 1], minus ``MEAN``, divided by ``STD``.

    Raises:
        ValueError: the image's mode is not RGB.
    """
    if image.mode != "RGB":
        raise ValueError(f"the image's mode is {image.mode}; make it RGB: image.convert('RGB')")
    scaled = functional.to_dtype(functional.pil_to_tensor(image), torch.float32, scale=True)
    return functional.normalize(scaled, MEAN, STD)


def multi_scale_views(
    image: Image.Image, scales: Sequence[float], flip: bool = True
) -> list[Float[Tensor, "2 3 h w"]]:
    """The image at each of the scales, resized bicubically, with its left-right flip.

    Args:
        image: of mode RGB.
        scales: sides in units of the image's, each rounded to whole pixels.
        flip: False gives (1, 3, h, w), without the flip.

    Lee et al. 2021 do not say which views are used; these are the authors' code's.
    """
    views = []
    for scale in scales:
        size = [max(1, round(side * scale)) for side in (image.height, image.width)]
        if size != [image.height, image.width]:
            resized = functional.resize(image, size, v2.InterpolationMode.BICUBIC)
        else:
            resized = image
        view = to_tensor(resized)
        views.append(torch.stack([view, view.flip(-1)] if flip else [view]))
    return views


class RandomView(nn.Module):
    """A random view of a PIL image: resized, mirrored in half of the cases, cropped; a tensor.

    An image smaller than the crop stands at a random place in it, surrounded by 0, which after
    normalisation is the mean colour. All draws come from torch's global generator, as
    torchvision's do: fork and seed it for a view that can be drawn again.

    Args:
        crop_size: side of the view in pixels; 0 keeps the size.
        long_side: smallest and largest length in pixels of the image's longer side, which is
            drawn between them (both included) and resized to bicubically; None keeps the size.
        flip: mirror one image in two.

    Raises:
        ValueError: a negative ``crop_size``, or a ``long_side`` that is no range.
    """

    def __init__(
        self, crop_size: int, long_side: tuple[int, int] | None = None, flip: bool = True
    ) -> None:
        super().__init__()
        if crop_size < 0:
            raise ValueError(f"crop_size must be at least 0 pixels; got {crop_size}")
        if long_side is not None and not 1 <= long_side[0] <= long_side[1]:
            raise ValueError(f"long_side must be (smallest, largest), from 1 up; got {long_side}")
        self.long_side = long_side
        self.flip = v2.RandomHorizontalFlip(0.5 if flip else 0.0)
        self.crop = v2.RandomCrop(crop_size, pad_if_needed=True) if crop_size else nn.Identity()

    def forward(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        if self.long_side is not None:
            smallest, largest = self.long_side
            length = int(torch.randint(smallest, largest + 1, ()))
            bicubic = v2.InterpolationMode.BICUBIC
            image = functional.resize(image, None, interpolation=bicubic, max_size=length)
        return self.crop(to_tensor(self.flip(image)))


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
