"""The plan of a batch: which jobs there are, how they are called, and what is refused."""

import pytest
import yaml

from ribnb.book import CHAPTERS
from ribnb.core.settings import SettingsError, read_settings_file
from ribnb.runs import batch as batches


def read_batch(path, changes=None):
    return batches.read_batch(path, CHAPTERS, changes)


MINI = {
    "name": "mini",
    "chapter": "voc_rib",
    "parameters": {"variant": "paper", "num_images": 6},
    "grid": {"rib.pooling": ["gndrp", "gap"], "rib.iterations": [1, 2]},
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


def parameters(job, folder) -> dict:
    """What a job finds in its folder."""
    job.write(folder)
    return read_settings_file(folder / job.name / "parameters.yml")


def test_an_ablation_is_a_job_for_each_point_and_seed(write, tmp_path):
    batch = plan(write)
    assert len(batch.runs) == len(batch.jobs) == 8
    points = [(p, k, s) for s in (3, 4) for p in ("gndrp", "gap") for k in (1, 2)]
    words = [f"mini: pooling = {p!r}, iterations = {k}, seed {s}" for p, k, s in points]
    assert [*dict(batch.runs)] == [*batch.labels.values()] == words
    job = batch.runs[0][1]
    assert parameters(job, tmp_path) == {
        "variant": "paper",
        "num_images": 6,
        "rib": {"pooling": "gndrp", "iterations": 1},
        "seed": 3,
        "output_dir": str(tmp_path / job.name),
    }
    assert batch.folder.as_posix() == "runs/settings"


def test_a_batch_may_say_where_all_its_jobs_run(write, tmp_path):
    batch = plan(write, {"device": "cpu", "batch": {"device": "cuda"}})
    assert all(job.wants_gpu for job in batch.jobs.values())
    assert parameters(batch.runs[0][1], tmp_path)["device"] == "cuda"


def names(batch) -> list[str]:
    return [job.name for _, job in batch.runs]


def test_a_name_changes_with_what_the_result_depends_on_and_with_nothing_else(write):
    first = names(plan(write))
    assert names(plan(write)) == names(plan(write, {"workers": 3, "device": "cpu"})) == first
    said = {"parameters": {**MINI["parameters"], "rib.threshold": 0.4}}  # the default
    assert names(plan(write, **said)) == first
    other = {"parameters": {**MINI["parameters"], "rib.threshold": 0.5}}
    assert not {*first} & {*names(plan(write, **other))}
    grown = plan(write, grid={"rib.pooling": ["gndrp", "gap"], "rib.iterations": [1, 2, 3]})
    assert {*first} < {*names(grown)}


def test_ablations_share_the_runs_they_have_in_common(write):
    own = write("mini.yml", MINI)
    grid = {"rib.pooling": ["gap"], "rib.iterations": [2, 9]}
    other = write("other.yml", {**MINI, "name": "other", "grid": grid})
    batch = read_batch(write("s.yml", {"batch": {"ablations": [own, other]}}))
    assert (len(batch.runs), len(batch.jobs)) == (8 + 4, 8 + 2)
    assert batch.labels.keys() == batch.jobs.keys()


def test_stages_hand_their_folders_on(write, tmp_path):
    batch = read_batch(write("voc.yml", {**VOC, "batch": {"seeds": [0, 1]}}))
    assert [*batch.stages] == [0, 1]
    stages = batch.stages[0]
    made = {name: parameters(job, tmp_path) for name, job in stages.items()}
    place = {name: str(tmp_path / job.name) for name, job in stages.items()}
    assert made["voc_rib"]["classifier"] == f"{place['voc_classifier']}/classifier.safetensors"
    assert made["voc_masks"]["maps_run"] == place["voc_rib"]
    assert "net" not in made["voc_masks"]  # IRN starts from ImageNet
    assert made["voc_segmentation"]["masks"] == place["voc_masks"]
    assert len(batch.jobs) == 8
    order = [*batch.jobs]
    for job in batch.jobs.values():
        assert all(order.index(need.name) < order.index(job.name) for need in job.needs)


def test_what_starts_from_theta_0_gets_the_classifier(write):
    batch = read_batch(write("scenes.yml", {"dataset": "scenes", "num_images": 10}))
    names = {"voc_rib": "classifier", "voc_masks": "net.classifier"}
    for name, parameter in {**names, "voc_segmentation": "net.classifier"}.items():
        assert parameter in batch.stages[0][name].made
        assert batch.stages[0][name].settings.seed == 0  # which no packaged net is for


def test_a_change_in_one_stage_changes_those_after_it_only(write):
    def names(values):
        batch = read_batch(write("voc.yml", {**VOC, **values}))
        return {stage: job.name for stage, job in batch.stages[0].items()}

    before, after = names({}), names({"chapters": {"voc_masks": {"irn.epochs": 2}}})
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"voc_masks", "voc_segmentation"}
    assert {*before.values()}.isdisjoint(names({"recipe": {"epochs": 2}}).values())


