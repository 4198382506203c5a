"""Verdicts: the rule as a table, each of its sides, and what the sentence says."""

import math

import pytest

from ribnb.evidence.paired import PairedDifference
from ribnb.evidence.verdicts import (
    AGREES,
    CANNOT_TELL,
    CLAIMS,
    DISAGREES,
    LEAST_SEEDS,
    MARGIN,
    RULE,
    verdict,
)


def found(low: float, high: float, *by_seed: float) -> PairedDifference:
    mean = sum(by_seed) / len(by_seed)
    return PairedDifference(mean, low, high, by_seed, (100,) * len(by_seed), False)


CLEARLY_ABOVE = found(0.2, 1.8, 0.5, 1.0, 1.5)
CLEARLY_BELOW = found(-1.8, -0.2, -0.5, -1.0, -1.5)
TABLE = [  # interval and seeds -> higher, lower, same (within 1)
    (CLEARLY_ABOVE, AGREES, DISAGREES, CANNOT_TELL),
    (CLEARLY_BELOW, DISAGREES, AGREES, CANNOT_TELL),
    (found(1.2, 3.0, 1.5, 2.0, 2.5), AGREES, DISAGREES, DISAGREES),
    (found(-3.0, -1.2, -1.5, -2.0, -2.5), DISAGREES, AGREES, DISAGREES),
    (found(0.2, 1.8, -0.1, 1.4, 1.7), CANNOT_TELL, CANNOT_TELL, CANNOT_TELL),  # a seed below
    (found(-0.1, 1.8, 0.5, 1.0, 1.5), CANNOT_TELL, CANNOT_TELL, CANNOT_TELL),  # interval with 0
    (found(-0.4, 0.6, -0.2, 0.1, 0.4), CANNOT_TELL, CANNOT_TELL, AGREES),
    (found(0.1, 0.6, 0.2, 0.3, 0.4), AGREES, DISAGREES, AGREES),  # above, and yet the same
    (found(-0.4, 0.6, -2.2, 0.1, 2.4), CANNOT_TELL, CANNOT_TELL, CANNOT_TELL),  # seeds apart
    (found(1.2, 3.0, 0.5, 2.0, 3.5), AGREES, DISAGREES, CANNOT_TELL),
    (found(-1.0, 1.0, -1.0, 0.0, 1.0), CANNOT_TELL, CANNOT_TELL, AGREES),  # on the edge is within
    (found(0.0, 1.8, 0.5, 1.0, 1.5), CANNOT_TELL, CANNOT_TELL, CANNOT_TELL),  # 0 is not above 0
    (found(0.2, 1.8, 0.0, 1.0, 1.5), CANNOT_TELL, CANNOT_TELL, CANNOT_TELL),
    (found(0.0, 0.0, 0.0, 0.0, 0.0), CANNOT_TELL, CANNOT_TELL, AGREES),
]


@pytest.mark.parametrize(("difference", "higher", "lower", "same"), TABLE)
def test_the_rule(difference, higher, lower, same):
    words = [verdict(difference, claim).word for claim in ("higher", "lower", "same")]
    assert words == [higher, lower, same]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("value", [-5.0, 0.0, 5.0])
def test_fewer_than_three_seeds_never_tell_and_say_so(claim, seeds, value):
    judged = verdict(found(value - 0.1, value + 0.1, *[value] * seeds), claim)
    assert judged.word == CANNOT_TELL
    assert judged.sentence.startswith("Cannot tell yet: ")
    assert judged.sentence.endswith("; it takes at least 3 seeds to tell.")


def test_more_seeds_are_all_asked():
    assert verdict(found(0.2, 1.8, 1.0, 1.0, 1.0, 1.0, 1.0), "higher").word == AGREES
    assert verdict(found(0.2, 1.8, 1.0, 1.0, 1.0, 1.0, -0.1), "higher").word == CANNOT_TELL


