"""The command that prints tables of results."""

import json
import sys

import pytest
from small_results import made_up, put, three

from ribnb.runs.result_files import load_results, signed
from ribnb.runs.result_tables import format_table, results_table
from ribnb.runs.run import main

ORIGIN = "images,device,git_commit,date,path"


@pytest.fixture
def folder(tmp_path):
    """Two settings of three seeds each, and one result of another chapter."""
    for result in [*three(), *three((1.0, 2.0, 3.0), "gap", pooling="gap")]:
        put(tmp_path / "runs" / result.pop("path"), result)
    put(tmp_path / "runs" / "toy", chapter="toy_bottleneck", metrics={"accuracy": 1})
    return tmp_path / "runs"


def table(capsys, *words) -> tuple[int, str, str]:
    return main(["table", *map(str, words)]), *capsys.readouterr()


def test_the_command_prints_csv(folder, capsys):
    code, out, error = table(capsys, folder, "--where", "chapter=voc_rib", "--by", "pooling,margin")
    assert (code, error) == (0, "")
    header, *rows = out.splitlines()
    assert header == f"chapter,seed,pooling,margin,seed_miou,{ORIGIN}"
    assert rows[0].split(",")[1:5] == ["3", "gndrp", "60.0", "52.0"]
    assert len(rows) == 6
    expected = results_table(load_results(folder))
    assert table(capsys, folder)[1] == format_table(expected, "csv")


def test_the_command_averages_and_writes_a_file(folder, tmp_path, capsys):
    output = tmp_path / "new" / "table.md"
    words = ["--by", "pooling", "--metrics", "seed_miou", "--mean", "--format", "markdown"]
    words += ["--digits", "1", "--where", "chapter=voc_rib", "-o", output]
    assert table(capsys, folder, *words) == (0, f"{output}\n", "")
    cells = [line.replace(" ", "").strip("|") for line in output.read_text().splitlines()]
    assert cells[0] == "chapter|pooling|seed_miou|seed_miou.std|n|seeds"
    assert cells[2:] == ["voc_rib|gap|2.0|1.0|3|3,4,5", "voc_rib|gndrp|53.0|3.6|3|3,4,5"]
    assert [path.name for path in output.parent.iterdir()] == ["table.md"]


def test_names_with_commas_stand_in_quotes(tmp_path, capsys):
    put(tmp_path, metrics={"RIB, GAP": 1, "x": 2})
    code, out, _ = table(capsys, tmp_path, "--metrics", '"RIB, GAP", x', "--format", "json")
    assert code == 0
    assert list(json.loads(out)[0])[2:4] == ["RIB, GAP", "x"]


def test_what_is_left_out_is_named(folder, capsys):
    (folder / "3" / "result.json").write_text('{"format": 2,')
    old = made_up(seed=4)
    del old["settings"]["margin_rule"]
    path = put(folder / "4", signed(old))
    words = [
        folder,
        "--where",
        "chapter=voc_rib",
        "--where",
        "pooling=gndrp",
        "--metrics",
        "seed_miou",
    ]
    code, out, error = table(capsys, *words)
    assert (code, len(out.splitlines())) == (0, 2)
    first, second = error.splitlines()
    assert first.startswith(f"left out: {folder}/3/result.json is not whole JSON")
    assert second.startswith(f"left out: {path} is stale: voc_rib has got margin_rule since;")
    code, out, error = table(capsys, *words, "--stale")
    assert (code, len(out.splitlines()), len(error.splitlines())) == (0, 3, 1)


def test_no_result_ends_with_1(folder, tmp_path, capsys):
    assert table(capsys, tmp_path / "no")[0] == 1
    code, out, error = table(capsys, folder, "--where", "seed=77")
    assert (code, out, error) == (1, "", f"no result.json to show below {folder}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "sedes", "--where", "chapter=toy_bottleneck"], "did you mean 'seeds'?"),
        (["--by", "pooling"], "no setting 'pooling'; there are: digits"),
        (["--by", "pooling"], "--where chapter=NAME shows one chapter"),
        (["--metrics", "seed_miuo"], "did you mean 'seed_miou'?"),
        (["--where", "poling=gap"], "no result has a setting 'poling'; did you mean 'pooling'?"),
        (["--mean"], "put pooling into by"),
        (["--digits", "-1"], "digits at least 0"),
        (["-o", "{folder}/3/result.json/x"], "result.json"),
    ],
)
def test_refusals_end_with_2(folder, capsys, words, message):
    code, out, error = table(capsys, folder, *(word.format(folder=folder) for word in words))
    assert (code, out) == (2, "")
    assert message in error
    assert "Traceback" not in error


def test_without_tabulate_it_is_said_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tabulate", None)
    put(tmp_path)
    assert main(["table", str(tmp_path), "--format", "markdown"]) == 2
    assert capsys.readouterr().err == "Markdown needs tabulate: pip install tabulate\n"
