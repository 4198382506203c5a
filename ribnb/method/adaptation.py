"""Adapt the network to one image, a few steps at a time, and add up what it sees on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from ribnb.core.devices import autocast, evaluation, float32_mode
from ribnb.method.cam import MapSum
from ribnb.method.losses import LOSSES
from ribnb.method.pooling import POOLINGS, gap
from ribnb.method.settings import RIBSettings
from ribnb.nets.backbones import frozen_pass
from ribnb.nets.cam_net import CAMNet

COLOURS = 3  # channels of an image
# The other images, or their frozen features (b, D, h, w), and their labels.
Batch = tuple[Num[Tensor, "b 3 H W"], Num[Tensor, "b C"]]


@dataclass
class Step:
    """What happened at step k, from 0, kept with ``trace=True``; its maps are those of theta_k.

    Attributes:
        cams: (n, h, w) for each scale that ran: ReLU of the class maps of the present classes,
            image and flip added.
        flooded: share of the scale-1 positions where a present class is high; None without the
            flood rule.
        gap_logits: (2, n) GAP of the scale-1 views' class maps, whatever the loss pools with.
        target_logits: (rows, n) pooled logits of the loss scales' views, image before flip.
        batch_logits: (b, C) pooled logits of the other images; None if they were not run.
        learning_rates: of the backbone and of the class layer; None if nothing was updated.
    """

    k: int
    cams: list[Tensor] = field(default_factory=list)
    flooded: float | None = None
    gap_logits: Tensor | None = None
    target_logits: Tensor | None = None
    batch_logits: Tensor | None = None
    learning_rates: tuple[float, float] | None = None


@dataclass
class Course:
    """The course of one image's adaptation; an image without labels has none.

    Attributes:
        losses: the loss before each update.
        target_losses: at each step, the sum of the target's pooled logits over its present
            classes and over the views in the loss.
        gap_logits: at each step, the mean GAP logit of its present classes at scale 1.
        stopped_at: the step k after whose maps the loop stopped; None if it ran to its end.
        stop_reason: ``"margin"``, ``"flood"`` or None.
        seconds: that the image took in ``localization_maps``, waiting for its data included.
    """

    losses: list[float] = field(default_factory=list)
    target_losses: list[float] = field(default_factory=list)
    gap_logits: list[float] = field(default_factory=list)
    stopped_at: int | None = None
    stop_reason: str | None = None
    seconds: float = math.nan

    @property
    def logit_growth(self) -> float:
        """How far the mean GAP logit went from theta_0 to the last map; NaN without labels."""
        return self.gap_logits[-1] - self.gap_logits[0] if self.gap_logits else math.nan


@dataclass(kw_only=True)
class Adaptation(Course):
    """The localisation map of one image, and the course that led to it.

    Attributes:
        class_ids: (n,) the present classes, 0-based.
        high_res: (n, H, W) in [0, 1], each class divided by its maximum.
        strided: (n, ceil(H / 4), ceil(W / 4)) the same at a quarter of the resolution.
        steps: with ``trace=True``, one ``Step`` for each step.
    """

    class_ids: Tensor
    high_res: Float[Tensor, "n H W"]
    strided: Float[Tensor, "n h w"]
    steps: list[Step] = field(default_factory=list)


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
    this returns, also when it raises. Batch norm uses its running statistics throughout.

    Nothing is computed that no map depends on: a step whose update is never looked at takes no
    batch, and a stop is tested before the work that it spares.

    Args:
        model: with theta_0.
        views: for each of ``settings.scales``, (2, 3, h, w), normalised: the resized image and
            its left-right flip; (1, 3, h, w) with ``flip=False``. The first has the image's size.
        labels: (C,) in {0, 1}.
        batches: for each update, the other images (b, 3, H, W), normalised, or what
            ``frozen_pass`` makes of them, and their labels (b, C); b may be 0. Taken one at a
            time and only when needed.
        settings: how. With ``iterations=0`` there are no steps, and M is the CAM.
        trace: keep every step, and skip nothing: without ``last_map`` this also makes the update
            that no map looks at, and takes its batch. The maps are the same.
        after_update: called with k after step k's update, while the model has theta_{k+1}.

    Raises:
        ValueError: views or labels of the wrong shape, labels other than 0 and 1, an image
            without labels, fewer batches than updates; a loss of your own that is no scalar or
            has no gradient, a pooling that does not give (B, C).
        FloatingPointError: a loss that is not a finite number; says at which step.

    Lee et al. 2021, the procedure; ``variant="released"`` is what the authors' code does.
    """
    labels = torch.as_tensor(labels)
    _check(model, views, labels, settings)
    course, steps, batches = Course(), [], iter(batches)
    maps = MapSum(views[0].shape[-2:], settings, model.output_stride)
    stops = settings.margin_rule == "stop" and settings.iterations > 0
    updates = settings.iterations if trace else settings.num_updates
    parts = model.split(settings.moving_stages)
    with (
        torch.inference_mode(False),  # gradients flow, whatever mode the caller is in
        torch.enable_grad(),
        _restored([*parts[1].parameters(), *model.class_layer.parameters()]),
        evaluation(model),
        float32_mode(settings.precision),
    ):
        walk = _Walk(model, parts, settings, views, labels)
        for k in range(max(settings.iterations + settings.last_map, 1)):
            step = Step(k)
            with torch.set_grad_enabled(k < updates):
                rows = walk.look(step)
            maps.add(step.cams)
            numbers = [step.gap_logits.mean()]
            if rows is None:
                course.stop_reason = "flood"
            else:
                numbers.append(step.target_logits.sum())
            gap_logit, *target_loss = torch.stack(numbers).tolist()  # a GPU is waited for once
            course.gap_logits.append(gap_logit)
            course.target_losses += target_loss
            if stops and target_loss and abs(target_loss[0]) > settings.margin:
                course.stop_reason = "margin"
            if k < updates and rows is not None and (trace or course.stop_reason is None):
                batch = next(batches, None)
                if batch is None:
                    raise ValueError(f"there is no batch for step {k}; {updates} are needed")
                course.losses.append(walk.update(step, rows, *batch))
                if after_update is not None:
                    after_update(k)
            if trace:
                steps.append(step)
            if course.stop_reason is not None:
                course.stopped_at = k
                break
    high_res, strided = maps.finish()
    return Adaptation(
        **vars(course),
        class_ids=labels.nonzero()[:, 0].cpu(),
        high_res=high_res,
        strided=strided,
        steps=steps,
    )


