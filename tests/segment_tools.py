"""Small images with masks, and a small segmentation network, for the tests of its training."""

import numpy as np
from PIL import Image

from ribnb.core.devices import seeded
from ribnb.core.voc import write_mask
from ribnb.nets.deeplab import DeepLabV2
from ribnb.segmentation.training import SegmentationSettings, Training, train_segmentation

COLOURS = np.array([[90, 90, 90], [220, 40, 40], [40, 220, 40], [40, 40, 220]], np.uint8)
CLASSES = ("red", "green", "blue")


class Blocks:
    """An image set of coloured rectangles on grey noise, whose masks have an ignored column.

    Reading the image number ``killed`` in a row raises, as if the process had been killed.
    """

    class_names = CLASSES

    def __init__(self, num_images=7, sizes=((24, 24), (30, 20)), killed=None):
        self.ids = [f"b{index:02}" for index in range(num_images)]
        self.sizes, self.killed, self.read = sizes, killed, 0

    def __len__(self):
        return len(self.ids)

    def mask(self, index):
        width, height = self.sizes[index % len(self.sizes)]
        mask = np.zeros((height, width), np.uint8)
        mask[4:14, 4:12] = 1 + index % 3
        mask[:, index % 3] = 255
        return mask

    def image(self, index):
        if self.read == self.killed:
            raise KeyboardInterrupt
        self.read += 1
        colours = COLOURS[np.where(self.mask(index) == 255, 0, self.mask(index))]
        noise = np.random.default_rng(index).integers(0, 30, colours.shape, np.uint8)
        return Image.fromarray(colours + noise)


def small_net(seed=0, num_classes=3, **options) -> DeepLabV2:
    with seeded(seed):
        return DeepLabV2.scenes(num_classes=num_classes, **options)


def few(**changes) -> SegmentationSettings:
    """Six steps over three passes of seven images."""
    small = {"steps": 6, "batch_size": 3, "crop_size": 24, "learning_rate": 1e-3}
    return SegmentationSettings.scenes(**{**small, **changes})


def train(images=None, folder=None, settings=None, net=None, **options) -> Training:
    """A small training on the images' own masks."""
    images, settings = images or Blocks(), settings or few()
    masks = options.pop("masks_dir", None)
    return train_segmentation(net or small_net(), images, masks, settings, folder, **options)


def write_masks(folder, images, record='{"stage": "by hand", "settings": {"threshold": 0.3}}'):
    """The images' own masks as a stage would leave them."""
    folder.mkdir(parents=True)
    for index, name in enumerate(images.ids):
        write_mask(folder / f"{name}.png", images.mask(index))
    (folder / "masks.json").write_text(record)
    return folder
