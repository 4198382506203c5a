"""What the chapter ``voc_masks`` starts from: two kinds of maps, and an IRN for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ribnb.book.voc_masks_settings import VOCMasksSettings
from ribnb.core.files import weights_digest
from ribnb.core.image_set import ImageSet
from ribnb.core.settings import SHARED, differences
from ribnb.masks.irn_net import IRN, irn_metadata, load_irn
from ribnb.masks.irn_training import IRNTraining, train_irn
from ribnb.method.localization import localization_maps, maps_digest
from ribnb.nets.classifier import load_classifier

FOLDERS = {"cam": Path("cam/maps"), "rib": Path("maps")}  # of a run of voc_rib


def maps_of(
    settings: VOCMasksSettings, images: ImageSet, device: torch.device, folder: str | Path
) -> dict[str, Path]:
    """Folders of the images' maps, by kind: of the run that is named, or made here.

    Args:
        settings: with ``maps_run``, the folder of a run of ``voc_rib``; without, maps are made.
        images: the images.
        device: to make maps on.
        folder: for maps that are made here.

    Raises:
        FileNotFoundError: that run has no maps.
        ValueError: its maps are of other images.
    """
    if settings.maps_run:
        found = {kind: Path(settings.maps_run) / place for kind, place in FOLDERS.items()}
        for place in found.values():
            maps_digest(place, images)  # refuses those of other images
        return found
    num_classes = len(images.class_names)
    model = load_classifier(settings.classifier_path, num_classes=num_classes).to(device)
    folder, how = Path(folder), settings.maps
    cams = localization_maps(
        model, images, how.replace(iterations=0), folder / "cam", workers=settings.workers
    )
    adapted = localization_maps(model, images, how, folder, workers=settings.workers)
    return {"cam": cams.folder, "rib": adapted.folder}


def irn_net(
    settings: VOCMasksSettings,
    kind: str,
    images: ImageSet,
    labels_dir: str | Path,
    folder: str | Path,
    device: torch.device,
) -> IRNTraining:
    """The IRN for one kind of maps: the one that is named or comes along, or trained here.

    Args:
        settings: see ``VOCMasksSettings.trained_irn``.
        kind: ``"cam"`` or ``"rib"``.
        images: to train on.
        labels_dir: their confident labels.
        folder: keeps a training, which goes on from there after a kill.
        device: the net is there.

    Raises:
        FileNotFoundError: no such net.
        ValueError: a net on another trunk, or one that was trained with other parameters; see
            ``train_irn`` too.
    """
    trunk = settings.trunk(len(images.class_names)).to(device)
    path = settings.trained_irn(kind)
    if path is not None:
        record = irn_metadata(path)
        _refuse_other_training(settings, kind, path, record)
        net = load_irn(path, trunk).to(device).eval()
        return IRNTraining(net, record.get("history", []), True, record.get("seconds", 0.0))
    return train_irn(
        IRN(trunk, seed=settings.seed),
        images,
        labels_dir,
        settings.irn_for(kind),
        folder,
        device,
        settings.workers,
    )


def _refuse_other_training(
    settings: VOCMasksSettings, kind: str, path: Path, record: Mapping[str, Any]
) -> None:
    """The result will name these parameters as the net's."""
    here = settings.irn_for(kind).for_training()
    here = {name: value for name, value in here.items() if name not in SHARED}
    other = differences(record["identity"], here) if "identity" in record else ""
    if other:
        raise ValueError(
            f"{path} was trained otherwise: {other}. Give the parameters that it was trained with, "
            f"or train one here: without net.irn_{kind}, for scenes with net.retrain = True"
        )


def inputs_of(
    images: ImageSet, maps: Mapping[str, Path], nets: Mapping[str, IRN]
) -> dict[str, str]:
    """Digests of what the masks were made from, for the result."""
    found = {f"maps of {kind}": maps_digest(folder, images) for kind, folder in maps.items()}
    return found | {f"IRN for {kind}": weights_digest(net) for kind, net in nets.items()}
