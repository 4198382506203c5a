"""Results of ablations and claims on them: the right runs, and no number where one is missing."""

import shutil

import numpy as np
import pytest
import yaml
from small_results import CHAPTERS, made_up, put

from ribnb.evidence import markdown
from ribnb.evidence.claims import (
    NO_RESULT,
    Claim,
    Side,
    best,
    claims_table,
    compare,
    side,
    tally,
)
from ribnb.evidence.differences import Difference, paired_difference
from ribnb.evidence.results import Published, at_the_end, origin, whats_there
from ribnb.runs.ablations import read_ablation
from ribnb.scores.image_scores import ImageScores

COMMON = {"variant": "paper", "num_images": 4}
SEEDS = [3, 4, 5]
# how many of 100 pixels of the class are found, by number of steps, seed by seed
FOUND = {1: (50, 50, 80), 2: (60, 60, 60), 5: (70, 75, 40)}


def add(folder, iterations, seed, right):
    """A result whose images each have so many of the class's pixels right, the CAM 30."""
    put(folder)
    maps = {
        name: np.stack([[[900, 0], [100 - hits - n, hits + n]] for n in range(4)])
        for name, hits in (("seeds", right), ("cam", 30))
    }
    ids = tuple(f"s{seed}_{n}" for n in range(4))
    scores = ImageScores(ids, maps, {"seeds": 0.2, "cam": 0.3}, ("a",))
    scores.save(folder)
    metrics = {"seed_miou": scores.miou(), "images": 4, "seconds_per_image": right}
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
            add(tmp_path / "results" / f"{iterations}_{seed}", iterations, seed, right)
    return tmp_path / "results"


def found_in(folder, ablation):
    return Published.read(folder, CHAPTERS).of(ablation)


def problems(folder):
    """First part of the path -> what is wrong there."""
    found = Published.read(folder, CHAPTERS).problems
    return {path.split("/")[0]: why for path, why in found.items()}


# Results ----------------------------------------------------------------------------------


def test_each_run_has_its_row_and_what_is_missing_is_named(ablation, folder):
    (folder / "2_4" / "result.json").unlink()
    put(folder / "other", made_up(**COMMON, iterations=9, seed=4))  # settings that count nowhere
    found = found_in(folder, ablation)
    rows = found.frame[["iterations", "seed"]].to_numpy().tolist()
    assert rows == [[k, seed] for k in FOUND for seed in SEEDS]
    assert found.frame["seed_miou"].isna().tolist() == [*[False] * 4, True, *[False] * 4]
    assert found.missing() == found.missing(1) == ["iterations = 2, seed 4"]
    assert not found.missing(0) and found.points(iterations=2) == [1]
    assert found.points(iterations={1, 2, 7}) == [0, 1]
    assert [scores.miou() for scores in found.of(0)] == pytest.approx(found.frame["seed_miou"][:3])


def test_what_is_there_names_what_is_missing_stale_broken_or_edited(folder, ablation):
    add(folder / "again", 1, 3, 50)
    whole = found_in(folder, ablation)
    assert not problems(folder)
    add(folder / "again", 1, 3, 51)
    assert problems(folder).keys() == {"1_3", "again"}  # either may be right
    assert found_in(folder, ablation).lacks() == "lacks iterations = 1, seed 3"
    put(folder / "again", made_up(metrics={"seed_miou": 51.0}, **COMMON, iterations=1, seed=3))
    assert "they are not of one run" in problems(folder)["again"]
    shutil.rmtree(folder / "again")
    said = whats_there({"mini": whole}, Published.read(folder, CHAPTERS))
    assert "9 of 9 runs" in said and "make" not in said
    (folder / "1_3" / "result.json").write_text('{"format": 3,')
    edited = folder / "1_4" / "result.json"
    edited.write_text(edited.read_text().replace('"images": 4', '"images": 5'))
    stale = made_up(metrics={"images": 4}, **COMMON, iterations=1, seed=5)
    del stale["settings"]["rib"]["margin_rule"]
    put(folder / "1_5", stale).with_name("image_scores.npz").unlink()
    (folder / "2_5" / "image_scores.npz").unlink()
    published = Published.read(folder, CHAPTERS)
    said = whats_there({"ours": published.of(ablation)}, published)
    assert "5 of 9 runs\nours lacks iterations = 1, seed 3 and 3 more\n" in said
    assert "4 do not count" in said and "make ablations" in said
    for words in ("1_3/result.json: is not whole JSON", "1_4/result.json: was edited", "2_5:"):
        assert words in said
    assert "stale" in problems(folder)["1_5"] and "margin_rule" in problems(folder)["1_5"]
    assert str(folder) not in said


