"""The recipe of the segmentation network, and its training on masks, in one process or more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ribnb.core.devices import Precision, resolve_device
from ribnb.core.parameters import flat
from ribnb.core.runner import MASKS, progress, read_record
from ribnb.core.settings import Settings, SettingsError, setting
from ribnb.core.voc import IGNORED, ImageSet, image_set_digest, read_mask
from ribnb.data.photos import upright_size
from ribnb.data.views import LabelledViews, ShuffledBatches
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import Processes, Training, fit, shuffled

TRUTH = "the truth"
_NAMED = 3  # images with faults that an error names


class SegmentationSettings(Settings):
    """How DeepLab-v2 is trained on masks, and how it predicts.

    The defaults, which ``voc()`` gives too, are DeepLab-v2's recipe for VOC 2012 (Chen et al.
    2018, section 4.1) without its three input scales at training time and without COCO.
    ``scenes()`` is ours for the small net. Biases have no weight decay, as in DeepLab's own files.
    """

    steps: int = setting(20_000, "updates of the net", ge=1)
    batch_size: int = setting(10, "images a step, over all processes", ge=1)
    learning_rate: float = setting(2.5e-4, "of the backbone's weights, at the start", ge=0)
    head_factor: float = setting(10.0, "the branches' learning rate over the backbone's", ge=0)
    bias_factor: float = setting(2.0, "the biases' learning rate over the weights'", ge=0)
    momentum: float = setting(0.9, "of SGD", ge=0, le=1)
    weight_decay: float = setting(5e-4, "of all weights", ge=0)
    power: float = setting(0.9, "of the polynomial decay of the rate", ge=0)
    frozen_batch_norm: bool = setting(
        True, "batch norm keeps its statistics and its weights as they are"
    )
    crop_size: int = setting(321, "side of a random crop, pixels", ge=1)
    scale_min: float = setting(0.5, "smallest random scale of image and mask", gt=0)
    scale_max: float = setting(1.5, "largest random scale of image and mask", gt=0)
    flip: bool = setting(True, "mirror one image in two")
    precision: Precision = setting("float32", "tf32 rounds on CUDA, bfloat16 is mixed precision")
    seed: int = setting(0, "of the images' order and views", ge=0)
    test_scales: tuple[Annotated[float, Field(gt=0)], ...] = setting(
        (0.5, 0.75, 1.0, 1.25, 1.5),
        "scales of the image whose predictions are averaged",
        min_length=1,
    )
    test_flip: bool = setting(True, "average over the mirrored images too")

    @model_validator(mode="after")
    def _range(self):
        if self.scale_min > self.scale_max:
            raise SettingsError(
                f"scale_min = {self.scale_min} and scale_max = {self.scale_max} are no range"
            )
        return self

    @classmethod
    def voc(cls, **changes: Any) -> SegmentationSettings:
        """DeepLab-v2's recipe for VOC 2012, with changes; it needs an ImageNet start."""
        return cls(**changes)

    @classmethod
    def scenes(cls, **changes: Any) -> SegmentationSettings:
        """For the net ``"scenes"`` on a few hundred scenes of 96 x 96 pixels, with changes.

        It starts from the backbone of its classifier, as DeepLab does from ImageNet's; without
        such a start set ``frozen_batch_norm=False``.
        """
        recipe = {
            "steps": 300,
            "learning_rate": 1e-3,
            "crop_size": 96,
            "scale_min": 0.75,
            "scale_max": 1.25,
            "test_scales": (0.75, 1.0, 1.25),
        }
        return cls(**{**recipe, **changes})

    @classmethod
    def photographs(cls, **changes: Any) -> SegmentationSettings:
        """For ``timm/tf_efficientnet_lite0`` on photographs of 320 pixels, with changes.

        Half an hour of one core; the branches' rate is DeepLab-v2's, three times as large is not
        stable. A crop is a multiple of the stride and one pixel: with an even one EfficientNet's
        padding moves every position by nearly a stride against its pixel.
        """
        recipe = {
            "steps": 350,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "head_factor": 3.0,
            "crop_size": 193,
            "test_scales": (1.0,),
        }
        return cls(**{**recipe, **changes})

    def rate(self, step: int) -> float:
        """The learning rate of the backbone's weights at a step, from 0: poly."""
        return self.learning_rate * (1 - step / self.steps) ** self.power

    def training(self) -> dict[str, Any]:
        """The fields that change what a training gives, with their values."""
        own = self.identity().items()
        return {name: value for name, value in own if not name.startswith("test_")}

    def prediction(self) -> dict[str, Any]:
        """The fields that change what a trained net predicts, with their values."""
        names = ("precision", "test_scales", "test_flip")
        return {name: value for name, value in self.identity().items() if name in names}


