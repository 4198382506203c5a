"""``ribnb segment``: DeepLab-v2 trained on masks, and its masks of a split, from the command line.

In one process or, under ``torchrun``, on several GPUs::

    ribnb segment VOCdevkit/VOC2012 runs/irn/masks --split train_aug \\
        --output-dir runs/segmentation --predict val --crf
    torchrun --nproc_per_node 4 -m ribnb segment VOCdevkit/VOC2012 runs/irn/masks ...
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torchvision

from ribnb.core.devices import seeded
from ribnb.core.settings import refuse_unknown
from ribnb.data.voc import VOCImages
from ribnb.masks.crf import CRFSettings
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import process_group
from ribnb.segmentation.prediction import segmentation_masks
from ribnb.segmentation.settings import SegmentationSettings
from ribnb.segmentation.training import train_segmentation

IMAGENET = "imagenet"


def segment(
    data_root: str,
    masks_dir: str,
    output_dir: str,
    split: str = "train_aug",
    variant: str = "voc",
    arch: str | None = None,
    weights: str = IMAGENET,
    predict: str | None = None,
    crf: bool = False,
    workers: int = 0,
    device: str = "auto",
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Train DeepLab-v2 on masks, in all processes of ``torchrun``; with ``predict``, write masks.

    Args:
        data_root: a folder in VOC's layout, scenes included.
        masks_dir: masks ``<id>.png`` to train on, or ``"truth"`` for the data's own.
        output_dir: for ``segmentation.safetensors``, and a folder of the predicted split's name.
        split, predict: what to train on and to write masks of afterwards; names or paths of lists.
        variant: of the settings, ``"voc"`` or ``"scenes"``.
        arch: of the net; None is ResNet-101, or that of scenes.
        weights: of the backbone at the start: ``"imagenet"``, ``"random"``, or a path.
        crf: write masks after a dense CRF, too.
        workers: processes that decode ahead.
        device: auto, cpu, cuda, cuda:1, mps.
        parameters: fields of ``SegmentationSettings`` to change.

    Returns:
        How many images failed.

    Raises:
        ValueError: what makes no sense.
        OSError: a file that cannot be read or written.
    """
    values = dict(parameters or {})
    refuse_unknown(values, SegmentationSettings.model_fields, "SegmentationSettings")
    settings = getattr(SegmentationSettings, variant)(**values)
    if crf and not predict:
        raise ValueError("--crf refines the masks of --predict SPLIT; name a split")
    with process_group(device) as here:
        images = VOCImages(data_root, split)
        shown = VOCImages(data_root, predict) if predict else None
        masks = None if masks_dir == "truth" else masks_dir
        net = _net(variant, arch, weights, len(images.class_names), settings.seed)
        trained = train_segmentation(net, images, masks, settings, output_dir, here, workers)
        if os.environ.get("RANK", "0") != "0":
            return 0
        done = "was there" if trained.loaded else f"trained in {trained.seconds:.0f} s"
        print(f"{output_dir}: {done}; loss {trained.history[-1]:.3f}")
        if shown is None:
            return 0
        refine = CRFSettings.scenes() if variant == "scenes" else CRFSettings.deeplab()
        folder = os.path.join(output_dir, os.path.basename(predict))
        reports = segmentation_masks(
            trained.net, shown, folder, settings, here, refine if crf else None, workers
        )
    for report in reports.values():
        print(f"{report.folder}: {report}")
    return sum(len(report.failed) for report in reports.values())


def _net(variant: str, arch: str | None, weights: str, num_classes: int, seed: int) -> DeepLabV2:
    """The net at its start; the same in all processes."""
    arch = arch or ("resnet101" if variant == "voc" else "scenes")
    start = None if weights == "random" else weights
    if weights == IMAGENET:
        if arch == "scenes":
            raise ValueError(
                f"--weights {IMAGENET}: ImageNet has no weights of the net scenes; name the "
                "classifier.safetensors of its classifier, or random"
            )
        start = torchvision.models.get_model_weights(arch).IMAGENET1K_V1
    build = DeepLabV2.scenes if variant == "scenes" else DeepLabV2
    with seeded(seed):
        return build(arch, num_classes, weights=start)
