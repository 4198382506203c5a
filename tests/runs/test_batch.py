"""The plan of a batch: which jobs there are, how they are called, and what is refused."""

import pytest
import yaml

from ribnb.core.settings import SettingsError
from ribnb.runs.batch import main, read_batch
from ribnb.runs.jobs import with_needs

MINI = {
    "name": "mini",
    "chapter": "voc_rib",
    "parameters": {"variant": "paper", "num_images": 6},
    "grid": {"pooling": ["gndrp", "gap"], "iterations": [1, 2]},
    "seeds": [3, 4],
}
VOC = {"dataset": "voc", "data_root": "data", "device": "cpu"}


@pytest.fixture
def write(tmp_path):
    """Write a file, give its path as text."""

    def write(name, values):
        path = tmp_path / name
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return str(path)

    return write


def plan(write, settings=None, **mini):
    own = write("mini.yml", {**MINI, **mini})
    batch = {"ablations": [own], **(settings or {}).pop("batch", {})}
    return read_batch(write("settings.yml", {**(settings or {}), "batch": batch}))


def test_an_ablation_is_a_job_for_each_point_and_seed(write):
    batch = plan(write)
    assert len(batch.runs) == len(batch.jobs) == 8
    places = {(*run.point.label.values(), run.seed) for run in batch.runs}
    assert places == {(p, k, s) for p in ("gndrp", "gap") for k in (1, 2) for s in (3, 4)}
    job = batch.runs[0].job
    assert job.parameters(batch.folder) == {
        "variant": "paper",
        "num_images": 6,
        "pooling": "gndrp",
        "iterations": 1,
        "seed": 3,
        "output_dir": str(batch.folder / job.name),
    }
    assert batch.folder.as_posix() == "runs/settings"


def test_a_name_changes_with_what_the_result_depends_on_and_with_nothing_else(write):
    first = [run.job.name for run in plan(write).runs]
    assert [run.job.name for run in plan(write).runs] == first
    assert [run.job.name for run in plan(write, {"workers": 3, "device": "cpu"}).runs] == first
    said = {"parameters": {**MINI["parameters"], "threshold": 0.4}}  # the default
    assert [run.job.name for run in plan(write, **said).runs] == first
    other = {"parameters": {**MINI["parameters"], "threshold": 0.5}}
    assert not {*first} & {run.job.name for run in plan(write, **other).runs}
    grown = plan(write, grid={"pooling": ["gndrp", "gap"], "iterations": [1, 2, 3]})
    assert {*first} < {run.job.name for run in grown.runs}


def test_ablations_share_the_runs_they_have_in_common(write):
    own = write("mini.yml", MINI)
    other = write(
        "other.yml", {**MINI, "name": "other", "grid": {"pooling": ["gap"], "iterations": [2, 9]}}
    )
    batch = read_batch(write("s.yml", {"batch": {"ablations": [own, other]}}))
    assert (len(batch.runs), len(batch.jobs)) == (8 + 4, 8 + 2)
    assert batch.labels.keys() == batch.jobs.keys()


def test_parameters_of_the_settings_file_lie_beneath(write):
    settings = {"num_images": 9, "precision": "bfloat16", "voc_rib": {"margin": 30}}
    job = plan(write, settings).runs[0].job
    assert (job.settings.num_images, job.settings.precision, job.settings.margin) == (
        6,
        "bfloat16",
        30,
    )
    assert plan(write, {"batch": {"seeds": [5]}}).runs[0].seed == 5


def test_stages_hand_their_folders_on(write):
    batch = read_batch(write("voc.yml", {**VOC, "batch": {"seeds": [0, 1]}}))
    assert [*batch.stages] == [0, 1]
    stages, folder = batch.stages[0], batch.folder
    made = {name: job.parameters(folder) for name, job in stages.items()}
    place = {name: str(folder / job.name) for name, job in stages.items()}
    assert made["voc_rib"]["classifier"] == f"{place['voc_classifier']}/classifier.safetensors"
    assert made["voc_masks"]["rib"] == place["voc_rib"]
    assert "classifier" not in made["voc_masks"]  # IRN starts from ImageNet
    assert made["voc_segmentation"]["masks"] == place["voc_masks"]
    assert len(batch.jobs) == 8
    order = [*batch.jobs]
    for job in batch.jobs.values():
        assert all(order.index(need.name) < order.index(job.name) for need in job.needs)


def test_what_starts_from_theta_0_gets_the_classifier(write):
    batch = read_batch(write("scenes.yml", {"dataset": "scenes", "num_images": 10}))
    for name in ("voc_rib", "voc_masks", "voc_segmentation"):
        assert "classifier" in batch.stages[0][name].made
        assert batch.stages[0][name].settings.seed == 0  # which no packaged net is for


def test_a_change_in_one_stage_changes_those_after_it_only(write):
    def names(values):
        batch = read_batch(write("voc.yml", {**VOC, **values}))
        return {stage: job.name for stage, job in batch.stages[0].items()}

    before, after = names({}), names({"voc_masks": {"epochs": 2}})
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"voc_masks", "voc_segmentation"}
    assert {*before.values()}.isdisjoint(names({"voc_classifier": {"epochs": 2}}).values())


