"""Claims within ablations: the right runs, no number where one is missing, and what is said."""

import math

import numpy as np
import pytest
import yaml
from small_results import CHAPTERS, made_up, put

from ribnb.evidence.claims import NO_RESULT, Claim, Side, best, compare, side
from ribnb.evidence.differences import Difference, paired_scores
from ribnb.evidence.results import Published
from ribnb.evidence.tables import (
    at_the_end,
    claims_table,
    markdown,
    origin,
    tally,
    whats_there,
)
from ribnb.runs.ablations import read_ablation
from ribnb.scores.image_scores import ImageScores

COMMON = {"variant": "paper", "num_images": 4}
SEEDS = [3, 4, 5]
# how many of 100 pixels of the class are found, by number of steps, seed by seed
FOUND = {1: (50, 50, 80), 2: (60, 60, 60), 5: (70, 75, 40)}


def add(folder, iterations, seed, right):
    """A result whose images each have so many of the class's pixels right, the CAM 30."""
    folder = put(folder / f"{iterations}_{seed}").parent
    maps = {
        name: np.stack([[[900, 0], [100 - hits - n, hits + n]] for n in range(4)])
        for name, hits in (("seeds", right), ("cam", 30))
    }
    ids = tuple(f"s{seed}_{n}" for n in range(4))
    scores = ImageScores(ids, maps, {"seeds": 0.2, "cam": 0.3}, ("a",))
    scores.save(folder)
    metrics = {"seed_miou": scores.miou(), "images": 4}
    put(folder, made_up(metrics=metrics, **COMMON, iterations=iterations, seed=seed))


@pytest.fixture
def ablation(tmp_path):
    path = tmp_path / "mini.yml"
    grid = {"rib.iterations": list(FOUND)}
    given = {"name": "mini", "chapter": "voc_rib", "parameters": COMMON, "grid": grid}
    path.write_text(yaml.safe_dump({**given, "seeds": SEEDS}))
    return read_ablation(path, CHAPTERS)


@pytest.fixture
def folder(tmp_path):
    for iterations, rights in FOUND.items():
        for seed, right in zip(SEEDS, rights, strict=True):
            add(tmp_path / "results", iterations, seed, right)
    return tmp_path / "results"


def found_in(folder, ablation):
    return Published.read(folder, CHAPTERS).of(ablation)


def test_a_claim_is_the_paired_difference_of_the_two_points(folder, ablation):
    found = found_in(folder, ablation)
    sides = side(found, iterations=1), side(found, iterations=2)
    claim = compare("mini", "1 against 2", *sides, seed=7, resamples=50)
    expected = paired_scores(found.of(0), found.of(1), np.random.default_rng(7), resamples=50)
    assert claim.difference == expected
    compare("mini", "another first", *sides[::-1], seed=7, resamples=50)
    assert compare("mini", "1 against 2", *sides, seed=7, resamples=50) == claim


def test_the_cam_of_a_side_is_its_runs_baseline(folder, ablation):
    usual = side(found_in(folder, ablation), iterations=2)
    assert compare("mini", "RIB against CAM", usual, usual.cam).verdict == "higher"
    assert compare("mini", "", usual.cam, usual.cam).difference.difference == 0
    with pytest.raises(KeyError, match="3 points with"):
        side(found_in(folder, ablation))


def test_the_best_is_chosen_by_the_other_seeds(folder, ablation):
    """Means of the others: K = 5 for seed 5 (70, 75); for seed 3 and 4 K = 1 (50, 80)."""
    found = found_in(folder, ablation)
    chosen = best(found)
    assert [words.rpartition(" = ")[2] for words in chosen.chosen] == ["1", "1", "5"]
    assert [scores.ids[0] for scores in chosen.scores] == ["s3_0", "s4_0", "s5_0"]
    assert chosen.scores[2] is found.scores[2, 5]
    assert len({*best(found, by_others=False).chosen, *best(found, iterations=5).chosen}) == 1
    with pytest.raises(KeyError, match="no point with"):
        best(found, iterations=3)


