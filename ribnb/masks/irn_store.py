"""What an IRN's training is known by, and the file that it ends with: the branches alone."""

from __future__ import annotations

import json
from typing import Any

from ribnb.core.image_set import ImageSet
from ribnb.masks.irn_net import IRN, irn_metadata, save_irn
from ribnb.masks.irn_settings import IRNSettings
from ribnb.nets.load_or_train import START, ResultFile, image_set_digest, weight_sum


def irn_identity(net: IRN, images: ImageSet, labels: str, settings: IRNSettings) -> dict[str, Any]:
    """All that decides what a training gives, ready for JSON.

    Args:
        net: with its first weights.
        images: those that are trained on.
        labels: digest of how the labels were made.
        settings: the recipe.
    """
    identity = {
        **settings.for_training(),
        "arch": net.arch,
        "widths": net.widths,
        "trunk": net.trunk_digest,
        "labels": labels,
        "class_names": list(images.class_names),
        "images": image_set_digest(images),
        START: weight_sum(net.branches),
    }
    return json.loads(json.dumps(identity))  # lists for tuples, as it will be read back


def irn_file(net: IRN) -> ResultFile:
    """For a ``TrainingFolder`` that is given ``net.branches``, since the trunk stays as it is."""
    return ResultFile(
        "irn.safetensors", lambda _, path, metadata: save_irn(net, path, metadata), irn_metadata
    )
