"""Results of an ablation: each in its place, and what does not count is named."""

import numpy as np
import pytest
import yaml
from small_results import CHAPTERS, made_up, put

from ribnb.evidence.results import Published
from ribnb.runs.ablations import read_ablation
from ribnb.scores.image_scores import ImageScores, load_image_scores

COMMON = {"variant": "paper", "num_images": 6}
MINI = {
    "name": "mini",
    "chapter": "voc_rib",
    "parameters": COMMON,
    "grid": {"rib.iterations": [1, 2]},
    "seeds": [3, 4],
}


def add(folder, iterations, seed, shift=0):
    """A result with scores of its images that fit it."""
    rng = np.random.default_rng([iterations, seed, shift])
    seeds = rng.integers(1, 50, (6, 3, 3))
    maps = {"seeds": seeds, "cam": seeds[..., ::-1]}  # of the same truth
    cuts = {"seeds": 0.2, "cam": 0.3}
    ids = tuple(f"i{n}" for n in range(6))
    ImageScores(ids, maps, cuts, ("a", "b")).save(put(folder).parent)
    scores = load_image_scores(folder)
    metrics = {
        "seed_miou": scores.miou(),
        "seed_threshold": 0.2,
        "images": 6,
        "seconds_per_image": 1,
    }
    put(folder, made_up(metrics=metrics, **COMMON, iterations=iterations, seed=seed))
    return scores.miou()


@pytest.fixture
def ablation(tmp_path):
    path = tmp_path / "mini.yml"
    path.write_text(yaml.safe_dump(MINI))
    return read_ablation(path, CHAPTERS)


@pytest.fixture
def folder(tmp_path):
    """Results of three of the four runs."""
    place = tmp_path / "results"
    for iterations, seed in ((1, 3), (1, 4), (2, 3)):
        add(place / f"{iterations}_{seed}", iterations, seed)
    return place


def whole(found) -> int:
    """How many runs have a result."""
    return int(found.frame["path"].notna().sum())


def test_each_run_has_its_row_and_what_is_missing_is_named(ablation, folder):
    found = Published.read(folder, CHAPTERS).of(ablation)
    rows = found.frame[["iterations", "seed"]].to_numpy().tolist()
    assert rows == [[1, 3], [1, 4], [2, 3], [2, 4]]
    assert found.frame["seed_miou"].isna().tolist() == [False, False, False, True]
    (gap,) = found.missing()
    assert gap.endswith("iterations = 2, seed 4")
    assert not found.missing(0) and found.missing(1) == [gap]
    assert found.points(iterations=2) == [1]
    assert [scores.miou() for scores in found.of(0)] == pytest.approx(found.frame["seed_miou"][:2])
    add(folder / "late", 2, 4)
    assert not Published.read(folder, CHAPTERS).of(ablation).missing()


def test_without_any_result_all_is_missing(ablation, tmp_path):
    found = Published.read(tmp_path / "nothing", CHAPTERS).of(ablation)
    assert (len(found.missing()), whole(found)) == (4, 0)
    assert {"seed_miou", "cam_seed_miou"} <= set(found.frame)


def test_other_settings_do_not_count(ablation, folder):
    put(folder / "other", made_up(**COMMON, iterations=9, seed=4))
    published = Published.read(folder, CHAPTERS)
    assert len(published.of(ablation).missing()) == 1
    assert published.unplanned([ablation]) == [str(folder / "other" / "result.json")]


def test_a_stale_a_broken_and_an_edited_result_are_problems_and_no_rows(ablation, folder):
    stale = made_up(**COMMON, iterations=1, seed=3)
    del stale["settings"]["rib"]["margin_rule"]
    put(folder / "1_3", stale).with_name("image_scores.npz").unlink()
    path = folder / "1_4" / "result.json"
    path.write_text(path.read_text()[:50])
    path = folder / "2_3" / "result.json"
    path.write_text(path.read_text().replace('"seed_miou": ', '"seed_miou": 1'))
    published = Published.read(folder, CHAPTERS)
    assert whole(published.of(ablation)) == 0
    why = {path.split("/")[0]: reason for path, reason in published.problems.items()}
    assert "stale" in why["1_3"]
    assert "margin_rule" in why["1_3"]
    assert "whole" in why["1_4"] or "JSON" in why["1_4"]
    assert "edited" in why["2_3"]


def test_scores_of_images_that_are_not_the_results_do_not_count(ablation, folder):
    (folder / "1_3" / "image_scores.npz").write_bytes(
        (folder / "1_4" / "image_scores.npz").read_bytes()
    )
    (folder / "1_4" / "image_scores.npz").unlink()
    published = Published.read(folder, CHAPTERS)
    found = published.of(ablation)
    assert [*found.scores] == [(1, 3)]
    assert whole(found) == 2  # without 1_3, whose number is in doubt
    assert published.problems.keys() == {"1_3/result.json", "1_4"}
    assert "they are not of one run" in published.problems["1_3/result.json"]


@pytest.mark.parametrize("value", [None, "50"])
def test_a_score_that_is_no_number_does_not_count(ablation, folder, value):
    metrics = {"seed_miou": value}
    put(folder / "1_3", made_up(metrics=metrics, **COMMON, iterations=1, seed=3))
    published = Published.read(folder, CHAPTERS)
    assert list(published.problems) == ["1_3/result.json"]
    assert whole(published.of(ablation)) == 2


def test_two_results_of_one_run_must_agree(ablation, folder):
    add(folder / "again", 1, 3)
    assert not Published.read(folder, CHAPTERS).problems
    add(folder / "differs", 1, 3, shift=1)
    published = Published.read(folder, CHAPTERS)
    problems = {path.split("/")[0]: why for path, why in published.problems.items()}
    assert problems.keys() == {"1_3", "again", "differs"}  # which one is right cannot be known
    assert "differs/result.json, and other metrics" in problems["1_3"]
    assert "1_3/result.json, and other metrics" in problems["differs"]
    assert whole(published.of(ablation)) == 2
