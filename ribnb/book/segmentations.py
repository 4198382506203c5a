"""What the chapter ``voc_segmentation`` learns from, and the networks that learned from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from ribnb.book.voc_segmentation_settings import IN_VIEW, TRUTH, VOCSegmentationSettings
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import SettingsError
from ribnb.data.image_sets import Part
from ribnb.masks.scene_masks import unpack_masks
from ribnb.segmentation.files import load_segmentation, segmentation_metadata
from ribnb.segmentation.training import SegmentationTraining, train_segmentation


def masks_for(
    settings: VOCSegmentationSettings, kind: str, images: ImageSet, folder: str | Path
) -> Path | None:
    """The folder of the masks of one kind; None for the truth, which the images have.

    Args:
        settings: with ``masks``, the folder of a run of ``voc_masks``; without, the package's.
        kind: such as ``"rib_irn"``.
        images: whose masks are wanted.
        folder: for the package's masks.

    Raises:
        FileNotFoundError: the run has no masks of that kind; says which there are.
        ValueError: see ``unpack_masks``.
    """
    if kind == TRUTH:
        return None
    if not settings.masks:
        return unpack_masks(settings.seed, kind, images, Path(folder) / "masks" / kind)
    there = Path(settings.masks) / "masks"
    if not (there / kind).is_dir():
        known = sorted(path.name for path in there.glob("*") if path.is_dir())
        raise FileNotFoundError(
            f"supervision {kind!r}: there is no folder {there / kind}. The run {settings.masks} "
            f"has the kinds {', '.join(known) or 'none'}, and {TRUTH} is always there"
        )
    return there / kind


def with_masks(images: ImageSet, folders: Iterable[Path | None]) -> tuple[ImageSet, dict[str, str]]:
    """The images that have a mask in every folder, so that all networks learn from the same.

    Args:
        images: to train on.
        folders: of masks ``<id>.png``; None for the truth.

    Returns:
        Those images, and id -> why another was left out.

    Raises:
        ValueError: more than one image in twenty has no mask: these are masks of other images.
    """
    lacking: dict[str, str] = {}
    for folder in folders:
        if folder is None:
            continue
        there = {path.stem for path in Path(folder).glob("*.png")}
        for name in images.ids:
            if name not in there:
                lacking.setdefault(name, f"there is no mask of it in {folder}")
    if len(lacking) > len(images) / 20:
        name, why = next(iter(lacking.items()))
        raise ValueError(
            f"{len(lacking)} of the {len(images)} images have no mask; of {name}, for example, "
            f"{why}. Are the masks of another split or another num_images? Take those that the "
            "masks were made with"
        )
    if not lacking:
        return images, lacking
    return Part(images, [i for i, name in enumerate(images.ids) if name not in lacking]), lacking


def segmentation_net(
    settings: VOCSegmentationSettings,
    kind: str,
    images: ImageSet | None = None,
    masks_dir: Path | None = None,
    folder: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> SegmentationTraining:
    """The network that learned from one kind of masks: one that comes along, or trained here.

    Args:
        settings: see ``VOCSegmentationSettings.trained``.
        kind: of the masks.
        images: to train on; without them only a network that comes along is given.
        masks_dir: their masks, None for the truth.
        folder: keeps the training in a folder of its own, from which it goes on after a kill;
            None keeps nothing.
        device: the network is there.

    Raises:
        ValueError: no images, and no such network comes along; no masks but for the truth, or
            masks for it; see ``train_segmentation`` too.
    """
    path = settings.trained(kind)
    if path is not None and (images is None or kind != IN_VIEW):
        record = segmentation_metadata(path)
        net = load_segmentation(path).to(device)
        return SegmentationTraining(net, record["history"], True, record["seconds"])
    if images is None:
        raise SettingsError(
            f"no network of the seed {settings.seed} that learned from {kind!r} comes along"
        )
    if (masks_dir is None) != (kind == TRUTH):
        raise ValueError(
            f"supervision {kind!r} with masks_dir = {masks_dir}: all kinds but {TRUTH!r} need the "
            "folder of their masks, which masks_for gives"
        )
    return train_segmentation(
        settings.first_net(len(images.class_names)),
        images,
        masks_dir,
        settings.segment,
        Path(folder) / f"segmentation_{kind}" if folder else None,
        device,
        settings.workers,
    )
