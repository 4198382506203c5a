"""What readers may hand in: right answers, and wrong ones with the words that they are met with."""

import numpy as np
import torch
import torch.nn.functional as F

from ribnb.exercises import (
    check_cam,
    check_crf_kernels,
    check_gndrp,
    check_high_gradient_ratio,
    check_localization_map,
    check_logit_gradient,
    check_mask_loss,
    check_random_walk_step,
    check_released_gndrp,
    check_rib_loss,
    check_rib_step,
)
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio
from ribnb.method.cam import normalize
from ribnb.method.losses import rib_loss
from ribnb.method.pooling import gndrp

RIGHT, WRONG = {}, {}

# L_RIB ------------------------------------------------------------------------------------


def loss_by_hand(y, t, m):
    return -(t * y.clamp(max=m)).sum()


def straight_through(y, t, m):
    """Right in value; its gradient goes on above the margin."""
    return loss_by_hand(y, t, m).detach() - (t * y).sum() + (t * y).sum().detach()


def bce(y, t, _=None):
    return F.binary_cross_entropy_with_logits(y, t, reduction="sum")


RIGHT[check_rib_loss] = [
    rib_loss,
    loss_by_hand,
    lambda y, t, m: -torch.minimum(y[t == 1], torch.tensor(m)).sum(),
]
WRONG[check_rib_loss] = [
    ("sign is turned", lambda y, t, m: -loss_by_hand(y, t, m)),
    ("margin is ignored", lambda y, t, m: -(t * y).sum()),
    ("max(m, y)", lambda y, t, m: -(t * y.clamp(min=m)).sum()),
    ("mean over all entries", lambda y, t, m: loss_by_hand(y, t, m) / y.numel()),
    ("mean over the images", lambda y, t, m: loss_by_hand(y, t, m) / len(y)),
    ("mean over the present classes", lambda y, t, m: loss_by_hand(y, t, m) / t.sum()),
    ("labels are ignored", lambda y, t, m: -y.clamp(max=m).sum()),
    ("a sigmoid on the logits", lambda y, t, m: loss_by_hand(y.sigmoid(), t, m)),
    ("this is L_BCE", bce),
    ("is the margin fixed", lambda y, t, m: loss_by_hand(y, t, 5)),
    ("has no gradient", lambda y, t, m: loss_by_hand(y, t, m).detach()),
    ("has no gradient", lambda y, t, m: loss_by_hand(y, t, m).detach().numpy()),
    ("the gradient is not", straight_through),
    ("shape (2, 3)", lambda y, t, m: -(t * y.clamp(max=m))),
    ("gives 1; expected -6", lambda y, t, m: y.sum() * 0 + 1),
    ("gives nan", lambda y, t, m: y.sum() * float("nan")),
]

# HGR --------------------------------------------------------------------------------------


def share(high, region):
    return high[region].float().mean()


def over_maximum(g):
    return g.abs() / g.abs().max()


def ratio_by_loop(g, r, t):
    pairs = zip(g.flatten(), r.flatten(), strict=True)
    high = [bool(abs(v) > t * g.abs().max()) for v, inside in pairs if inside]
    return sum(high) / len(high)


def unnormalised_if_small(g, r, t):
    """Right on the first example: divides by the maximum only if that is above 1."""
    return share(g.abs() / g.abs().max().clamp(min=1) > t, r)


RIGHT[check_high_gradient_ratio] = [
    high_gradient_ratio,
    ratio_by_loop,
    lambda *a: np.float64(high_gradient_ratio(*a)),
]
WRONG[check_high_gradient_ratio] = [
    ("threshold is not strict", lambda g, r, t: share(over_maximum(g) >= t, r)),
    ("region is ignored", lambda g, r, t: (over_maximum(g) > t).float().mean()),
    ("number of high pixels", lambda g, r, t: (over_maximum(g) > t)[r].sum()),
    ("not of the whole image", lambda g, r, t: (over_maximum(g) > t)[r].sum() / r.numel()),
    ("not normalised", lambda g, r, t: share(g.abs() > t, r)),
    ("not normalised", unnormalised_if_small),
    ("the sign counts: take the magnitude", lambda g, r, t: share(g / g.max() > t, r)),
    ("the sign counts: a pixel of -5", lambda g, r, t: share(g / g.abs().max() > t, r)),
    ("by the largest magnitude, not value", lambda g, r, t: share(g.abs() / g.max() > t, r)),
    ("by the whole map's maximum", lambda g, r, t: share(g.abs() / g[r].abs().max() > t, r)),
    ("mean gradient", lambda g, r, t: over_maximum(g)[r].mean()),
    ("shape (3, 4)", lambda g, r, t: g.abs() > t),
    ("returns a str", lambda g, r, t: "a third"),
]

