"""Self-checks about maps: the right answer is accepted, and each usual mistake is named."""

import pytest
import torch
import torch.nn.functional as F
from checking import assert_accepts, assert_names_the_mistake, name_of

from ribnb.exercises import map_checks
from ribnb.exercises.map_checks import check_cam, check_gndrp, check_localization_map
from ribnb.method.cam import normalize
from ribnb.method.pooling import gndrp

# CAM --------------------------------------------------------------------------------------


def by_convolution(features, weights):
    return F.conv2d(features, weights[:, :, None, None]).relu()


def by_product(features, weights):
    """One matrix product, then the positive part."""
    maps = weights @ features.flatten(2)
    return maps.unflatten(2, features.shape[2:]).clamp(min=0)


def cam_by_loops(features, weights):
    cams = torch.zeros(len(features), len(weights), *features.shape[2:])
    for image, one in enumerate(features):
        for c, row in enumerate(weights):
            for weight, channel in zip(row, one, strict=True):
                cams[image, c] += weight * channel
    return cams * (cams > 0)


def raw(features, weights):
    return F.conv2d(features, weights[:, :, None, None])


CAMS = [
    ("negative values are left", raw),
    ("divided by its maximum", lambda f, w: normalize(raw(f, w))),
    ("ReLU comes before the sum", lambda f, w: raw(f, w.relu())),  # the features are positive
    ("magnitude is taken", lambda f, w: raw(f, w).abs()),
    ("there is a sigmoid", lambda f, w: raw(f, w).sigmoid()),
    ("mean over the channels", lambda f, w: raw(f, w).relu() / f.shape[1]),
    ("these are logits (B, C)", lambda f, w: f.mean(dim=(2, 3)) @ w.T),
    ("expected (B, C, h, w) = (2, 4, 4, 5)", lambda f, w: raw(f, w)[0]),
    ("shape is (2, 4, 5, 4)", lambda f, w: raw(f, w).relu().transpose(2, 3)),
    ("off by up to", lambda f, w: 2 * raw(f, w).relu()),
    ("returns a str", lambda f, w: "a map"),
]

# GNDRP ------------------------------------------------------------------------------------


def gndrp_by_loops(features, cam, threshold):
    rows = [
        [one[low <= threshold].mean() if (low <= threshold).any() else 0 * one.sum()
         for one, low in zip(channels, lows, strict=True)]
        for channels, lows in zip(features, cam, strict=True)
    ]  # fmt: skip
    return torch.stack([torch.stack(row) for row in rows])


def gndrp_by_product(features, cam, threshold):
    kept = (cam <= threshold).float()
    return (features * kept).sum((2, 3)) / kept.sum((2, 3)).clamp(min=1)


def kept_mean(features, kept):
    return (features * kept).sum((2, 3)) / kept.sum((2, 3))


def without_guard(features, cam, threshold):
    return kept_mean(features, cam <= threshold)


def strict(features, cam, threshold):
    return kept_mean(features, cam < threshold)


def inverse(features, cam, threshold):
    return kept_mean(features, cam > threshold)


def one_mask(features, cam, threshold):
    return kept_mean(features, (cam <= threshold).all(dim=1, keepdim=True))


def mean_of_cam(features, cam, threshold):
    return kept_mean(cam, cam <= threshold)


def fixed_threshold(features, cam, threshold):
    return gndrp(features, cam, 0.4)


def through_numpy(features, cam, threshold):
    return torch.tensor(gndrp(features, cam, threshold).detach().numpy())


def wrong_slope(features, cam, threshold):
    """Right in value, but GAP's gradient."""
    pooled = features.mean(dim=(2, 3))
    return gndrp(features, cam, threshold).detach() + pooled - pooled.detach()


POOLINGS = [
    ("this is GAP", lambda f, cam, tau: f.mean(dim=(2, 3))),
    ("what the authors' code does", lambda f, cam, tau: gndrp(f, cam, tau, "released")),
    ("divide by those that are kept.", lambda f, cam, tau: (f * (cam <= tau)).mean(dim=(2, 3))),
    ("this is the sum", lambda f, cam, tau: (f * (cam <= tau)).sum(dim=(2, 3))),
    ("wrong side is kept", inverse),
    ("exactly on the threshold is kept", strict),
    ("one mask for all classes", one_mask),
    ("the CAM is averaged, not the features", mean_of_cam),
    ("with a threshold of 1 every position is kept", fixed_threshold),
    ("gives NaN", without_guard),
    ("has no gradient", through_numpy),
    ("the gradient is not", wrong_slope),
    ("returns the shape (2, 3, 4, 4); expected (2, 3)", lambda f, cam, tau: f * (cam <= tau)),
    ("off by up to", lambda f, cam, tau: 2 * gndrp(f, cam, tau)),
]

# M ----------------------------------------------------------------------------------------


def over_maximum(one):
    return one / one.max()


def each_over_its_maximum(cams):
    return over_maximum(sum(over_maximum(cam) for cam in cams))


