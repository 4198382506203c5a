"""Scenes on disk, laid out as PASCAL VOC 2012 is."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from PIL import Image

from ribnb.core.files import write_whole
from ribnb.core.progress import progress
from ribnb.core.runner import run_jobs
from ribnb.core.voc import write_mask
from ribnb.data.scenes.rendering import (
    CLASS_NAMES,
    DRAWING,
    Scene,
    SceneObject,
    check_classes,
    check_size,
    render_scene,
    scene_seed,
)

SETTINGS_NAME = "scenes.json"

# Where each file of an image lies and how it ends.
_FILES = {
    "JPEGImages": ".jpg",
    "SegmentationClass": ".png",
    "SegmentationObject": ".png",
    "SegmentationPart": ".png",
    "Saliency": ".png",
    "Annotations": ".xml",
}
_CHUNK = 16  # scenes that a worker takes at a time

# Images of VOC 2012 with SBD's masks, as the paper's authors and everybody else split them.
_VOC_IMAGES, _VOC_VAL, _VOC_TRAIN = 12_031, 1_449, 1_464


def write_scenes(
    root: str | Path,
    num_images: int,
    size: int | tuple[int, int] = 96,
    seed: int = 0,
    num_classes: int = 6,
    workers: int = 1,
) -> int:
    """Write a data set of scenes into a folder, laid out as VOC 2012 is below ``VOC2012``.

    ``JPEGImages``, ``SegmentationClass`` and ``SegmentationObject`` (palette PNG, 255 on a thin
    border), ``Annotations`` and ``ImageSets`` are VOC's. ``SegmentationPart`` (1 head or marker,
    2 body), ``Saliency`` (grey PNG, 255 where a saliency detector would see something),
    ``classes.txt`` and ``scenes.json``, which says what made it, are ours. The splits have VOC's
    proportions: of 12,031 images val gets 1,449 and train_aug the others; the first 1,464 of
    these are train. Image k of train_aug is image k of ``SceneImages(split="train")``, image k of
    val that of ``split="val"``, but for JPEG's losses.

    The bytes depend on neither ``workers`` nor ``root``. A call that was broken off goes on
    where it stopped when it is repeated, and scenes that lack a file, such as those of a version
    that knew no saliency, get it; only one call may write into a folder at a time.

    Args:
        root: is made if it does not exist.
        num_images: 2 or more.
        size: side in pixels, or (height, width).
        seed: scenes of another seed are others.
        num_classes: 2 to 20.
        workers: processes.

    Returns:
        The number of scenes drawn now; those that were there already are left alone.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range.
        FileExistsError: the folder holds another data set.
        OSError: the folder cannot be written to.
    """
    height, width = check_size(size)
    check_classes(num_classes)
    num_images, seed = operator.index(num_images), operator.index(seed)
    scene_seed(seed, "train", 0)  # refuses a wrong seed
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    splits = split_ids(num_images)
    root = Path(root)
    settings = {"num_images": num_images, "height": height, "width": width}
    settings |= {"seed": seed, "num_classes": num_classes, "drawing": DRAWING}
    _claim(root, settings)
    # Each image's id, with the split of SceneImages and the index there that it shows.
    jobs = [(image_id, "train", index) for index, image_id in enumerate(splits["train_aug"])]
    jobs += [(image_id, "val", index) for index, image_id in enumerate(splits["val"])]
    missing = [job for job in jobs if not all(path.is_file() for path in _files(root, job[0]))]
    drawing = run_jobs(partial(_write_scene, root, settings), missing, workers, _CHUNK)
    for _ in progress(drawing, "scenes", total=num_images, done=num_images - len(missing)):
        pass
    # The lists last of all: where they are, the data set is whole.
    _write_lines(root / "classes.txt", CLASS_NAMES[:num_classes])
    for split, ids in splits.items():
        for folder in ("Main", "Segmentation"):
            _write_lines(root / "ImageSets" / folder / f"{split}.txt", ids)
    return len(missing)


def split_ids(num_images: int) -> dict[str, list[str]]:
    """Image ids by split, in VOC's proportions: train_aug, train (its start), val, trainval.

    Raises:
        ValueError: fewer than 2 images.
    """
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


def _claim(root: Path, settings: dict[str, int]) -> None:
    """Make the folders and note the settings, unless something else is there already."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"{root} cannot be a folder: a file is in its place") from None
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write to {root}: {error.strerror}; choose a folder where you may"
        ) from None
    path = root / SETTINGS_NAME
    if path.is_file():
        _compare(path, settings)
    elif any(root.iterdir()):
        raise FileExistsError(
            f"{root} holds files but no {SETTINGS_NAME}: it was not made by this script, which "
            "will not write among them; choose an empty or a new folder"
        )
    for folder in (*_FILES, "ImageSets/Segmentation", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for left in (root / folder).glob(".*"):  # of a call that was killed
            left.unlink(missing_ok=True)
    _write_lines(path, [json.dumps(settings, indent=2)])


def _compare(path: Path, settings: dict[str, int]) -> None:
    try:
        others = {name: json.loads(path.read_text()).get(name) for name in settings}
    except (ValueError, AttributeError):
        raise FileExistsError(
            f"{path} is not readable as settings; delete the folder or choose another one"
        ) from None
    differing = [
        f"{name} = {others[name]} (asked for: {value})"
        for name, value in settings.items()
        if others[name] != value
    ]
    if differing:
        raise FileExistsError(
            f"{path.parent} holds scenes made with {', '.join(differing)}; choose another "
            "folder, or delete this one"
        )


def _files(root: Path, image_id: str) -> list[Path]:
    return [root / folder / (image_id + end) for folder, end in _FILES.items()]


def _write_scene(root: Path, settings: dict[str, int], job: tuple[str, str, int]) -> None:
    image_id, split, index = job
    size = settings["height"], settings["width"]
    scene = render_scene(scene_seed(settings["seed"], split, index), size, settings["num_classes"])
    image, classes, instances, parts, saliency, annotation = _files(root, image_id)
    # Heads are small: with as many pixels of colour as of brightness they stay apart.
    pixels, jpeg = Image.fromarray(scene.image), {"quality": 95, "subsampling": 0}
    write_whole(image, lambda file: pixels.save(file, "JPEG", **jpeg))
    write_mask(classes, scene.mask)
    write_mask(instances, scene.instances)
    write_mask(parts, scene.parts)
    greys = Image.fromarray(scene.saliency)
    write_whole(saliency, lambda file: greys.save(file, "PNG"))
    text = _annotation(image_id, scene).encode()
    write_whole(annotation, lambda file: file.write(text))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    write_whole(path, lambda file: file.write(text))


def _annotation(image_id: str, scene: Scene) -> str:
    height, width = scene.mask.shape
    return (
        "<annotation>\n\t<folder>VOC2012</folder>\n"
        f"\t<filename>{image_id}.jpg</filename>\n"
        "\t<source>\n\t\t<database>ribnb scenes</database>\n"
        "\t\t<annotation>ribnb scenes</annotation>\n\t\t<image>drawn</image>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n\t<segmented>1</segmented>\n"
        + "".join(map(_object, scene.objects))
        + "</annotation>\n"
    )


def _object(item: SceneObject) -> str:
    xmin, ymin, xmax, ymax = item.box
    return (
        f"\t<object>\n\t\t<name>{item.name}</name>\n\t\t<pose>{item.pose}</pose>\n"
        f"\t\t<truncated>{item.truncated:d}</truncated>\n"
        f"\t\t<occluded>{item.occluded:d}</occluded>\n"
        f"\t\t<bndbox>\n\t\t\t<xmin>{xmin}</xmin>\n\t\t\t<ymin>{ymin}</ymin>\n"
        f"\t\t\t<xmax>{xmax}</xmax>\n\t\t\t<ymax>{ymax}</ymax>\n\t\t</bndbox>\n"
        "\t\t<difficult>0</difficult>\n\t</object>\n"
    )
