"""Training the classifiers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader
from tqdm import tqdm

from ribnb.core.devices import as_device, autocast, device_name, float32_mode, seeded, worker_init
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.data.views import ShuffledBatches, Views, stack
from ribnb.nets.classifier import check_labels, mean_average_precision
from ribnb.nets.classifier_settings import ClassifierSettings
from ribnb.nets.load_or_train import TrainingFolder, image_set_digest, training_identity
from ribnb.nets.models import CAMNet, DigitNet


def train_digit_net(
    images: Float[Tensor, "N 1 H W"],
    labels: Int[Tensor, " N"],
    epochs: int = 8,
    seed: int = 0,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    **design: Any,
) -> tuple[DigitNet, list[float]]:
    """Train a ``DigitNet`` with L_BCE (Adam, learning rate falling linearly to 0).

    Args:
        images: (N, 1, H, W) in [0, 1], on the device to train on.
        labels: (N,) class indices.
        epochs: passes over the images.
        seed: of the initial weights and the order of the images.
        batch_size: images a step.
        learning_rate: Adam's, at the start.
        design: ``pooling``, ``bias`` and ``channels`` of the ``DigitNet``.

    Returns:
        The net in eval mode and the mean loss of each epoch.

    Lee et al. 2021, Figure 1 (the classifier of the toy experiment).
    """
    with seeded(seed):  # initialisers draw from the CPU's global generator
        net = DigitNet(num_classes=2, **design).to(images.device)
    order = torch.Generator().manual_seed(seed)
    one_hot = F.one_hot(labels, 2).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    steps = epochs * -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, power=1.0)
    history = []
    for _ in progress(range(epochs), f"training, seed {seed}"):
        total = 0.0
        for batch in torch.randperm(len(images), generator=order).split(batch_size):
            loss = F.binary_cross_entropy_with_logits(net(images[batch]), one_hot[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        history.append(total / len(images))
    return net.eval(), history


@dataclass(frozen=True)
class Training:
    """What a training gave.

    Attributes:
        model: the net that was handed in, trained and in eval mode.
        history: mean loss L_BCE of each epoch.
        mean_average_precision: on the validation images, in [0, 1]; None without any.
        validation_history: the same after each epoch, if that was asked for; else empty.
        loaded: whether the weights came from the folder, without training.
        seconds: that the training took, whenever it ran.
    """

    model: CAMNet
    history: list[float]
    mean_average_precision: float | None
    validation_history: list[float]
    loaded: bool
    seconds: float


def train_classifier(
    model: CAMNet,
    images: ImageSet,
    settings: ClassifierSettings,
    folder: str | Path | None = None,
    validation: ImageSet | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Training:
    """Train a net's logits with L_BCE, or load it if this was done before.

    Order and views of the images depend on the seed, the epoch and the image alone: not on the
    number of workers, nor on a kill in between. Parameters with ``requires_grad=False`` are left
    alone, and so are the running statistics of a batch norm frozen that way.

    Args:
        model: the net with its initial weights; trained in place.
        images: what to train on.
        settings: the recipe.
        folder: keeps the state after each epoch (``training.pt``), with which a killed training
            goes on, and at the end the net (``classifier.safetensors``), which is loaded the next
            time. A state that cannot be read is warned of, and training starts anew.
        validation: images for the mAP at the end.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device; the model stays there.
        workers: processes that make the views ahead; 0 makes them in this one.

    Raises:
        ValueError: an empty image set, labels of another number of classes than the net's, views
            of different sizes in a batch, or a folder with another training's files (what
            differs is named) or a classifier that is not whole.
        FloatingPointError: a loss that is not finite; the state after the last epoch is kept.

    Lee et al. 2021 take this net over from IRN (Ahn et al. 2019).
    """
    device = as_device(device)
    for image_set in (images, validation):
        if image_set is not None:
            check_labels(model, image_set)
    store = TrainingFolder(folder, training_identity(model, images, settings))
    each_epoch = validation is not None and settings.validate_each_epoch

    def score() -> float:
        options = {"workers": workers, "precision": settings.precision}
        return mean_average_precision(model, validation, device, **options)

    model.to(device)
    record = store.load(model)
    loaded = record is not None
    if not loaded:
        loader = _loader(images, settings, device, workers)
        try:
            with float32_mode(settings.precision):
                record = _train(
                    model, loader, settings, store, device, score if each_epoch else None
                )
        finally:
            model.eval().to(memory_format=torch.contiguous_format)
    model.eval()
    scored = None
    if validation is not None:
        digest = image_set_digest(validation)
        if record.get("validation_images") != digest:
            record.update(validation_images=digest, mean_average_precision=score())
        scored = record["mean_average_precision"]
    if not loaded:
        if each_epoch:
            record["validation_history"].append(scored)
        store.finish(model, {**record, "device": device_name(device)})
    return Training(
        model, record["history"], scored, record["validation_history"], loaded, record["seconds"]
    )


def _loader(
    images: ImageSet, settings: ClassifierSettings, device: torch.device, workers: int
) -> DataLoader:
    return DataLoader(
        Views(images, settings.view(), settings.seed),
        batch_sampler=ShuffledBatches(len(images), settings.batch_size, settings.seed),
        collate_fn=stack,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=worker_init(),
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )


def _train(
    model: CAMNet,
    loader: DataLoader,
    settings: ClassifierSettings,
    store: TrainingFolder,
    device: torch.device,
    score_between: Callable[[], float] | None,
) -> dict[str, Any]:
    """All epochs that are still to do; the record of all of them."""
    if device.type in ("cpu", "cuda"):
        model.to(memory_format=torch.channels_last)  # a quarter faster, for the same sums
    optimizer = _optimizer(model, settings)
    record = store.resume(model, optimizer)
    if record is None:
        record = {"history": [], "validation_history": [], "seconds": 0.0}
    first = len(record["history"])
    steps = settings.epochs * len(loader)
    with progress(None, "training", steps, first * len(loader)) as bar:
        for epoch in range(first, settings.epochs):
            start = time.perf_counter()
            loader.batch_sampler.epoch = epoch
            record["history"].append(_train_epoch(model, loader, optimizer, settings, device, bar))
            if score_between and epoch + 1 < settings.epochs:
                record["validation_history"].append(score_between())
            record["seconds"] += time.perf_counter() - start
            store.keep(model, optimizer, record)
    return record


def _train_epoch(
    model: CAMNet,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    settings: ClassifierSettings,
    device: torch.device,
    bar: tqdm,
) -> float:
    """One pass over the images; their mean loss."""
    _train_mode(model, settings)
    epoch, total = loader.batch_sampler.epoch, 0.0
    for batch, (views, labels) in enumerate(loader):
        views, labels = (part.to(device, non_blocking=True) for part in (views, labels))
        rate = settings.rate(epoch * len(loader) + batch, settings.epochs * len(loader))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        with autocast(settings.precision, device):
            logits = model(views)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the loss is {loss.item()} at epoch {epoch + 1}, step {batch + 1} of "
                f"{len(loader)}. Lower learning_rate = {settings.learning_rate} or raise "
                f"warm_up_steps = {settings.warm_up_steps}, and train in another folder"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        bar.update()
        shown = f"epoch {epoch + 1} of {settings.epochs}, loss {loss.item():.3f}"
        bar.set_postfix_str(shown, refresh=False)
    return total / len(loader.dataset)


def _optimizer(model: CAMNet, settings: ClassifierSettings) -> torch.optim.SGD:
    """SGD on what is not frozen; a group's ``factor`` multiplies the scheduled rate."""
    class_layer = set(model.class_layer.parameters())
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not moving:
        raise ValueError("every parameter of the net is frozen; nothing is left to train")
    groups = [
        {"params": [p for p in moving if p not in class_layer], "factor": 1.0},
        {
            "params": [p for p in moving if p in class_layer],
            "factor": settings.class_layer_factor,
        },
    ]
    return torch.optim.SGD(
        groups,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


def _train_mode(model: CAMNet, settings: ClassifierSettings) -> None:
    """Training mode; batch norms that must not move their statistics stay in eval mode."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            frozen = module.affine and not any(p.requires_grad for p in module.parameters())
            module.train(not (frozen or settings.running_statistics))
