"""Adapt the network to one image, a few steps at a time, and add up what it sees on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Num
from torch import Tensor

from ribnb.method.cam import MapSum
from ribnb.method.settings import RIBSettings
from ribnb.method.walk import Step, walk_from
from ribnb.nets.cam_net import CAMNet

Batch = tuple[Num[Tensor, "b 3 H W"], Num[Tensor, "b C"]]


@dataclass
class Course:
    """The course of one image's adaptation.

    Attributes:
        losses: the loss before each update, one for each step that had its batch run.
        target_losses: at each step, the sum of the target's pooled logits over its present
            classes and over the views in the loss.
        gap_logits: at each step, the mean of the GAP logits of its present classes at scale 1,
            whatever the loss pools with; none for an image without labels.
        stopped_at: the step k after whose maps the loop stopped; None if it ran to its end.
        stop_reason: ``"margin"``, ``"flood"`` or None.
    """

    losses: list[float] = field(default_factory=list)
    target_losses: list[float] = field(default_factory=list)
    gap_logits: list[float] = field(default_factory=list)
    stopped_at: int | None = None
    stop_reason: str | None = None

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
    course, steps, batches = Course(), [], iter(batches)
    maps = MapSum(views[0].shape[-2:], settings, model.output_stride)
    stops = settings.margin_rule == "stop" and settings.iterations > 0
    updates = settings.iterations if trace else settings.num_updates
    with walk_from(model, settings, views, labels) as walk:
        for k in range(max(settings.iterations + settings.last_map, 1)):
            step = Step(k)
            with torch.set_grad_enabled(k < updates):
                rows = walk.look(step)
            maps.add(step.cams)
            if rows is None:
                course.stop_reason = "flood"
                course.gap_logits.append(step.gap_logits.mean().item())
            else:
                both = torch.stack([step.gap_logits.mean(), step.target_logits.sum()]).tolist()
                course.gap_logits.append(both[0])
                course.target_losses.append(both[1])
                if stops and abs(both[1]) > settings.margin:
                    course.stop_reason = "margin"
            if k < updates and rows is not None and (trace or course.stop_reason is None):
                course.losses.append(walk.update(step, rows, _take(batches, k, updates)))
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
