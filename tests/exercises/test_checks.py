"""Self-checks: the right answer is accepted, and each usual mistake is named in words."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checking import assert_accepts, assert_names_the_mistake, name_of

from ribnb.exercises import checks
from ribnb.method.bottleneck import gradient_maps, high_gradient_ratio
from ribnb.method.losses import rib_loss

# L_RIB ------------------------------------------------------------------------------------


def loss_by_hand(y, t, m):
    return -(t * y.clamp(max=m)).sum()


def fixed_margin(y, t, m):
    return -(t * y.clamp(max=5)).sum()


def detached(y, t, m):
    return loss_by_hand(y, t, m).detach()


def wrong_slope(y, t, m):
    """Right in value; its gradient goes on above the margin, as with a straight-through trick."""
    return loss_by_hand(y, t, m).detach() - (t * y).sum() + (t * y).sum().detach()


RIB_LOSSES = [
    ("sign is turned", lambda y, t, m: -loss_by_hand(y, t, m)),
    ("margin is ignored", lambda y, t, m: -(t * y).sum()),
    ("max(m, y)", lambda y, t, m: -(t * y.clamp(min=m)).sum()),
    ("mean over all entries", lambda y, t, m: loss_by_hand(y, t, m) / y.numel()),
    ("mean over the images", lambda y, t, m: loss_by_hand(y, t, m) / len(y)),
    ("mean over the present classes", lambda y, t, m: loss_by_hand(y, t, m) / t.sum()),
    ("labels are ignored", lambda y, t, m: -y.clamp(max=m).sum()),
    ("labels are turned", lambda y, t, m: loss_by_hand(y, 1 - t, m)),
    ("a sigmoid on the logits", lambda y, t, m: loss_by_hand(y.sigmoid(), t, m)),
    ("this is L_BCE", lambda y, t, m: F.binary_cross_entropy_with_logits(y, t, reduction="sum")),
    ("is the margin fixed", fixed_margin),
    ("has no gradient", detached),
    ("has no gradient", lambda y, t, m: loss_by_hand(y, t, m).item()),
    ("has no gradient", lambda y, t, m: loss_by_hand(y, t, m).detach().numpy()),
    ("the gradient is not", wrong_slope),
    ("shape (2, 3)", lambda y, t, m: -(t * y.clamp(max=m))),
    ("gives 1; expected -6", lambda y, t, m: y.sum() * 0 + 1),
    ("gives nan", lambda y, t, m: y.sum() * float("nan")),
]

# HGR --------------------------------------------------------------------------------------


def share(high, region):
    return high[region].float().mean()


def by_loop(g, r, t):
    """A beginner's way, which is right."""
    high = [abs(v) > t * g.abs().max() for v, inside in zip(g.flatten(), r.flatten()) if inside]  # noqa: B905
    return sum(bool(one) for one in high) / len(high)


def shifted(g, r, t):
    return share((g - g.min()) / (g.max() - g.min()) > t, r)


def unnormalised_if_small(g, r, t):
    """Right on the first example: divides by the maximum only if that is above 1."""
    return share(g.abs() / g.abs().max().clamp(min=1) > t, r)


RATIOS = [
    ("threshold is not strict", lambda g, r, t: share(g.abs() / g.abs().max() >= t, r)),
    ("region is ignored", lambda g, r, t: (g.abs() / g.abs().max() > t).float().mean()),
    ("number of high pixels", lambda g, r, t: (g.abs() / g.abs().max() > t)[r].sum()),
    (
        "size of the whole image",
        lambda g, r, t: (g.abs() / g.abs().max() > t)[r].sum() / r.numel(),
    ),
    ("not normalised", lambda g, r, t: share(g.abs() > t, r)),
    ("not normalised", unnormalised_if_small),
    ("the sign counts", lambda g, r, t: share(g / g.max() > t, r)),
    ("the sign counts", lambda g, r, t: share(g / g.abs().max() > t, r)),
    ("divided by its largest value", lambda g, r, t: share(g.abs() / g.max() > t, r)),
    ("maximum within the region", lambda g, r, t: share(g.abs() / g[r].abs().max() > t, r)),
    ("shifted to [0, 1]", shifted),
    ("mean gradient", lambda g, r, t: (g.abs() / g.abs().max())[r].mean()),
    ("share that is low", lambda g, r, t: share(g.abs() / g.abs().max() <= t, r)),
    ("shape (3, 4)", lambda g, r, t: g.abs() > t),
    ("returns a str", lambda g, r, t: "a third"),
]

# G_6 --------------------------------------------------------------------------------------


def logit_gradient(model, image, target, logit=lambda logits, target: logits[0, target]):
    leaf = image[None].clone().requires_grad_(True)
    return torch.autograd.grad(logit(model(leaf), target), leaf)[0][0, 0]


def layer(index):
    return lambda net, x, c: gradient_maps(net, x[None], torch.tensor([c]))[index, 0]


