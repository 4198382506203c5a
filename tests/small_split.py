"""A split of a few small images, its net and its settings, for the tests of whole runs."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from ribnb.core.files import read_maps
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet

CLASSES = ("red", "green", "blue")
# One image without labels, and one that shares a class with every other that has some.
LABELS = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [1, 1, 0],
    [0, 0, 0],
    [0, 1, 1],
    [1, 1, 1],
    [0, 0, 1],
    [1, 0, 0],
]


class Noise:
    """An image set of noise. Images in `broken` cannot be read; `sizes` take turns."""

    class_names = CLASSES

    def __init__(self, labels=LABELS, sizes=((32, 24),), broken=()):
        self.ids = [f"n{index:03}" for index in range(len(labels))]
        self.labels = torch.tensor(labels, dtype=torch.uint8)
        self.sizes, self.broken, self.shown = sizes, broken, []

    def __len__(self):
        return len(self.ids)

    def image(self, index):
        self.shown.append(index)
        if index in self.broken:
            raise OSError(f"image {self.ids[index]} cannot be read")
        width, height = self.sizes[index % len(self.sizes)]
        noise = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
        return Image.fromarray(noise)


def net(num_classes=3, arch="scenes", seed=0, **options):
    """In eval mode; each class is positive at some positions and negative at others."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CAMNet(arch, num_classes, **options).eval()
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
            if name.endswith("bn3"):  # a ResNet's branches are small, as in a trained net
                nn.init.constant_(module.weight, 0.2)
        images = torch.randn(4, 3, 32, 24)
    with torch.no_grad():
        mean = model.features(images).mean(dim=(0, 2, 3))
        rows = model.class_layer.weight[:, :, 0, 0]
        rows -= torch.outer(rows @ mean / (mean @ mean), mean)
        rows /= model.class_maps(images).std()
    return model


def few_steps(variant="released", **changes):
    """Three steps that move a small net's maps, without the flood rule."""
    small = {
        "iterations": 3,
        "learning_rate": 1e-3,
        "scales": (1, 0.5),
        "loss_scales": (1,),
        "batch_size": 3,
        "crop_size": 24,
        "long_side_min": 20,
        "long_side_max": 40,
        "flood_share": None,
    }
    return getattr(RIBSettings, variant)(**{**small, **changes})


def write_voc(root, images, **splits):
    """Images, names of classes and lists of ids in VOC's layout; no annotations, no masks."""
    for folder in ("JPEGImages", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(images.class_names))
    for index, name in enumerate(images.ids):
        images.image(index).save(root / "JPEGImages" / f"{name}.jpg")
    for split, ids in splits.items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(ids))


def maps_in(folder):
    """File name -> (bytes, type and shape of each array); half-written files are not looked at."""
    return {
        path.name: tuple((one.tobytes(), one.dtype, one.shape) for one in read_maps(path))
        for path in sorted((folder / "maps").glob("*.npz"))
    }
