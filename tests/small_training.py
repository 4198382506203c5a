"""Small images to learn from, and nets that are told apart bit for bit, for tests of training."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier import ClassifierSettings

COLOURS = ("red", "lime", "blue")
SMALL = ClassifierSettings.scenes(epochs=3, batch_size=4, warm_up_steps=2)


class Squares:
    """An image set of coloured squares on noise, one class a colour."""

    class_names = COLOURS

    def __init__(self, num_images: int = 10, seed: int = 0, sizes: tuple = ((24, 24),)) -> None:
        generator = np.random.default_rng(seed)
        self.ids = [f"{seed}-{index}" for index in range(num_images)]
        present = generator.random((num_images, 3)) < 0.4
        present[np.arange(num_images), generator.integers(3, size=num_images)] = True
        self.labels = torch.from_numpy(present.astype(np.uint8))
        self.sizes, self.seed, self.shown = sizes, seed, 0

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        self.shown += 1
        generator = np.random.default_rng([self.seed, index])
        width, height = self.sizes[index % len(self.sizes)]
        noise = generator.integers(0, 90, (height, width, 3), np.uint8)
        image = Image.fromarray(noise)
        for place, (name, present) in enumerate(zip(COLOURS, self.labels[index], strict=False)):
            if present:
                ImageDraw.Draw(image).rectangle([8 * place, 4, 8 * place + 5, 16], fill=name)
        return image

    def mask(self, index: int) -> np.ndarray:
        """The squares, 0 beside them, with an ignored row."""
        width, height = self.sizes[index % len(self.sizes)]
        mask = np.zeros((height, width), np.uint8)
        for place, present in enumerate(self.labels[index]):
            if present:
                mask[4:17, 8 * place : 8 * place + 6] = place + 1
        mask[index % 4] = 255
        return mask


class Killed(Squares):
    """A set whose n-th image kills the training, as a power cut would."""

    def __init__(self, after: int, **options) -> None:
        super().__init__(**options)
        self.after = after

    def image(self, index: int) -> Image.Image:
        if self.shown == self.after:
            raise KeyboardInterrupt
        return super().image(index)


def fresh(seed: int = 0, num_classes: int = 3) -> CAMNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CAMNet("scenes", num_classes)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit, batch norm's statistics included."""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
