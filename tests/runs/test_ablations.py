"""Ablation files: what they say, and what is refused, with where in the file it stands."""

import re

import pytest

from ribnb.__main__ import main
from ribnb.book import CHAPTERS
from ribnb.book.splits import VOCRIBSettings
from ribnb.core.settings import SettingsError
from ribnb.runs.ablations import FOLDER, read_ablation, read_ablations
from ribnb.runs.batch import read_batch

GOOD = """\
name: some
chapter: voc_rib
question: why?
parameters: {variant: paper, num_images: 4}
grid:
  rib.pooling: [gndrp, gap]
  rib.iterations: [1, 2, 5]
cases:
  plain: {}
  stop:
    rib: {margin_rule: stop}
seeds: [3, 4]
"""


def written(tmp_path, text, name="some.yml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def refusals(read, where) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(where, CHAPTERS)
    return str(caught.value).splitlines()


# What a good file says --------------------------------------------------------------------


def test_every_case_meets_every_combination(tmp_path):
    ablation = read_ablation(written(tmp_path, GOOD), CHAPTERS)
    assert (ablation.name, ablation.question, ablation.seeds) == ("some", "why?", (3, 4))
    assert len({str(point) for point in ablation.points}) == len(ablation.points) == 2 * 2 * 3
    last = ablation.points[-1]
    assert last.label == {"case": "stop", "pooling": "gap", "iterations": 5}
    rib = {"margin_rule": "stop", "pooling": "gap", "iterations": 5}
    assert last.parameters == {"variant": "paper", "num_images": 4, "rib": rib}
    assert ablation.settings(last, 4) == VOCRIBSettings(**last.parameters, seed=4)


# What is refused. Each change to GOOD: (old, new) -> what is said. ------------------------

BAD = [
    ("name: some", "name: other", "'other' is not the file's, 'some'"),
    ("voc_rib", "voc_ribb", "'voc_ribb'; did you mean 'voc_rib'"),
    ("voc_rib", "ablations", "results of one seed.*voc_classifier, voc_rib,"),
    ("margin_rule", "margin_role", "point .case = 'stop'.*: .* mean 'margin_rule'"),
    ("num_images: 4", "seed: 4", "seed is the batch's to give, and `seeds` are listed"),
    ("[1, 2, 5]", "[1]\n  shard: [0/2]", "shard is the batch's"),
    ("[1, 2, 5]", "[1, 1]", "points .* come to the same settings with seed 3; leave one"),
    ("plain: {}", "plain: {}\n  again: {variant: paper}", "'plain'.*'again'.*the same"),
    (GOOD[GOOD.index("grid") : GOOD.index("seeds")], "", "neither a grid nor cases"),
    ("[3, 4]", "[3, -4]", "seeds.1 = -4"),
    ("[3, 4]", "[3, 7]", "point .*classifier"),
]


@pytest.mark.parametrize(("old", "new", "said"), BAD, ids=[new[:40] for _, new, _ in BAD])
def test_bad_input_is_refused_in_one_line_that_says_where(tmp_path, old, new, said):
    path = written(tmp_path, GOOD.replace(old, new, 1))
    errors = refusals(read_ablation, path)
    assert len(errors) == 1, errors
    assert re.match(rf"{re.escape(str(path))}:? .*{said}", errors[0]), errors[0]


def test_one_name_for_two_files_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    files = [written(tmp_path, GOOD, name) for name in ("a/some.yml", "some.yml")]
    [error] = refusals(read_ablations, files)
    assert error == f"{tmp_path}/some.yml: there is another ablation of this name; rename one"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_ablations([tmp_path / "x.yml"], CHAPTERS)
    written(tmp_path, GOOD.replace("some", "a"), "a.yml"), written(tmp_path, "", "notes.txt")
    assert list(read_ablations(tmp_path, CHAPTERS)) == ["a", "some"]


# The files of the book --------------------------------------------------------------------


@pytest.fixture
def gpu_sized(monkeypatch):
    """The plan whose settings file names ablations from the repository's root."""
    monkeypatch.chdir(FOLDER.absolute().parents[2])
    return read_batch(FOLDER.parent / "ablations_gpu.yml", CHAPTERS)


def test_the_ablations_of_the_book_are_read_and_their_number_is_bounded():
    ablations = read_ablations(FOLDER, CHAPTERS)
    wanted = "batch cost k_and_pooling loss margin_and_rate paper_and_released tau"
    assert ablations.keys() >= set(wanted.split())
    for ablation in ablations.values():
        assert len(ablation.seeds) >= 3
        assert ablation.question.endswith("?")
    batch = read_batch(None, CHAPTERS)
    assert len(batch.jobs) < 210  # at 20 seconds each, 35 minutes on two cores


def test_those_of_a_gpu_s_size_ask_the_same_questions(gpu_sized):
    questions = {one.name: one.question for one in read_ablations(FOLDER, CHAPTERS).values()}
    assert {one.name: one.question for one in gpu_sized.ablations.values()} == questions
    for _, job in gpu_sized.runs:
        assert job.settings.dataset == "voc"
        assert {need.chapter for need in job.needs} == {"voc_classifier"}


@pytest.mark.parametrize(("size", "rate"), [("cpu", {"learning_rate"}), ("gpu", set())])
def test_each_case_of_paper_and_released_is_one_difference(gpu_sized, size, rate):
    ablations = read_ablations(FOLDER, CHAPTERS) if size == "cpu" else gpu_sized.ablations
    ablation = ablations["paper_and_released"]
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


# The command ------------------------------------------------------------------------------


def test_the_command_says_what_would_run(tmp_path, capsys):
    bad = written(tmp_path, GOOD.replace("gap", "gasp"))
    assert main(["check", str(bad)]) == 2
    out, error = capsys.readouterr()
    assert (out, error.startswith(f"{bad}: the point ")) == ("", True)
    own, path = written(tmp_path, GOOD), tmp_path / "batch.yml"
    path.write_text(f"batch: {{ablations: [{own}], folder: /no}}")
    assert main(["check", str(own), str(path)]) == 0
    points = "some: voc_rib, 12 points x seeds 3, 4"
    jobs = "24 jobs in {}, 0 of them done"
    said = [points, jobs.format("runs/ablations"), points, jobs.format("/no")]
    assert capsys.readouterr().out.splitlines() == said