# G_6 --------------------------------------------------------------------------------------


def logit_gradient(net, image, target, logit=lambda logits, target: logits[0, target]):
    leaf = image[None].clone().requires_grad_(True)
    return torch.autograd.grad(logit(net(leaf), target), leaf)[0][0, 0]


def layers(net, x, c):
    return gradient_maps(net, x[None], torch.tensor([c]))[:, 0]


RIGHT[check_logit_gradient] = [
    logit_gradient,
    lambda *a: layers(*a)[-1],
    lambda *a: logit_gradient(*a).numpy(),
]
WRONG[check_logit_gradient] = [
    ("other class's logit", lambda net, x, c: logit_gradient(net, x, 1 - c)),
    ("sum of both logits", lambda *a: logit_gradient(*a, lambda y, c: y.sum())),
    ("of a probability", lambda *a: logit_gradient(*a, lambda y, c: y.softmax(dim=1)[0, c])),
    ("this is G_5", lambda *a: layers(*a)[-2]),
    ("magnitude is taken", lambda *a: logit_gradient(*a).abs()),
    ("sign is turned", lambda *a: -logit_gradient(*a)),
    ("shape (1, 12, 12); expected (H, W)", lambda *a: logit_gradient(*a)[None]),
    ("shape (6, 12, 12)", layers),
    ("off by up to", lambda *a: 2 * logit_gradient(*a)),
]

# One step ---------------------------------------------------------------------------------


def sgd_step(net, x, t, rate, margin, loss=rib_loss):
    slopes = torch.autograd.grad(loss(net(x), t, margin), list(net.parameters()))
    with torch.no_grad():
        for weight, slope in zip(net.parameters(), slopes, strict=True):
            weight -= rate * slope


def by_optimizer(net, x, t, rate, margin):
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    rib_loss(net(x), t, margin).backward()
    optimizer.step()


RIGHT[check_rib_step] = [sgd_step, by_optimizer]
WRONG[check_rib_step] = [
    ("did not change", lambda net, x, t, rate, m: rib_loss(net(x), t, m).backward()),
    ("goes up the loss", lambda net, x, t, rate, m: sgd_step(net, x, t, -rate, m)),
    ("ignores the learning rate", lambda net, x, t, rate, m: sgd_step(net, x, t, 1, m)),
    ("the loss is a mean", lambda net, x, t, rate, m: sgd_step(net, x, t, rate / len(x), m)),
    ("follows L_BCE", lambda *a: sgd_step(*a, loss=bce)),
    ("off by up to", lambda net, x, t, rate, m: sgd_step(net, x, t, 3 * rate, m)),
]

# CAM --------------------------------------------------------------------------------------


def raw_cam(features, weights):
    return F.conv2d(features, weights[:, :, None, None])


def cam_by_loops(features, weights):
    cams = torch.zeros(len(features), len(weights), *features.shape[2:])
    for image, one in enumerate(features):
        for c, row in enumerate(weights):
            for weight, channel in zip(row, one, strict=True):
                cams[image, c] += weight * channel
    return cams * (cams > 0)


RIGHT[check_cam] = [
    lambda f, w: raw_cam(f, w).relu(),
    lambda f, w: raw_cam(f, w).relu().numpy(),
    cam_by_loops,
]
WRONG[check_cam] = [
    ("negative values are left", raw_cam),
    ("divided by its maximum", lambda f, w: normalize(raw_cam(f, w))),
    ("ReLU comes before the sum", lambda f, w: raw_cam(f, w.relu())),  # the features are positive
    ("magnitude is taken", lambda f, w: raw_cam(f, w).abs()),
    ("there is a sigmoid", lambda f, w: raw_cam(f, w).sigmoid()),
    ("mean over the channels", lambda f, w: raw_cam(f, w).relu() / f.shape[1]),
    ("shape (2, 4); expected (B, C, h, w) = (2, 4, 4, 5)", lambda f, w: f.mean(dim=(2, 3)) @ w.T),
    ("shape (2, 4, 5, 4)", lambda f, w: raw_cam(f, w).relu().transpose(2, 3)),
    ("off by up to", lambda f, w: 2 * raw_cam(f, w).relu()),
    ("returns a str", lambda f, w: "a map"),
]

# GNDRP ------------------------------------------------------------------------------------


def gndrp_by_loops(features, cam, threshold):
    pooled = [
        [one[low <= threshold].mean() if (low <= threshold).any() else 0 * one.sum()
         for one, low in zip(channels, lows, strict=True)]
        for channels, lows in zip(features, cam, strict=True)
    ]  # fmt: skip
    return torch.stack([torch.stack(row) for row in pooled])


def kept_mean(features, kept):
    return (features * kept).sum((2, 3)) / kept.sum((2, 3))