MAPS = [
    ("sum is not divided by its maximum", lambda cams: cams.sum(0)),
    ("this is the mean", lambda cams: cams.mean(0)),
    ("the last step's CAM alone", lambda cams: over_maximum(cams[-1])),
    ("the first step's CAM alone", lambda cams: over_maximum(cams[0])),
    ("the last step is missing", lambda cams: over_maximum(cams[:-1].sum(0))),
    ("theta_0's CAM is missing", lambda cams: over_maximum(cams[1:].sum(0))),
    ("each step's CAM is divided by its maximum before the sum", each_over_its_maximum),
    ("the largest value over the steps", lambda cams: over_maximum(cams.amax(0))),
    ("these are still all the steps", lambda cams: cams / cams.max()),
    ("returns the shape (5,); expected (3, 5)", lambda cams: cams.sum((0, 1))),
    ("off by up to", lambda cams: over_maximum((cams**2).sum(0))),
]

# All checks -------------------------------------------------------------------------------

RIGHT = [
    (check_cam, by_convolution),
    (check_cam, by_product),
    (check_cam, cam_by_loops),
    (check_cam, lambda f, w: by_product(f, w).numpy()),
    (check_gndrp, gndrp),
    (check_gndrp, gndrp_by_loops),
    (check_gndrp, gndrp_by_product),
    (check_localization_map, lambda cams: over_maximum(cams.sum(0))),
    (check_localization_map, lambda cams: over_maximum(cams.mean(0))),  # the 1 / (K + 1) cancels
    (check_localization_map, lambda cams: over_maximum(cams.numpy().sum(0))),
    (check_localization_map, lambda cams: over_maximum(sum(cams))),
]
WRONG = [
    *((check_cam, *row) for row in CAMS),
    *((check_gndrp, *row) for row in POOLINGS),
    *((check_localization_map, *row) for row in MAPS),
]
ALL = [check for name, check in vars(map_checks).items() if name.startswith("check_")]


@pytest.mark.parametrize(("check", "fn"), RIGHT, ids=name_of)
def test_accepts_what_is_right(check, fn, capsys):
    assert_accepts(check, fn, capsys)


@pytest.mark.parametrize(("check", "words", "fn"), WRONG, ids=name_of)
def test_names_the_mistake(check, words, fn, capsys):
    assert_names_the_mistake(check, words, fn, capsys)


def test_every_check_is_covered_here():
    assert {check for check, _ in RIGHT} == {check for check, *_ in WRONG} == set(ALL)


@pytest.mark.parametrize("check", ALL, ids=name_of)
def test_every_mistake_that_a_check_knows_is_covered_and_differs(check, monkeypatch, capsys):
    """From the others and from the right answer, so that none is called by another's name."""
    known = {}

    def note(found, right, mistakes, example):
        known.update({"": right, **mistakes})
        return ""

    monkeypatch.setattr(map_checks, "difference", note)
    check(lambda *arguments: arguments[0])
    texts = [words for one, words, _ in WRONG if one is check]
    for mistake in known:
        assert not mistake or any(words.rstrip(".") in mistake for words in texts), mistake
    answers = list(known.items())
    for place, (name, answer) in enumerate(answers):
        for other, value in answers[:place]:
            alike = torch.allclose(answer.float(), value.float(), rtol=1e-3, atol=1e-4)
            assert not alike, f"{name} is {other or 'right'}"


def raising(error):
    def fn(*_):
        raise error

    return fn


@pytest.mark.parametrize("check", ALL, ids=name_of)
def test_says_what_a_function_raised(check, capsys):
    assert check(raising(NotImplementedError)) is False
    assert "it is not written yet" in capsys.readouterr().out
    assert check(raising(KeyError("cam"))) is False
    assert "it raised KeyError: 'cam'" in capsys.readouterr().out
    assert check(lambda: 1) is False
    assert "it raised TypeError" in capsys.readouterr().out


@pytest.mark.parametrize("check", ALL, ids=name_of)
def test_says_that_a_return_is_missing(check, capsys):
    assert check(lambda *_: None) is False
    assert "returns nothing yet: end it with a return" in capsys.readouterr().out


def spoiling(fn):
    """A reader's function that also writes into what it is given."""

    def spoiled(first, *rest):
        answer = fn(first.clone(), *rest)
        with torch.no_grad():
            first.zero_()
        return answer

    return spoiled


@pytest.mark.parametrize(
    ("check", "fn"),
    [(check_cam, by_convolution), (check_localization_map, lambda cams: over_maximum(cams.sum(0)))],
    ids=name_of,
)
def test_a_function_that_spoils_its_arguments_spoils_no_verdict(check, fn, capsys):
    assert check(spoiling(fn)) is True
    capsys.readouterr()


@pytest.mark.parametrize("check", ALL, ids=name_of)
def test_does_not_move_the_global_random_state(check, capsys):
    """A reader who tries an exercise gets the same numbers in the cells that follow."""
    before = torch.random.get_rng_state()
    check(lambda first, *_: first)
    assert torch.equal(torch.random.get_rng_state(), before)
