"""Views: an image as the nets see it, and the random ones that they are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

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
