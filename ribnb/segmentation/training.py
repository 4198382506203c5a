"""Training the segmentation network, in one process or in several."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader
from tqdm import tqdm

from ribnb.core.devices import as_device, autocast, device_name, float32_mode, worker_init
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.core.voc import IGNORED
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.load_or_train import START, ResultFile, TrainingFolder, weight_sum
from ribnb.segmentation.files import save_segmentation, segmentation_metadata, segmentation_weights
from ribnb.segmentation.labels import TrainingMasks, check_classes, images_identity
from ribnb.segmentation.processes import Processes
from ribnb.segmentation.settings import SegmentationSettings
from ribnb.segmentation.views import SegmentationBatches, SegmentationViews, stack_masks

SEGMENTATION = ResultFile(
    "segmentation.safetensors", save_segmentation, segmentation_metadata, segmentation_weights
)


@dataclass(frozen=True)
class SegmentationTraining:
    """What a training gave.

    Attributes:
        model: the net that was handed in, trained and in eval mode.
        history: mean loss of each pass over the images; the last may be a part of one.
        loaded: whether the weights came from the folder, without training.
        seconds: that the training took, whenever it ran.
    """

    model: DeepLabV2
    history: list[float]
    loaded: bool
    seconds: float


def train_segmentation(
    net: DeepLabV2,
    images: ImageSet,
    masks_dir: str | Path | None,
    settings: SegmentationSettings,
    folder: str | Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> SegmentationTraining:
    """Train the net on masks, or load it if this was done before.

    The loss is the cross entropy, averaged over the labelled positions of a batch. As in
    DeepLab-v2 the labels come down to the logits' resolution: a position of the logits is held
    against the one pixel that it is centred on. Views and order depend on the seed, the pass over
    the images and the image alone: not on the number of workers, nor on a kill in between.

    In a process group (``torchrun``) each process takes its part of every batch, and the result
    is that of one process, up to rounding; the first process writes.

    Args:
        net: with its initial weights; trained in place.
        images: what to train on.
        masks_dir: folder of the masks ``<id>.png``; None takes ``images.mask``, the truth.
        settings: the recipe.
        folder: keeps the state after each pass (``training.pt``), with which a killed training
            goes on, and at the end the net (``segmentation.safetensors``), which is loaded the
            next time. A state that cannot be read is warned of, and training starts anew.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device; the net stays there.
        workers: processes that make the views ahead; 0 makes them in this one.

    Raises:
        ValueError: no images, or of other classes than the net's; masks that cannot be used (some
            are named); a folder with another training's files (what differs is named); batches
            that cannot be shared between the processes.
        FileNotFoundError: there is no folder of masks.
        OSError: an image that cannot be read; the state after the last pass is kept.
        FloatingPointError: a loss that is not finite; the state after the last pass is kept.

    Chen et al. 2018 (TPAMI), section 4.1.
    """
    device, processes = as_device(device), Processes()
    _check(net, images, settings, processes)
    masks = TrainingMasks(images, masks_dir)
    store = TrainingFolder(folder, _identity(net, images, masks, settings, workers), SEGMENTATION)
    net.to(device)
    record = store.load(net)
    loaded = record is not None
    if not loaded:
        loader = _loader(images, masks, settings, device, workers, processes)
        with float32_mode(settings.precision), _training_mode(net, settings.frozen_batch_norm):
            record = _train(net, loader, settings, store, device, processes)
        if processes.rank == 0:
            store.finish(net, {**record, "device": device_name(device)})
        processes.wait()
    return SegmentationTraining(net.eval(), record["history"], loaded, record["seconds"])


def parameter_groups(net: DeepLabV2, settings: SegmentationSettings) -> list[dict[str, Any]]:
    """The net's moving parameters by their learning rate, over that of the backbone's weights.

    A group's ``factor`` multiplies the scheduled rate. Biases have no weight decay.

    Raises:
        ValueError: nothing moves.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            kind = name.startswith("branches."), name.endswith(".bias")
            groups.setdefault(kind, []).append(parameter)
    if not groups:
        raise ValueError("every parameter of the net is frozen; nothing is left to train")
    return [
        {
            "params": parameters,
            "factor": (settings.head_factor if head else 1.0)
            * (settings.bias_factor if bias else 1.0),
            "weight_decay": 0.0 if bias else settings.weight_decay,
        }
        for (head, bias), parameters in groups.items()
    ]


def _check(
    net: DeepLabV2, images: ImageSet, settings: SegmentationSettings, processes: Processes
) -> None:
    if not len(images):
        raise ValueError("the image set is empty")
    check_classes(net, images)
    if settings.batch_size < processes.count:
        raise ValueError(
            f"batch_size = {settings.batch_size} cannot be shared by {processes.count} processes"
        )
    if processes.count > 1 and not settings.frozen_batch_norm:
        raise ValueError(
            f"frozen_batch_norm = False with {processes.count} processes: each would normalise by "
            "its own part of the batch. Freeze it, or train in one process"
        )


