"""The classifier: trained with L_BCE, loaded, scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from ribnb.core.devices import as_device, autocast, evaluation, float32_mode, worker_init
from ribnb.core.image_set import ImageSet
from ribnb.core.progress import progress
from ribnb.data.views import ShuffledBatches, Views, to_tensor
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.classifier_settings import ClassifierSettings
from ribnb.nets.fitting import Training, fit, logit_loss, shuffled
from ribnb.nets.training_folder import image_set_digest


def train_classifier(
    net: CAMNet,
    images: ImageSet,
    settings: ClassifierSettings,
    folder: str | Path | None = None,
    validation: ImageSet | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Training:
    """Train a net's logits with L_BCE, or load it if this was done before; see ``fit``.

    Order and views of the images depend on the seed, the epoch and the image alone: not on the
    number of workers, nor on a kill in between. Parameters with ``requires_grad=False`` are left
    alone, and so are the running statistics of a batch norm frozen that way.

    Args:
        net: with its initial weights; trained in place.
        images: what to train on.
        settings: the recipe.
        folder: keeps the state after each epoch (``training.pt``), with which a killed training
            goes on, and at the end the net (``classifier.safetensors``), which is loaded the next
            time. A state that cannot be read is warned of, and training starts anew.
        validation: images for the mAP at the end.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device; the net stays there.
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
            check_labels(net, image_set)
    keys = ShuffledBatches(len(images), settings.batch_size, settings.seed, settings.epochs)
    steps = len(keys)
    each_epoch = validation is not None and settings.validate_each_epoch
    digest = None if validation is None else image_set_digest(validation)

    def score(record: dict[str, Any]) -> None:
        score = mean_average_precision(
            net, validation, device, workers=workers, precision=settings.precision
        )
        record.update(mean_average_precision=score, validation_images=digest)
        if each_epoch:
            record["validation_history"] = [*record.get("validation_history", []), score]

    def score_between(record: dict[str, Any]) -> None:
        if each_epoch and record["steps"] < steps:
            score(record)

    training = fit(
        net,
        _optimizer(net, settings),
        shuffled(Views(images, settings.view(), settings.seed), keys, device, workers),
        keys.ends(),
        logit_loss,
        lambda step: settings.rate(step, steps),
        folder=folder,
        identity={
            **settings.identity(),
            "class_names": list(images.class_names),
            "images": image_set_digest(images),
        },
        device=device,
        precision=settings.precision,
        still=_still_norms(net, settings),
        channels_last=True,
        each_pass=score_between,
        at_end=None if validation is None else score,
        advice=f"Lower learning_rate = {settings.learning_rate} or raise warm_up_steps = "
        f"{settings.warm_up_steps}",
    )
    record = dict(training.record)
    if validation is None:
        record.pop("mean_average_precision", None)
    elif record.get("validation_images") != digest:
        each_epoch = False
        score(record)
    return replace(training, record=record)


def _optimizer(net: CAMNet, settings: ClassifierSettings) -> torch.optim.SGD:
    """SGD on what is not frozen; a group's ``factor`` multiplies the scheduled rate."""
    class_layer = set(net.class_layer.parameters())
    moving = [parameter for parameter in net.parameters() if parameter.requires_grad]
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


def _still_norms(net: CAMNet, settings: ClassifierSettings) -> list[nn.Module]:
    """The batch norms whose statistics must not move."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return [
        norm
        for norm in norms
        if settings.running_statistics
        or (norm.affine and not any(p.requires_grad for p in norm.parameters()))
    ]


def load_classifier(
    path: str | Path, arch: str | None = None, num_classes: int | None = None
) -> CAMNet:
    """The classifier of a checkpoint: on the CPU, in float32, in eval mode.

    Args:
        path: the file.
        arch: the architecture that it must have, if that matters.
        num_classes: the number of classes that it must have, if that matters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, no classifier, or not of the kind asked for.
    """
    return CAMNet.load(path, arch=arch, num_classes=num_classes)


@torch.no_grad()
def mean_average_precision(
    model: CAMNet,
    images: ImageSet,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "float32",
) -> float:
    """mAP in [0, 1]: average precision, averaged over the classes that occur in the images.

    The images are seen whole, at their own size; those of a batch go through the net together
    if they have one size, else one by one. The net's mode is left as it was.

    Args:
        model: a classifier; it is moved to ``device``.
        images: an image set.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ..., or a device.
        batch_size: images at a time.
        workers: processes that read images ahead; 0 reads them in this one.
        precision: ``"float32"``, ``"tf32"`` or ``"bfloat16"``.

    Raises:
        ValueError: the labels are of another number of classes than the net's, or all 0.
    """
    from sklearn.metrics import average_precision_score  # takes a second

    check_labels(model, images)
    device = as_device(device)
    loader = DataLoader(
        Views(images, to_tensor),
        batch_size,
        sampler=[(0, index) for index in range(len(images))],
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=worker_init(),
        generator=torch.Generator(),  # else it draws from the global one
    )
    scores = []
    model.to(device)
    with evaluation(model), float32_mode(precision), autocast(precision, device):
        for items in progress(loader, "validation"):
            views = [view for view, _ in items]
            alike = len({view.shape for view in views}) == 1
            groups = [torch.stack(views)] if alike else [view[None] for view in views]
            scores += [model(group.to(device)).cpu() for group in groups]
    logits, labels = torch.cat(scores).double().numpy(), images.labels.numpy()
    precisions = [
        average_precision_score(labels[:, c], logits[:, c])
        for c in range(labels.shape[1])
        if labels[:, c].any()
    ]
    if not precisions:
        raise ValueError("no image has a label, so that no class has an average precision")
    return float(np.mean(precisions))


def check_labels(model: CAMNet, images: ImageSet) -> None:
    """Raise ValueError unless there are images, with a label for each class of the net."""
    if not len(images):
        raise ValueError("the image set is empty")
    wanted = (len(images), model.num_classes)
    if tuple(images.labels.shape) != wanted or len(images.class_names) != model.num_classes:
        raise ValueError(
            f"the net has {model.num_classes} classes, the {len(images)} images have "
            f"{len(images.class_names)} class names and labels of the shape "
            f"{tuple(images.labels.shape)}; it must be {wanted}"
        )
