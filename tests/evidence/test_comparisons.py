"""Comparisons within ablations: the right runs, no number where one is missing."""

import numpy as np
import pytest
from small_ablation import add, found_in, made, mini_ablation, mini_folder  # noqa: F401

from ribnb.evidence.ablation_tables import summary, tally
from ribnb.evidence.comparisons import NO_RESULT, NOT_LOWER, Comparer, best, difference_rows, side
from ribnb.evidence.paired import paired_scores


def test_a_comparison_is_the_paired_difference_of_the_two_points(folder, ablation):
    found = found_in(folder, ablation)
    one, two = side(found, iterations=1), side(found, iterations=2)
    made = Comparer(seed=7, resamples=50).compare("mini", "1 against 2", "lower", one, two)
    expected = paired_scores(found.of(0), found.of(1), np.random.default_rng(7), resamples=50)
    assert made.difference == expected
    again = Comparer(seed=7, resamples=50)
    again.compare("mini", "another first", "lower", two, one)
    assert again.compare("mini", "1 against 2", "lower", one, two) == made  # whatever came before


def test_the_cam_of_a_side_is_its_runs_baseline(folder, ablation):
    usual = side(found_in(folder, ablation), iterations=2)
    made = Comparer().compare("mini", "RIB against CAM", "higher", usual, usual.cam)
    assert made.word == "agrees"
    assert Comparer().compare("mini", "", "same", usual.cam, usual.cam).difference.difference == 0


def test_the_best_is_chosen_by_the_other_seeds(folder, ablation):
    """Means of the others: K = 5 for seed 5 (70, 75); for seed 3 and 4 K = 1 (50, 80)."""
    found = found_in(folder, ablation)
    chosen = best(found)
    assert chosen.chosen == ("iterations = 1", "iterations = 1", "iterations = 5")
    assert [one.ids[0] for one in chosen.scores] == ["s3_0", "s4_0", "s5_0"]
    assert chosen.scores[2] is found.scores[2, 5]
    assert best(found, by_others=False).chosen == ("iterations = 5",) * 3
    assert best(found, iterations=2).chosen == ("iterations = 2",) * 3
    with pytest.raises(KeyError, match="no point with"):
        best(found, iterations=3)


def test_without_a_result_there_is_no_number_anywhere(folder, ablation):
    (folder / "2_4" / "result.json").unlink()
    found = found_in(folder, ablation)
    made = Comparer().compare(
        "mini", "2 against 1", "higher", side(found, iterations=2), side(found, iterations=1)
    )
    assert made.difference is None and made.word == NO_RESULT
    assert "mini lacks iterations = 2, seed 4" in str(made)
    assert best(found).scores == () and "seed 4" in best(found).missing
    row = summary([made]).iloc[0]
    assert (row["ours"], row["any threshold"]) == ("–", "–")
    assert row["verdict"] == row["verdict then"] == NO_RESULT
    assert np.isnan(difference_rows([made])[0]["difference"])
    assert "1 no result yet" in tally([made]) and "Of 0 intervals" in tally([made]).replace(
        "\n", " "
    )


def test_each_comparison_is_made_with_any_threshold_too(folder, ablation):
    found = found_in(folder, ablation)
    one, usual = side(found, iterations=1), side(found, iterations=2)
    made_ = Comparer(seed=7, resamples=50).compare("mini", "", "higher", usual, usual.cam)
    pair, names = (found.of(1), found.of(1)), ("seeds_wide", "cam_wide")
    assert made_.wide == paired_scores(*pair, np.random.default_rng(7), names, 50)
    assert (made_.word, made_.wide_word) == ("agrees", "disagrees")  # 60 against 30, 62 against 65
    between = Comparer().compare("mini", "", "lower", one, usual)
    assert between.wide.by_seed == pytest.approx(between.difference.by_seed, abs=1)
    assert "Any threshold: Disagrees" in str(made_)
    assert difference_rows([made_], wide=True)[0]["difference"] == made_.wide.difference


def test_with_any_threshold_the_best_is_chosen_anew(folder, ablation):
    """Its scores there choose, not those in the range."""
    for seed in (3, 4, 5):
        add(folder, 2, seed, 60, wide_right=97)
    found = found_in(folder, ablation)
    chosen = best(found)
    assert "iterations = 2" not in chosen.chosen
    assert chosen.wide.chosen == ("iterations = 2",) * 3
    assert (chosen.wide.maps, chosen.cam.wide.maps) == ("seeds_wide", "cam_wide")
    assert chosen.cam.wide.scores == chosen.wide.scores
    usual = side(found, iterations=2)
    assert Comparer().compare("mini", "", "same", chosen, usual).wide.by_seed == (0, 0, 0)


def test_without_scores_in_the_wide_range_there_is_only_the_other(folder, ablation):
    """Results of an earlier version have none."""
    add(folder, 2, 4, 60, wide=False)
    found = found_in(folder, ablation)
    one, two = side(found, iterations=1), side(found, iterations=2)
    made_ = Comparer().compare("mini", "", "higher", one, two)
    assert made_.difference is not None and made_.wide is None
    assert made_.wide_word == NO_RESULT and "Any threshold" not in str(made_)
    assert best(found).scores and best(found).wide.scores == best(found).cam.wide.scores == ()


@pytest.mark.parametrize(
    ("low", "high", "seeds", "word"),
    [
        (0.2, 3, (1, 2, 3), "agrees"),  # higher
        (-0.5, 0.6, (-0.3, 0.2, 0.4), "agrees"),  # the same
        (-3, -0.1, (-1, -2, -0.2), "disagrees"),
        (-0.8, -0.1, (-0.3, -0.2, -0.4), "disagrees"),  # a small fall is one
        (-2, 2, (-1, 2, 0.5), "cannot tell yet"),
    ],
)
def test_not_lower(low, high, seeds, word):
    one = made(low, high, seeds, NOT_LOWER)
    assert one.word == word and one.verdict.claim == NOT_LOWER
    assert one.verdict.sentence.startswith(word.capitalize() + ": ")
