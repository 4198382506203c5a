"""Training IRN's boundary branch on the confident labels of a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ribnb.core.devices import resolve_device
from ribnb.core.files import digest
from ribnb.core.runner import MASKS, progress, read_record
from ribnb.core.voc import IGNORED, ImageSet, image_set_digest, images_digest, read_mask
from ribnb.data.views import LabelledViews, Part, ShuffledBatches
from ribnb.masks.irn import IRNSettings
from ribnb.masks.irn_net import IRN
from ribnb.masks.walk import PairKinds, affinities, pair_kinds
from ribnb.nets.fitting import Training, fit, shuffled

_TINY = 1e-5  # keeps logarithms finite


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


def train_irn(
    net: IRN,
    images: ImageSet,
    labels_dir: str | Path,
    settings: IRNSettings,
    folder: str | Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Training:
    """Train a net's branch on confident labels, or load it if this was done; see ``fit``.

    Order and views of the images depend on the seed, the epoch and the image alone.

    Args:
        labels_dir: of ``irn_labels``. An image without labels, or without two confident pixels,
            is left out and named in ``skipped``.
        folder: keeps the state after each epoch and at the end ``irn.safetensors``.
        workers: processes that make the views ahead; 0 makes them in this one.

    Raises:
        ValueError: labels of other images, no image to train on, or a folder with another
            training's files; what differs is named.
        FileNotFoundError: ``labels_dir`` holds no labels.
        FloatingPointError: a loss that is not finite; the state after the last epoch is kept.

    Ahn et al. 2019, section 4.2.
    """
    device = resolve_device(device)
    made = read_record(labels_dir, MASKS)
    if made.get("images") != images_digest(images):
        raise ValueError(
            f"{labels_dir} holds labels of other images than the {len(images)} here. Take the "
            "split, num_images, seed and labels that they were made with"
        )
    usable, skipped = _usable(images, Path(labels_dir))
    images = Part(images, usable)
    views = LabelledViews(
        images,
        lambda index: read_mask(Path(labels_dir) / f"{images.ids[index]}.png"),
        settings.crop_size,
        (settings.scale_min, settings.scale_max),
        settings.flip,
        settings.seed,
        rows_first=True,
        normalization=net.normalization,
    )
    keys = ShuffledBatches(len(images), settings.batch_size, settings.seed, settings.epochs)
    steps = len(keys)

    def loss(forward: Callable, views: Tensor, labels: Tensor) -> tuple[Tensor, int]:
        boundary = forward(views).float().sigmoid()
        kinds = pair_kinds(at_positions(labels, boundary.shape[1:]), settings.radius)
        found = affinity_loss(affinities(boundary, settings.radius), kinds)
        return found / 2, len(views)  # as in IRN's code, whose learning rate is meant for that

    training = fit(
        net,
        torch.optim.SGD(
            net.branch.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        ),
        shuffled(views, keys, device, workers),
        keys.ends(),
        loss,
        lambda step: settings.rate(step, steps),
        folder=folder,
        identity={
            **settings.for_training(),
            "labels": digest(made),
            "class_names": list(images.class_names),
            "images": image_set_digest(images),
        },
        device=device,
        precision=settings.precision,
        label="training IRN",
    )
    return replace(training, record={**training.record, "skipped": skipped})


def _usable(images: ImageSet, labels_dir: Path) -> tuple[list[int], dict[str, str]]:
    """The indices of the images with at least two confident pixels; id -> why not, of others."""
    usable, skipped = [], {}
    for index, name in enumerate(progress(images.ids, "confident labels")):
        try:
            labels = read_mask(labels_dir / f"{name}.png", len(images.class_names))
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
    return usable, skipped


def at_positions(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels (B, H, W) at the net's positions (B, h, w): those of the nearest pixels."""
    rows, columns = (
        ((torch.arange(count, device=labels.device) + 0.5) * side / count).long()
        for count, side in zip(size, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns]


def _mean(values: Tensor, which: Tensor) -> Float[Tensor, ""]:
    """Over the pairs of one kind; 0 without any."""
    return torch.where(which, values, 0.0).sum() / which.sum().clamp(min=1)
