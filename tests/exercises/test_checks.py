"""Self-checks: the right answer is accepted, and what is wrong is named in words."""

import pytest
import torch
import torch.nn.functional as F

from ribnb import exercises
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
    tools,
)
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio
from ribnb.method.losses import rib_loss
from ribnb.method.pooling import gndrp, normalize

CHECKS = [check for name, check in vars(exercises).items() if name.startswith("check_")]

# What readers may hand in -----------------------------------------------------------------


def loss_by_hand(y, t, m):
    return -(t * y.clamp(max=m)).sum()


def straight_through(y, t, m):
    """Right in value; its gradient goes on above the margin."""
    return loss_by_hand(y, t, m).detach() - (t * y).sum() + (t * y).sum().detach()


def bce(y, t, _=None):
    return F.binary_cross_entropy_with_logits(y, t, reduction="sum")


def share(high, region):
    return high[region].float().mean()


def over_maximum(g):
    return g.abs() / g.abs().max()


def unnormalised_if_small(g, r, t):
    """Right on the first example: divides by the maximum only if that is above 1."""
    return share(g.abs() / g.abs().max().clamp(min=1) > t, r)


def logit_gradient(net, image, target, logit=lambda logits, target: logits[0, target]):
    leaf = image[None].clone().requires_grad_(True)
    return torch.autograd.grad(logit(net(leaf), target), leaf)[0][0, 0]


def layers(net, x, c):
    return gradient_maps(net, x[None], torch.tensor([c]))[:, 0]


def sgd_step(net, x, t, rate, margin, loss=rib_loss):
    slopes = torch.autograd.grad(loss(net(x), t, margin), list(net.parameters()))
    with torch.no_grad():
        for weight, slope in zip(net.parameters(), slopes, strict=True):
            weight -= rate * slope


def raw_cam(features, weights):
    return F.conv2d(features, weights[:, :, None, None])


def kept_mean(features, kept):
    return (features * kept).sum((2, 3)) / kept.sum((2, 3))


def pooled_like_gap(features, cam, threshold):
    """Right in value, but GAP's gradient."""
    pooled = features.mean(dim=(2, 3))
    return gndrp(features, cam, threshold).detach() + pooled - pooled.detach()


def released(maps, tau):
    return (maps * (maps / maps.amax(dim=(2, 3), keepdim=True) < tau)).mean(dim=(2, 3))


def top(one):
    return one / one.max()


def cross_entropy(logits, mask):
    return F.cross_entropy(logits[None], mask[None].long(), ignore_index=255)


def each(z, m):
    """The loss of each pixel, that of background where it is ignored."""
    background = torch.where(m == 255, 0, m.long())
    return F.cross_entropy(z[None], background[None], reduction="none")[0]


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


def rows(weights):
    return weights / weights.sum(dim=1, keepdim=True)


def walk(matrix, values):
    return (matrix @ values.flatten()).view(values.shape)


def by_rows(values, affinity, beta):
    return walk(rows(affinity**beta), values)


