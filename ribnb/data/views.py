"""A part of an image set, and a set as the nets see it: tensors, random views, and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from ribnb.core.devices import seeded
from ribnb.core.voc import IGNORED, ImageSet


class Normalization(NamedTuple):
    """Mean and standard deviation of red, green and blue in [0, 1] that a net is used to."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET_COLOURS = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Part:
    """Those images of an image set that have the indices, in this order, as an image set."""

    def __init__(self, images: ImageSet, indices: Sequence[int]) -> None:
        self.images, self.indices = images, list(indices)
        self.ids = [images.ids[index] for index in self.indices]
        self.class_names = images.class_names

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """Chosen once, for they are asked for image by image."""
        return self.images.labels[self.indices]

    def image(self, index: int) -> Image.Image:
        """Image in mode RGB."""
        return self.images.image(self.indices[index])

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """Truth: 0 background, class_id + 1, 255 ignored."""
        return self.images.mask(self.indices[index])


def spread_out(images: ImageSet, count: int) -> ImageSet:
    """``count`` images at equal distances in the list; all for 0, or if there are not more.

    VOC's lists are sorted by year, so that the first ones would be other photographs.
    """
    if count == 0 or count >= len(images):
        return images
    return Part(images, [index * len(images) // count for index in range(count)])


def readable(images: ImageSet, count: int, labelled: bool = False) -> list[int]:
    """Indices of the first ``count`` images whose file and mask can be read, to look at.

    With ``labelled`` only those that show some class; a ValueError if there is none.
    """
    found: list[int] = []
    why = "none shows a class"
    for index in range(len(images)):
        if len(found) < count and (not labelled or images.labels[index].any()):
            try:
                images.image(index)
                images.mask(index)
                found.append(index)
            except (OSError, ValueError) as error:
                why = str(error)
    if count and not found:
        raise ValueError(f"there is nothing to look at in the {len(images)} images: {why}")
    return found


def to_tensor(
    image: Image.Image, normalization: Normalization = IMAGENET_COLOURS
) -> Float[Tensor, "3 H W"]:
    """The image as a tensor: each channel in [0, 1], minus the mean, divided by the deviation.

    Give a net's own ``normalization``; ImageNet's usual one is that of all but some of timm's.

    Raises:
        ValueError: the image's mode is not RGB.
    """
    if image.mode != "RGB":
        raise ValueError(f"the image's mode is {image.mode}; make it RGB: image.convert('RGB')")
    from torchvision.transforms.v2 import functional  # slow to load, not needed to look at images

    scaled = functional.to_dtype(functional.pil_to_tensor(image), torch.float32, scale=True)
    return functional.normalize(scaled, *normalization)


def multi_scale_views(
    image: Image.Image,
    scales: Sequence[float],
    flip: bool = True,
    normalization: Normalization = IMAGENET_COLOURS,
) -> list[Float[Tensor, "2 3 h w"]]:
    """The image at each of the scales, resized bicubically, with its left-right flip.

    Without ``flip`` each is (1, 3, h, w). Lee et al. 2021 do not say which views are used; these
    are the authors' code's.
    """
    views = []
    for scale in scales:
        size = tuple(max(1, round(side * scale)) for side in image.size)
        same = size == image.size
        resized = image if same else image.resize(size, Image.Resampling.BICUBIC)
        view = to_tensor(resized, normalization)
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
    """

    def __init__(
        self,
        crop_size: int,
        long_side: tuple[int, int] | None = None,
        flip: bool = True,
        normalization: Normalization = IMAGENET_COLOURS,
    ) -> None:
        from torchvision.transforms import v2

        super().__init__()
        self.long_side, self.normalization = long_side, normalization
        self.flip = v2.RandomHorizontalFlip(0.5 if flip else 0.0)
        self.crop = v2.RandomCrop(crop_size, pad_if_needed=True) if crop_size else nn.Identity()

    def forward(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        if self.long_side is not None:
            from torchvision.transforms.v2 import InterpolationMode, functional

            smallest, largest = self.long_side
            length = int(torch.randint(smallest, largest + 1, ()))
            bicubic = InterpolationMode.BICUBIC
            image = functional.resize(image, None, interpolation=bicubic, max_size=length)
        return self.crop(to_tensor(self.flip(image), self.normalization))


class Views(Dataset):
    """An image set through a view: item ``(epoch, i)`` is (view of image i, its labels).

    The view is a tensor (3, h, w), the labels a float tensor (C,). What ``view`` draws depends
    on the seed, the epoch and i alone: neither the other items nor the number of worker processes
    change it, and the global generator is left as it was.
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


class LabelledViews(Dataset):
    """An image set with masks: item ``(epoch, i)`` is the same random view of image i and its mask.

    The view is a tensor (3, h, w), the mask uint8 (h, w). Both are resized by one random factor,
    the image bicubically, the mask to the nearest pixel, mirrored in half of the cases and
    cropped. Where the resized image is smaller than the crop it stands at a random place in it;
    around it the view is 0, which is the mean colour, and the mask 255, ignored. What is drawn
    depends on the seed, the epoch and i alone.

    Args:
        mask: index -> (H, W) uint8.
        crop_size: side of the view in pixels; 0 keeps the size.
        scales: smallest and largest factor, between which one is drawn evenly.
        rows_first: draw the crop's place along y before that along x, in the image as it is after
            mirroring, as IRN's training does; else x before y, and mirror what was cropped.
    """

    def __init__(
        self,
        images: ImageSet,
        mask: Callable[[int], UInt8[ndarray, "H W"]],
        crop_size: int,
        scales: tuple[float, float],
        flip: bool,
        seed: int,
        rows_first: bool = False,
        normalization: Normalization = IMAGENET_COLOURS,
    ) -> None:
        self.images, self.mask, self.crop_size, self.scales = images, mask, crop_size, scales
        self.normalization = normalization
        self.flip, self.seed, self.rows_first = flip, seed, rows_first

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(
        self, key: tuple[int, int]
    ) -> tuple[Float[Tensor, "3 h w"], UInt8[Tensor, "h w"]]:
        epoch, index = key
        generator = np.random.default_rng([self.seed, epoch, index])
        image, mask = self.images.image(index), Image.fromarray(self.mask(index))
        if image.size != mask.size:
            raise ValueError(
                f"the mask of {self.images.ids[index]} is {mask.width} x {mask.height} pixels, the "
                f"image is {image.width} x {image.height}; make the mask again"
            )
        scale = generator.uniform(*self.scales)
        size = tuple(max(1, round(side * scale)) for side in image.size)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BICUBIC)
            mask = mask.resize(size, Image.Resampling.NEAREST)
        mirrored = self.flip and generator.random() < 0.5
        if mirrored and self.rows_first:
            image, mask = ImageOps.mirror(image), ImageOps.mirror(mask)
        view, labels = self._cropped(image, mask, generator)
        if mirrored and not self.rows_first:
            view, labels = view.flip(-1), labels.flip(-1)
        return view, labels

    def _cropped(
        self, image: Image.Image, mask: Image.Image, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        if not self.crop_size:
            return to_tensor(image, self.normalization), torch.from_numpy(np.array(mask))
        starts = {}  # axis -> where the crop begins in the image, and the image in the crop
        for axis in (1, 0) if self.rows_first else (0, 1):
            spare = image.size[axis] - self.crop_size
            drawn = int(generator.integers(abs(spare) + 1))
            starts[axis] = (drawn, 0) if spare > 0 else (0, drawn)
        (left, x), (top, y) = starts[0], starts[1]
        width, height = (min(side, self.crop_size) for side in image.size)
        box = (left, top, left + width, top + height)
        rows, columns = slice(y, y + height), slice(x, x + width)
        view = torch.zeros(3, self.crop_size, self.crop_size)
        labels = torch.full((self.crop_size, self.crop_size), IGNORED, dtype=torch.uint8)
        view[:, rows, columns] = to_tensor(image.crop(box), self.normalization)
        labels[rows, columns] = torch.from_numpy(np.array(mask.crop(box)))
        return view, labels


class ShuffledBatches(Sampler):
    """The batches of a training, step after step, as the keys of ``Views``.

    A pass over the images has its own order, which depends on the seed and on how often they
    were gone through. With ``epochs`` all images come in each pass, whose last batch may be
    smaller; with ``steps`` all batches have one size, and one may end a pass and begin the next.

    Args:
        num_images: N.
        batch_size: images a step, over all processes.
        epochs: passes over the images.
        steps: how many, in place of ``epochs``.
        part: (i, n): every n-th image of each batch, from the i-th.

    Attributes:
        first: the step, from 0, that the next iteration begins with.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int = 0,
        epochs: int = 1,
        steps: int | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        each = -(-num_images // batch_size)
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self.steps = epochs * each if steps is None else steps
        self.pass_length = each * batch_size if steps is None else num_images
        self.part, self.first = part, 0

    def __len__(self) -> int:
        return self.steps - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        begun, order = -1, np.zeros(0, np.int64)
        for step in range(self.first, self.steps):
            keys = []
            for place in range(step * self.batch_size, (step + 1) * self.batch_size):
                epoch, rank = divmod(place, self.pass_length)
                if epoch != begun:
                    generator = np.random.default_rng([self.seed, epoch])
                    begun, order = epoch, generator.permutation(self.num_images)
                if rank < self.num_images:
                    keys.append((epoch, int(order[rank])))
            index, count = self.part
            yield keys[index::count]

    def ends(self) -> list[int]:
        """After how many steps each pass over the images is complete, and the last step."""
        passes = range(1, self.steps * self.batch_size // self.pass_length + 1)
        whole = {-(-number * self.pass_length // self.batch_size) for number in passes}
        return sorted({step for step in whole if step < self.steps} | {self.steps})


def stack(
    items: list[tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B C"]]:
    """The views and the labels of a batch's items; a ValueError for views of different sizes."""
    views, labels = zip(*items, strict=True)
    if len({view.shape for view in views}) > 1:
        raise ValueError("the views of a batch must have one size: set crop_size")
    return torch.stack(views), torch.stack(labels)