def test_shards_are_merged_before_they_are_used(write):
    batch = read_batch(write("voc.yml", {**VOC, "batch": {"shards": 3}}))
    merged = batch.stages[0]["voc_rib"]
    assert merged.kind == "merge"
    assert [job.settings.shard for job in merged.after] == ["0/3", "1/3", "2/3"]
    assert batch.stages[0]["voc_masks"].needs == [merged]


def test_data_are_made_before_anything_reads_them(write):
    batch = read_batch(write("voc.yml", {**VOC, "batch": {"data": "make it", "shards": 2}}))
    first, *others = batch.jobs.values()
    assert (first.kind, first.given) == ("data", {"command": "make it"})
    assert all(first in job.needs for job in others if job.kind != "merge")
    assert all(first in with_needs([job]) for job in others)
    other = read_batch(write("voc.yml", {**VOC, "batch": {"data": "make others", "shards": 2}}))
    assert batch.jobs.keys().isdisjoint(other.jobs)


def test_an_ablation_with_stages_trains_a_classifier_for_each_seed(write):
    own = write("mini.yml", {**MINI, "seeds": [0, 1]})
    settings = {"batch": {"stages": ["voc_classifier"], "ablations": [own], "seeds": [0, 1]}}
    batch = read_batch(write("s.yml", settings))
    nets = {run.seed: run.job.made["classifier"][0] for run in batch.runs}
    assert nets == {seed: batch.stages[seed]["voc_classifier"] for seed in (0, 1)}
    assert len(batch.jobs) == 2 + 8


def test_an_ablation_of_a_later_stage_stands_on_those_before_it(write):
    values = {
        "name": "walk",
        "chapter": "voc_masks",
        "grid": {"walk_exponent": [4, 6]},
        "seeds": [0],
    }
    own = write("walk.yml", values)
    settings = {"num_images": 9, "batch": {"stages": ["voc_classifier", "voc_rib"]}}
    settings["batch"]["ablations"] = [own]
    batch = read_batch(write("s.yml", settings))
    stages = batch.stages[0]
    for run in batch.runs:
        assert run.job.made["rib"] == (stages["voc_rib"], "")
        assert run.job.made["classifier"][0] == stages["voc_classifier"]
        assert "made" not in run.job.given.values()
    own = write("walk.yml", {**values, "seeds": [3]})
    alone = read_batch(write("t.yml", {"batch": {"ablations": [own]}}))
    assert [run.job.needs for run in alone.runs] == [[], []]  # scenes of seed 3 come with maps


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch": {"shards": 0}}, r"s.yml:2: shards = 0 is not allowed; it must be at least 1"),
        ({"batch": {"shards": "two"}}, r"s.yml:2: shards = 'two'"),
        ({"batch": {"shard": 2}}, r"s.yml:2: .*no parameter 'shard'; did you mean 'shards'"),
        (
            {"batch": {"stages": ["voc_rib"]}},
            r"s.yml:2: stages = \['voc_rib'\]: each needs the one",
        ),
        ({"batch": {"stages": ["rib"]}}, r"s.yml:2: stages = 'rib' is not allowed"),
        ({"batch": {"seeds": [1, 1]}}, r"s.yml:2: seeds = \[1, 1\]: one stands there twice"),
        ({"num_image": 3}, r"s.yml:1: .*no parameter 'num_image'; did you mean 'num_images'"),
        ({"num_images": "all"}, r"s.yml:1: num_images = 'all' is of type str"),
        ({"voc_rib": {"iterations": -1}}, r"s.yml:2: iterations = -1 is not allowed"),
        ({"voc_rip": {"iterations": 1}}, r"s.yml:1: .*'voc_rip'; did you mean 'voc_rib'"),
        ({"batch": {"ablations": ["none"]}}, r"none.yml: there is no such file"),
        (["device"], r"s.yml must be a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_line(write, values, message):
    path = write("s.yml", values)
    with pytest.raises(SettingsError, match=message):
        read_batch(path)


def test_the_command_says_what_would_run(write, capsys):
    own = write("mini.yml", MINI)
    path = write("s.yml", {"batch": {"ablations": [own], "folder": "/nowhere"}})
    assert main([path]) == 0
    assert (
        "mini: 4 points, 8 runs of voc_rib\n8 jobs in /nowhere, 0 of them"
        in capsys.readouterr().out
    )
    assert main([write("bad.yml", {"batch": {"shards": 0}})]) == 2
    assert "bad.yml:2: shards = 0" in capsys.readouterr().err
    assert main([str(own) + "x"]) == 2


def test_numbers_that_snakemake_hands_on_as_texts_are_numbers(write):
    path = write("settings.yml", {"batch": {"stages": ["voc_classifier"]}})
    planned = read_batch(path, {"seeds": ["3", "4"], "shards": "2"})
    assert list(planned.stages) == [3, 4]
