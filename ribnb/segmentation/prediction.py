"""What a trained segmentation network says of images, the masks of a split, ``ribnb segment``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from ribnb.core.devices import autocast, evaluation, float32_mode, resolve_device, seeded
from ribnb.core.files import weights_digest
from ribnb.core.runner import MASKS, RecordedFolder, Report, over_images
from ribnb.core.voc import ImageSet, image_set_digest
from ribnb.data.views import multi_scale_views
from ribnb.data.voc import VOCImages
from ribnb.masks.crf import CRFSettings, crf_probabilities, require_crf
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.fitting import process_group
from ribnb.nets.published import refuse_weights
from ribnb.segmentation.training import SegmentationSettings, check_classes, train_segmentation

PLAIN, CRF = "plain", "crf"


@torch.no_grad()
def predict(
    net: DeepLabV2,
    image: Image.Image,
    settings: SegmentationSettings,
    device: str | torch.device = "cpu",
) -> Float32[ndarray, "C+1 H W"]:
    """Class probabilities of an RGB image at its own size: the mean of the views' softmax.

    They add up to 1 at each pixel; channel 0 is the background. The net is moved to ``device``,
    its mode is left as it was. Of the settings ``test_scales``, ``test_flip`` and ``precision``
    count. FloatingPointError if the net's logits are not finite.
    """
    device = resolve_device(device)
    net.to(device)
    size, total = (image.height, image.width), 0.0
    views = multi_scale_views(image, settings.test_scales, settings.test_flip, net.normalization)
    with evaluation(net), float32_mode(settings.precision):
        for view in views:
            with autocast(settings.precision, device):
                logits = _logits(net, view.to(device))
            if logits.shape[2:] != size:
                logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
            shares = logits.softmax(1)
            total = total + (shares[:1] + shares[1:].flip(-1) if len(shares) == 2 else shares)
    mean = total[0] / sum(len(view) for view in views)
    if not torch.isfinite(mean).all():
        raise FloatingPointError("the net's logits are not finite; look at its training's losses")
    return mean.cpu().numpy()


def _logits(net: DeepLabV2, views: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B C+1 h w"]:
    """Logits at the views' resolution.

    Position i of the net's logits is centred on pixel i * output_stride. With the view filled up
    to a multiple of that stride plus one, the last position falls on the last pixel, and a
    bilinear resize from corner to corner puts every position on its pixel (as DeepLab's 321 and
    513 do).
    """
    height, width = views.shape[2:]
    down, right = (-(side - 1) % net.output_stride for side in (height, width))
    logits = net(F.pad(views, (0, right, 0, down))).float()
    filled = (height + down, width + right)
    logits = F.interpolate(logits, filled, mode="bilinear", align_corners=True)
    return logits[..., :height, :width]


def segmentation_masks(
    net: DeepLabV2,
    images: ImageSet,
    output_dir: str | Path,
    settings: SegmentationSettings,
    device: str | torch.device = "cpu",
    crf: CRFSettings | None = None,
    workers: int = 0,
) -> dict[str, Report]:
    """Masks of a split: ``output_dir/plain/<id>.png`` and, with a CRF, ``output_dir/crf/<id>.png``.

    An image is predicted once for both, see ``predict``. One that fails has neither and is named
    in the reports, of ``"plain"`` and ``"crf"``, and the rest goes on; a call that was stopped
    goes on where it was when it is repeated.

    Args:
        crf: of the refinement; None leaves it out.
        workers: processes for the CRF beside this one; 0: none.

    Raises:
        ImportError: the library of the CRF is not there; nothing was made.
        ValueError: images of other classes than the net's, masks there that were made otherwise.
        OSError: a mask cannot be written.
    """
    if crf is not None:
        require_crf()
    check_classes(net, images)
    device = resolve_device(device)
    record = {
        "stage": "segmentation",
        "settings": settings.prediction(),
        "net": {"arch": net.arch, "atrous_rates": list(net.atrous_rates)},
        "weights": weights_digest(net),
        "images": image_set_digest(images, labels=False),
    }
    records = {PLAIN: {**record, "post-processing": "none"}}
    if crf is not None:
        records[CRF] = {**record, "post-processing": "CRF", "crf": crf.as_dict()}
    files, alone = _Steps(Path(output_dir), records), Lock()
    index_of = {image_id: index for index, image_id in enumerate(images.ids)}
    # fresh processes, since a copy of one that runs threads may hang
    apart = ProcessPoolExecutor(workers, get_context("spawn")) if workers and crf else None

    def make(image_id: str) -> dict[str, UInt8[ndarray, "H W"]]:
        image = images.image(index_of[image_id])
        with alone:
            probabilities = predict(net, image, settings, device)
        steps = {PLAIN: probabilities}
        if crf is not None:
            refine = partial(crf_probabilities, np.array(image), probabilities, crf)
            steps[CRF] = apart.submit(refine).result() if apart else refine()
        return {name: shares.argmax(0).astype(np.uint8) for name, shares in steps.items()}

    with apart or nullcontext():
        # while images wait for their CRF the next ones are predicted
        threads = workers + 1 if apart else 1
        report = over_images(make, images.ids, files, label="segmentation", threads=threads)
    return {name: replace(report, folder=step.folder) for name, step in files.steps.items()}


class _Steps(RecordedFolder):
    """The masks of each image, as they are and refined, in folders side by side."""

    def __init__(self, output_dir: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = self.home = output_dir
        self.kind = MASKS
        self.steps = {
            name: RecordedFolder(output_dir / name, MASKS, record)
            for name, record in records.items()
        }

    def has(self, image_id: str) -> bool:
        return all(step.has(image_id) for step in self.steps.values())

    def write(self, image_id: str, item: Mapping[str, UInt8[ndarray, "H W"]]) -> None:
        for name, mask in item.items():
            self.steps[name].write(image_id, mask)


def segment(
    data_root: str,
    masks_dir: str,
    output_dir: str,
    split: str,
    variant: str,
    arch: str | None,
    weights: str,
    predict: str | None,
    crf: bool,
    workers: int,
    device: str,
    parameters: Mapping[str, Any],
) -> int:
    """``ribnb segment``: train DeepLab-v2 on masks; with ``predict``, write its masks of a split.

    Under ``torchrun`` in several processes. The arguments are the command's. Returns how many
    images failed.
    """
    settings = getattr(SegmentationSettings, variant)(**parameters)
    if crf and not predict:
        raise ValueError("--crf refines the masks of --predict SPLIT; name a split")
    arch = arch or ("resnet101" if variant == "voc" else "scenes")
    refuse_weights(arch, weights)
    start = None if weights == "random" else weights
    build = DeepLabV2.scenes if variant == "scenes" else DeepLabV2
    with process_group(device) as here:
        images = VOCImages(data_root, split)
        shown = VOCImages(data_root, predict) if predict else None
        with seeded(settings.seed):  # the same in all processes
            net = build(arch, len(images.class_names), weights=start)
        masks = None if masks_dir == "truth" else masks_dir
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