def pooled_like_gap(features, cam, threshold):
    """Right in value, but GAP's gradient."""
    pooled = features.mean(dim=(2, 3))
    return gndrp(features, cam, threshold).detach() + pooled - pooled.detach()


RIGHT[check_gndrp] = [
    gndrp,
    gndrp_by_loops,
    lambda f, cam, tau: (f * (cam <= tau)).sum((2, 3)) / (cam <= tau).sum((2, 3)).clamp(min=1),
]
WRONG[check_gndrp] = [
    ("this is GAP", lambda f, cam, tau: f.mean(dim=(2, 3))),
    ("not by all, as the authors' code does", lambda f, cam, tau: gndrp(f, cam, tau, "released")),
    ("that are kept, not by all.", lambda f, cam, tau: (f * (cam <= tau)).mean(dim=(2, 3))),
    ("this is the sum", lambda f, cam, tau: (f * (cam <= tau)).sum(dim=(2, 3))),
    ("wrong side is kept", lambda f, cam, tau: kept_mean(f, cam > tau)),
    ("exactly on the threshold is kept", lambda f, cam, tau: kept_mean(f, cam < tau)),
    ("one mask for all", lambda f, cam, tau: kept_mean(f, (cam <= tau).all(dim=1, keepdim=True))),
    ("the CAM is averaged, not the features", lambda f, cam, tau: kept_mean(cam, cam <= tau)),
    ("with a threshold of 1 every position is kept", lambda f, cam, tau: gndrp(f, cam, 0.4)),
    ("gives NaN", lambda f, cam, tau: kept_mean(f, cam <= tau)),
    ("has no gradient", lambda f, cam, tau: gndrp(f, cam, tau).detach()),
    ("the gradient is not", pooled_like_gap),
    ("returns the shape (2, 3, 4, 4); expected (B, C)", lambda f, cam, tau: f * (cam <= tau)),
    ("off by up to", lambda f, cam, tau: 2 * gndrp(f, cam, tau)),
]


def released(maps, tau):
    return (maps * (maps / maps.amax(dim=(2, 3), keepdim=True) < tau)).mean(dim=(2, 3))


RIGHT[check_released_gndrp] = [released]
WRONG[check_released_gndrp] = [
    ("this is the paper's mean", lambda maps, tau: gndrp(maps, normalize(maps), tau)),
    ("off by up to", lambda maps, tau: gndrp(maps, normalize(maps), tau, "released")),
]

# M ----------------------------------------------------------------------------------------


def top(one):
    return one / one.max()


RIGHT[check_localization_map] = [
    lambda cams: top(cams.sum(0)),
    lambda cams: top(cams.mean(0)),  # the 1 / (K + 1) cancels
    lambda cams: top(cams.numpy().sum(0)),
]
WRONG[check_localization_map] = [
    ("sum is not divided by its maximum", lambda cams: cams.sum(0)),
    ("this is the mean", lambda cams: cams.mean(0)),
    ("the last step's CAM alone", lambda cams: top(cams[-1])),
    ("the first step's CAM alone", lambda cams: top(cams[0])),
    ("the last step is missing", lambda cams: top(cams[:-1].sum(0))),
    ("theta_0's CAM is missing", lambda cams: top(cams[1:].sum(0))),
    ("each step's CAM is divided by its maximum", lambda cams: top(sum(top(cam) for cam in cams))),
    ("the largest value over the steps", lambda cams: top(cams.amax(0))),
    ("returns the shape (5,); expected (H, W) = (3, 5)", lambda cams: cams.sum((0, 1))),
    ("off by up to", lambda cams: top((cams**2).sum(0))),
]

# Masks ------------------------------------------------------------------------------------


def cleared(mask):
    return torch.where(mask == 255, 0, mask.long())


def cross_entropy(logits, mask):
    return F.cross_entropy(logits[None], mask[None].long(), ignore_index=255)


def each(z, m):
    """The loss of each pixel, that of background where it is ignored."""
    return F.cross_entropy(z[None], cleared(m)[None], reduction="none")[0]


def own_share(z, m):
    return z.softmax(0).gather(0, cleared(m)[None])[0][m != 255]


