"""Ablation files: what they say, and what is refused, with file and line."""

import math
import re

import pytest
import yaml

from ribnb.book.voc_settings import VOCRIBSettings
from ribnb.core.settings import SettingsError
from ribnb.core.yaml_lines import read_with_lines
from ribnb.runs.batch import read_batch
from ribnb.runs.sweeps import FOLDER, distinct_runs, main, read_ablation, read_ablations

GOOD = """\
name: some
chapter: voc_rib
question: why?
parameters: {variant: paper, num_images: 4}
grid:
  pooling: [gndrp, gap]
  iterations: [1, 2, 5]
cases:
  plain: {}
  stop:
    margin_rule: stop
seeds: [3, 4]
"""


def written(tmp_path, text, name="some.yml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusals(read, *arguments) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(*arguments)
    return str(caught.value).splitlines()


def test_every_name_and_value_has_its_line(tmp_path):
    values, lines = read_with_lines(
        written(tmp_path, "a:\n  b: [1,\n      2]\n\nc:\n  - x: 7\n    y:\n      8\n")
    )
    assert values == {"a": {"b": [1, 2]}, "c": [{"x": 7, "y": 8}]}
    assert [lines.at(*p) for p in [(), ("a",), ("a", "b"), ("a", "b", 0)]] == [1, 1, 2, 2]
    assert lines.at("a", "b", 1) == 3
    assert (lines.at("c", 0), lines.at("c", 0, "y"), lines.value("c", 0, "y")) == (6, 7, 8)
    assert (lines.at("c"), lines.value("c")) == (5, 6)
    assert lines.at("c", 0, "z", "w") == lines.at("c", 0)  # the nearest that there is


def test_numbers_are_read_as_a_reader_means_them(tmp_path):
    text = "[8e-6, 1e-3, 1.5e-4, 1E5, -.5, 2., 3, -4, 0, .inf, 1_0, 010, 1:30, 2026-01-02, 0x1f]"
    values, _ = read_with_lines(written(tmp_path, text))
    assert values[:10] == [8e-6, 1e-3, 1.5e-4, 1e5, -0.5, 2.0, 3, -4, 0, math.inf]
    assert [type(value) for value in values[:9]] == [float] * 6 + [int] * 3
    # of what one standard reads one number and another another, none
    assert values[10:] == ["1_0", "010", "1:30", "2026-01-02", "0x1f"]


def test_only_true_and_false_are_truth_values(tmp_path):
    text = "[true, False, TRUE, yes, no, on, off, y, ~, null, '', 'true', .nan]"
    *values, nan = read_with_lines(written(tmp_path, text))[0]
    words = ["yes", "no", "on", "off", "y"]
    assert values == [True, False, True, *words, None, None, "", "true"]
    assert math.isnan(nan)


def test_the_loaders_of_pyyaml_stay_as_they_are():
    assert yaml.safe_load("[8e-6, yes, 010]") == ["8e-6", True, 8]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: {c: 1,\n  c: 2}\n", 3, "'c' stands here a second time, first in line 2"),
        ("a: 1\nb: [1\nc: 2\n", 3, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        (b"a: 1\nb: \xff\n", 2, "not text in UTF-8"),
        ("a: 1\nb: \0\n", 2, "not YAML"),
        ("a: &x [1]\nb: *x\n", 2, r"\*x: write out"),
        ("a: &x\n  - *x\n", 2, r"\*x: write out"),
        ("a: 1\n1: 2\n", 2, "the name '1' is not text; put it in quotes"),
        ("a: 1\n? [b]\n: 2\n", 2, "names are text"),
        ("a: 1\nb:\n  !!python/object/apply:os.system [ls]\n", 3, "write it without a tag"),
        ("a: 1\nb: !!set {c}\n", 2, "write it without a tag"),
        ("a: 1\nb: !!int x\n", 2, "'x' is no int"),
        ("a:\n - " + "[" * 3000, 1, "too many brackets"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(tmp_path, text, line, words):
    path = written(tmp_path, text)
    [error] = refusals(read_with_lines, path)
    assert re.match(rf"{re.escape(str(path))}:{line}: .*{words}", error)


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path):
    missing = tmp_path / "x.yml"
    assert refusals(read_with_lines, missing) == [f"{missing}: there is no such file"]
    assert str(tmp_path) in refusals(read_with_lines, tmp_path)[0]


# What a good file says


def test_every_case_meets_every_combination(tmp_path):
    ablation = read_ablation(written(tmp_path, GOOD))
    assert (ablation.name, ablation.chapter, ablation.question) == ("some", "voc_rib", "why?")
    assert ablation.seeds == (3, 4)
    assert ablation.varied == ("case", "pooling", "iterations")
    assert len(ablation.points) == 2 * 2 * 3
    assert len({str(point) for point in ablation.points}) == 12
    last = ablation.points[-1]
    assert last.label == {"case": "stop", "pooling": "gap", "iterations": 5}
    given = {"variant": "paper", "num_images": 4, "margin_rule": "stop"}
    assert last.parameters == {**given, "pooling": "gap", "iterations": 5}
    assert ablation.settings(last, 4) == VOCRIBSettings(**last.parameters, seed=4)


def test_what_lies_beneath_gives_way_to_the_section_the_file_and_the_point(tmp_path):
    common = {"num_images": 9, "power": 0.5, "momentum": 0.5, "iterations": 3, "device": "cpu"}
    common |= {"voc_rib": {"momentum": 0.25}, "voc_masks": {"crf": False}}
    text = GOOD.replace("  plain: {}", "  plain: {power: 0.125}\n  two: {num_images: 2}")
    first, *_, last = read_ablation(written(tmp_path, text), common).points
    assert first.parameters == {
        **{"num_images": 4, "power": 0.125, "momentum": 0.25, "iterations": 1},
        **{"device": "cpu", "variant": "paper", "pooling": "gndrp"},
    }
    assert last.parameters["power"] == 0.5
    ablation = read_ablation(written(tmp_path, text), common)
    assert ablation.parameters == {"variant": "paper", "num_images": 4}


def test_a_case_may_be_empty_and_parameters_may_be_missing(tmp_path):
    text = "name: some\nchapter: voc_rib\nseeds: [3]\ncases:\n  a:\n  b: {num_images: 5}\n"
    points = read_ablation(written(tmp_path, text)).points
    assert [point.parameters for point in points] == [{}, {"num_images": 5}]


def test_files_are_read_in_the_order_of_their_names_whatever_their_ending(tmp_path):
    for name in ("b.yml", "a.yaml", "c.yml"):
        written(tmp_path, GOOD.replace("some", name[0]), name)
    written(tmp_path, "no ablation", "notes.txt")
    assert list(read_ablations(tmp_path)) == ["a", "b", "c"]
    twice = [tmp_path / "c.yml", str(tmp_path), f"{tmp_path}/../{tmp_path.name}/a.yaml"]
    assert list(read_ablations(twice)) == ["a", "b", "c"]
    assert list(read_ablations(tmp_path / "b.yml")) == ["b"]


# What is refused. Each change to GOOD: (old, new) -> lines and words of what is said.
BAD = [
    ("question", "qestion", [(3, "no 'qestion'; did you mean 'question'")]),
    ("name: some\n", "", [(1, "there is no `name:`")]),
    ("chapter: voc_rib\n", "", [(1, "there is no `chapter:`")]),
    ("seeds: [3, 4]\n", "", [(1, "there is no `seeds:`")]),
    ("name: some", "name: other", [(1, "'other' is not the file's, 'some'")]),
    ("name: some", "name: so-me", [(1, "letters, digits and _")]),
    ("name: some", "name: 7", [(1, "must be text")]),
    ("question: why?", "question: [why]", [(3, "must be text")]),
    ("voc_rib", "voc_ribb", [(2, "'voc_ribb' with parameters; did you mean 'voc_rib'")]),
    ("voc_rib", "[a]", [(2, "no chapter")]),
    ("voc_rib", "ablations", [(2, "leaves none. An ablation's chapter is one of voc_classifier,")]),
    ("voc_rib", "rib", [(2, "no parameter 'seed'.* one of voc_classifier, voc_rib, voc_masks")]),
    ("num_images: 4", "num_image: 4", [(4, "no parameter 'num_image'; did you mean 'num_images'")]),
    ("  iterations", "  iteration", [(7, "'iteration'; did you mean 'iterations'")]),
    ("    margin_rule", "    margin_role", [(11, "'margin_role'; did you mean 'margin_rule'")]),
    ("num_images: 4", "num_images: many", [(4, "num_images = 'many' is of type str")]),
    ("[1, 2, 5]", "[1,\n 2, 'x',\n -1]", [(8, "'x' is of type str"), (9, "-1 is not allowed")]),
    ("[1, 2, 5]", "[1, 2.5]", [(7, "iterations = 2.5 is of type float")]),
    ("[1, 2, 5]", "[1, true]", [(7, "iterations = True is of type bool")]),
    ("[1, 2, 5]", "[1, {a: 2}]", [(7, "type dict")]),
    ("rule: stop", "rule:\n      halt", [(12, "'halt' is not allowed; it must be one of 'cap'")]),
    ("rule: stop", "rule: stop\n    flip: no", [(12, "flip = 'no' is of type str")]),
    ("[1, 2, 5]", "[1]\n  learning_rate: [.nan]", [(8, "finite")]),
    ("[1, 2, 5]", "[1]\n  scales: [1, [1, x]]", [(8, "scales = 1;"), (8, "scales = 'x'")]),
    ("num_images: 4", "seed: 4", [(4, "seed is the batch's to give; list it under `seeds`")]),
    ("num_images: 4", "output_dir: x", [(4, "output_dir is the batch's .* folder of its own")]),
    ("  iterations: [1", "  shard: [0/2", [(7, "shard is the batch's")]),
    ("    margin_rule: stop", "    device: cpu", [(11, "device is .* settings file")]),
    ("num_images: 4", "workers: 4", [(4, "workers is .* settings file")]),
    ("  pooling: [gndrp, gap]\n  iterations: [1, 2, 5]\n", "", [(5, "grid is empty")]),
    ("[1, 2, 5]", "[]", [(7, r"iterations = \[\] must be a list of at least one value")]),
    ("[1, 2, 5]", "5", [(7, "iterations = 5 must be a list")]),
    ("[1, 2, 5]", "[1, 2,\n 1]", [(8, "iterations = 1 stands there twice")]),
    ("  iterations", "  variant: [paper]\n  iterations", [(7, r"also in parameters \(line 4\)")]),
    ("margin_rule: stop", "pooling: gap", [(11, r"pooling is also in the grid \(line 6\)")]),
    ("plain: {}", "plain: [1]", [(9, "case 'plain' must be a mapping")]),
    ("plain: {}", "1: {}", [(9, "put it in quotes")]),
    ("plain: {}", "plain: {}\n  plain: {}", [(10, "'plain' stands here a second time")]),
    ("plain: {}", "plain: {}\n  again: {variant: paper}", [(10, "'plain'.*'again'.*the same")]),
    ("parameters: {variant: paper, num_images: 4}", "parameters: 7", [(4, "must be a mapping")]),
    ("[3, 4]", "[]", [(12, "must be a list")]),
    ("[3, 4]", "", [(12, "must be a list")]),
    ("[3, 4]", "[3,\n 3]", [(13, "3 stands there twice")]),
    ("[3, 4]", "[3, -4]", [(12, "-4 must be a whole number")]),
    ("[3, 4]", "[3, 4.0]", [(12, "4.0 must be a whole number")]),
    ("[3, 4]", "[3, true, x]", [(12, "True must"), (12, "'x' must")]),
    ("[3, 4]", "[3,\n  7]", [(13, "seed = 7: name a classifier")]),
    # what only the settings as a whole refuse
    ("num_images: 4", "\n  scales: [0.5]", [(5, r"scales = \(0.5,\): 1 must come first")]),
    ("[1, 2, 5]", "[1]\n  scales:\n   - [1]\n   - [2]", [(10, r"scales = \(2.0,\): 1 must come")]),
    ("num_images: 4", "dataset: voc", [(4, "needs a data_root")]),
    ("num_images: 4", "loss_scales: [1.5]", [(4, r"loss_scales = \(1.5,\) must be")]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), BAD, ids=[new[:40] for _, new, _ in BAD])
def test_bad_input_is_refused_with_its_line_and_nothing_else_is_said(tmp_path, old, new, said):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    errors = refusals(read_ablation, path)
    assert len(errors) == len(said), errors
    for error, (line, words) in zip(errors, said, strict=True):
        assert re.match(rf"{re.escape(str(path))}:{line}: .*{words}", error), error


@pytest.mark.parametrize("text", ["", "- 1\n", "7\n", "# nothing\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    [error] = refusals(read_ablation, written(tmp_path, text))
    assert error.startswith(f"{tmp_path}/some.yml:1: must be a mapping, with name, chapter")


def test_a_file_must_vary_something(tmp_path):
    text = GOOD[: GOOD.index("grid")] + "seeds: [3]\n"
    [error] = refusals(read_ablation, written(tmp_path, text))
    assert ":1: there is neither a grid nor cases" in error


def test_a_combination_is_named_where_no_single_value_is_to_blame(tmp_path):
    sizes = "  long_side_min: [1, 50]\n  long_side_max: [20, 60]\n"
    text = GOOD.replace("  iterations: [1, 2, 5]\n", sizes)
    text = text.replace("  stop:\n    margin_rule: stop\n", "").replace("[gndrp, gap]", "[gap]")
    text = text.replace("variant: paper, ", "")
    [error] = refusals(read_ablation, written(tmp_path, text.replace("  plain", "\n\n  plain")))
    assert re.search(r":12: the point \(case = 'plain', .*long_side_min = 50, .*max = 20\)", error)
    without = text.replace("cases:\n  plain: {}\n", "")
    [error] = refusals(read_ablation, written(tmp_path, without))
    assert re.search(r":5: the point \(pooling = 'gap', long_side_min = 50, .*max = 20\): ", error)


def test_of_many_refused_combinations_some_are_named_and_the_rest_counted(tmp_path):
    grid = f"scales: [[1], [1, 2]], loss_scales: [[1], [2]], margin: {[*range(1, 13)]}"
    text = f"name: some\nchapter: voc_rib\nseeds: [3]\ngrid: {{{grid}}}\n"
    *named, last = refusals(read_ablation, written(tmp_path, text))
    assert len(named) == 10
    assert all(":4: the point (scales = [1], loss_scales = [2], margin = " in e for e in named)
    assert last.endswith(":4: and 2 more are refused alike")


def test_points_of_one_settings_are_refused_with_both_named(tmp_path):
    text = "name: some\nchapter: voc_rib\nseeds: [3]\ngrid:\n  margin: [60, 60.0]\n"
    [error] = refusals(read_ablation, written(tmp_path, text))
    assert ":5: grid: margin = 60.0 stands there twice" in error
    text = text.replace("60.0", "null")  # which is the preset's 60
    [error] = refusals(read_ablation, written(tmp_path, text))
    assert ":4: the points (margin = 60) and (margin = None) come to the same settings" in error


def test_all_errors_of_a_file_and_of_all_files_are_said_at_once(tmp_path):
    text = GOOD.replace("seeds: [3, 4]", "seeds: [-1]").replace("gndrp", "gmp")
    a = written(tmp_path, text.replace("name: some", "name: a"), "a.yml")
    b = written(tmp_path, "name: [\n", "b.yml")
    written(tmp_path, GOOD.replace("name: some", "name: c"), "c.yml")
    errors = refusals(read_ablations, tmp_path)
    starts = [f"{a}:6: pooling = 'gmp'", f"{a}:12: seeds: -1", f"{b}:2: not YAML"]
    assert [e.startswith(s) for e, s in zip(errors, starts, strict=True)] == [True] * 3


@pytest.mark.parametrize("name", ["some.yaml", "Some.yml"])
def test_one_name_for_two_files_is_refused(tmp_path, name):
    written(tmp_path, GOOD)
    written(tmp_path, GOOD.replace("some", name.partition(".")[0]), name)
    [error] = refusals(read_ablations, tmp_path)
    assert re.match(rf"{tmp_path}/some\.ya?ml:1: the name 'some' is taken by .*ome\.y", error)


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path):
    assert "no ablation" in refusals(read_ablations, tmp_path)[0]
    assert "no such file" in refusals(read_ablations, [tmp_path / "x.yml"])[0]


def test_what_lies_beneath_is_blamed_for_itself_and_once(tmp_path):
    for name in ("a", "b"):
        written(tmp_path, GOOD.replace("some", name), f"{name}.yml")
    for common, words in (
        ({"iteratoins": 1}, "'iteratoins'; did you mean 'iterations'"),
        ({"voc_rib": {"threshold": 2}}, "threshold = 2"),
        ({"voc_ribs": {"threshold": 1}}, "'voc_ribs'; did you mean 'voc_rib'"),
    ):
        errors = refusals(read_ablations, tmp_path, common)
        assert len(errors) == 1, errors
        assert errors[0].startswith("the parameters beneath")
        assert words in errors[0]


# The files of the book


def test_the_ablations_of_the_book_are_read_and_their_number_is_bounded():
    ablations = read_ablations(FOLDER)
    wanted = "batch cost k_and_pooling loss margin_and_rate paper_and_released tau"
    assert ablations.keys() >= set(wanted.split())
    for ablation in ablations.values():
        assert len(ablation.seeds) >= 3
        assert ablation.question.endswith("?")
    assert (
        distinct_runs(ablations[name] for name in wanted.split()) < 210
    )  # at 20 seconds each, 35 minutes on two cores


@pytest.fixture
def gpu_sized(monkeypatch):
    """The plan whose settings file names ablations from the repository's root."""
    monkeypatch.chdir(FOLDER.parents[2])
    return read_batch(FOLDER.parent / "ablations_gpu.yml")


def test_those_of_a_gpu_s_size_ask_the_same_questions(gpu_sized):
    questions = {one.name: one.question for one in read_ablations(FOLDER).values()}
    assert {one.name: one.question for one in gpu_sized.ablations.values()} == questions
    for run in gpu_sized.runs:
        assert run.job.settings.dataset == "voc"
        assert {job.kind for job in run.job.needs} == {"voc_classifier", "data"}


@pytest.mark.parametrize(("size", "rate"), [("cpu", {"learning_rate"}), ("gpu", set())])
def test_each_case_of_paper_and_released_is_one_difference(gpu_sized, size, rate):
    found = read_ablations(FOLDER) if size == "cpu" else gpu_sized.ablations
    ablation = found["paper_and_released"]
    rib = {p.label["case"]: ablation.settings(p, 3).rib.as_dict() for p in ablation.points}
    paper, *single, together, released = rib.values()

    def changed(one, other):
        return {name for name in one if one[name] != other[name]}

    flood = {"flood_level", "flood_share"}
    for values in single:
        differing = changed(values, paper)
        assert len(differing) == 1 or differing == flood
        # the paper's side in the base, the released one in the case
        assert all(values[name] == released[name] for name in differing)
    singles = [changed(values, paper) for values in single]
    assert changed(together, paper) == set().union(*singles)
    assert changed(together, released) == {"variant", *rate}
    assert sum(map(len, singles)) == len(set().union(*singles))


def test_the_command_says_what_would_run(tmp_path, capsys):
    path = written(tmp_path, GOOD)
    assert main([str(path), "--points"]) == 0
    out = capsys.readouterr().out
    assert "some  voc_rib  12 points x seeds 3, 4 = 24 runs\n" in out
    assert "  case = 'stop', pooling = 'gap', iterations = 5\n" in out
    assert out.endswith("24 runs in all, those of equal settings once\n")
    written(tmp_path, GOOD.replace("some", "twin"), "twin.yml")
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("24 runs in all, those of equal settings once\n")


def test_the_command_ends_with_2_and_the_errors(tmp_path, capsys):
    path = written(tmp_path, GOOD.replace("gap", "gasp"))
    assert main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}:6: pooling = 'gasp' is not allowed")