def _identity(
    net: DeepLabV2,
    images: ImageSet,
    masks: TrainingMasks,
    settings: SegmentationSettings,
    workers: int,
) -> dict[str, Any]:
    """All that decides what the training gives, ready for JSON."""
    return {
        **settings.training(),
        "arch": net.arch,
        "num_classes": net.num_classes,
        "atrous_rates": list(net.atrous_rates),
        "class_names": list(images.class_names),
        "images": images_identity(images),
        **masks.check(workers),
        "frozen parameters": sum(not p.requires_grad for p in net.parameters()),
        START: weight_sum(net),
    }


def _loader(
    images: ImageSet,
    masks: TrainingMasks,
    settings: SegmentationSettings,
    device: torch.device,
    workers: int,
    processes: Processes,
) -> DataLoader:
    return DataLoader(
        SegmentationViews(images, masks.mask, settings.view(), settings.seed),
        batch_sampler=SegmentationBatches(
            len(images),
            settings.batch_size,
            settings.steps,
            settings.seed,
            (processes.rank, processes.count),
        ),
        collate_fn=stack_masks,
        num_workers=workers,
        worker_init_fn=worker_init(),
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # else it draws from the global one
    )


def _train(
    net: DeepLabV2,
    loader: DataLoader,
    settings: SegmentationSettings,
    store: TrainingFolder,
    device: torch.device,
    processes: Processes,
) -> dict[str, Any]:
    """All steps that are still to do; the record of all of them."""
    optimizer = torch.optim.SGD(
        parameter_groups(net, settings), lr=settings.learning_rate, momentum=settings.momentum
    )
    record = store.resume(net, optimizer) or {"history": [], "steps": 0, "seconds": 0.0}
    together = processes.together(net, device)
    batches: SegmentationBatches = loader.batch_sampler
    batches.first = record["steps"]
    losses, ends, start = [], set(batches.ends()), time.perf_counter()
    with _bar(settings.steps, batches.first, processes) as bar:
        for step, (views, masks) in enumerate(loader, batches.first):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step) * group["factor"]
            labels = masks[:, :: net.output_stride, :: net.output_stride]
            views, labels = (part.to(device, non_blocking=True) for part in (views, labels))
            with autocast(settings.precision, device):
                logits = together(views)
            total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
            losses.append(_step(total, (labels != IGNORED).sum(), optimizer, processes))
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(_not_finite(losses[-1], step, settings))
            bar.update()
            bar.set_postfix_str(f"loss {losses[-1]:.3f}", refresh=False)
            if step + 1 in ends:
                record["history"].append(math.fsum(losses) / len(losses))
                record["seconds"] += time.perf_counter() - start
                record["steps"], losses, start = step + 1, [], time.perf_counter()
                if processes.rank == 0:
                    store.keep(net, optimizer, record)
    return record


def _not_finite(loss: float, step: int, settings: SegmentationSettings) -> str:
    start = ", and frozen_batch_norm = True needs a trained backbone to start from"
    return (
        f"the loss is {loss} at step {step + 1} of {settings.steps}. Lower learning_rate = "
        f"{settings.learning_rate}, and train in another folder"
        f"{start if settings.frozen_batch_norm else ''}"
    )


def _step(
    total: torch.Tensor,
    labelled: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    processes: Processes,
) -> float:
    """One update; the mean loss of the whole batch, without an update if it is not finite.

    Args:
        total: the loss of this process's part, added up over its labelled positions.
        labelled: how many these are.
    """
    sums = processes.sum(torch.stack([total.detach(), labelled.to(total.dtype)]))
    number = sums[1].clamp(min=1)  # a batch may be ignored altogether
    mean = (sums[0] / number).item()
    if math.isfinite(mean):
        optimizer.zero_grad()
        # The gradients are averaged over the processes, whose parts have more and fewer labels:
        # so each part counts in the sum, and the sum is divided by all labels.
        (total * (processes.count / number)).backward()
        optimizer.step()
    return mean


def _bar(steps: int, done: int, processes: Processes) -> tqdm:
    if processes.rank:
        return tqdm(disable=True)
    return progress(None, "training", steps, done)


@contextmanager
def _training_mode(net: DeepLabV2, frozen_batch_norm: bool) -> Iterator[None]:
    """Training mode, in which a frozen batch norm moves neither statistics nor weights."""
    net.train().to(memory_format=torch.channels_last)  # faster, for the same sums
    frozen = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    frozen = frozen if frozen_batch_norm else []
    still = [p for module in frozen for p in module.parameters() if p.requires_grad]
    for module in frozen:
        module.eval()
    for parameter in still:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in still:
            parameter.requires_grad_(True)
        net.eval().to(memory_format=torch.contiguous_format)
