"""The net on its way from theta_0: what it sees of one image at each step, and the steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ribnb.core.devices import autocast, evaluation, float32_mode
from ribnb.method.cam import normalize
from ribnb.method.losses import rib_loss
from ribnb.method.pooling import gap, gndrp
from ribnb.method.settings import RIBSettings
from ribnb.nets.cam_net import CAMNet


@dataclass
class Step:
    """What happened at one step, kept with ``trace=True``.

    Attributes:
        k: the step, from 0; its maps are those of theta_k.
        cams: a tensor (n, h, w) for each scale that ran: ReLU of the class maps of the present
            classes, image and flip added.
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


@contextmanager
def walk_from(
    model: CAMNet, settings: RIBSettings, views: Sequence[Tensor], labels: Tensor
) -> Iterator[Walk]:
    """A walk from the model's weights, theta_0, which it has again afterwards, whatever happens."""
    with (
        torch.inference_mode(False),  # gradients flow, whatever mode the caller is in
        torch.enable_grad(),
        model.stages_moving(settings.moving_stages),
        _restored(model),
        evaluation(model),
        float32_mode(settings.precision),
    ):
        yield Walk(model, settings, views, labels)


class Walk:
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

    def update(self, step: Step, rows: Tensor, batch: tuple[Tensor, Tensor]) -> float:
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


def folded(module: nn.Module) -> nn.Module:
    """A twin, for evaluation, whose convolutions do the work of the batch norms after them.

    With its running statistics batch norm is a factor and a shift for each channel, so the
    convolution's weights can hold both; one pass over every feature map is saved. Rounding
    apart, the outputs are the same. The new weights do not follow later changes of the module's.
    Hooks are called as before, except those of the batch norms.

    Args:
        module: in eval mode; where a convolution and a batch norm are neighbours among a
            module's children, the one must feed the other, as in torchvision's ResNets.
    """
    children = {name: folded(child) for name, child in module.named_children()}
    for (name, first), (after, second) in pairwise(list(children.items())):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(first, second)
            children[name] = fused.to(memory_format=torch.channels_last)
            children[after] = nn.Identity()
    # Not a deep copy: that takes longer than what is saved in a step on a fast GPU.
    twin = copy.copy(module)
    twin._modules = children
    return twin
