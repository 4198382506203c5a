"""Training IRN's branches on the confident labels of a split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.core.devices import as_device, autocast
from ribnb.core.files import image_set_digest, images_digest
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.core.runner import MASKS, read_record
from ribnb.core.voc import IGNORED, read_mask
from ribnb.data.image_sets import Part
from ribnb.data.views import LabelledViews, ShuffledBatches, to_tensor
from ribnb.masks.irn_net import IRN
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.walk import PairKinds, affinities, pair_kinds, pair_offsets, partners
from ribnb.nets.fitting import Training, fit, shuffled

_TINY = 1e-5  # keeps logarithms finite


class Losses(NamedTuple):
    """The parts of IRN's loss, each a mean over pairs; 0 without any."""

    boundary: Float[Tensor, ""]
    foreground_displacement: Float[Tensor, ""]
    background_displacement: Float[Tensor, ""]


def affinity_loss(affinity: Float[Tensor, "B P h w"], kinds: PairKinds) -> Float[Tensor, ""]:
    """L_B: cross entropy of the affinities; fg pairs, bg pairs, different pairs in balance.

    Half the mean over foreground pairs, half the mean over background pairs, and the mean over
    pairs of different classes.

    Ahn et al. 2019, equation 4.
    """
    alike, different = -(affinity + _TINY).log(), -(1 + _TINY - affinity).log()
    return (
        _mean(alike, kinds.foreground) / 2
        + _mean(alike, kinds.background) / 2
        + _mean(different, kinds.different)
    )


