"""Jobs of a batch: GPUs that are shared out, what is looked at before, one job in its folder."""

import os
import subprocess
import sys

import pytest
from small_results import made_up, put, put_scores

from ribnb.book import CHAPTERS
from ribnb.core.settings import read_settings_file
from ribnb.runs import jobs
from ribnb.runs.batch import Job, read_batch, visible_gpus
from ribnb.runs.jobs import not_done, prepare, set_broken_aside
from ribnb.scores.image_scores import FILE


def job(**given):
    given = {"seed": 3, "num_images": 4, **given}
    return Job("voc_rib", given, CHAPTERS["voc_rib"].from_mapping(given))


# GPUs -------------------------------------------------------------------------------------


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Pretend that these are there."""
    monkeypatch.setattr(jobs.tempfile, "gettempdir", lambda: str(tmp_path))
    return lambda names: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


def test_each_job_gets_a_gpu_of_its_own(gpus):
    gpus("0, GPU-5/1")
    with jobs.one_gpu("auto") as first:
        gpus("0, GPU-5/1")
        with jobs.one_gpu("cuda") as second:
            assert (first, second) == ("0", "GPU-5/1") and os.environ[jobs.VISIBLE] == second
    gpus("0")
    with jobs.one_gpu("auto") as name, jobs.one_gpu("cuda:0"), jobs.one_gpu("cpu") as none:
        assert (name, none) == ("0", "")


def test_a_job_waits_until_a_gpu_is_free(gpus, monkeypatch):
    gpus("0")
    first = jobs.one_gpu("auto")
    first.__enter__()
    monkeypatch.setattr(jobs.time, "sleep", lambda _: first.__exit__(None, None, None))
    with jobs.one_gpu("auto") as name:
        assert name == "0"


def test_jobs_on_a_gpu_are_counted(gpus, monkeypatch):
    gpus("0")
    devices = {"cuda": True, "cuda:1": True, "auto": True, "cpu": False}
    assert {device: job(device=device).wants_gpu for device in devices} == devices
    gpus("")
    assert not job().wants_gpu
    monkeypatch.delenv(jobs.VISIBLE)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert visible_gpus() == ["0", "1", "2"]


# Before and after -------------------------------------------------------------------------


def batch_of(tmp_path, iterations):
    (tmp_path / "mini.yml").write_text(
        "name: mini\nchapter: voc_rib\nparameters: {num_images: 4}\n"
        f"grid: {{rib.iterations: {iterations}}}\nseeds: [3]\n"
    )
    (tmp_path / "s.yml").write_text(
        f"batch: {{ablations: [{tmp_path}/mini.yml], folder: {tmp_path}/runs}}\n"
    )
    return read_batch(tmp_path / "s.yml", CHAPTERS)


def test_every_job_has_what_it_needs_and_what_is_not_done_is_named(tmp_path):
    batch = batch_of(tmp_path, [1, 2, 3])
    first, second, _ = (batch.folder / name for name in batch.jobs)
    lock = prepare(batch)
    given = read_settings_file(first / "parameters.yml")
    rib = {"iterations": 1}
    assert given == {"num_images": 4, "rib": rib, "seed": 3, "output_dir": str(first)}
    with pytest.raises(ValueError, match="another call is running the jobs"):
        prepare(batch)
    lock.release()
    prepare(batch).release()
    for folder in (first, second):
        (folder / "log.txt").write_text("FAILED: once\nbegun\nFAILED: oh dear\n")
    put(first, made_up(iterations=1, num_images=4))
    label = "mini: iterations = 2, seed 3"
    assert not_done(batch) == [f"not done: {label}\n  oh dear\n  log: {second}/log.txt"]


def test_broken_results_are_set_aside(tmp_path):
    batch = batch_of(tmp_path, [1, 2, 3, 4, 5])
    whole, broken, lost, cut, other = (batch.folder / name for name in batch.jobs)
    for number, folder in enumerate((whole, broken, lost, cut, other), 1):
        put(folder, made_up(iterations=number, num_images=4))
        put_scores(folder, 50)
    (broken / "result.json").write_text("{")
    (lost / FILE).unlink()
    (cut / FILE).write_bytes((cut / FILE).read_bytes()[:100])
    put_scores(other, 51)
    said = set_broken_aside(batch)
    assert (whole / "result.json").is_file()
    assert (broken / "result.broken").read_text() == "{"
    for folder, line in zip((broken, lost, cut, other), said, strict=True):
        assert line.startswith(str(folder / "result.json"))
        assert not (folder / "result.json").exists()
    assert set_broken_aside(batch) == []


# Running ----------------------------------------------------------------------------------


def test_neither_runs_nor_a_job_loads_torch():
    """Its chapter's kernel does, which is another process."""
    code = "import sys, ribnb.runs, ribnb.runs.jobs; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
