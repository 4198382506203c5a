"""What every set of images is to the rest of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from jaxtyping import UInt8
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


class ImageSet(Protocol):
    """Images with their labels, such as ``VOCImages`` and ``SceneImages``."""

    ids: list[str]
    class_names: tuple[str, ...]
    labels: UInt8[Tensor, "N C"]

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image: ...
