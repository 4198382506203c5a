"""Batch norm that does not move, folded into the convolution before it."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(module: nn.Module) -> nn.Module:
    """A twin, for evaluation, whose convolutions do the work of the batch norms after them.

    With its running statistics batch norm is a factor and a shift for each channel, so the
    convolution's weights can hold both; one pass over every feature map is saved. Rounding
    apart, the outputs are the same. The new weights are channels last, as GPUs and the CPU like
    them best; they do not follow later changes of the module's. Hooks are called as before,
    except those of the batch norms.

    Args:
        module: in eval mode; where a convolution and a batch norm are neighbours among a
            module's children, the one must feed the other, as in torchvision's ResNets.
    """
    children = {name: folded(child) for name, child in module.named_children()}
    for (name, one), (after, other) in pairwise(list(children.items())):
        if isinstance(one, nn.Conv2d) and isinstance(other, nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(one, other)
            children[name] = fused.to(memory_format=torch.channels_last)
            children[after] = nn.Identity()
    # Not a deep copy: that takes longer than what is saved in a step on a fast GPU.
    twin = copy.copy(module)
    twin._modules = children
    return twin