def test_shards_share_the_folder_of_their_run(write):
    whole = read_batch(write("voc.yml", VOC)).stages[0]["voc_rib"]
    shared = read_batch(write("voc.yml", {**VOC, "batch": {"shards": 3}})).stages[0]["voc_rib"]
    assert (whole.name, whole.shards_done) == (shared.name, [])
    assert shared.shards_done == [f"{whole.name}/shard_{i}_of_3.done" for i in range(3)]


def test_an_ablation_with_stages_trains_a_classifier_for_each_seed(write):
    own = write("mini.yml", {**MINI, "seeds": [0, 1]})
    settings = {"batch": {"stages": ["voc_classifier"], "ablations": [own], "seeds": [0, 1]}}
    batch = read_batch(write("s.yml", settings))
    nets = {job.settings.seed: job.made["classifier"][0] for _, job in batch.runs}
    assert nets == {seed: batch.stages[seed]["voc_classifier"] for seed in (0, 1)}
    assert len(batch.jobs) == 2 + 8


def test_an_ablation_of_a_later_stage_stands_on_those_before_it(write):
    values = {
        "name": "walk",
        "chapter": "voc_masks",
        "grid": {"irn.walk_exponent": [4, 6]},
        "seeds": [0],
    }
    own = write("walk.yml", values)
    settings = {"num_images": 9, "batch": {"stages": ["voc_classifier", "voc_rib"]}}
    settings["batch"]["ablations"] = [own]
    batch = read_batch(write("s.yml", settings))
    stages = batch.stages[0]
    for _, job in batch.runs:
        assert job.made["maps_run"] == (stages["voc_rib"], "")
        assert job.made["net.classifier"][0] == stages["voc_classifier"]
        assert "made" not in job.given.values()
    own = write("walk.yml", {**values, "seeds": [3]})
    alone = read_batch(write("t.yml", {"batch": {"ablations": [own]}}))
    assert [job.needs for _, job in alone.runs] == [[], []]  # scenes of seed 3 come with maps


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch": {"stages": ["voc_rib"]}}, r"s.yml: batch: stages = .*each needs the one"),
        ({"num_image": 3}, r"s.yml: voc_classifier: .*'num_image'; did you mean 'num_images'"),
        ({"batch": {"folder": "a{b}"}}, r"folder = .a\{b\}.: String should match"),
        ({"batch": {"ablations": ["none"]}}, r"there is no file of parameters .*none.yml"),
    ],
)
def test_a_mistake_is_named_with_where_it_stands(write, values, message):
    path = write("s.yml", values)
    with pytest.raises((SettingsError, FileNotFoundError), match=message):
        read_batch(path)


def test_a_job_gets_names_as_they_were_typed_and_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "my settings.yml"
    path.write_text(
        "data_root: ~/a b\nsplit: 1.10\ndata: {training_split: 1e5, classes: [1.10]}\n"
        "batch: {folder: ~/2012, stages: [voc_classifier]}"
    )
    batch = read_batch(path)
    (job,) = batch.jobs.values()
    given = parameters(job, batch.folder)
    assert (given["data_root"], given["split"]) == (str(tmp_path / "a b"), "1.10")
    assert given["data"] == {"training_split": "1e5", "classes": ["1.10"]}
    assert given["output_dir"] == str(tmp_path / "2012" / job.name)
