"""Tables: one row a result, means over seeds that never mix settings, and the table as text."""

import io
import math
import statistics

import pandas as pd
import pytest
from small_results import CHAPTERS, at, put, three

from ribnb.__main__ import main
from ribnb.runs.tables import format_table, results_table

ORIGIN = ["images", "device", "git_commit", "date", "path"]


def mean(results, by=(), chapters=CHAPTERS):
    return results_table(results, by, mean=True, chapters=chapters)


# One row a result -------------------------------------------------------------------------


def test_a_row_has_chapter_seed_settings_metrics_and_origin():
    metrics = {"hgr": {"background": [0.9, 0.1]}, "accuracy": 0.98}
    results = [
        at("a", metrics=metrics, seed=3, iterations=2),
        at("b", metrics={"accuracy": 0.5}, seed=4, moving_stages=2),
    ]
    table = results_table(results, by=["settings.rib.iterations", "settings.rib.moving_stages"])
    numbers = ["hgr.background.0", "hgr.background.1", "accuracy"]
    iterations, stages = "settings.rib.iterations", "settings.rib.moving_stages"
    assert list(table) == ["chapter", "seed", iterations, stages, *numbers, *ORIGIN]
    assert table["seed"].tolist() == [3, 4]
    assert table[iterations].tolist() == [2, 10]
    assert table.loc[0, numbers].tolist() == [0.9, 0.1, 0.98]
    assert table.loc[1, numbers[:2]].isna().all()
    assert pd.isna(table.loc[0, stages])
    assert table.loc[1, stages] == 2
    assert ",2," in table.to_csv().splitlines()[2]  # and not 2.0
    assert table["path"].tolist() == ["a", "b"]
    assert list(results_table(results)) == ["chapter", "seed", *numbers, *ORIGIN]


def test_metrics_are_chosen_by_name_and_by_what_they_are_below():
    result = at("a", metrics={"b": {"x": 1, "y": 2}, "bb": 3, "a": 4, "images": 7})
    names = ["a", "b.x", "b.y"]
    assert list(results_table([result], metrics=["a", "b"]))[2:-5] == names
    assert list(results_table([result], metrics=["b.y"]))[2:-5] == ["b.y"]
    assert list(results_table([result], metrics=[]))[2:] == ORIGIN
    # two numbers of one name both stay
    table = results_table([result])
    assert (table["images"].item(), table["metrics.images"].item()) == (100, 7)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(KeyError, match=r"'margn'; did you mean 'settings.rib.margin'\?"):
        results_table([at("there")], by=["margn"])
    with pytest.raises(KeyError, match="no result has a metric 'xyz'; there are: seed_miou"):
        results_table([at("there")], metrics=["xyz"])


# Means ------------------------------------------------------------------------------------


def test_the_mean_and_its_deviation_are_those_of_the_seeds():
    values = (50.0, 52.0, 57.0)
    table = mean(three(values), ["settings.rib.iterations"])
    assert table.to_dict("records") == [
        {
            "chapter": "voc_rib",
            "settings.rib.iterations": 10,
            "seed_miou": 53.0,
            "seed_miou.std": pytest.approx(statistics.stdev(values)),
            "n": 3,
            "seeds": "3, 4, 5",
        }
    ]


def test_groups_are_chapters_and_values_in_order():
    results = [
        *three(pooling="gap", iterations=10),
        *three((1.0, 2.0, 3.0), iterations=2),
        at("m", chapter="voc_classifier", seed=9, metrics={"map": 0.5}),
    ]
    alone = mean(results[:6], ["settings.rib.pooling", "settings.rib.iterations"])
    assert alone["settings.rib.pooling"].tolist() == ["gap", "gndrp"]
    assert alone["seed_miou"].tolist() == [53.0, 2.0]
    both = mean([*results[6:], *results[:3]])
    assert both["chapter"].tolist() == ["voc_classifier", "voc_rib"]
    assert math.isnan(both.loc[0, "map.std"])


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("settings.rib.iterations", {"iterations": 9}, "10 in first, 9"),
        ("settings.rib.scales", {"scales": [1.0, 2.0]}, "'1.0' in first, '1.0, 2.0'"),
        ("post_processing", {}, "'none' in first, 'CRF'"),
    ],
)
def test_results_that_differ_in_what_tells_are_never_averaged(name, change, said):
    other = at("other", seed=4, **change) | ({} if change else {"post_processing": "CRF"})
    results = [at("first", seed=3), other]
    said = f"{name} is {said} in other.*not averaged: put {name} into by"
    with pytest.raises(ValueError, match=said):
        mean(results)
    assert mean(results, [name])["n"].tolist() == [1, 1]