def train_segmentation(
    net: DeepLabV2,
    images: ImageSet,
    masks_dir: str | Path | None,
    settings: SegmentationSettings,
    folder: str | Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Training:
    """Train the net on masks, or load it if this was done before; see ``fit``.

    The loss is the cross entropy, averaged over the labelled positions of a batch. As in
    DeepLab-v2 the labels come down to the logits' resolution: a position of the logits is held
    against the one pixel that it is centred on. Views and order depend on the seed, the pass over
    the images and the image alone: not on the number of workers, nor on a kill in between.

    In a process group (``torchrun``) each process takes its part of every batch, and the result
    is that of one process, up to rounding; the first process writes.

    Args:
        net: with its initial weights; trained in place. Batch norms that are frozen stay so.
        masks_dir: folder of the masks ``<id>.png``; None takes ``images.mask``, the truth.
        folder: keeps the state after each pass and at the end ``segmentation.safetensors``.
        workers: processes that make the views ahead; 0 makes them in this one.

    Raises:
        ValueError: no images, or of other classes than the net's; masks that cannot be used (some
            are named); a folder with another training's files (what differs is named); batches
            that cannot be shared between the processes.
        OSError: an image that cannot be read; the state after the last pass is kept.
        FloatingPointError: a loss that is not finite; the state after the last pass is kept.

    Chen et al. 2018 (TPAMI), section 4.1.
    """
    device, processes = resolve_device(device), Processes()
    check_classes(net, images)
    # each takes a part of a batch, by which a batch norm that is not frozen would normalise
    if processes.count > (settings.batch_size if settings.frozen_batch_norm else 1):
        raise ValueError(
            f"{processes.count} processes cannot share batches of {settings.batch_size} images "
            f"with frozen_batch_norm = {settings.frozen_batch_norm}"
        )
    views = LabelledViews(
        images,
        partial(_mask, images, masks_dir),
        settings.crop_size,
        (settings.scale_min, settings.scale_max),
        settings.flip,
        settings.seed,
        normalization=net.normalization,
    )
    keys = ShuffledBatches(
        len(images),
        settings.batch_size,
        settings.seed,
        steps=settings.steps,
        part=(processes.rank, processes.count),
    )

    def loss(forward: Callable, views: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        labels = masks[:, :: net.output_stride, :: net.output_stride].long()
        logits = forward(views).float()
        total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        labelled = (labels != IGNORED).sum()
        return total / labelled.clamp(min=1), labelled  # a batch may be ignored altogether

    identity = {
        **settings.training(),
        "class_names": list(images.class_names),
        "images": image_set_digest(images, labels=False),
        **_masks_identity(images, masks_dir),
    }
    norms = [one for one in net.modules() if isinstance(one, _BatchNorm)]
    still = norms if settings.frozen_batch_norm else []
    for norm in still:
        norm.requires_grad_(False)
    return fit(
        net,
        torch.optim.SGD(
            parameter_groups(net, settings),
            lr=settings.learning_rate,
            momentum=settings.momentum,
        ),
        shuffled(views, keys, device, workers),
        keys.ends(),
        loss,
        settings.rate,
        folder=folder,
        identity=identity,
        device=device,
        precision=settings.precision,
        still=still,
        channels_last=True,
    )


def parameter_groups(net: DeepLabV2, settings: SegmentationSettings) -> list[dict[str, Any]]:
    """The net's moving parameters by the ``factor`` of their rate; biases have no weight decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            kind = name.startswith("branches."), name.endswith(".bias")
            groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": parameters,
            "factor": (settings.head_factor if head else 1.0)
            * (settings.bias_factor if bias else 1.0),
            "weight_decay": 0.0 if bias else settings.weight_decay,
        }
        for (head, bias), parameters in groups.items()
    ]


def _mask(images: ImageSet, masks_dir: str | Path | None, index: int) -> UInt8[ndarray, "H W"]:
    """The mask to train on: 0 background, class_id + 1, 255 ignored."""
    if masks_dir is None:
        return images.mask(index)
    return read_mask(Path(masks_dir) / f"{images.ids[index]}.png", len(images.class_names))


def _masks_identity(images: ImageSet, masks_dir: str | Path | None) -> dict[str, Any]:
    """Look at every mask; a digest of all pixels and who made them, ready for JSON.

    ValueError for masks that are missing, damaged, of another size than their image or of an
    unknown class, or without a labelled pixel in all of them; some are named.
    """
    where, number = masks_dir or TRUTH, len(images)
    faults, state, labelled = [], hashlib.sha256(), False
    for index, image_id in enumerate(progress(images.ids, "masks")):
        try:
            mask, size = _mask(images, masks_dir, index), _size(images, index)
            if mask.shape != size:
                raise ValueError(f"the mask is {mask.shape}, the image {size} (H, W)")
        except (OSError, ValueError) as error:
            faults.append(f"{image_id}: {error}")
            continue
        pixels = f"{mask.shape}".encode() + np.ascontiguousarray(mask).tobytes()
        state.update(hashlib.sha256(pixels).digest())
        labelled = labelled or bool((mask != IGNORED).any())
    if faults:
        raise ValueError(
            f"{len(faults)} of {number} images have no mask to train on in {where}: "
            f"{'; '.join(faults[:_NAMED])} ... Make these masks again, or train on a split without "
            "these images"
        )
    if not labelled:
        raise ValueError(f"no pixel is labelled in all {number} masks of {where}")
    found = {"masks": state.hexdigest()[:12], "masks made by": TRUTH}
    if masks_dir is None:
        return found
    if not (Path(masks_dir) / MASKS.record).exists():
        return {**found, "masks made by": f"a folder without {MASKS.record}"}
    record = read_record(masks_dir, MASKS)
    return {**found, "masks made by": record.get("stage"), **flat({"masks": record})}


def _size(images: ImageSet, index: int) -> tuple[int, int]:
    """Height and width of an image, from the header of its file where there is one."""
    path = getattr(images, "image_path", None)
    with Image.open(path(index)) if path else images.image(index) as image:
        return upright_size(image)[::-1]


def check_classes(net: DeepLabV2, images: ImageSet) -> None:
    """Raise ValueError unless net and images are of the same number of classes."""
    if len(images.class_names) != net.num_classes:
        raise ValueError(
            f"the net has {net.num_classes} classes besides the background, the images have "
            f"{len(images.class_names)}: {', '.join(images.class_names)}"
        )
