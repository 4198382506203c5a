"""Adapt the network to one image, a few steps at a time, and add up what it sees on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from ribnb.core.devices import autocast, evaluation, float32_mode
from ribnb.method.adaptation_record import Adaptation, Step
from ribnb.method.cam import normalize
from ribnb.method.folding import folded
from ribnb.method.losses import rib_loss
from ribnb.method.map_sum import MapSum
from ribnb.method.pooling import gap, gndrp
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet

Batch = tuple[Num[Tensor, "b 3 H W"], Num[Tensor, "b C"]]


def adapt(
    model: CAMNet,
    views: Sequence[Float[Tensor, "2 3 h w"]],
    labels: Num[Tensor, " C"],
    batches: Iterable[Batch],
    settings: RIBSettings,
    trace: bool = False,
    after_update: Callable[[int], None] | None = None,
) -> Adaptation:
    """Take K steps from theta_0 for one image; M is the sum of its CAMs on the way.

    Each step follows theta_k = theta_{k-1} - lambda grad L. The model has theta_0 again when
    this returns, also when it raises. Batch norm uses its running statistics throughout; the
    frozen stages, the model's or those of ``moving_stages``, do not move.

    Nothing is computed that no map depends on: a step whose update is never looked at takes no
    batch, and a stop is tested before the work that it spares.

    Args:
        model: with theta_0.
        views: for each of ``settings.scales``, (2, 3, h, w), normalised: the resized image and
            its left-right flip; (1, 3, h, w) with ``flip=False``. The first has the image's size.
        labels: (C,) in {0, 1}.
        batches: for each update, the other images (b, 3, H, W), normalised, and their labels
            (b, C); b may be 0. Taken one at a time and only when needed.
        settings: how. With ``iterations=0`` there are no steps, and M is the CAM.
        trace: keep every step, and skip nothing: without ``last_map`` this also makes the update
            that no map looks at, and takes its batch. The maps are the same.
        after_update: called with k after step k's update, while the model has theta_{k+1}.

    Raises:
        ValueError: views or labels of the wrong shape, labels other than 0 and 1, an image
            without labels, fewer batches than updates.
        FloatingPointError: a loss that is not a finite number; says at which step.

    Lee et al. 2021, the procedure; ``variant="released"`` is what the authors' code does.
    """
    labels = _check(model, views, labels, settings)
    class_ids = labels.nonzero()[:, 0]
    losses, target_losses, gap_logits, steps = [], [], [], []
    stopped_at = stop_reason = None
    maps = MapSum(views[0].shape[-2:], settings, model.output_stride)
    batches = iter(batches)
    stops = settings.margin_rule == "stop" and settings.iterations > 0
    updates = settings.iterations if trace else settings.num_updates
    precise = float32_mode(settings.precision)
    moving = model.stages_moving(settings.moving_stages)
    with _gradients(), moving, _restored(model), evaluation(model), precise:
        walk = _Walk(model, settings, views, labels)
        for k in range(max(settings.iterations + settings.last_map, 1)):
            step = Step(k)
            with torch.set_grad_enabled(k < updates):
                rows = walk.look(step)
            maps.add(step.cams)
            if rows is None:
                stop_reason = "flood"
                gap_logits.append(step.gap_logits.mean().item())
            else:
                both = torch.stack([step.gap_logits.mean(), step.target_logits.sum()]).tolist()
                gap_logits.append(both[0])
                target_losses.append(both[1])
                if stops and abs(target_losses[-1]) > settings.margin:
                    stop_reason = "margin"
            if k < updates and rows is not None and (trace or stop_reason is None):
                losses.append(walk.update(step, rows, _take(batches, k, updates)))
                if after_update is not None:
                    after_update(k)
            if trace:
                steps.append(step)
            if stop_reason is not None:
                stopped_at = k
                break
    how = losses, target_losses, gap_logits, stopped_at, stop_reason
    return Adaptation(*how, class_ids.cpu(), *maps.finish(), steps)


class _Walk:
    """The network on its way from theta_0, and the image it walks for."""

    def __init__(
        self, model: CAMNet, settings: RIBSettings, views: Sequence[Tensor], labels: Tensor
    ) -> None:
        self.model, self.settings = model, settings
        self.device = model.class_layer.weight.device
        self.labels = labels.to(self.device)
        self.present = self.labels.nonzero()[:, 0]
        groups = [model.moving_parameters(), list(model.class_layer.parameters())]
        self.optimizer = torch.optim.SGD(
            [{"params": weights} for weights in groups],  # each update sets their rates
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        # The frozen stages never move: batch norm is folded in, and the target passes once.
        self.frozen_stages = folded(model.frozen_modules())
        self.frozen = [self.frozen_features(view) for view in views]

    def look(self, step: Step) -> Tensor | None:
        """theta_k's maps and logits into ``step``; the loss's (rows, C) logits, None if flooded.

        Scale 1 comes first: if it is flooded, the other scales are not looked at.
        """
        rows, finite, flooded = [], [], False
        for scale, frozen in zip(self.settings.scales, self.frozen, strict=True):
            in_loss = scale in self.settings.loss_scales
            with torch.set_grad_enabled(in_loss and torch.is_grad_enabled()):
                class_maps = self.class_maps(frozen)
                finite.append(class_maps.isfinite().all())
                if in_loss:
                    rows.append(self.pool(class_maps))
            cams = class_maps.detach()[:, self.present].relu()
            step.cams.append(cams[0] + cams[1].flip(-1) if self.settings.flip else cams[0])
            if scale == 1:
                step.gap_logits = gap(class_maps.detach())[:, self.present]
                flooded = self.flooded(step)
                if flooded:
                    break
        # Asked once for all scales: each answer makes a GPU wait for the next order.
        _require_finite(torch.stack(finite), f"the image's class maps at step {step.k}")
        if flooded:
            return None
        logits = torch.cat(rows)
        step.target_logits = logits.detach()[:, self.present]
        return logits

    def flooded(self, step: Step) -> bool:
        """The authors' flood rule: too many positions are high in some present class's map."""
        level, share = self.settings.flood_level, self.settings.flood_share
        if level is None or share is None:
            return False
        cams = step.cams[0]
        high = cams > level * cams.amax(dim=(1, 2), keepdim=True)
        step.flooded = high.any(dim=0).float().mean().item()
        return step.k >= 1 and step.flooded > share

    def update(self, step: Step, rows: Tensor, batch: Batch) -> float:
        """theta_{k+1} from theta_k; the loss before it."""
        images, labels = batch
        if labels.shape != (len(images), self.model.num_classes):
            raise ValueError(
                f"the batch of step {step.k} has {len(images)} images of {tuple(labels.shape)} "
                f"labels; its labels must be (b, {self.model.num_classes})"
            )
        self.optimizer.zero_grad()
        loss = self.loss(rows, self.labels.expand_as(rows))
        loss.backward()  # before the batch runs, so that only one graph is held at a time
        losses = [loss.detach()]
        if len(images):
            labels = labels.to(self.device, non_blocking=True)
            batch_maps = self.class_maps(self.frozen_features(images))
            _require_finite(batch_maps.isfinite(), f"the batch's class maps at step {step.k}")
            step.batch_logits = self.pool(batch_maps)
            loss = self.loss(step.batch_logits, labels)
            loss.backward()
            step.batch_logits = step.batch_logits.detach()
            losses.append(loss.detach())
        rate = self.settings.rate(step.k)
        step.learning_rates = rate, rate * self.settings.class_layer_factor
        for group, value in zip(self.optimizer.param_groups, step.learning_rates, strict=True):
            group["lr"] = value
        self.optimizer.step()
        total = sum(torch.stack(losses).tolist())
        if not math.isfinite(total):
            raise FloatingPointError(f"the loss at step {step.k} is {total}")
        return total

    def frozen_features(self, images: Tensor) -> Tensor:
        images = images.to(self.device, non_blocking=True)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), autocast(self.settings.precision, self.device):
            return self.frozen_stages(images)

    def class_maps(self, frozen: Tensor) -> Tensor:
        with autocast(self.settings.precision, self.device):
            return self.model.class_layer(self.model.moving_features(frozen)).float()

    def pool(self, class_maps: Tensor) -> Tensor:
        """Logits (rows, C). GNDRP takes each row's own CAM."""
        if self.settings.pooling == "gap":
            return gap(class_maps)
        if self.settings.pooling_variant == "paper":
            cam = normalize(class_maps.detach())
        else:  # a class that is negative everywhere becomes >= 1 everywhere: nothing is kept
            cam = class_maps.detach() / class_maps.detach().amax(dim=(2, 3), keepdim=True)
        return gndrp(class_maps, cam, self.settings.threshold, self.settings.pooling_variant)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Summed over rows and classes. The authors' code has no min(m, y); it stops instead."""
        if self.settings.loss == "bce":
            if ((labels != 0) & (labels != 1)).any():
                raise ValueError(f"labels must be 0 or 1; got {labels.unique().tolist()}")
            return F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum")
        margin = self.settings.margin if self.settings.margin_rule == "cap" else math.inf
        return rib_loss(logits, labels, margin)


