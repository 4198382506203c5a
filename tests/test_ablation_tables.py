"""Comparisons within ablations: the right runs, no number where one is missing, words that fit."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from small_results import made_up, put

from ribnb import ablation_plots
from ribnb.ablation_results import Published
from ribnb.ablation_tables import (
    COMMAND,
    NO_RESULT,
    NOT_LOWER,
    PUBLISH,
    Comparer,
    Comparison,
    at_the_edge,
    best,
    difference_rows,
    figure_of,
    how_to_make,
    markdown,
    named,
    origin,
    side,
    summary,
    tally,
    whats_there,
)
from ribnb.ablations_settings import AblationsSettings
from ribnb.image_scores import load_image_scores, save_image_scores
from ribnb.paired import PairedDifference, paired_scores
from ribnb.settings import SettingsError
from ribnb.sweeps import read_ablation

COMMON = {"variant": "paper", "num_images": 4}
SEEDS = [3, 4, 5]
# how many of 100 pixels of the class are found, by number of steps, seed by seed
FOUND = {1: (50, 50, 80), 2: (60, 60, 60), 5: (70, 75, 40)}


def add(folder, iterations, seed, right):
    """A result whose images each have so many of the class's pixels right, the CAM 30."""
    place = put(folder / f"{iterations}_{seed}").parent

    def matrix(hits):
        return np.stack([[[900, 0], [100 - hits - n, hits + n]] for n in range(4)])

    maps = {"seeds": matrix(right), "cam": matrix(30)}
    ids = [f"s{seed}_{n}" for n in range(4)]
    save_image_scores(place, ids, maps, {"seeds": 0.2, "cam": 0.3}, ("a",))
    metrics = {"seed_miou": load_image_scores(place).miou(), "images": 4}
    put(place, made_up(metrics=metrics, **COMMON, iterations=iterations, seed=seed))


@pytest.fixture
def ablation(tmp_path):
    path = tmp_path / "mini.yml"
    grid = {"iterations": list(FOUND)}
    given = {"name": "mini", "chapter": "voc_rib", "parameters": COMMON, "grid": grid}
    path.write_text(yaml.safe_dump({**given, "seeds": SEEDS}))
    return read_ablation(path)


@pytest.fixture
def folder(tmp_path):
    for iterations, rights in FOUND.items():
        for seed, right in zip(SEEDS, rights, strict=True):
            add(tmp_path / "results", iterations, seed, right)
    return tmp_path / "results"


def found_in(folder, ablation):
    return Published.read(folder).of(ablation)


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
    assert (row["ours"], row["seeds"], row["verdict"]) == ("–", "–", NO_RESULT)
    assert np.isnan(difference_rows([made])[0]["difference"])
    assert "1 no result yet" in tally([made]) and "Of 0 intervals" in tally([made])


def test_a_figure_of_an_incomplete_ablation_only_says_so(folder, ablation):
    found = found_in(folder, ablation)

    def draw(frame):
        return ablation_plots.curves(frame, "iterations", "seed_miou", None, "all of it")

    assert figure_of(found, draw).axes[0].get_title() == "all of it"
    (folder / "5_3" / "image_scores.npz").unlink()
    axis = figure_of(found_in(folder, ablation), draw).axes[0]
    assert not axis.lines and "1 of its 9 runs" in axis.texts[0].get_text()


def test_what_is_there_names_what_is_missing_broken_or_edited(folder, ablation):
    whole = whats_there({"mini": found_in(folder, ablation)}, Published.read(folder), folder)
    assert "9 of 9 runs" in whole and COMMAND not in whole
    (folder / "1_3" / "result.json").write_text('{"format": 2,')
    edited = folder / "1_4" / "result.json"
    result = json.loads(edited.read_text())
    result["metrics"]["seed_miou"] += 1
    edited.write_text(json.dumps(result))
    (folder / "2_5" / "image_scores.npz").unlink()
    published = Published.read(folder)
    said = whats_there({"mini": published.of(ablation)}, published, folder)
    assert "6 of 9 runs" in said and "3 do not count" in said
    assert "missing: iterations = 2, seed 5" in said
    for words in ("1_3/result.json: is not whole JSON", "1_4/result.json: was edited", "2_5:"):
        assert words in said
    assert str(folder) not in said
    assert COMMAND in said and PUBLISH not in said  # which is for the book's own folder


