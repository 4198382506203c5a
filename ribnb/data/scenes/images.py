"""Scenes as an image set: drawn on demand, or written to a folder in VOC 2012's layout.

Every object has a small part, a head or a marker, that alone names its class, and a larger body
that only tends to be its class's: hue, texture and proportions are each its own with probability
0.7 and another class's otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ribnb.core.files import write_whole
from ribnb.core.runner import Kind, RecordedFolder, over_images
from ribnb.core.voc import write_mask
from ribnb.data.scenes.rendering import (
    CLASS_NAMES,
    DRAWING,
    Scene,
    check_scenes,
    render_scene,
    scene_seed,
)
from ribnb.data.views import to_tensor

# The last small ones stay in memory, 450 MB: only the first pass over them is slow.
_drawn = lru_cache(2**13)(render_scene)

# Where each file of an image lies and how it ends.
_MASKS = ("SegmentationClass", "SegmentationObject", "SegmentationPart", "Saliency")
_FILES = {"JPEGImages": ".jpg", **dict.fromkeys(_MASKS, ".png"), "Annotations": ".xml"}

# Images of VOC 2012 with SBD's masks, as the paper's authors and everybody else split them.
_VOC_IMAGES, _VOC_VAL, _VOC_TRAIN = 12_031, 1_449, 1_464


class SceneImages(Dataset):
    """Scenes without a disk: image i is drawn from (seed, split, i) when it is asked for.

    Args:
        num_images: how many.
        size: side in pixels, or (height, width).
        seed: scenes of another seed are others.
        split: ``"train"``, ``"val"`` or ``"test"``; each has scenes of its own.
        num_classes: 2 to 6.

    Attributes:
        ids: a name for each image, like none of another seed or split.
        class_names: of the ``num_classes`` classes, C in all.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        num_images: int,
        size: int | tuple[int, int] = 96,
        seed: int = 0,
        split: str = "train",
        num_classes: int = 6,
    ) -> None:
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1; got {num_images}")
        scene_seed(seed, split, 0)  # refuses what is none
        self.size = check_scenes(size, num_classes)
        self.seed, self.split = seed, split
        self.class_names = CLASS_NAMES[:num_classes]
        self.ids = [f"s{seed}_{split}_{index:06d}" for index in range(num_images)]

    def __len__(self) -> int:
        return len(self.ids)

    def scene(self, index: int) -> Scene:
        """Everything about image ``index``. What it returns is kept: do not write to it."""
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        seed = scene_seed(self.seed, self.split, index)
        draw = _drawn if max(self.size) <= 96 else render_scene
        return draw(seed, self.size, len(self.class_names))

    @cached_property
    def labels(self) -> UInt8[Tensor, "N C"]:
        """1 where an object of the class is in the image, else 0. Draws every scene once."""
        labels = torch.zeros(len(self), len(self.class_names), dtype=torch.uint8)
        for index in range(len(self)):
            labels[index, list(self.scene(index).class_ids)] = 1
        return labels

    def image(self, index: int) -> Image.Image:
        """Image ``index`` in mode RGB."""
        return Image.fromarray(self.scene(index).image)

    def mask(self, index: int) -> UInt8[ndarray, "H W"]:
        """0 background, class_id + 1, 255 on the border."""
        return self.scene(index).mask.copy()

    def parts(self, index: int) -> UInt8[ndarray, "H W"]:
        """1 head or marker, 2 body, 0 elsewhere."""
        return self.scene(index).parts.copy()

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All at once: normalised images (N, 3, H, W), labels (N, C), masks, parts (N, H, W)."""
        every = range(len(self))
        images = torch.stack([to_tensor(self.image(index)) for index in every])
        masks, parts = (
            torch.stack([torch.from_numpy(of(index)) for index in every])
            for of in (self.mask, self.parts)
        )
        return images, self.labels, masks, parts

    def saliency(self, index: int) -> Float32[ndarray, "H W"]:
        """In [0, 1]: what a saliency detector would see, one or a few of the objects."""
        return self.scene(index).saliency.astype(np.float32) / 255


def write_scenes(
    root: str | Path,
    num_images: int,
    size: int | tuple[int, int] = 96,
    seed: int = 0,
    num_classes: int = 6,
    workers: int = 1,
) -> int:
    """Write a data set of scenes into a folder, laid out as VOC 2012 is below ``VOC2012``.

    Beside VOC's folders there are ``SegmentationPart`` (1 head or marker, 2 body), ``Saliency``
    (grey PNG, 255 where a saliency detector would see something), ``classes.txt`` and
    ``scenes.json``, which says what made it. The splits have VOC's proportions: of 12,031 images
    val gets 1,449 and train_aug the others; the first 1,464 of these are train. Image k of
    train_aug is image k of ``SceneImages(split="train")``, image k of val that of
    ``split="val"``, but for JPEG's losses.

    The bytes depend on neither ``workers`` nor ``root``. A call that was broken off goes on
    where it stopped when it is repeated; only one call may write into a folder at a time.

    Args:
        root: is made if it does not exist.
        num_images: 2 or more.
        size, seed, num_classes: as of ``SceneImages``.
        workers: processes.

    Returns:
        The number of scenes drawn now; those that were there already are left alone.

    Raises:
        ValueError: an argument out of range, or the folder holds other scenes.
        FileNotFoundError: the folder holds images that are no scenes.
    """
    height, width = check_scenes(size, num_classes)
    scene_seed(seed, "train", 0)  # refuses a wrong seed
    splits = split_ids(num_images)
    root = Path(root).expanduser()
    settings = {"num_images": num_images, "height": height, "width": width}
    settings |= {"seed": seed, "num_classes": num_classes, "drawing": DRAWING}
    files = RecordedFolder(root / "JPEGImages", _SCENES, settings)
    for folder in (*_FILES, "ImageSets/Segmentation", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ids = splits["train_aug"] + splits["val"]
    draw = partial(_draw, settings, len(splits["train_aug"]))
    report = over_images(draw, ids, files, label="scenes", workers=workers, failures=())
    # The lists last of all: where they are, the data set is whole.
    _write_lines(root / "classes.txt", CLASS_NAMES[:num_classes])
    for split, ids in splits.items():
        for folder in ("Main", "Segmentation"):
            _write_lines(root / "ImageSets" / folder / f"{split}.txt", ids)
    return len(report.written)


def split_ids(num_images: int) -> dict[str, list[str]]:
    """Image ids by split, in VOC's proportions: train_aug, train (its start), val, trainval."""
    if num_images < 2:
        raise ValueError(
            f"num_images must be at least 2, so that train and val get one each; got {num_images}"
        )
    share = num_images / _VOC_IMAGES
    num_val = min(max(1, round(share * _VOC_VAL)), num_images - 1)
    num_aug = num_images - num_val
    num_train = min(max(1, round(share * _VOC_TRAIN)), num_aug)
    ids = [f"2012_{number:06d}" for number in range(1, num_images + 1)]
    aug, val = ids[:num_aug], ids[num_aug:]
    train = aug[:num_train]
    return {"train": train, "val": val, "train_aug": aug, "trainval": train + val}


