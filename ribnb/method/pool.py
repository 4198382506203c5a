"""Other images kept ready: random crops of a split and what the frozen stages make of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ribnb.core.devices import evaluation, float32_mode, worker_init
from ribnb.method.adaptation import Batch
from ribnb.method.inputs import AdaptationInputs
from ribnb.nets.backbones import frozen_pass
from ribnb.nets.cam_net import CAMNet

CHUNK = 16  # crops that are read, and pass the frozen stages, together


class Pool:
    """``settings.pool_size`` random crops of a split, from which every step draws its others.

    Neither the paper nor the authors' code has it: there each step decodes and crops images anew,
    which costs a processor more than the step costs a fast GPU. Each image is cropped once before
    one is a second time. Crops and draws depend on the settings' seed, the target and the step
    alone. The features are held on a GPU in bfloat16, else in a file of ``folder`` that has no
    name and so ends with this process.

    Attributes:
        indices: (P,) which image a crop is of; without those that cannot be read.
        unreadable: id -> why it is left out.

    Raises:
        ValueError: crops differ in size, as ``crop_size=0`` may leave them.
        OSError: there is no room in ``folder``.
    """

    def __init__(
        self, inputs: AdaptationInputs, model: CAMNet, folder: str | Path, workers: int = 0
    ) -> None:
        self.inputs, self.unreadable, settings = inputs, {}, inputs.settings
        device, ids = model.class_layer.weight.device, inputs.images.ids
        order = np.random.default_rng(settings.seed).permutation(len(ids))
        order = np.resize(order, settings.pool_size)
        chunks = np.split(order, range(CHUNK, len(order), CHUNK))
        loader = DataLoader(
            [(number, chunk.tolist()) for number, chunk in enumerate(chunks)],
            batch_size=None,
            num_workers=workers,
            collate_fn=self._crops,
            worker_init_fn=worker_init(),
            generator=torch.Generator(),  # else it draws from the global one
        )
        kept, filled = [], 0
        with evaluation(model), float32_mode(settings.precision):
            features = frozen_pass(
                model.split(settings.moving_stages)[0], device, settings.precision
            )
            for chunk, ((images, _), unreadable) in zip(chunks, loader, strict=True):
                self.unreadable |= unreadable
                kept += [index for index in chunk.tolist() if ids[index] not in unreadable]
                if not len(images):
                    continue
                made = features(images).permute(0, 2, 3, 1)  # channels last, as it is used
                if not filled:
                    self.kept = _room(len(order), made, folder)
                if made.shape[1:] != self.kept.shape[1:]:
                    raise ValueError("crops differ in size; give a crop_size")
                self.kept[filled : filled + len(made)] = made
                filled += len(made)
        self.indices = np.array(kept, dtype=np.int64)

    def _crops(self, item: tuple[int, list[int]]) -> tuple[Batch, dict[str, str]]:
        number, chunk = item
        # three numbers and more are other draws than those of any step
        generator = np.random.default_rng([self.inputs.settings.seed, number, 0, 1])
        return self.inputs.crops(chunk, generator)

    def batches(self, target: int) -> Iterator[Batch]:
        """For each of a target's updates frozen features (b, D, h, w) and labels (b, C)."""
        candidates = np.isin(self.indices, self.inputs.candidates(target)).nonzero()[0]
        for step in range(self.inputs.settings.num_updates):
            _, chosen = self.inputs.draw(target, step, candidates)
            labels = self.inputs.labels[self.indices[chosen]]
            if not len(chosen):
                yield torch.zeros(0, 3, 1, 1), labels
                continue
            chosen = torch.from_numpy(chosen).to(self.kept.device)
            yield self.kept[chosen].float().permute(0, 3, 1, 2), labels


def _room(count: int, made: Tensor, folder: str | Path) -> Tensor:
    """For the features of so many crops like these."""
    shape = (count, *made.shape[1:])
    if made.device.type == "cuda":
        return torch.empty(shape, dtype=torch.bfloat16, device=made.device)
    with tempfile.TemporaryFile(dir=folder) as file:
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