def test_a_setting_that_one_result_lacks_is_a_difference():
    old = at("old", seed=4)
    del old["settings"]["rib"]["margin_rule"]
    with pytest.raises(ValueError, match="margin_rule is 'cap' in new, 'not there' in old"):
        mean([at("new"), old])


def test_a_result_that_is_there_twice_counts_once_unless_it_differs():
    """In more than time, device or folder."""
    metrics = {"seed_miou": 40.0, "seconds_per_image": 1.0}
    again = metrics | {"seconds_per_image": 2.0}
    other = at("c", 60.0, seed=4, device="cuda", workers=3, data_root="x", classifier="y")
    table = mean([at("a", metrics=metrics), at("b", metrics=again), other])
    assert (table["n"].item(), table["seeds"].item()) == (2, "3, 4")
    assert table["seed_miou"].item() == 50.0 and math.isnan(table["seconds_per_image"].item())
    results = [at("a", 40.0), at("b", 41.0), other]
    with pytest.raises(ValueError, match=r"a and b are of .* seed 3, but seed_miou is 40\.0"):
        mean(results)


# As text ----------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "a_b": ["50 % | x_y", "~{^}$\\"],
        "settings.rate": [1.5e-4, 1e-05],
        "miou": [55.04445, math.nan],
        "n": [3, 10],
    }
)


@pytest.mark.parametrize("kind", ["csv", "latex", "markdown"])
def test_digits_round_numbers_and_leave_settings_as_they_are(kind):
    assert kind != "csv" or pd.read_csv(io.StringIO(format_table(FRAME, kind))).equals(FRAME)
    text = format_table(FRAME, kind, digits=2)
    assert "55.04" in text and "55.044" not in text
    assert "0.00015" in text and "1e-05" in text
    assert "nan" not in text.lower()
    assert format_table(FRAME.head(0), kind)


def test_what_latex_and_markdown_would_read_is_escaped():
    assert r"50 \% | x\_y & 0.00015 & 55.04445 & 3 \\" in format_table(FRAME, "latex")
    head, _, row, last = format_table(FRAME, "markdown").splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == list(FRAME)
    assert "50 % \\| x_y" in row and last.replace("\\|", "").count("|") == 5


# The command ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two settings of three seeds each, and one result of another chapter."""
    for result in [*three(), *three((1.0, 2.0, 3.0), "gap", pooling="gap")]:
        put(tmp_path / "runs" / result.pop("path"), result)
    put(tmp_path / "runs" / "toy", chapter="toy_bottleneck", metrics={"accuracy": 1})
    return tmp_path / "runs"


def command(capsys, *words) -> tuple[int, str, str]:
    return main(["table", *map(str, words)]), *capsys.readouterr()


def test_the_command_averages(folder, capsys):
    words = "--by settings.rib.pooling --metrics seed_miou --mean --format markdown --digits 1"
    code, out, error = command(capsys, folder, *words.split(), "--where", "chapter=voc_rib")
    cells = [line.replace(" ", "").strip("|") for line in out.splitlines()]
    assert (code, error) == (0, "")
    assert cells[0] == "chapter|settings.rib.pooling|seed_miou|seed_miou.std|n|seeds"
    assert cells[2:] == ["voc_rib|gap|2.0|1.0|3|3,4,5", "voc_rib|gndrp|53.0|3.6|3|3,4,5"]


def test_what_is_left_out_is_named_no_result_ends_with_1_and_a_refusal_with_2(folder, capsys):
    (folder / "3" / "result.json").write_text('{"format": 2,')
    code, out, error = command(capsys, folder, "--where", "settings.rib.pooling=gndrp")
    assert (code, len(out.splitlines())) == (0, 3)
    assert error.startswith(f"left out: {folder}/3/result.json is not whole JSON")
    code, out, error = command(capsys, folder, "--where", "seed=77")
    assert (code, out) == (1, "") and f"no result.json to show below {folder}" in error
    code, out, error = command(capsys, folder, "--mean")
    assert (code, out) == (2, "")
    assert "put settings.rib.pooling into by" in error and "Traceback" not in error
