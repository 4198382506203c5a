"""Paired differences: known ones come out, intervals are of what they say, one rule judges."""

import numpy as np
import pytest

from ribnb.evidence.differences import (
    HIGHER,
    LOWER,
    SAME,
    UNDECIDED,
    Difference,
    paired_difference,
)
from ribnb.scores.iou import mean_iou

IMAGES, ROWS = 40, 4
rng = np.random.default_rng


def side(wrong: float, noise: int, truth: int = 9, images: int = IMAGES) -> np.ndarray:
    """Confusions of images of one class each beside background; a share of the pixels is wrong.

    Images differ much, alike for every ``noise``: each is from easy to hard.
    """
    common, own = rng(truth), rng(noise)
    counts = np.zeros((images, ROWS, ROWS), np.int64)
    for of in counts:
        classes = np.array([0, common.integers(1, ROWS)])
        true = common.choice(classes, 200)
        hard = np.clip(wrong * common.uniform(0, 2), 0, 1)
        predicted = np.where(own.random(200) < hard, own.choice(classes, 200), true)
        np.add.at(of, (true, predicted), 1)
    return counts


def pairs(seeds=3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both sides of seeds with images of their own; the first side is better."""
    return [(side(0.2, k, truth=k), side(0.5, 9 + k, truth=k)) for k in range(seeds)]


def miou(of: np.ndarray) -> float:
    return mean_iou(of.sum(axis=0)).item()


# The difference and its interval ----------------------------------------------------------


def test_two_images_worked_out_by_hand():
    """The first side finds all of both, the second none of the second image."""
    first = np.array([[[2, 0], [0, 2]], [[2, 0], [0, 2]]])
    second = np.array([[[2, 0], [0, 2]], [[2, 0], [2, 0]]])
    found = paired_difference([(first, second)], rng(0))
    # background 4 of 6, class 2 of 4
    assert found.difference == pytest.approx(100 - 50 * (4 / 6 + 2 / 4))
    assert found.by_seed == (found.difference,)
    # a draw of the first image twice differs by 0, of the second twice by 100 - 50 (1/2 + 0)
    assert (found.low, found.high) == (0, 75)


def test_the_difference_is_of_sums_over_images_and_a_mean_over_seeds():
    found = paired_difference(pairs(), rng(0))
    expected = [miou(a) - miou(b) for a, b in pairs()]
    assert found.by_seed == pytest.approx(expected)
    assert found.difference == pytest.approx(np.mean(expected))
    assert found.low < found.difference < found.high
    assert found.seeds == 3


def test_one_seed_is_the_plain_bootstrap_with_the_same_draws_for_both_sides():
    a, b = side(0.2, 1), side(0.3, 2)
    found = paired_difference([(a, b)], rng(4), 500)
    weights = rng(4).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), 500)
    first, second = (mean_iou(np.tensordot(weights, of, 1)) for of in (a, b))
    plain = (miou(a) - miou(b), *np.quantile(first - second, [0.025, 0.975]))
    assert (found.difference, found.low, found.high) == pytest.approx(plain, abs=1e-9)


def test_seeds_of_the_same_images_share_their_draws_and_others_do_not():
    """Three times the same comparison says no more than one; three new ones do."""
    same = side(0.2, 1), side(0.5, 2)
    one, thrice = (paired_difference([same] * number, rng(0)) for number in (1, 3))
    assert (thrice.low, thrice.high) == pytest.approx((one.low, one.high))
    new = paired_difference(pairs(), rng(0))
    assert new.high - new.low < 0.8 * (one.high - one.low)


def test_a_weighted_sum_of_settings_is_taken_on_the_same_draws():
    """What is not additive is what is left between a sum of switches and all of them together."""
    settings = [side(wrong, 10 * k, truth=3) for k, wrong in enumerate((0.4, 0.3, 0.35, 0.2))]
    base, one, two, both = map(miou, settings)
    found = paired_difference([settings], rng(0), weights=(1, -1, -1, 1))
    assert found.difference == pytest.approx((both - base) - (one - base) - (two - base))
    assert found.low < found.difference < found.high
    plain = paired_difference([settings[:2]], rng(0))
    assert paired_difference([settings], rng(0), weights=(1, -1, 0, 0)) == plain


@pytest.mark.parametrize("second", [side(0.2, 1)[1:], side(0.2, 1)[::-1]])
def test_sides_of_other_images_or_truths_are_not_compared_nor_is_a_single_image(second):
    for sides in ((side(0.2, 1), second), (second[:1], second[:1])):
        with pytest.raises(ValueError, match=r"seed 1 .* same images, at least 2"):
            paired_difference([*pairs(1), sides], rng(0))


# The verdict ------------------------------------------------------------------------------


def made(low: float, high: float, *by_seed: float) -> Difference:
    return Difference(sum(by_seed) / len(by_seed), low, high, by_seed, len(by_seed))


@pytest.mark.parametrize(
    ("difference", "word"),
    [
        (made(0.2, 1.8, 0.5, 1.0, 1.5), HIGHER),
        (made(0.2, 1.8, -0.1, 1.4, 1.7), UNDECIDED),  # a seed below
        (made(-0.1, 1.8, 0.5, 1.0, 1.5), UNDECIDED),  # an interval with 0
        (made(0.0, 1.8, 0.5, 1.0, 1.5), UNDECIDED),  # 0 is not above 0
        (made(0.2, 1.8, 0.0, 1.0, 1.5), UNDECIDED),
        (made(0.1, 0.6, 0.2, 0.3, 0.4), SAME),  # above, but not by a point
        (made(-1.0, 1.0, -1.0, 0.0, 1.0), SAME),  # on the edge is within
        (made(-0.4, 0.6, -2.2, 0.1, 2.4), UNDECIDED),  # seeds apart
        (made(4.9, 5.1, 5.0, 5.0), UNDECIDED),  # two seeds
        (made(0.2, 1.8, 1.0, 1.0, 1.0, 1.0, -0.1), UNDECIDED),  # all seeds are asked
        (Difference(30.0, 5.0, 55.0, (), 5), HIGHER),  # only the mean over seeds was kept
    ],
)
def test_the_rule_also_with_the_sides_turned(difference, word):
    assert difference.verdict == word
    turned = {HIGHER: LOWER}.get(word, word)
    by_seed = tuple(-value for value in difference.by_seed)
    ends = -difference.high, -difference.low
    assert Difference(-1.0, *ends, by_seed, difference.seeds).verdict == turned
