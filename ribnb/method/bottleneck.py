"""What each layer of a classifier lets through (Lee et al. 2021, Figures 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ribnb.core.devices import evaluation

LAYERS = (nn.Conv2d, nn.Linear)


def gradient_maps(
    model: nn.Module,
    images: Float[Tensor, "B C H W"],
    targets: Int[Tensor, " B"],
    before_activation: bool = False,
) -> Float[Tensor, "L B H W"]:
    """G_1 ... G_L: how strongly each pixel acts on each layer's feature map.

    G_k is the gradient, with respect to the image, of the sum of T_k over positions and
    channels; T_k is what layer k hands to layer k + 1, its activation included. The last map
    G_L is the gradient of the logit y^c of each image's target class c. The layers are the
    model's convolutions and fully connected layers, in the order in which they run. The model
    is evaluated in ``eval`` mode and left as it was.

    Args:
        model: gives logits (B, num_classes) from images; its last layer gives the logits.
        images: (B, C, H, W), on the model's device.
        targets: (B,) the class index c of each image.
        before_activation: take T_k before its activation instead, as it leaves layer k.

    Returns:
        (L, B, H, W) signed gradients, summed over the image's channels, unnormalised.

    Raises:
        ValueError: targets that are not (B,) class indices.

    Lee et al. 2021, Figure 1(b).
    """
    images = images.detach().clone().requires_grad_(True)
    sums: list[Tensor] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sums.append((output if before_activation else inputs[0]).sum())

    layers = [module for module in model.modules() if isinstance(module, LAYERS)]
    with ExitStack() as hooks, evaluation(model), torch.enable_grad():
        for layer in layers:  # what enters layer k + 1 is T_k
            hooks.callback(layer.register_forward_hook(record).remove)
        logits = model(images)
    sums.pop(-1 if before_activation else 0)  # the logits; the image
    known = range(logits.shape[1])
    if targets.shape != (len(images),) or not all(t in known for t in targets.tolist()):
        raise ValueError(
            f"targets must be ({len(images)},) class indices in 0 ... {known[-1]}, one an image; "
            f"got {targets.tolist()}"
        )
    with torch.enable_grad():
        sums.append(logits.gather(1, targets[:, None].long()).sum())
    # Images of a batch do not act on each other in eval mode, so one sum serves them all.
    gradients = [torch.autograd.grad(total, images, retain_graph=True)[0] for total in sums]
    return torch.stack(gradients).sum(dim=2)


def high_gradient_ratio(
    gradient_map: Float[Tensor, "H W"],
    region: Bool[Tensor, "H W"],
    threshold: float = 0.3,
    scale: float | None = None,
) -> float:
    """HGR: the share of a region's pixels whose normalised gradient is above a threshold.

    Args:
        gradient_map: (H, W) one map G_k; its sign does not count.
        region: (H, W) bool, the region's pixels.
        threshold: in units of the normalised gradient, at least 0; strictly above counts.
        scale: divide ``|G|`` by this instead of by the map's own maximum, to compare maps on one
            scale; positive.

    Returns:
        A number in [0, 1]. A map that is 0 everywhere gives 0.

    Raises:
        ValueError: shapes that differ, a region that is not bool or is empty, a map with NaN, a
            negative threshold, a scale that is not positive.

    Lee et al. 2021, Figure 1(c).
    """
    size = tuple(gradient_map.shape)
    if len(size) != 2 or region.shape != size or region.dtype != torch.bool:
        raise ValueError(
            f"gradient_map must be (H, W) and region a bool mask of its shape; got {size} and "
            f"{tuple(region.shape)} of {region.dtype}"
        )
    scales = None if scale is None else gradient_map.new_tensor([scale])
    ratios = region_ratios(gradient_map[None, None], {"region": region[None]}, threshold, scales)
    return ratios["region"].item()


def region_ratios(
    maps: Float[Tensor, "L B H W"],
    regions: Mapping[str, Bool[Tensor, "B H W"]],
    threshold: float = 0.3,
    scales: Float[Tensor, " B"] | None = None,
) -> dict[str, Float[Tensor, "L B"]]:
    """HGR of every region in every map: the numbers behind Figure 1(c).

    Args:
        maps: (L, B, H, W), as ``gradient_maps`` gives them.
        regions: name -> (B, H, W) bool.
        threshold: as in ``high_gradient_ratio``.
        scales: (B,) one scale an image, or None for each map's own maximum.

    Returns:
        The same names -> (L, B).

    Raises:
        ValueError: an empty region, a map with NaN, a negative threshold, a scale that is not
            positive.
    """
    if not threshold >= 0 or (scales is not None and not (scales > 0).all()):
        raise ValueError(
            f"threshold must be at least 0 and each scale positive; got {threshold} and {scales}"
        )
    if maps.isnan().any():
        raise ValueError("a gradient map holds NaN")
    empty = [name for name, masks in regions.items() if not masks.any(dim=(1, 2)).all()]
    if empty:
        raise ValueError(f"{empty[0]!r} has no pixels in one of the images, and so no ratio")
    magnitudes = maps.abs()
    scales = magnitudes.amax(dim=(2, 3)) if scales is None else scales.expand(maps.shape[:2])
    high = magnitudes > threshold * scales[:, :, None, None]
    return {
        name: (high & masks).sum(dim=(2, 3)) / masks.sum(dim=(1, 2))
        for name, masks in regions.items()
    }
