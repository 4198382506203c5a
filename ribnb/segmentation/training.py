"""Training the segmentation network on masks, in one process or in several."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ribnb.core.devices import as_device
from ribnb.core.files import image_set_digest
from ribnb.core.progress import progress
from ribnb.core.runner import MASKS, read_record, run_jobs
from ribnb.core.settings import flat
from ribnb.core.voc import IGNORED, ImageSet, read_mask
from ribnb.data.views import LabelledViews, ShuffledBatches
from ribnb.masks.stages import image_size
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import Processes, Training, fit, shuffled
from ribnb.segmentation.settings import SegmentationSettings

TRUTH = "the truth"
_CHUNK = 256  # images that a process takes at a time: few images are quicker without any
_NAMED = 3  # images with faults that an error names


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
    views = LabelledViews(
        images,
        partial(_mask, images, masks_dir),
        settings.crop_size,
        (settings.scale_min, settings.scale_max),
        settings.flip,
        settings.seed,
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
        **_masks_identity(images, masks_dir, workers),
    }
    advice = f"Lower learning_rate = {settings.learning_rate}"
    if settings.frozen_batch_norm:
        advice += ", start from a trained backbone or set frozen_batch_norm = False"
    with _still_norms(net, settings.frozen_batch_norm) as still:
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
            advice=advice,
        )


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


def _mask(images: ImageSet, masks_dir: str | Path | None, index: int) -> UInt8[ndarray, "H W"]:
    """The mask to train on: 0 background, class_id + 1, 255 ignored."""
    if masks_dir is None:
        return images.mask(index)
    return read_mask(Path(masks_dir) / f"{images.ids[index]}.png", len(images.class_names))


def _masks_identity(images: ImageSet, masks_dir: str | Path | None, workers: int) -> dict[str, Any]:
    """Look at every mask; what identifies them all, ready for JSON.

    Returns:
        ``masks``: 12 hexadecimal digits of all pixels; ``masks made by``: ``"the truth"`` or
        the stage; for a folder with a ``masks.json`` its entries, as ``masks.settings.x``.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: masks that are missing, damaged, of another size than their image or of an
            unknown class, or without a labelled pixel in all of them; some are named.
    """
    where, number = masks_dir or TRUTH, len(images)
    if masks_dir is not None and not Path(masks_dir).is_dir():
        raise FileNotFoundError(f"there is no folder of masks {masks_dir}")
    faults, state, labelled = [], hashlib.sha256(), 0
    looks = run_jobs(partial(_look, images, masks_dir), range(number), max(1, workers), _CHUNK)
    for image_id, (fault, digest, pixels) in zip(
        images.ids, progress(looks, "masks", number), strict=True
    ):
        if fault:
            faults.append(f"{image_id}: {fault}")
        state.update(digest)
        labelled += pixels
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise ValueError(
            f"{len(faults)} of {number} images have no mask to train on in {where}: "
            f"{'; '.join(faults[:_NAMED])}{more}. Make these masks again, or train on a split "
            "without these images"
        )
    if not labelled:
        raise ValueError(f"no pixel is labelled in all {number} masks of {where}")
    origin: dict[str, Any] = {"masks made by": TRUTH}
    if masks_dir is not None and not (Path(masks_dir) / MASKS.record).exists():
        origin = {"masks made by": f"a folder without {MASKS.record}"}
    elif masks_dir is not None:
        record = read_record(masks_dir, MASKS)
        origin = {"masks made by": record.get("stage"), **flat({"masks": record})}
    return {"masks": state.hexdigest()[:12], **origin}


def _look(images: ImageSet, masks_dir: str | Path | None, index: int) -> tuple[str, bytes, int]:
    """What is wrong with a mask, a hash of its pixels, and how many are labelled."""
    try:
        mask = _mask(images, masks_dir, index)
        height, width = image_size(images, index)
    except (OSError, ValueError) as error:
        return str(error), b"", 0
    if mask.shape != (height, width):
        fault = f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, the image "
        return f"{fault}{width} x {height}", b"", 0
    pixels = hashlib.sha256(f"{mask.shape}".encode() + np.ascontiguousarray(mask).tobytes())
    return "", pixels.digest(), int((mask != IGNORED).sum())


def check_classes(net: DeepLabV2, images: ImageSet) -> None:
    """Raise ValueError unless net and images are of the same number of classes."""
    if len(images.class_names) != net.num_classes:
        raise ValueError(
            f"the net has {net.num_classes} classes besides the background, the images have "
            f"{len(images.class_names)}: {', '.join(images.class_names)}"
        )


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


@contextmanager
def _still_norms(net: DeepLabV2, frozen: bool) -> Iterator[list[nn.Module]]:
    """The batch norms whose statistics stay; their weights do not move within it either."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and frozen]
    moving = [p for norm in norms for p in norm.parameters() if p.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield norms
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
