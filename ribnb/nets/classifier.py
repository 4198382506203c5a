"""The classifier: its recipe, its training with L_BCE, its score."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator
from torch.nn.modules.batchnorm import _BatchNorm

from ribnb.core.devices import (
    Precision,
    autocast,
    data_loader,
    evaluation,
    float32_mode,
    resolve_device,
)
from ribnb.core.parameters import differences
from ribnb.core.runner import progress
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.voc import ImageSet, image_set_digest
from ribnb.data.views import (
    IMAGENET_COLOURS,
    Normalization,
    RandomView,
    ShuffledBatches,
    Views,
    to_tensor,
)
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.fitting import Training, fit, logit_loss, shuffled
from ribnb.nets.published import classifier_of_others
from ribnb.nets.weights import load_state, of_torch


class ClassifierSettings(Settings):
    """How a classifier is trained. The defaults are IRN's recipe for VOC, the net of the paper."""

    epochs: int = setting(5, "passes over the images", ge=1)
    batch_size: int = setting(16, "images a step", ge=1)
    learning_rate: float = setting(0.1, "of the backbone, at the start", ge=0)
    class_layer_factor: float = setting(
        10.0, "the class layer's learning rate over the backbone's", ge=0
    )
    momentum: float = setting(0.9, "of SGD", ge=0, le=1)
    nesterov: bool = setting(True, "look ahead along the momentum")
    weight_decay: float = setting(1e-4, "of all weights", ge=0)
    warm_up_steps: int = setting(0, "steps in which the rate first grows linearly", ge=0)
    power: float = setting(0.9, "of the polynomial decay of the rate", ge=0)
    running_statistics: bool = setting(
        False, "batch norm on its running statistics, which then stay as they are"
    )
    crop_size: int = setting(512, "side of a random crop, pixels; 0: whole images", ge=0)
    long_side_min: int = setting(320, "smallest random long side, pixels; 0: as is", ge=0)
    long_side_max: int = setting(640, "largest random long side, pixels; 0: as is", ge=0)
    flip: bool = setting(True, "mirror one image in two")
    precision: Precision = setting("float32", "tf32 rounds on CUDA, bfloat16 is mixed precision")
    seed: int = setting(0, "of the images' order and views", ge=0)
    validate_each_epoch: bool = setting(
        False, "validate after each epoch, not only after the last", identity=False
    )

    @model_validator(mode="after")
    def _check(self):
        smallest, largest = self.long_side_min, self.long_side_max
        if smallest > largest or (smallest == 0) != (largest == 0):
            raise SettingsError(
                f"long_side_min = {smallest} and long_side_max = {largest} are no range of "
                "pixels; both 0 keeps each image's size"
            )
        if self.nesterov and self.momentum == 0:
            raise SettingsError("nesterov = True needs a momentum above 0; it is 0.0")
        return self

    @classmethod
    def released(cls, **changes: Any) -> ClassifierSettings:
        """IRN's recipe as its code runs it, with changes.

        Its 0.9 is the power of the decay only; the momentum that reaches SGD is 1e-4, a weight
        decay handed over in momentum's place. Batch norm keeps ImageNet's statistics. (It also
        stops the gradient after layer2: freeze those stages before you train.)
        """
        recipe = {"momentum": 1e-4, "nesterov": False, "running_statistics": True}
        return cls(**{**recipe, **changes})

    @classmethod
    def scenes(cls, **changes: Any) -> ClassifierSettings:
        """For the net ``"scenes"`` on 3,000 scenes of 96 x 96 pixels, with changes."""
        recipe = {
            "epochs": 4,
            "batch_size": 32,
            "learning_rate": 0.05,
            "class_layer_factor": 1.0,
            "weight_decay": 3e-3,
            "warm_up_steps": 50,
            "crop_size": 0,
            "long_side_min": 0,
            "long_side_max": 0,
        }
        return cls(**{**recipe, **changes})

    @classmethod
    def photographs(cls, **changes: Any) -> ClassifierSettings:
        """For a net that knows ImageNet, on some thousand photographs of 320 pixels, with changes.

        Each stands whole in a square of 320 pixels, since the images of a batch need one size.
        """
        recipe = {
            "epochs": 4,
            "learning_rate": 0.01,
            "running_statistics": True,
            "crop_size": 320,
            "long_side_min": 0,
            "long_side_max": 0,
        }
        return cls(**{**recipe, **changes})

    def rate(self, step: int, steps: int) -> float:
        """The backbone's learning rate at a step, from 0, of ``steps``: warm-up times poly."""
        warm_up = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        return self.learning_rate * warm_up * (1 - step / steps) ** self.power

    def view(self, normalization: Normalization = IMAGENET_COLOURS) -> RandomView:
        """The random views of the training images, in the net's colours."""
        long_side = (self.long_side_min, self.long_side_max) if self.long_side_max else None
        return RandomView(self.crop_size, long_side, self.flip, normalization)


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
        folder: where a killed training goes on, and a finished one is loaded from.
        validation: images for the mAP at the end.
        device, workers: as in ``fit`` and ``shuffled``.

    Raises:
        ValueError: an empty image set, labels of another number of classes than the net's, views
            of different sizes in a batch, and as ``fit``.
        FloatingPointError: a loss that is not finite; the state after the last epoch is kept.

    Lee et al. 2021 take this net over from IRN (Ahn et al. 2019).
    """
    device = resolve_device(device)
    for image_set in (images, validation):
        if image_set is not None:
            check_labels(net, image_set)
    keys = ShuffledBatches(len(images), settings.batch_size, settings.seed, settings.epochs)
    steps = len(keys)
    digest = None if validation is None else image_set_digest(validation)

    def score(record: dict[str, Any]) -> None:
        if validation is None or not (settings.validate_each_epoch or record["steps"] == steps):
            return
        score = mean_average_precision(
            net, validation, device, workers=workers, precision=settings.precision
        )
        record.update(mean_average_precision=score, validation_images=digest)
        if settings.validate_each_epoch:
            record["validation_history"] = [*record.get("validation_history", []), score]

    head = [weight for weight in net.class_layer.parameters() if weight.requires_grad]
    rest = [weight for weight in net.backbone.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(
        [{"params": rest}, {"params": head, "factor": settings.class_layer_factor}],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    views = Views(images, settings.view(net.normalization), settings.seed)
    training = fit(
        net,
        optimizer,
        shuffled(views, keys, device, workers),
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
        still=[n for n in norms if settings.running_statistics or not n.weight.requires_grad],
        channels_last=True,
        each_pass=score,
    )
    if validation is None or training.record.get("validation_images") == digest:
        return training
    record = {**training.record, "validation_history": []}  # it was scored on others, or not at all
    score(record)
    return replace(training, record=record)


def load_classifier(
    path: str | Path, arch: str | None = None, num_classes: int | None = None
) -> CAMNet:
    """The classifier of a checkpoint, as ``CAMNet.load``; ``arch`` and ``num_classes`` if given.

    Also a ResNet's state dict that IRN's or RIB's program, or torchvision, left with torch.save,
    which a warning says, because such a file does not name its classes. Errors are the same.
    """
    if not of_torch(path):
        return CAMNet.load(path, arch=arch, num_classes=num_classes)
    whose, own, state = classifier_of_others(path)
    design = {"arch": own, "num_classes": len(state["class_layer.weight"])}
    wanted = {"arch": arch or own, "num_classes": num_classes or design["num_classes"]}
    if other := differences(design, wanted):
        raise ValueError(f"{path} (by the names of {whose}) is another classifier: {other}")
    with torch.random.fork_rng(devices=[]):  # the initial weights that the file's replace
        net = CAMNet(**design, bias="bias" in state)
    load_state(net, state, f"{path} (by the names of {whose})", own)
    warnings.warn(
        f"{path} is a {own} by the names of {whose}; its {net.num_classes} classes, which it does "
        "not name, are taken in the data's order",
        stacklevel=2,
    )
    return net.eval()


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

    It moves to ``device``; ``workers`` processes read ahead. ValueError if the labels are of
    another number of classes than the net's, or all 0.
    """
    from sklearn.metrics import average_precision_score  # takes a second

    check_labels(model, images)
    device = resolve_device(device)
    views = Views(images, partial(to_tensor, normalization=model.normalization))
    keys = [(0, index) for index in range(len(images))]
    loader = data_loader(views, workers, batch_size=batch_size, sampler=keys, collate_fn=list)
    scores = []
    model.to(device)
    with evaluation(model), float32_mode(precision), autocast(precision, device):
        for items in progress(loader, "validation"):
            views = [view for view, _ in items]
            alike = len({view.shape for view in views}) == 1
            groups = [torch.stack(views)] if alike else [view[None] for view in views]
            scores += [model(group.to(device)).cpu() for group in groups]
    logits, labels = torch.cat(scores).double().numpy(), images.labels.numpy()
    occurs = labels.any(axis=0)
    if not occurs.any():
        raise ValueError("no image has a label, so that no class has an average precision")
    return float(average_precision_score(labels[:, occurs], logits[:, occurs]))


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
