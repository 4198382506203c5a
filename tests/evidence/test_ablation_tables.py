"""What the ablations say, in words and tables that fit what is there."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from small_ablation import COMMON, found_in, made, mini_ablation, mini_folder  # noqa: F401
from small_results import made_up, put

from ribnb import figures
from ribnb.book.ablations_settings import COMMAND, PUBLISH, AblationsSettings
from ribnb.core.settings import SettingsError
from ribnb.evidence.ablation_results import Published
from ribnb.evidence.ablation_tables import (
    at_the_edge,
    figure_of,
    how_to_make,
    markdown,
    named,
    origin,
    summary,
    tally,
    turned,
    whats_there,
)
from ribnb.evidence.comparisons import NO_RESULT


def test_a_figure_of_an_incomplete_ablation_only_says_so(folder, ablation):
    found = found_in(folder, ablation)

    def draw(frame):
        return figures.setting_curves(frame, "iterations", "seed_miou", None, "all of it")

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


def test_the_table_has_words_and_numbers():
    rows = [made(0.2, 3, (1, 2, 3), "higher"), made(-3, -0.1, (-1, -2, -0.2), "higher")]
    table = summary(rows)
    assert list(table["verdict"]) == ["agrees", "disagrees"]
    assert table["ours"][0].replace("\u00a0", " ") == "+2.00 [+0.20, +3.00]; 3 of 3 above 0"
    for claim, seeds in {
        "higher": "1 of 3 above 0",
        "lower": "2 of 3 below 0",
        "same": "2 of 3 within ±1",
    }.items():
        row = summary([made(-3, -0.1, (-1, -2, 0.2), claim)]).iloc[0]
        assert row["ours"].replace("\u00a0", " ").endswith(f"; {seeds}")
    assert table["claim"][0] == "one against two: higher"
    said = " ".join(tally(rows).split())
    assert said.startswith("2 comparisons: 1 agrees, 1 disagrees. With any threshold: 2 no result")
    assert "Of 2 intervals" in said
    assert named(rows, "agrees").count("\n") == 0 and not named(rows, NO_RESULT)


def test_verdicts_that_turn_with_any_threshold_are_named():
    rows = [made(0.2, 3, (1, 2, 3), "higher", wide=shift) for shift in (0.5, -1.5, -5, None)]
    assert [one.wide_word for one in rows] == ["agrees", "cannot tell yet", "disagrees", NO_RESULT]
    table = summary(rows)
    assert list(table["verdict then"]) == [one.wide_word for one in rows]
    assert table["any threshold"][0].startswith("+2.50 [+0.70,")
    assert turned(rows).splitlines() == [
        "- mini: one against two: agrees → cannot tell yet",
        "- mini: one against two: agrees → disagrees",
    ]
    assert turned(rows[:1]) == ""


def test_thresholds_at_the_edge_are_counted_once_a_run():
    frame = pd.DataFrame(
        {"path": ["a", "b"], "seed_threshold": [0.2, 0.3], "cam_seed_threshold": [0.2, 0.2]}
    )
    of = SimpleNamespace(frame=frame)
    assert at_the_edge([of, of]).endswith("released range, 0.2: 1 of 2 runs, 2 CAMs")
    frame["wide_seed_threshold"], frame["wide_cam_seed_threshold"] = [0.02, 0.02], [0.04, 0.02]
    assert at_the_edge([of]).endswith("wide range, 0.02: 2 of 2 runs, 1 CAMs")
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
