"""RIB: adapt a trained classifier to one image at a time; add up its maps (Lee et al. 2021).

The method in the names of the paper::

    settings = RIBSettings.paper()                            # or .released()
    found = adapt(model, views, labels, batches, settings)    # one image
    report = localization_maps(model, images, settings, "runs/rib")   # a split

From the command line, over a split in VOC's layout, here the first of four shards::

    ribnb maps VOCdevkit/VOC2012 --split train --weights classifier.safetensors \
        --output-dir runs/rib --variant released --shard 0/4 --workers 8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ribnb.core.devices import resolve_device
from ribnb.core.runner import parse_shard
from ribnb.core.settings import name_and_value, refuse_unknown
from ribnb.data.voc import VOCImages
from ribnb.method.adaptation import Adaptation, Step, adapt
from ribnb.method.localization import MapsReport, localization_maps
from ribnb.method.settings import RIBSettings
from ribnb.nets.classifier import load_classifier

__all__ = ["Adaptation", "MapsReport", "RIBSettings", "Step", "adapt", "localization_maps"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Maps of a split; returns 1 if an image failed, 2 for arguments that make no sense.

    Stopped by Ctrl-C it returns 130; the same command goes on from there.
    """
    parser = argparse.ArgumentParser(prog="ribnb maps", description=main.__doc__)
    parser.add_argument("data_root", help="a folder in VOC's layout, scenes included")
    parser.add_argument("--split", default="train", help="its name, or the path of a list")
    parser.add_argument("--weights", required=True, help="a classifier.safetensors")
    parser.add_argument("--output-dir", required=True, help="for maps/ and their record")
    parser.add_argument("--variant", default="released", choices=("paper", "released", "scenes"))
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th image from the i-th")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode ahead")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "-p", "--parameter", action="append", default=[], type=name_and_value,
        metavar="NAME=VALUE", help="a field of RIBSettings, such as iterations=5",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    try:
        values = dict(given.parameter)
        if "variant" in values:  # it is more than that field: its own rates, rules and batches
            raise ValueError(f"for the variant use --variant {values['variant']}")
        refuse_unknown(values, RIBSettings.model_fields, "RIBSettings")
        settings = getattr(RIBSettings, given.variant)(**values)
        shard = parse_shard(given.shard)
        images = VOCImages(given.data_root, given.split)
        model = load_classifier(given.weights, num_classes=len(images.class_names))
        model.to(resolve_device(given.device))
        report = localization_maps(model, images, settings, given.output_dir, shard, given.workers)
    except (ValueError, OSError) as error:
        print(f"ribnb.method.rib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ribnb.method.rib: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(report)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