RIGHT[check_mask_loss] = [
    cross_entropy,
    lambda z, m: F.cross_entropy(z[:, m != 255].T, m[m != 255].long()),
]
WRONG[check_mask_loss] = [
    ("pixels of 255 count as background", lambda z, m: each(z, m).mean()),
    ("take the mean", lambda z, m: each(z, m)[m != 255].sum()),
    ("divide by the labelled pixels", lambda z, m: (each(z, m) * (m != 255)).mean()),
    ("the sign is turned", lambda z, m: -cross_entropy(z, m)),
    ("the background is left out", lambda z, m: each(z, m)[(m != 255) & (m > 0)].mean()),
    ("the softmax is taken twice", lambda z, m: cross_entropy(z.softmax(0), m)),
    ("the logarithm is missing", lambda z, m: -own_share(z, m).mean()),
    ("it has no gradient", lambda z, m: cross_entropy(z, m).item()),
    ("returns the shape (5, 6); expected ()", each),
    ("it raised IndexError", lambda z, m: F.cross_entropy(z[None], m[None].long())),
]


def pull(
    weigh=lambda smooth, place, colour, a, b: a * smooth + b * place * colour,
    bell=lambda d, w: torch.exp(-(d**2) / (2 * w**2)),
    after=lambda strength: strength.fill_diagonal_(0),
):
    """A reader's kernels, right but for what is given."""

    def fn(positions, colours, smooth_width, near_width, colour_width, smooth_weight, near_weight):
        apart, unlike = torch.cdist(positions, positions), torch.cdist(colours, colours)
        kernels = bell(apart, smooth_width), bell(apart, near_width), bell(unlike, colour_width)
        return after(weigh(*kernels, smooth_weight, near_weight))

    return fn


def swapped_widths(p, c, smooth_width, near_width, **others):
    return pull()(p, c, smooth_width=near_width, near_width=smooth_width, **others)


RIGHT[check_crf_kernels] = [pull(), pull(after=lambda one: one.fill_diagonal_(0).numpy())]
WRONG[check_crf_kernels] = [
    ("a pixel does not pull itself", pull(after=lambda one: one)),
    ("the 2 is missing", pull(bell=lambda d, w: torch.exp(-(d**2) / w**2))),
    ("the distance is not squared", pull(bell=lambda d, w: torch.exp(-d / (2 * w**2)))),
    ("the width is not squared", pull(bell=lambda d, w: torch.exp(-(d**2) / (2 * w)))),
    ("the minus in the exponent is missing", pull(bell=lambda d, w: torch.exp(d**2 / 2 / w**2))),
    ("the weights are swapped", pull(lambda s, p, c, a, b: b * s + a * p * c)),
    ("the widths are swapped", swapped_widths),
    ("knows the positions alone", pull(lambda s, p, c, a, b: a * s * c + b * p * c)),
    ("no kernel knows the colours", pull(lambda s, p, c, a, b: a * s + b * p)),
    ("needs the positions as well", pull(lambda s, p, c, a, b: a * s + b * c)),
    ("is one exponential", pull(lambda s, p, c, a, b: a * s + b * (p + c))),
    ("added, not multiplied", pull(lambda s, p, c, a, b: a * s * b * p * c)),
    ("the weights are missing", pull(lambda s, p, c, a, b: s + p * c)),
    ("the smoothness kernel is missing", pull(lambda s, p, c, a, b: b * p * c)),
    ("the appearance kernel is missing", pull(lambda s, p, c, a, b: a * s)),
    ("shape (12,); expected a strength for each two", pull(after=lambda one: one[0])),
]


def rows(weights):
    return weights / weights.sum(dim=1, keepdim=True)


def walk(matrix, values):
    return (matrix @ values.flatten()).view(values.shape)


def by_rows(values, affinity, beta):
    return walk(rows(affinity**beta), values)


RIGHT[check_random_walk_step] = [
    by_rows,
    lambda v, a, b: ((a**b @ v.flatten()) / (a**b).sum(dim=1)).view(v.shape),
    lambda v, a, b: (v.view(1, -1) @ (a**b / (a**b).sum(dim=0))).view(v.shape),  # as IRN's code
]
WRONG[check_random_walk_step] = [
    ("rows are not normalised", lambda v, a, b: walk(a**b, v)),
    ("columns are normalised", lambda v, a, b: walk(a**b / (a**b).sum(dim=0), v)),
    ("beta is ignored", lambda v, a, b: by_rows(v, a, 1.0)),
    ("beta comes after the rows", lambda v, a, b: walk(rows(a) ** b, v)),
    ("left out of its own mean", lambda v, a, b: walk(rows((a**b).fill_diagonal_(0)), v)),
    ("multiplied by itself", lambda v, a, b: walk(rows(torch.linalg.matrix_power(a, 3)), v)),
    ("this is the sum of all of them", lambda v, a, b: walk(a**b / (a**b).sum(), v)),
    ("these are two steps", lambda v, a, b: by_rows(by_rows(v, a, b), a, b)),
    ("left as they are", lambda v, a, b: v),
    ("expected (h, w) = (3, 4)", lambda v, a, b: by_rows(v, a, b).T),
    ("off by up to", lambda v, a, b: 2 * by_rows(v, a, b)),
]
