"""Small splits with maps, labels and masks, made up, and a small segmentation network."""

import json

import numpy as np
from scipy.ndimage import gaussian_filter
from small_training import Squares

from ribnb.core.devices import seeded
from ribnb.core.files import Maps, write_maps
from ribnb.core.runner import MAPS, MASKS, RecordedFolder
from ribnb.core.voc import images_digest, write_mask
from ribnb.nets.deeplab import DeepLabV2
from ribnb.segmentation.training import SegmentationSettings, Training, train_segmentation


def made_up_maps(images, index, seed=7) -> Maps:
    """Smooth blobs, one for each class of the image, divided by their maximum."""
    width, height = images.image(index).size
    classes = images.labels[index].numpy().nonzero()[0]
    rng = np.random.default_rng([seed, index])
    high_res = gaussian_filter(rng.random((len(classes), height, width)), (0, 3, 3))
    high_res = high_res.astype(np.float32)
    if len(classes):
        high_res -= high_res.min(axis=(1, 2), keepdims=True)
        high_res /= high_res.max(axis=(1, 2), keepdims=True)
    return Maps(classes, high_res, high_res[:, ::4, ::4])


def write_maps_of(images, folder, seed=7):
    """`folder/maps`, with its record beside it, as `localization_maps` would write them."""
    (folder / "maps").mkdir(parents=True)
    for index, name in enumerate(images.ids):
        write_maps(folder / "maps" / f"{name}.npz", made_up_maps(images, index, seed))
    (folder / MAPS.record).write_text(json.dumps({"images": images_digest(images), "settings": {}}))
    return folder / "maps"


def write_labels_of(images, folder, made="by hand"):
    """Confident labels: left background, right the first class."""
    RecordedFolder(folder, MASKS, {"stage": made, "images": images_digest(images)})
    for index, name in enumerate(images.ids):
        width, height = images.image(index).size
        labels = np.zeros((height, width), np.uint8)
        labels[:, width // 2 :] = 1 + int(images.labels[index].argmax())
        write_mask(folder / f"{name}.png", labels)
    return folder


def write_masks(folder, images, record='{"stage": "by hand", "settings": {"threshold": 0.3}}'):
    """The images' own masks as a stage would leave them."""
    folder.mkdir(parents=True)
    for index, name in enumerate(images.ids):
        write_mask(folder / f"{name}.png", images.mask(index))
    (folder / "masks.json").write_text(record)
    return folder


class Blocks(Squares):
    """Seven images of two sizes, unless told otherwise; one may be ``broken``."""

    broken = None

    def __init__(self, num_images=7, sizes=((24, 24), (30, 20))):
        super().__init__(num_images, sizes=sizes)
        self.ids = [f"b{index:02}" for index in range(num_images)]

    def image(self, index):
        if index == self.broken:
            raise OSError(f"image {self.ids[index]} cannot be read")
        return super().image(index)


def small_net(seed=0, num_classes=3, **options) -> DeepLabV2:
    with seeded(seed):
        return DeepLabV2.scenes(num_classes=num_classes, **options)


def few(**changes) -> SegmentationSettings:
    """Six steps over three passes of seven images."""
    small = {"steps": 6, "batch_size": 3, "crop_size": 24, "learning_rate": 1e-3}
    return SegmentationSettings.scenes(**{**small, **changes})


def train(images=None, folder=None, settings=None, net=None, masks_dir=None) -> Training:
    """A small training on the images' own masks."""
    given = net or small_net(), images or Blocks(), masks_dir, settings or few()
    return train_segmentation(*given, folder)
