"""Training IRN's branches on the confident labels of a split."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from ribnb.core.devices import as_device, autocast, device_name, float32_mode, worker_init
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.data.image_sets import Part
from ribnb.data.views import ShuffledBatches, to_tensor
from ribnb.masks.irn_net import IRN
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.irn_store import irn_file, irn_identity
from ribnb.masks.irn_views import LabelledViews, stack_views, usable_labels
from ribnb.masks.walk import PairKinds, affinities, pair_kinds, pair_offsets, partners
from ribnb.nets.load_or_train import TrainingFolder

_TINY = 1e-5  # keeps logarithms finite


class Losses(NamedTuple):
    """The parts of IRN's loss, each a mean over pairs; 0 without any."""

    boundary: Float[Tensor, ""]
    foreground_displacement: Float[Tensor, ""]
    background_displacement: Float[Tensor, ""]


@dataclass(frozen=True)
class IRNTraining:
    """What a training gave.

    Attributes:
        net: the net that was handed in, trained and in eval mode.
        history: mean loss of each epoch.
        loaded: whether the branches came from the folder, without training.
        seconds: that the training took, whenever it ran.
        skipped: id -> why an image was not trained on.
    """

    net: IRN
    history: list[float]
    loaded: bool
    seconds: float
    skipped: dict[str, str] = field(default_factory=dict)


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
) -> IRNTraining:
    """Train a net's branches on confident labels, or load them if this was done before.

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
    record, usable, skipped = usable_labels(images, labels_dir)
    part = Part(images, usable)
    store = TrainingFolder(folder, irn_identity(net, part, record, settings), irn_file(net))
    net.to(device)
    done = store.load(net.branches)
    loaded = done is not None
    if not loaded:
        views = LabelledViews(part, labels_dir, settings)
        try:
            with float32_mode(settings.precision):
                done = _train(net, views, settings, store, device, workers)
        finally:
            net.eval()
        store.finish(net.branches, {**done, "device": device_name(device)})
    return IRNTraining(net.eval(), done["history"], loaded, done["seconds"], skipped)


def _train(
    net: IRN,
    views: LabelledViews,
    settings: IRNSettings,
    store: TrainingFolder,
    device: torch.device,
    workers: int,
) -> dict[str, Any]:
    """All epochs that are still to do, and the mean displacement; the record of all of them."""
    loader = DataLoader(
        views,
        batch_sampler=ShuffledBatches(len(views), settings.batch_size, settings.seed),
        collate_fn=stack_views,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=worker_init(),
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )
    optimizer = _optimizer(net, settings)
    record = store.resume(net.branches, optimizer) or {"history": [], "seconds": 0.0}
    first = len(record["history"])
    with progress(None, "training IRN", settings.epochs * len(loader), first * len(loader)) as bar:
        for epoch in range(first, settings.epochs):
            start = time.perf_counter()
            loader.batch_sampler.epoch = epoch
            record["history"].append(_train_epoch(net, loader, optimizer, settings, device, bar))
            record["seconds"] += time.perf_counter() - start
            store.keep(net.branches, optimizer, record)
    start = time.perf_counter()
    _center_displacement(net, views.images, settings, device)
    record["seconds"] += time.perf_counter() - start
    return record


def _train_epoch(
    net: IRN,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    settings: IRNSettings,
    device: torch.device,
    bar: tqdm,
) -> float:
    """One pass over the images; their mean loss."""
    net.train()
    epoch, total = loader.batch_sampler.epoch, 0.0
    for batch, (views, labels) in enumerate(loader):
        views, labels = (part.to(device, non_blocking=True) for part in (views, labels))
        rate = settings.rate(epoch * len(loader) + batch, settings.epochs * len(loader))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        with autocast(settings.precision, device):
            logits, displacement = net(views)
        labels = at_positions(labels, logits.shape[1:])
        # half of each, as in IRN's code, whose learning rate is meant for that
        loss = sum(irn_losses(logits, displacement, labels, settings.radius)) / 2
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at epoch {epoch + 1}, step {batch + 1} of {len(loader)}. "
                f"Lower learning_rate = {settings.learning_rate}, and train in another folder"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += value * len(views)
        bar.update()
        shown = f"epoch {epoch + 1} of {settings.epochs}, loss {value:.3f}"
        bar.set_postfix_str(shown, refresh=False)
    return total / len(loader.dataset)


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
