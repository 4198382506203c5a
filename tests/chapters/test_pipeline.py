"""Stages and shards through Snakemake, with the book's own chapters on few scenes."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from ribnb.book import CHAPTERS
from ribnb.core.settings import read_settings_file
from ribnb.runs.batch import read_batch
from ribnb.runs.results import find_results, stale
from ribnb.scores.image_scores import FILE, scores_fault

SETTINGS = """\
dataset: scenes
num_images: 6
device: cpu
chapters:
  voc_classifier: {data: {num_training: 24, num_validation: 8}, recipe: {epochs: 1}}
  voc_rib: {rib: {iterations: 2}}
batch:
  stages: [voc_classifier, voc_rib]
  seeds: [7]
  shards: 2
  folder: FOLDER
"""


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A finished batch."""
    pytest.importorskip("snakemake", reason="the batch needs Snakemake, and so Python 3.11")
    folder = tmp_path_factory.mktemp("pipeline")
    path = folder / "small.yml"
    path.write_text(SETTINGS.replace("FOLDER", str(folder / "runs")))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(path)]
    # nobody has activated an environment
    environment = {**os.environ, "RIBNB_PROGRESS": "off", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return read_batch(path, CHAPTERS)


def test_every_stage_works_on_what_the_one_before_has_left(batch):
    results, problems = find_results(batch.folder)
    assert not problems
    results = {result["chapter"]: result for result in results}
    assert results.keys() == {"voc_classifier", "voc_rib"}
    for result in results.values():
        assert not stale(result, CHAPTERS)
        assert result["settings"]["seed"] == 7
        assert result["git_commit"]
    stages = {name: batch.folder / job.name for name, job in batch.stages[7].items()}
    done = sorted(path.name for path in stages["voc_rib"].glob("*.done"))
    assert done == ["shard_0_of_2.done", "shard_1_of_2.done"]
    assert results["voc_rib"]["images"] == 6
    assert (stages["voc_rib"] / FILE).is_file()
    assert not scores_fault(results["voc_rib"], stages["voc_rib"])
    given = read_settings_file(stages["voc_rib"] / "parameters.yml")
    assert given["classifier"] == str(stages["voc_classifier"] / "classifier.safetensors")