RIGHT = {
    check_rib_loss: [rib_loss, loss_by_hand],
    check_high_gradient_ratio: [high_gradient_ratio],
    check_logit_gradient: [logit_gradient, lambda *a: layers(*a)[-1].numpy()],
    check_rib_step: [sgd_step],
    check_cam: [lambda f, w: raw_cam(f, w).relu()],
    check_gndrp: [
        gndrp,
        lambda f, cam, tau: (f * (cam <= tau)).sum((2, 3)) / (cam <= tau).sum((2, 3)).clamp(min=1),
    ],
    check_released_gndrp: [released],
    check_localization_map: [
        lambda cams: top(cams.sum(0)),
        lambda cams: top(cams.mean(0)),  # the 1 / (K + 1) cancels
    ],
    check_mask_loss: [
        cross_entropy,
        lambda z, m: F.cross_entropy(z[:, m != 255].T, m[m != 255].long()),
    ],
    check_crf_kernels: [pull()],
    check_random_walk_step: [
        by_rows,
        lambda v, a, b: (v.view(1, -1) @ (a**b / (a**b).sum(dim=0))).view(v.shape),  # IRN's code
    ],
}
WRONG = {
    check_rib_loss: [
        ("sign is turned", lambda y, t, m: -loss_by_hand(y, t, m)),
        ("margin is ignored", lambda y, t, m: -(t * y).sum()),
        ("is the margin fixed", lambda y, t, m: loss_by_hand(y, t, 5)),
        ("has no gradient", lambda y, t, m: loss_by_hand(y, t, m).detach().numpy()),
        ("the gradient is not", straight_through),
        ("shape (2, 3)", lambda y, t, m: -(t * y.clamp(max=m))),
        ("gives 1; expected -6", lambda y, t, m: y.sum() * 0 + 1),
    ],
    check_high_gradient_ratio: [
        ("threshold is not strict", lambda g, r, t: share(over_maximum(g) >= t, r)),
        ("region is ignored", lambda g, r, t: (over_maximum(g) > t).float().mean()),
        ("not normalised", unnormalised_if_small),
        ("returns a str", lambda g, r, t: "a third"),
    ],
    check_logit_gradient: [
        ("other class's logit", lambda net, x, c: logit_gradient(net, x, 1 - c)),
        ("of a probability", lambda *a: logit_gradient(*a, lambda y, c: y.softmax(dim=1)[0, c])),
    ],
    check_rib_step: [
        ("did not change", lambda net, x, t, rate, m: rib_loss(net(x), t, m).backward()),
        ("follows L_BCE", lambda *a: sgd_step(*a, loss=bce)),
    ],
    check_cam: [
        ("negative values are left", raw_cam),
        ("ReLU comes before the sum", lambda f, w: raw_cam(f, w.relu())),  # no feature is negative
        ("shape (2, 4); expected (B, C, h, w)", lambda f, w: f.mean(dim=(2, 3)) @ w.T),
    ],
    check_gndrp: [
        ("this is GAP", lambda f, cam, tau: f.mean(dim=(2, 3))),
        ("by all, as the authors' code", lambda f, cam, tau: gndrp(f, cam, tau, "released")),
        ("that are kept, not by all.", lambda f, cam, tau: (f * (cam <= tau)).mean(dim=(2, 3))),
        ("exactly on the threshold is kept", lambda f, cam, tau: kept_mean(f, cam < tau)),
        ("with a threshold of 1", lambda f, cam, tau: gndrp(f, cam, 0.4)),
        ("gives NaN", lambda f, cam, tau: kept_mean(f, cam <= tau)),
        ("the gradient is not", pooled_like_gap),
    ],
    check_released_gndrp: [
        ("this is the paper's mean", lambda maps, tau: gndrp(maps, normalize(maps), tau)),
        ("off by up to", lambda maps, tau: gndrp(maps, normalize(maps), tau, "released")),
    ],
    check_localization_map: [
        ("sum is not divided by its maximum", lambda cams: cams.sum(0)),
        ("each step's CAM is divided", lambda cams: top(sum(top(cam) for cam in cams))),
    ],
    check_mask_loss: [
        ("pixels of 255 count as background", lambda z, m: each(z, m).mean()),
        ("divide by the labelled pixels", lambda z, m: (each(z, m) * (m != 255)).mean()),
        ("it has no gradient", lambda z, m: cross_entropy(z, m).item()),
        ("it raised IndexError", lambda z, m: F.cross_entropy(z[None], m[None].long())),
    ],
    check_crf_kernels: [
        ("a pixel does not pull itself", pull(after=lambda one: one)),
        ("the 2 is missing", pull(bell=lambda d, w: torch.exp(-(d**2) / w**2))),
        ("added, not multiplied", pull(lambda s, p, c, a, b: a * s * b * p * c)),
    ],
    check_random_walk_step: [
        ("rows are not normalised", lambda v, a, b: walk(a**b, v)),
        ("beta is ignored", lambda v, a, b: by_rows(v, a, 1.0)),
        ("left out of its own mean", lambda v, a, b: walk(rows((a**b).fill_diagonal_(0)), v)),
    ],
}

# The checks -------------------------------------------------------------------------------


def test_every_check_is_covered_here():
    assert {*RIGHT} == {*WRONG} == {*CHECKS}


def names(value) -> str | None:
    return getattr(value, "__name__", None) if callable(value) else None


@pytest.mark.parametrize(("check", "fn"), [(c, f) for c in RIGHT for f in RIGHT[c]], ids=names)
def test_accepts_what_is_right(check, fn, capsys):
    assert check(fn) is True
    assert capsys.readouterr().out == f"{check.__name__.removeprefix('check_')}: right.\n"


@pytest.mark.parametrize(
    ("check", "words", "fn"), [(c, *row) for c in WRONG for row in WRONG[c]], ids=names
)
def test_names_what_is_wrong(check, words, fn, capsys):
    assert check(fn) is False
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert words in said


@pytest.mark.parametrize("check", CHECKS)
def test_every_mistake_that_a_check_knows_differs(check, monkeypatch, capsys):
    """From the others and from the right answer, so that none is called by another's name."""
    known = {}

    def note(given, right, mistakes, *_):
        known.update({"": right, **mistakes} if not known else {})
        return "noted"

    monkeypatch.setattr(tools, "difference", note)
    check(RIGHT[check][0])
    answers = list(known.items())
    for place, (name, answer) in enumerate(answers):
        for other, value in answers[:place]:
            alike = torch.allclose(answer.float(), value.float(), rtol=1e-3, atol=1e-4)
            assert not alike, f"{name} is {other or 'right'}"


def unwritten(*_, **__):
    raise NotImplementedError


@pytest.mark.parametrize("check", CHECKS)
def test_says_what_a_function_raised_and_that_a_return_is_missing(check, capsys):
    for fn, words in (
        (unwritten, "it is not written yet"),
        (lambda: 1, "it raised TypeError"),
        (lambda *_, **__: None, "returns nothing yet: end it with a return"),
    ):
        if check is not check_rib_step or "return" not in words:  # it returns nothing
            assert check(fn) is False
            assert words in capsys.readouterr().out


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_moves_no_random_state_and_a_function_may_write_into_what_it_gets(check, capsys):
    """A reader who tries an exercise gets the same numbers in the cells that follow."""

    def spoiling(*given, **numbers):
        answer = RIGHT[check][0](*given, **numbers)
        for one in given:
            if isinstance(one, torch.Tensor) and not one.requires_grad:
                one.zero_()
        return answer

    before = torch.random.get_rng_state()
    assert check(spoiling) is True
    assert check(spoiling) is True
    assert torch.equal(torch.random.get_rng_state(), before)