@pytest.mark.parametrize(
    ("margin", "word"), [(0.1, DISAGREES), (0.3, CANNOT_TELL), (1.8, AGREES), (1.7, CANNOT_TELL)]
)
def test_the_margin_decides_what_is_the_same(margin, word):
    judged = verdict(CLEARLY_ABOVE, "same", margin)
    assert (judged.word, judged.margin) == (word, margin)
    assert f"within ±{margin:g} points." in judged.sentence
    assert verdict(CLEARLY_BELOW, "same", margin).word == word  # either side alike


@pytest.mark.parametrize(
    ("difference", "claim", "sentence"),
    [
        (
            CLEARLY_ABOVE, "higher",
            "Agrees: +1.00 points; 95 % interval over images [+0.20, +1.80], above 0; 3 of 3 seeds "
            "above 0.",
        ),
        (
            CLEARLY_ABOVE, "lower",
            "Disagrees: +1.00 points; 95 % interval over images [+0.20, +1.80], above 0; 3 of 3 "
            "seeds above 0.",
        ),
        (
            found(-0.1, 1.8, -0.5, 1.0, 1.5), "higher",
            "Cannot tell yet: +0.67 points; 95 % interval over images [-0.10, +1.80], not clear of "
            "0; 2 of 3 seeds above 0.",
        ),
        (
            found(-0.4, 0.6, -0.2, 0.1, 0.4), "same",
            "Agrees: +0.10 points; 95 % interval over images [-0.40, +0.60], within ±1 point; 3 of "
            "3 seeds within ±1 point.",
        ),
        (
            found(1.2, 3.0, 1.5, 2.0, 2.5), "same",
            "Disagrees: +2.00 points; 95 % interval over images [+1.20, +3.00], beyond ±1 point; 0 "
            "of 3 seeds within ±1 point.",
        ),
        (
            found(-1.8, 0.2, -0.5, -1.0, 0.3), "same",
            "Cannot tell yet: -0.40 points; 95 % interval over images [-1.80, +0.20], across the "
            "edge of ±1 point; 3 of 3 seeds within ±1 point.",
        ),
        (
            found(-1.8, -0.2, -0.5), "lower",
            "Cannot tell yet: -0.50 points; 95 % interval over images [-1.80, -0.20], below 0; 1 "
            "of 1 seed below 0; it takes at least 3 seeds to tell.",
        ),
    ],
)  # fmt: skip
def test_the_sentence_has_word_numbers_and_reason(difference, claim, sentence):
    judged = verdict(difference, claim)
    assert judged.sentence == str(judged) == sentence
    assert (judged.claim, judged.difference) == (claim, difference)


def test_the_rule_in_words_names_the_words_it_gives_and_its_number_of_seeds():
    assert all(word in RULE for word in (AGREES, DISAGREES, CANNOT_TELL, str(LEAST_SEEDS)))
    assert verdict(CLEARLY_ABOVE, "same").margin == MARGIN
    assert verdict(CLEARLY_ABOVE, "higher").margin is None


@pytest.mark.parametrize(
    ("difference", "arguments", "message"),
    [
        (CLEARLY_ABOVE, ("better",), "claim = 'better'; it must be one of 'higher', 'lower', 'sa"),
        (CLEARLY_ABOVE, ("higher", 1.0), "margin = 1.0 means nothing for the claim 'higher'"),
        (CLEARLY_ABOVE, ("same", 0.0), "margin = 0.0; it must be a number of points above 0"),
        (CLEARLY_ABOVE, ("same", math.nan), "margin = nan; it must be"),
        (CLEARLY_ABOVE, ("same", math.inf), "margin = inf; it must be"),
        (found(math.nan, 1.0, 0.5, 0.6, 0.7), ("higher",), "no number cannot be judged"),
        (found(0.1, 1.0, 0.5, math.nan, 0.7), ("higher",), "no number cannot be judged"),
    ],
)
def test_refuses(difference, arguments, message):
    with pytest.raises(ValueError, match=message):
        verdict(difference, *arguments)
