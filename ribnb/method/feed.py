"""What the adaptation of a split needs, read and decoded ahead of the device by workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ribnb.core.devices import worker_init
from ribnb.core.image_set import ImageSet
from ribnb.method.method_inputs import Batch, MultiScaleViews, RandomBatches
from ribnb.method.settings import RIBSettings

VIEWS = -1  # in the place of a step: the item is the target's views


class AdaptationInputs(Dataset):
    """The target's views, and the other images of each step's batch, under one kind of key.

    Item ``(target, VIEWS)`` holds the views of image ``target``, see ``MultiScaleViews``; item
    ``(target, k)`` the batch of its step k, see ``RandomBatches``. Both come with the ids of
    images that could not be read.

    Args:
        images: an image set, such as ``SceneImages`` or ``VOCImages``.
        settings: how.
    """

    def __init__(self, images: ImageSet, settings: RIBSettings) -> None:
        self.images, self.settings = images, settings
        self.views = MultiScaleViews(images, settings.scales, settings.flip)
        self.batches = RandomBatches(images, settings)

    def __getitem__(
        self, key: tuple[int, int]
    ) -> tuple[tuple[int, int], list[Tensor] | Batch | ValueError | None, dict[str, str]]:
        """The key itself, what it stands for, and unreadable ids -> why."""
        target, step = key
        if step != VIEWS:
            try:
                return key, *self.batch(target, step)
            except ValueError as error:  # who asked raises it, without a worker's traceback
                return key, error, {}
        try:
            return key, self.views[target], {}
        except (OSError, ValueError) as error:
            return key, None, {self.images.ids[target]: str(error)}

    def batch(self, target: int, step: int) -> tuple[Batch, dict[str, str]]:
        """The other images of one step, without those that cannot be read, and these.

        Raises:
            ValueError: views of different sizes, which ``crop_size=0`` may leave.
        """
        return self.batches.batch(target, step)


class Feed:
    """For one target after the other: its views, then a batch for each of its updates.

    Workers read ahead, in this order. Once a target is done with, because it has stopped early,
    no more of it is read, and what had been read ahead is dropped.

    Args:
        inputs: what to read.
        targets: indices of images, in the order in which they will be asked for.
        workers: processes that read ahead; 0 reads when asked.
        pin_memory: for faster copies to a GPU.
    """

    def __init__(
        self,
        inputs: AdaptationInputs,
        targets: Sequence[int],
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self.done: set[int] = set()
        self.unreadable: dict[str, str] = {}
        loader = DataLoader(
            inputs,
            sampler=self,
            batch_size=None,
            num_workers=workers,
            pin_memory=pin_memory,
            prefetch_factor=2 if workers else None,
            worker_init_fn=worker_init(),
            generator=torch.Generator(),  # else it draws from the global one
        )
        self.stream = iter(loader)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The keys to read; asked by the loader whenever a worker is free."""
        for target in self.targets:
            for step in (VIEWS, *range(self.inputs.settings.num_updates)):
                if target not in self.done:
                    yield target, step

    def views(self, target: int) -> list[Tensor]:
        """The views of the next target.

        Raises:
            OSError: the image cannot be read; says why.
        """
        key = None
        while key != (target, VIEWS):  # what was read ahead of a target that stopped is dropped
            key, views, unreadable = next(self.stream)
            key = tuple(key)
        if unreadable:
            self.finish(target)
            raise OSError("; ".join(unreadable.values()))
        return views

    def batches(self, target: int) -> Iterator[Batch]:
        """The batches of this target, one a step.

        Raises:
            ValueError: views of different sizes; says what to do.
        """
        for _ in range(self.inputs.settings.num_updates):
            _, batch, unreadable = next(self.stream)
            if isinstance(batch, ValueError):
                raise batch
            self.unreadable.update(unreadable)
            yield batch

    def finish(self, target: int) -> None:
        """This target needs nothing more."""
        self.done.add(target)

    def close(self) -> None:
        """Nothing more is needed; the workers end."""
        self.stream = iter(())  # the loader's iterator holds this feed, which would keep it alive