def test_what_to_do_depends_on_the_folder(tmp_path, monkeypatch):
    assert "repeat the call of Snakemake" in how_to_make(tmp_path)[0]
    assert PUBLISH in "".join(how_to_make(AblationsSettings().folder))
    assert PUBLISH in "".join(how_to_make(tmp_path / "none"))


def test_results_of_other_settings_are_counted(folder, ablation):
    put(folder / "mine", made_up(metrics={"seed_miou": 1.0}, **COMMON, iterations=9))
    published = Published.read(folder)
    said = whats_there({"mini": published.of(ablation)}, published, folder, [ablation])
    assert "1 whole results there are of other settings" in said


def test_problems_alone_ask_for_the_command_too(folder, ablation):
    put(folder / "stray", made_up(metrics={"seed_miou": 1.0}, **COMMON, iterations=9)).write_text(
        ""
    )
    published = Published.read(folder)
    said = whats_there({"mini": published.of(ablation)}, published, folder)
    assert "9 of 9 runs" in said and "stray/result.json: is empty" in said and COMMAND in said


def test_origin_counts_a_shared_run_once(folder, ablation):
    found = found_in(folder, ablation)
    assert origin([found, found]) == "9 runs on CPU; commit 00000000; 2026-01-01"
    empty = found_in(folder / "nothing", ablation)
    assert origin([empty]) == "There are no results."


def made(low, high, seeds, claim):
    difference = PairedDifference(np.mean(seeds), low, high, tuple(seeds), (4,) * 3, False)
    return Comparison("mini", "one against two", claim, "the paper", difference)


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


def test_the_table_has_words_and_numbers():
    rows = [made(0.2, 3, (1, 2, 3), "higher"), made(-3, -0.1, (-1, -2, -0.2), "higher")]
    table = summary(rows)
    assert list(table["verdict"]) == ["agrees", "disagrees"]
    assert table["ours"][0] == "+2.00 [+0.20,\u00a0+3.00]"
    assert list(table["seeds"]) == ["3 of 3 above 0", "0 of 3 above 0"]
    assert summary([made(-3, -0.1, (-1, -2, 0.2), "lower")])["seeds"][0] == "2 of 3 below 0"
    assert summary([made(-3, 0.1, (-1, -2, 0.2), "same")])["seeds"][0] == "2 of 3 within ±1"
    assert table["claim"][0] == "one against two: higher"
    assert tally(rows).startswith("2 comparisons: 1 agrees, 1 disagrees. Of 2 intervals")
    assert named(rows, "agrees").count("\n") == 0 and not named(rows, NO_RESULT)


def test_thresholds_at_the_edge_are_counted_once_a_run():
    frame = pd.DataFrame(
        {"path": ["a", "b"], "seed_threshold": [0.2, 0.3], "cam_seed_threshold": [0.2, 0.2]}
    )
    of = SimpleNamespace(frame=frame)
    assert at_the_edge([of, of]).endswith("0.2: 1 of 2 runs, and 2 of their CAMs")
    assert at_the_edge([SimpleNamespace(frame=frame[:0])]) == ""


def test_a_markdown_table_keeps_its_columns():
    lines = markdown(pd.DataFrame({"a|b": ["x"], "c": ["1 | 2"]})).splitlines()
    assert lines == ["| a\\|b | c |", "| --- | --- |", "| x | 1 \\| 2 |"]


def test_settings(tmp_path):
    assert AblationsSettings().folder.parts[-3:] == ("results", "ablations", "cpu")
    assert AblationsSettings().place == "book/results/ablations/cpu"
    assert AblationsSettings(results=str(tmp_path)).folder == tmp_path
    assert AblationsSettings(results=str(tmp_path)).hash() == AblationsSettings().hash()
    with pytest.raises(SettingsError, match="is no folder; name one with results"):
        AblationsSettings(results=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="resamples = 0"):
        AblationsSettings(resamples=0)