def displacement_losses(
    displacement: Float[Tensor, "B 2 h w"], kinds: PairKinds, radius: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """L_D of foreground and of background pairs: mean absolute errors, in positions.

    Two positions i and j of one object point to one middle, so that D_i - D_j = x_j - x_i. In
    the background neighbours point nowhere in particular: D_i - D_j = 0.

    Ahn et al. 2019, equations 6 and 7.
    """
    offsets = torch.from_numpy(pair_offsets(radius)).to(displacement)
    found = displacement[:, :, None] - partners(displacement, radius)
    errors = (found - offsets.T[:, :, None, None]).abs().mean(dim=1)
    return _mean(errors, kinds.foreground), _mean(found.abs().mean(dim=1), kinds.background)


def irn_losses(
    boundary_logits: Float[Tensor, "B h w"],
    displacement: Float[Tensor, "B 2 h w"],
    labels: Tensor,
    radius: float,
) -> Losses:
    """All parts of the loss of a batch, in float32.

    Args:
        boundary_logits: of the net.
        displacement: of the net.
        labels: (B, h, w) uint8, confident labels at the net's positions.
        radius: pairs nearer than this count.
    """
    kinds = pair_kinds(labels, radius)
    boundary = boundary_logits.float().sigmoid()
    of_displacement = displacement_losses(displacement.float(), kinds, radius)
    return Losses(affinity_loss(affinities(boundary, radius), kinds), *of_displacement)


def train_irn(
    net: IRN,
    images: ImageSet,
    labels_dir: str | Path,
    settings: IRNSettings,
    folder: str | Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Training:
    """Train a net's branches on confident labels, or load them if this was done; see ``fit``.

    Order and views of the images depend on the seed, the epoch and the image alone: not on the
    number of workers, nor on a kill in between. At the end the mean displacement over the
    training images is stored in the net, which takes it off from then on.

    Args:
        net: trained in place.
        images: the split that the labels are of.
        labels_dir: of ``irn_labels``. An image without labels, or without two confident pixels,
            is left out and named.
        settings: the recipe.
        folder: keeps the state after each epoch (``training.pt``), with which a killed training
            goes on, and at the end the branches (``irn.safetensors``), which are loaded the next
            time.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device; the net stays there.
        workers: processes that make the views ahead; 0 makes them in this one.

    Raises:
        ValueError: labels of other images, no image to train on, or a folder with another
            training's files; what differs is named.
        FileNotFoundError: ``labels_dir`` holds no labels.
        FloatingPointError: a loss that is not finite; the state after the last epoch is kept.

    Ahn et al. 2019, section 4.2.
    """
    device = as_device(device)
    made, usable, skipped = usable_labels(images, labels_dir)
    images = Part(images, usable)
    views = LabelledViews(
        images,
        lambda index: read_mask(Path(labels_dir) / f"{images.ids[index]}.png"),
        settings.crop_size,
        (settings.scale_min, settings.scale_max),
        settings.flip,
        settings.seed,
        rows_first=True,
    )
    keys = ShuffledBatches(len(images), settings.batch_size, settings.seed, settings.epochs)
    steps = len(keys)

    def loss(forward: Callable, views: Tensor, labels: Tensor) -> tuple[Tensor, int]:
        logits, displacement = forward(views)
        labels = at_positions(labels, logits.shape[1:])
        # half of each, as in IRN's code, whose learning rate is meant for that
        losses = irn_losses(logits, displacement, labels, settings.radius)
        return sum(losses) / 2, len(views)

    training = fit(
        net,
        _optimizer(net, settings),
        shuffled(views, keys, device, workers),
        keys.ends(),
        loss,
        lambda step: settings.rate(step, steps),
        folder=folder,
        identity={
            **settings.for_training(),
            "labels": made,
            "class_names": list(images.class_names),
            "images": image_set_digest(images),
        },
        device=device,
        precision=settings.precision,
        at_end=lambda _: _center_displacement(net, images, settings, device),
        advice=f"Lower learning_rate = {settings.learning_rate}",
        label="training IRN",
    )
    return replace(training, record={**training.record, "skipped": skipped})


def usable_labels(
    images: ImageSet, labels_dir: str | Path
) -> tuple[str, list[int], dict[str, str]]:
    """Which images can be trained on.

    Args:
        images: the split.
        labels_dir: of ``irn_labels``.

    Returns:
        12 hexadecimal digits of how the labels were made; the indices of the images with at least
        two confident pixels; id -> why not, of the others.

    Raises:
        FileNotFoundError: the folder has no record.
        ValueError: labels of other images, or no image to train on.
    """
    record = read_record(labels_dir, MASKS)
    if record.get("images") != images_digest(images):
        raise ValueError(
            f"{labels_dir} holds labels of other images than the {len(images)} here "
            f"({images.ids[0]} to {images.ids[-1]}). Take the split, num_images, seed and labels "
            "that they were made with"
        )
    usable, skipped = [], {}
    for index, name in enumerate(progress(images.ids, "confident labels")):
        try:
            labels = read_mask(Path(labels_dir) / f"{name}.png", len(images.class_names))
        except (OSError, ValueError) as error:
            skipped[name] = str(error)
            continue
        if (labels != IGNORED).sum() < 2:
            skipped[name] = "no two of its pixels have a confident label, so there is no pair"
        else:
            usable.append(index)
    if not usable:
        name, why = next(iter(skipped.items()))
        raise ValueError(f"{labels_dir} has no image to train on; {name}, for example: {why}")
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]
    return digest, usable, skipped


def at_positions(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels (B, H, W) at the net's positions (B, h, w): those of the nearest pixels."""
    rows, columns = (
        ((torch.arange(count, device=labels.device) + 0.5) * side / count).long()
        for count, side in zip(size, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns]


def _optimizer(net: IRN, settings: IRNSettings) -> torch.optim.SGD:
    branches = net.branches
    groups = [
        {"params": list(branches.boundary.parameters()), "factor": 1.0},
        {
            "params": list(branches.displacement.parameters()),
            "factor": settings.displacement_factor,
        },
    ]
    return torch.optim.SGD(
        groups,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


@torch.no_grad()
def _center_displacement(
    net: IRN, images: ImageSet, settings: IRNSettings, device: torch.device
) -> None:
    """Store the mean displacement over the images, each of them whole and as it is."""
    net.eval()
    net.branches.mean_displacement.zero_()
    total = torch.zeros(2, dtype=torch.float64)
    for index in progress(range(len(images)), "mean displacement"):
        with autocast(settings.precision, device):
            _, displacement = net(to_tensor(images.image(index))[None].to(device))
        total += displacement[0].double().mean(dim=(1, 2)).cpu()
    net.branches.mean_displacement.copy_(total / len(images))


def _mean(values: Tensor, which: Tensor) -> Float[Tensor, ""]:
    """Over the pairs of one kind; 0 without any."""
    return torch.where(which, values, 0.0).sum() / which.sum().clamp(min=1)