def test_a_shared_run_counts_once(folder, ablation):
    found = found_in(folder, ablation)
    assert origin([found, found]) == "9 runs on CPU; commit 00000000; 2026-01-01"
    assert origin([found_in(folder / "nothing", ablation)]) == "There are no results."
    cuts = [0.02, 0.3, 0.8] * 3
    found.frame["seed_threshold"], found.frame["cam_seed_threshold"] = cuts, 0.02
    said = at_the_end([found, found])
    assert said == "Best at 0.02 or 0.8: 6 of 9 runs for RIB, 9 of 9 runs for the CAM"


# Claims -----------------------------------------------------------------------------------


def test_a_claim_is_the_paired_difference_of_the_two_points(folder, ablation):
    found = found_in(folder, ablation)
    sides = side(found, iterations=1), side(found, iterations=2)
    claim = compare("1 against 2", *sides, seed=7, resamples=50)
    pairs = zip(found.of(0), found.of(1), strict=True)
    matrices = [[of.confusions["seeds"] for of in pair] for pair in pairs]
    assert claim.difference == paired_difference(matrices, np.random.default_rng(7), 50)
    compare("another first", *sides[::-1], seed=7, resamples=50)
    assert compare("1 against 2", *sides, seed=7, resamples=50) == claim


def test_the_cam_of_a_side_is_its_runs_baseline(folder, ablation):
    usual = side(found_in(folder, ablation), iterations=2)
    claim = compare("RIB against CAM", usual, usual.cam)
    by_hand = [kept.miou() - kept.miou("cam") for kept in usual.scores]
    assert claim.verdict == "higher" and claim.difference.by_seed == pytest.approx(by_hand)
    assert compare("", usual.cam, usual.cam).difference.difference == 0
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


def test_images_are_matched_by_their_ids_and_must_be_the_same():
    rng = np.random.default_rng(0)
    of_seed = rng.integers(1, 50, (6, 3, 3))

    def kept(seed, order=range(6), names=("a", "b")):
        ids, matrices = (tuple(f"s{seed}_{n}" for n in order), {"seeds": of_seed[list(order)]})
        return Side((ImageScores(ids, matrices, {}, names),))

    assert compare("", kept(3), kept(3, [3, 1, 2, 0, 5, 4])).difference.high == 0
    for other in (kept(4), kept(3, range(1, 6)), kept(3, names=("x", "b"))):
        with pytest.raises(ValueError, match=r"1 against 2: .* other images"):
            compare("1 against 2", kept(3), other)


def test_without_a_result_there_is_no_number_anywhere(folder, ablation):
    (folder / "2_4" / "result.json").unlink()
    found = found_in(folder, ablation)
    claim = compare("2 against 1", side(found, iterations=2), side(found, iterations=1))
    assert claim.difference is None
    assert best(found).scores == () and best(found).missing == claim.missing
    row = claims_table([claim]).iloc[0].tolist()
    assert row[2:] == ["mini lacks iterations = 2, seed 4", "–", NO_RESULT]
    assert claim.row() == {"label": "2 against 1"}
    assert "1 no result yet. Of 0 intervals" in tally([claim])


def test_tables_and_words_hold_what_is_there():
    numbers = {"a": (1.1, 3, (2, 3, 4)), "b": (-3, -1.1, (-1, -2, -3)), "c": (0, 0.1, (0, 0, 0))}
    claims = [
        Claim(name, "falls", Difference(np.mean(seeds), low, high, seeds, 3))
        for name, (low, high, seeds) in numbers.items()
    ]
    table = claims_table(claims)
    assert list(table["verdict"]) == ["higher", "lower", "no difference"]
    assert table["difference [95 % interval]"][0] == "+3.00 [+1.10, +3.00]"
    assert table["by seed"][1] == "-1.00 -2.00 -3.00"
    assert tally(claims).startswith("3 comparisons: 1 higher, 1 lower, 1 no difference. Of 3")
    assert "1 \\| 2" in markdown(table.assign(compared="1 | 2"))
