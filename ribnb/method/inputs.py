"""What the adaptation looks at: an image at several scales, and others, fresh or of a pool."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.utils.data import Dataset

from ribnb.core.devices import data_loader, evaluation, float32_mode, seeded
from ribnb.core.voc import ImageSet
from ribnb.data.views import IMAGENET_COLOURS, Normalization, RandomView, multi_scale_views, stack
from ribnb.method.adaptation import Batch
from ribnb.method.settings import RIBSettings
from ribnb.nets.backbones import frozen_pass
from ribnb.nets.cam_net import CAMNet

VIEWS = -1  # in the place of a step: the item is the target's views
CHUNK = 16  # crops that are read, and pass the frozen stages, together


class AdaptationInputs(Dataset):
    """The views of each image, and the other images of each step of the adaptation to it.

    Item ``(target, VIEWS)`` holds the views of image ``target``; item ``(target, k)`` the batch of
    its step k. Each batch has a generator of its own, which depends only on the settings' seed,
    ``target`` and k: neither workers, nor shards, nor a resumed run change it, and no global
    generator is touched.
    """

    def __init__(
        self,
        images: ImageSet,
        settings: RIBSettings,
        normalization: Normalization = IMAGENET_COLOURS,
    ) -> None:
        self.images, self.settings, self.normalization = images, settings, normalization
        self.labels = images.labels  # read now, not by each worker anew
        sides = settings.long_side_min, settings.long_side_max
        long_side = sides if sides[1] else None
        self.view = RandomView(settings.crop_size, long_side, True, normalization)

    def __getitem__(
        self, key: tuple[int, int]
    ) -> tuple[tuple[int, int], list[Tensor] | Batch | Exception, dict[str, str]]:
        """The key, its views, batch or error, and ids of unreadable others -> why."""
        target, step = key
        try:
            return (key, self.views(target), {}) if step == VIEWS else (key, *self.batch(*key))
        except (OSError, ValueError) as error:  # who asked raises it, without a worker's traceback
            return key, (OSError if step == VIEWS else ValueError)(str(error)), {}

    def views(self, target: int) -> list[Float[Tensor, "2 3 h w"]]:
        """The image at each of the scales; see ``multi_scale_views``."""
        image = self.images.image(target)
        return multi_scale_views(
            image, self.settings.scales, self.settings.flip, self.normalization
        )

    def batch(self, target: int, step: int) -> tuple[Batch, dict[str, str]]:
        """The other images of one step, without those that cannot be read, and these -> why.

        They are ``settings.num_others`` of the candidates, or as many as there are, none twice,
        each in a random view. ValueError if views differ in size, as ``crop_size=0`` may leave it.
        """
        if not self.settings.num_others:  # drawing nobody takes time too
            return self.crops([], np.random.default_rng())
        generator, chosen = self.draw(target, step, self.candidates(target))
        return self.crops(chosen, generator)

    def draw(
        self, target: int, step: int, candidates: Int[ndarray, " n"]
    ) -> tuple[np.random.Generator, Int[ndarray, " b"]]:
        """Those of the candidates that a step looks at, and the generator that drew them."""
        generator = np.random.default_rng([self.settings.seed, target, step])
        size = min(self.settings.num_others, len(candidates))
        return generator, generator.choice(candidates, size, replace=False)

    def crops(
        self, chosen: Sequence[int], generator: np.random.Generator
    ) -> tuple[Batch, dict[str, str]]:
        """A random view of each of these images, as ``batch`` gives them."""
        none = torch.zeros(0, 3, 1, 1), torch.zeros(0, len(self.images.class_names))
        items, unreadable = [], {}
        with seeded(int(generator.integers(2**62))):
            for index in map(int, chosen):
                try:
                    view = self.view(self.images.image(index))
                except (OSError, ValueError) as error:
                    unreadable[self.images.ids[index]] = str(error)
                else:
                    items.append((view, self.labels[index]))
        return (stack(items) if items else none), unreadable

    def candidates(self, target: int) -> Int[ndarray, " n"]:
        """Images that a target's batch may hold: all others, or those without its classes."""
        allowed = torch.ones(len(self.images), dtype=torch.bool)
        if self.settings.batch_choice == "disjoint":
            allowed = ((self.labels != 0) & (self.labels[target] != 0)).any(dim=1).logical_not()
        allowed[target] = False
        return allowed.nonzero()[:, 0].numpy()


class Feed:
    """For one target after the other, in this order: its views, then a batch for each update.

    Workers read ahead. Once the next target is asked for, because this one has stopped early, no
    more of this one is read, and what had been read ahead is dropped.
    """

    def __init__(
        self,
        inputs: AdaptationInputs,
        targets: Sequence[int],
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.inputs, self.targets, self.asked = inputs, targets, 0
        self.steps = 0 if inputs.settings.pooled else inputs.settings.num_updates
        self.unreadable: dict[str, str] = {}
        ahead = {"pin_memory": pin_memory, "prefetch_factor": 2 if workers else None}
        loader = data_loader(inputs, workers, sampler=self, batch_size=None, **ahead)
        self.stream = iter(loader)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The keys to read; asked by the loader whenever a worker is free."""
        for number, target in enumerate(self.targets, 1):
            for step in (VIEWS, *range(self.steps)):
                if number >= self.asked:
                    yield target, step

    def views(self, target: int) -> list[Tensor]:
        """The views of the next target; OSError if the image cannot be read."""
        self.asked += 1
        key = None
        while key != (target, VIEWS):  # what was read ahead of a target that stopped is dropped
            key, views, _ = next(self.stream)
            key = tuple(key)
        if isinstance(views, Exception):
            raise views
        return views

    def batches(self) -> Iterator[Batch]:
        """The batches of the target whose views came last; ValueError if sizes differ."""
        for _ in range(self.steps):
            _, batch, unreadable = next(self.stream)
            if isinstance(batch, Exception):
                raise batch
            self.unreadable.update(unreadable)
            yield batch

    def close(self) -> None:
        """Nothing more is needed; the workers end."""
        self.stream = iter(())  # the loader's iterator holds this feed, which would keep it alive


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
        numbered = [(number, chunk.tolist()) for number, chunk in enumerate(chunks)]
        loader = data_loader(numbered, workers, batch_size=None, collate_fn=self._crops)
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