def _check(model: CAMNet, views: Sequence[Tensor], labels: Tensor, settings: RIBSettings) -> None:
    rows = 2 if settings.flip else 1
    if [view.shape[:2] for view in views] != [(rows, 3)] * len(settings.scales):
        raise ValueError(f"views must be ({rows}, 3, h, w), one for each of {settings.scales}")
    ones = labels == 1
    if labels.shape != (model.num_classes,) or not ((labels == 0) | ones).all() or not ones.any():
        raise ValueError(
            f"labels must be ({model.num_classes},), each 0 or 1, with a class that is present; "
            f"got {labels.tolist()}"
        )


class _Walk:
    """The network on its way from theta_0, and the image it walks for."""

    def __init__(
        self,
        model: CAMNet,
        parts: tuple[nn.Module, nn.Module],
        settings: RIBSettings,
        views: Sequence[Tensor],
        labels: Tensor,
    ) -> None:
        self.class_layer, self.with_bias = model.class_layer, model.with_bias
        self.settings = settings
        self.measure, self.pool = LOSSES.of(settings.loss), POOLINGS.of(settings.pooling)
        frozen, self.moving = parts
        self.device = model.class_layer.weight.device
        self.labels = labels.to(self.device)
        self.present = self.labels.nonzero()[:, 0]
        self.optimizer = torch.optim.SGD(
            [{"params": list(part.parameters())} for part in (self.moving, self.class_layer)],
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.frozen_features = frozen_pass(frozen, self.device, settings.precision)
        self.frozen = [self.frozen_features(view) for view in views]  # they never move: once

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
                    rows.append(self.logits(class_maps))
            cams = class_maps.detach()[:, self.present].relu()
            step.cams.append(cams[0] + cams[1].flip(-1) if self.settings.flip else cams[0])
            if scale == 1:
                step.gap_logits = self.with_bias(gap(class_maps.detach()))[:, self.present]
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

    def update(self, step: Step, rows: Tensor, images: Tensor, labels: Tensor) -> float:
        """theta_{k+1} from theta_k; the loss before it."""
        self.optimizer.zero_grad()
        loss = self.loss(rows, self.labels.expand_as(rows), step.k)
        loss.backward()  # before the batch runs, so that only one graph is held at a time
        losses = [loss.detach()]
        if len(images):
            labels = labels.to(self.device, non_blocking=True)
            known = images.shape[1] != COLOURS
            frozen = images.to(self.device) if known else self.frozen_features(images)
            class_maps = self.class_maps(frozen)
            _require_finite(class_maps.isfinite(), f"the batch's class maps at step {step.k}")
            step.batch_logits = self.logits(class_maps)
            loss = self.loss(step.batch_logits, labels, step.k)
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

    def class_maps(self, frozen: Tensor) -> Tensor:
        with autocast(self.settings.precision, self.device):
            return self.class_layer(self.moving(frozen)).float()

    def logits(self, class_maps: Tensor) -> Tensor:
        """Pooled class maps; a bias, which is in no map, stays as it is."""
        pooled = self.pool(class_maps, self.settings)
        _require(
            isinstance(pooled, Tensor) and pooled.shape == class_maps.shape[:2],
            f"the pooling {self.settings.pooling} must give a tensor (B, C) = "
            f"{tuple(class_maps.shape[:2])} of class maps {tuple(class_maps.shape)}",
            pooled,
        )
        return self.with_bias(pooled)

    def loss(self, logits: Tensor, labels: Tensor, step: int) -> Tensor:
        """A scalar with a gradient."""
        loss = self.measure(logits, labels.float(), self.settings)
        what = f"the loss {self.settings.loss} at step {step} must"
        scalar = isinstance(loss, Tensor) and loss.ndim == 0 and not loss.is_complex()
        _require(scalar, f"{what} be one real number, a tensor of shape ()", loss)
        way = f"{what} have a gradient: from the class maps through pooling and loss"
        _require(loss.requires_grad, f"{way} nothing may be detached or counted", loss)
        return loss


def _require(right: bool, what: str, made: object) -> None:
    if not right:
        shape = f" of shape {tuple(made.shape)}, {made.dtype}" if isinstance(made, Tensor) else ""
        raise ValueError(f"{what}; it is a {type(made).__name__}{shape}")


def _require_finite(finite: Tensor, what: str) -> None:
    """GNDRP keeps no position of a map of NaN: the loss alone would not show it."""
    if not finite.all():
        raise FloatingPointError(f"{what} hold NaN or infinity")


@contextmanager
def _restored(moving: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Let copies of these weights move; afterwards all is, gradients too, as before."""
    before = [(weight.data, weight.grad, weight.requires_grad) for weight in moving]
    for weight in moving:
        weight.grad = None
        # A copy as convolutions like it best, on GPUs and on the CPU.
        like = torch.channels_last if weight.ndim == 4 else torch.preserve_format
        weight.data = weight.data.clone(memory_format=like)
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight, (value, gradient, required) in zip(moving, before, strict=True):
            weight.data = value
            weight.grad = gradient
            weight.requires_grad_(required)
