"""DeepLab-v2 trained on masks: training, prediction, files (Chen et al. 2018, TPAMI).

From the command line, in one process or, under ``torchrun``, on several GPUs::

    python -m ribnb segment VOCdevkit/VOC2012 runs/irn/masks --split train_aug \\
        --output-dir runs/segmentation --predict val --crf
    torchrun --nproc_per_node 4 -m ribnb segment VOCdevkit/VOC2012 runs/irn/masks ...
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import torch

from ribnb.core.devices import seeded
from ribnb.core.settings import name_and_value, refuse_unknown
from ribnb.data.voc import VOCImages
from ribnb.nets.cam_net import ARCHITECTURES
from ribnb.nets.deeplab import DeepLabV2
from ribnb.nets.processes import process_group
from ribnb.segmentation.prediction import segmentation_masks
from ribnb.segmentation.settings import SegmentationSettings
from ribnb.segmentation.training import train_segmentation

TRUTH, IMAGENET, RANDOM = "truth", "imagenet", "random"  # words of the command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Train DeepLab-v2 on masks; with --predict, write a split's masks too.

    Returns 1 if an image failed, 2 for arguments that make no sense. Stopped by Ctrl-C it
    returns 130; the same command goes on from there.
    """
    given = _parser().parse_args(arguments)
    try:
        with process_group(given.device) as device:
            return _run(given, device)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        # what all processes find is said once; a file may be out of reach for one alone
        if _first() or isinstance(error, OSError):
            print(f"ribnb.segmentation.segment: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if _first():
            print(
                "ribnb.segmentation.segment: stopped; the same command goes on from here",
                file=sys.stderr,
            )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ribnb segment", description=main.__doc__
    )
    parser.add_argument("data_root", help="a folder in VOC's layout, scenes included")
    parser.add_argument(
        "masks_dir", help=f"masks <id>.png to train on; {TRUTH}: the data's own, full supervision"
    )
    parser.add_argument("--split", default="train_aug", help="its name, or the path of a list")
    parser.add_argument("--output-dir", required=True, help="for segmentation.safetensors")
    parser.add_argument("--variant", default="voc", choices=("voc", "scenes"))
    parser.add_argument("--arch", choices=ARCHITECTURES, help="resnet101; of scenes: scenes")
    parser.add_argument(
        "--weights", default=IMAGENET,
        help=f"of the backbone at the start: {IMAGENET}, {RANDOM}, or a path; for the net scenes "
        "its classifier.safetensors",
    )  # fmt: skip
    parser.add_argument("--predict", metavar="SPLIT", help="write masks of this split afterwards")
    parser.add_argument("--crf", action="store_true", help="and such masks after a dense CRF")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode ahead")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "-p", "--parameter", action="append", default=[], type=name_and_value,
        metavar="NAME=VALUE", help="a field of SegmentationSettings, such as steps=1000",
    )  # fmt: skip
    return parser


def _run(given: argparse.Namespace, device: torch.device) -> int:
    values = dict(given.parameter)
    refuse_unknown(values, SegmentationSettings.model_fields, "SegmentationSettings")
    settings = getattr(SegmentationSettings, given.variant)(**values)
    images = VOCImages(given.data_root, given.split)
    shown = VOCImages(given.data_root, given.predict) if given.predict else None
    if given.crf and shown is None:
        raise ValueError("--crf refines the masks of --predict SPLIT; name a split")
    masks = None if given.masks_dir == TRUTH else given.masks_dir
    net = _net(given, len(images.class_names), settings.seed)
    trained = train_segmentation(
        net, images, masks, settings, given.output_dir, device, given.workers
    )
    if not _first():
        return 0
    done = "was there" if trained.loaded else f"trained in {trained.seconds:.0f} s"
    print(f"{given.output_dir}: {done}; loss {trained.history[-1]:.3f}")
    if shown is None:
        return 0
    return _predict(given, trained.net, shown, settings, device)


def _predict(
    given: argparse.Namespace,
    net: DeepLabV2,
    images: VOCImages,
    settings: SegmentationSettings,
    device: torch.device,
) -> int:
    from ribnb.masks.crf import CRFSettings

    crf = getattr(CRFSettings, {"voc": "deeplab"}.get(given.variant, given.variant))()
    folder = os.path.join(given.output_dir, os.path.basename(given.predict))
    reports = segmentation_masks(
        net, images, folder, settings, device, crf if given.crf else None, given.workers
    )
    for report in reports.values():
        print(f"{report.folder}: {report}")
    return 1 if any(report.failed for report in reports.values()) else 0


def _net(given: argparse.Namespace, num_classes: int, seed: int) -> DeepLabV2:
    """The net at its start; the same in all processes."""
    arch = given.arch or {"voc": "resnet101"}.get(given.variant, "scenes")
    weights = None if given.weights == RANDOM else given.weights
    if weights == IMAGENET:
        if arch == "scenes":
            raise ValueError(
                f"--weights {IMAGENET}: ImageNet has no weights of the net scenes; name the "
                f"classifier.safetensors of its classifier, or {RANDOM}"
            )
        import torchvision

        weights = torchvision.models.get_model_weights(arch).IMAGENET1K_V1
    build = DeepLabV2.scenes if given.variant == "scenes" else DeepLabV2
    with seeded(seed):
        return build(arch, num_classes, weights=weights)


def _first() -> bool:
    """Whether this process is the one that speaks."""
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(main())