def _draw(settings: dict[str, int], num_aug: int, image_id: str) -> Scene:
    """The scene that an image of the folder shows."""
    number = int(image_id.removeprefix("2012_")) - 1
    split, index = ("train", number) if number < num_aug else ("val", number - num_aug)
    size = settings["height"], settings["width"]
    return render_scene(scene_seed(settings["seed"], split, index), size, settings["num_classes"])


def _files(image: Path) -> list[Path]:
    """All files of an image, its own first."""
    return [image.parents[1] / folder / (image.stem + end) for folder, end in _FILES.items()]


def _look(image: Path) -> None:
    """OSError if one of the files is missing."""
    for path in _files(image):
        path.stat()


def _write_scene(image: Path, scene: Scene) -> None:
    _, classes, instances, parts, saliency, annotation = _files(image)
    # Heads are small: with as many pixels of colour as of brightness they stay apart.
    pixels, jpeg = Image.fromarray(scene.image), {"quality": 95, "subsampling": 0}
    write_whole(image, lambda file: pixels.save(file, "JPEG", **jpeg))
    write_mask(classes, scene.mask)
    write_mask(instances, scene.instances)
    write_mask(parts, scene.parts)
    greys = Image.fromarray(scene.saliency)
    write_whole(saliency, lambda file: greys.save(file, "PNG"))
    text = _annotation(image.stem, scene).encode()
    write_whole(annotation, lambda file: file.write(text))


_SCENES = Kind("scenes", ".jpg", "scenes.json", _look, _write_scene, beside=True)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    write_whole(path, lambda file: file.write(text))


def _annotation(image_id: str, scene: Scene) -> str:
    height, width = scene.mask.shape
    objects = []
    for item in scene.objects:
        xmin, ymin, xmax, ymax = item.box
        objects.append(
            f"\t<object>\n\t\t<name>{item.name}</name>\n"
            f"\t\t<bndbox>\n\t\t\t<xmin>{xmin}</xmin>\n\t\t\t<ymin>{ymin}</ymin>\n"
            f"\t\t\t<xmax>{xmax}</xmax>\n\t\t\t<ymax>{ymax}</ymax>\n\t\t</bndbox>\n"
            "\t\t<difficult>0</difficult>\n\t</object>\n"
        )
    return (
        "<annotation>\n\t<folder>VOC2012</folder>\n"
        f"\t<filename>{image_id}.jpg</filename>\n"
        "\t<source>\n\t\t<database>ribnb scenes</database>\n"
        "\t\t<annotation>ribnb scenes</annotation>\n\t\t<image>drawn</image>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n\t<segmented>1</segmented>\n"
        f"{''.join(objects)}</annotation>\n"
    )
