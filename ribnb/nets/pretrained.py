"""Weights that torchvision publishes, from its cache or its server."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor
from torchvision.models import WeightsEnum


def pretrained_state(weights: WeightsEnum) -> dict[str, Tensor]:
    """The state dict of published weights; downloaded once, its checksum compared.

    Raises:
        OSError: it is not in the cache and cannot be downloaded, or arrived damaged; says where
            a file that was fetched by hand must lie.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    # a wrong checksum is a RuntimeError, a page in place of the file an UnpicklingError
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise OSError(
            f"the weights {weights} could not be read from {path} or {weights.url} ({error}). "
            f"Fetch that file by hand to {path}, or give a path of weights that you have"
        ) from error