@contextmanager
def _gradients() -> Iterator[None]:
    """Gradients flow, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _require_finite(finite: Tensor, what: str) -> None:
    # GNDRP keeps no position of a map of NaN: the loss alone would not show it.
    if not finite.all():
        raise FloatingPointError(f"{what} hold NaN or infinity")


@contextmanager
def _restored(model: CAMNet) -> Iterator[None]:
    """Let copies of the moving weights move; afterwards all is, gradients too, as before."""
    moving = [*model.moving_parameters(), *model.class_layer.parameters()]
    before = [(weight.data, weight.grad, weight.requires_grad) for weight in moving]
    for weight in moving:
        weight.grad = None
        weight.data = _channels_last(weight.data)
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight, (value, gradient, required) in zip(moving, before, strict=True):
            weight.data = value
            weight.grad = gradient
            weight.requires_grad_(required)


def _channels_last(weight: Tensor) -> Tensor:
    """A copy as convolutions like it best, on GPUs and on the CPU."""
    images = weight.ndim == 4
    return weight.clone(memory_format=torch.channels_last if images else torch.preserve_format)


def _take(batches: Iterator[Batch], k: int, updates: int) -> Batch:
    try:
        return next(batches)
    except StopIteration:
        raise ValueError(
            f"there is no batch for step {k}: these settings take {updates} updates, each with "
            "a batch of its own"
        ) from None


def _check(model: CAMNet, views: Sequence[Tensor], labels: Tensor, settings: RIBSettings) -> Tensor:
    """The labels, if all is right."""
    rows = 2 if settings.flip else 1
    if len(views) != len(settings.scales):
        raise ValueError(
            f"views must hold one tensor for each of the scales {settings.scales}; got {len(views)}"
        )
    for view in views:
        if view.ndim != 4 or view.shape[:2] != (rows, 3):
            raise ValueError(
                f"each view must have the shape ({rows}, 3, h, w), "
                f"{'the image and its flip' if settings.flip else 'one image'}; got "
                f"{tuple(view.shape)}"
            )
    labels = torch.as_tensor(labels)
    if labels.shape != (model.num_classes,):
        raise ValueError(
            f"labels must have the shape ({model.num_classes},), one for each class of the "
            f"model; got {tuple(labels.shape)}"
        )
    if ((labels != 0) & (labels != 1)).any():
        raise ValueError(f"labels must be 0 or 1; got {labels.tolist()}")
    if not labels.any():
        raise ValueError("the image has no labels: there is no class to adapt to")
    return labels