GRADIENTS = [
    ("other class's logit", lambda net, x, c: logit_gradient(net, x, 1 - c)),
    ("sum of both logits", lambda net, x, c: logit_gradient(net, x, c, lambda y, _: y.sum())),
    (
        "gradient of a probability",
        lambda net, x, c: logit_gradient(net, x, c, lambda y, c: y.softmax(dim=1)[0, c]),
    ),
    ("this is G_5", layer(-2)),
    ("magnitude is taken", lambda net, x, c: logit_gradient(net, x, c).abs()),
    ("gradient times image", lambda net, x, c: logit_gradient(net, x, c) * x[0]),
    ("sign is turned", lambda net, x, c: -logit_gradient(net, x, c)),
    ("shape is (1, 12, 12)", lambda net, x, c: logit_gradient(net, x, c)[None]),
    ("shape (6, 12, 12)", lambda net, x, c: gradient_maps(net, x[None], torch.tensor([c]))[:, 0]),
    ("off by up to", lambda net, x, c: 2 * logit_gradient(net, x, c)),
]

# One step ---------------------------------------------------------------------------------


def step(model, x, t, rate, margin, loss=rib_loss):
    slopes = torch.autograd.grad(loss(model(x), t, margin), list(model.parameters()))
    with torch.no_grad():
        for weight, slope in zip(model.parameters(), slopes, strict=True):
            weight -= rate * slope


def by_optimizer(model, x, t, rate, margin):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    rib_loss(model(x), t, margin).backward()
    optimizer.step()


def bce(y, t, _):
    return F.binary_cross_entropy_with_logits(y, t, reduction="sum")


STEPS = [
    ("did not change", lambda net, x, t, rate, m: rib_loss(net(x), t, m).backward()),
    ("goes up the loss", lambda net, x, t, rate, m: step(net, x, t, -rate, m)),
    ("ignores the learning rate", lambda net, x, t, rate, m: step(net, x, t, 1, m)),
    ("the loss is a mean", lambda net, x, t, rate, m: step(net, x, t, rate / len(x), m)),
    ("follows L_BCE", lambda net, x, t, rate, m: step(net, x, t, rate, m, bce)),
    ("off by up to", lambda net, x, t, rate, m: step(net, x, t, 3 * rate, m)),
]

# All checks -------------------------------------------------------------------------------

RIGHT = [
    (checks.check_rib_loss, rib_loss),
    (checks.check_rib_loss, loss_by_hand),
    (checks.check_rib_loss, lambda y, t, m: -torch.minimum(y[t == 1], torch.tensor(m)).sum()),
    (checks.check_high_gradient_ratio, high_gradient_ratio),
    (checks.check_high_gradient_ratio, by_loop),
    (checks.check_high_gradient_ratio, lambda *a: np.float64(high_gradient_ratio(*a))),
    (checks.check_logit_gradient, logit_gradient),
    (checks.check_logit_gradient, layer(-1)),
    (checks.check_logit_gradient, lambda *a: logit_gradient(*a).numpy()),
    (checks.check_rib_step, step),
    (checks.check_rib_step, by_optimizer),
]
WRONG = [
    *((checks.check_rib_loss, *row) for row in RIB_LOSSES),
    *((checks.check_high_gradient_ratio, *row) for row in RATIOS),
    *((checks.check_logit_gradient, *row) for row in GRADIENTS),
    *((checks.check_rib_step, *row) for row in STEPS),
]
# Those about maps, which readers find here too, have their own tests.
ALL = [
    check
    for name, check in vars(checks).items()
    if name.startswith("check_") and check.__module__ == checks.__name__
]


@pytest.mark.parametrize(("check", "fn"), RIGHT, ids=name_of)
def test_accepts_what_is_right(check, fn, capsys):
    assert_accepts(check, fn, capsys)


@pytest.mark.parametrize(("check", "words", "fn"), WRONG, ids=name_of)
def test_names_the_mistake(check, words, fn, capsys):
    assert_names_the_mistake(check, words, fn, capsys)


def test_every_check_is_covered_here():
    assert {check for check, _ in RIGHT} == {check for check, *_ in WRONG} == set(ALL)


def raising(error):
    def fn(*_):
        raise error

    return fn


@pytest.mark.parametrize("check", ALL, ids=name_of)
def test_says_what_a_function_raised(check, capsys):
    assert check(raising(NotImplementedError)) is False
    assert "it is not written yet" in capsys.readouterr().out
    assert check(raising(KeyError("margin"))) is False
    assert "it raised KeyError: 'margin'" in capsys.readouterr().out
    assert check(lambda: 1) is False
    assert "it raised TypeError" in capsys.readouterr().out


@pytest.mark.parametrize("check", [c for c in ALL if c is not checks.check_rib_step], ids=name_of)
def test_says_that_a_return_is_missing(check, capsys):
    assert check(lambda *_: None) is False
    assert "returns nothing yet: end it with a return" in capsys.readouterr().out


@pytest.mark.parametrize("check", ALL, ids=name_of)
def test_does_not_move_the_global_random_state(check, capsys):
    """A reader who tries an exercise gets the same numbers in the cells that follow."""
    before = torch.random.get_rng_state()
    check(raising(NotImplementedError))
    assert torch.equal(torch.random.get_rng_state(), before)