def test_without_a_result_there_is_no_number_anywhere(folder, ablation):
    (folder / "2_4" / "result.json").unlink()
    found = found_in(folder, ablation)
    claim = compare("mini", "2 against 1", side(found, iterations=2), side(found, iterations=1))
    assert claim.difference is None and claim.verdict == NO_RESULT
    assert "mini lacks" in str(claim) and "= 2, seed 4" in str(claim)
    assert best(found).scores == () and "seed 4" in best(found).missing
    row = claims_table([claim]).iloc[0]
    assert (row["by seed"], row["verdict"]) == ("–", NO_RESULT)
    assert "seed 4" in row["difference [95 % interval]"]
    assert math.isnan(claim.row()["difference"])
    assert "1 no result yet. Of 0 intervals" in tally([claim])


def test_runs_without_scores_of_images_have_a_difference_and_no_interval():
    claim = compare("voc_masks", "", Side(values=(52.0, 53.0, 55.0)), Side(values=(50.0,) * 3))
    assert claim.difference.by_seed == (2, 3, 5)
    assert claim.verdict == "undecided" and "no interval" in str(claim)


def claims():
    numbers = {"a": (1.1, 3, (2, 3, 4)), "b": (-3, -1.1, (-1, -2, -3)), "c": (0, 0.1, (0, 0, 0))}
    return [
        Claim("mini", name, "falls", Difference(np.mean(seeds), low, high, seeds, 3))
        for name, (low, high, seeds) in numbers.items()
    ]


def test_tables_and_words_hold_what_is_there():
    table = claims_table(claims())
    assert list(table["verdict"]) == ["higher", "lower", "no difference"]
    assert table["difference [95 % interval]"][0] == "+3.00 [+1.10, +3.00]"
    assert table["by seed"][1] == "-1.00 -2.00 -3.00"
    assert tally(claims()).startswith("3 comparisons: 1 higher, 1 lower, 1 no difference. Of 3")
    assert "1 \\| 2" in markdown(table.assign(compared="1 | 2"))


def test_what_is_there_names_what_is_missing_broken_or_edited(folder, ablation):
    whole = found_in(folder, ablation)
    said = whats_there({"mini": whole}, Published.read(folder, CHAPTERS), ["make it"])
    assert "9 of 9 runs" in said and "make it" not in said
    (folder / "1_3" / "result.json").write_text('{"format": 3,')
    edited = folder / "1_4" / "result.json"
    edited.write_text(edited.read_text().replace('"images": 4', '"images": 5'))
    (folder / "2_5" / "image_scores.npz").unlink()
    put(folder / "mine", made_up(metrics={"seed_miou": 1.0}, **COMMON, iterations=9))
    published = Published.read(folder, CHAPTERS)
    said = whats_there({"mini": published.of(ablation)}, published, ["make it"], [ablation])
    assert "6 of 9 runs" in said and "3 do not count" in said and "make it" in said
    assert "= 2, seed 5" in said
    for words in ("1_3/result.json: is not whole JSON", "1_4/result.json: was edited", "2_5:"):
        assert words in said
    assert "1 whole results there are of other settings" in said
    assert str(folder) not in said


def test_a_shared_run_counts_once(folder, ablation):
    found = found_in(folder, ablation)
    assert origin([found, found]) == "9 runs on CPU; commit 00000000; 2026-01-01"
    assert origin([found_in(folder / "nothing", ablation)]) == "There are no results."
    cuts = [0.2, 0.3, 0.49] * 3
    found.frame["seed_threshold"], found.frame["cam_seed_threshold"] = cuts, 0.2
    said = at_the_end([found, found], (0.2, 0.3, 0.49))
    assert said == "Best at 0.2 or 0.49: 6 of 9 runs for RIB, 9 of 9 runs for the CAM"
