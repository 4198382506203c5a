"""Snakemake runs what is missing or changed, fails job by job, and goes on after any stop."""

import os
import signal
import time

import pytest
from small_batch import small_batch  # noqa: F401

from ribnb.runs.results import read_result


def wait_for(condition, seconds=300):
    for _ in range(seconds * 20):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


def test_runs_what_is_missing_and_then_nothing(batch):
    code, output = batch.run()
    assert code == 0, output
    assert sorted(batch.begun()) == [1, 2, 3, 4]
    assert "5 of 5 steps (100%) done" in output
    code, output = batch.run()
    assert (code, sorted(batch.begun())) == (0, [1, 2, 3, 4]), output
    for path in batch.results():  # time stamps alone are no reason
        os.utime(path.parent / "parameters.yml")
    os.utime(batch.root / "book" / "voc_rib.ipynb")
    code, output = batch.run()
    assert (code, len(batch.begun())) == (0, 4), output
    code, output = batch.run("--report", "report.html")
    assert code == 0, output
    assert "mini: iterations = 2, seed 3" in (batch.root / "report.html").read_text()


def test_settings_that_change_run_again_and_those_that_stay_do_not(batch):
    assert batch.run()[0] == 0
    before = {path: path.read_text() for path in batch.results()}
    batch.ablation(grid={"rib.iterations": [2, 3, 7]})
    assert batch.run()[0] == 0
    assert sorted(batch.begun()) == [1, 2, 3, 4, 7]
    batch.ablation(parameters={"variant": "paper", "num_images": 5})
    assert batch.run()[0] == 0
    assert len(batch.begun()) == 5 + 4
    assert {path: path.read_text() for path in before} == before


def test_a_job_that_fails_fails_alone_and_is_tried_again(batch):
    batch.signal("fail_2").touch()
    code, output = batch.run()
    assert code != 0
    assert len(batch.results()) == 3
    assert "not done: mini: iterations = 2, seed 3" in output
    assert "told to fail at 2" in output
    log = next(batch.root.glob("runs/*/*/voc_rib.unfinished.ipynb")).with_name("log.txt")
    assert str(log.relative_to(batch.root)) in output
    assert "voc_rib.unfinished.ipynb" in output
    assert "told to fail at 2" in log.read_text()
    batch.signal("fail_2").unlink()
    code, output = batch.run()
    assert (code, len(batch.results())) == (0, 4), output
    assert sorted(batch.begun()) == [1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("how", "whom"),
    [(signal.SIGKILL, "all"), (signal.SIGINT, "all"), (signal.SIGKILL, "Snakemake alone")],
)
def test_a_call_that_was_killed_is_gone_on_with(batch, how, whom):
    """Jobs that outlive a Snakemake that was killed are waited for, not run beside."""
    for number in (3, 4):
        batch.signal(f"wait_{number}").touch()
    process = batch.start("--cores", "4")
    wait_for(lambda: len(batch.begun()) == 4 and len(batch.results()) == 2)
    os.killpg(process.pid, how) if whom == "all" else os.kill(process.pid, how)
    process.wait(timeout=120)
    done = {path: path.stat().st_mtime_ns for path in batch.results()}
    again = batch.start()
    for number in (3, 4):
        batch.signal(f"wait_{number}").unlink()
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert len(batch.results()) == 4
    for path, when in done.items():
        assert path.stat().st_mtime_ns == when, "a result that was there was made again"
    assert all(read_result(path)["metrics"]["seed_miou"] > 40 for path in batch.results())
    ends = [int(line.split()[0]) for line in batch.signal("ended").read_text().splitlines()]
    assert sorted(ends) == [1, 2, 3, 4]


def test_a_broken_result_is_named_and_made_again(batch):
    assert batch.run()[0] == 0
    half, edited, *_ = batch.results()
    half.write_text(half.read_text()[:100])
    edited.write_text(edited.read_text().replace('"seed_miou": 4', '"seed_miou": 9'))
    code, output = batch.run()
    assert code == 0, output
    for path in (half, edited):
        assert f"{path.relative_to(batch.root)}" in output
        assert read_result(path)["metrics"]["seed_miou"] < 50
    assert "edited" in output
    assert len(batch.begun()) == 6


def test_as_many_jobs_at_a_time_as_cores_allow_and_one_call(batch):
    for number in (1, 2, 3, 4):
        batch.signal(f"wait_{number}").touch()
    process = batch.start("--cores", "3")
    wait_for(lambda: len(batch.begun()) == 3)
    code, output = batch.run()  # long enough for a fourth to begin
    assert code != 0
    assert "another call is running the jobs of runs/ablations" in output
    assert len(batch.begun()) == 3
    for number in (1, 2, 3, 4):
        batch.signal(f"wait_{number}").unlink()
    assert "5 of 5 steps (100%) done" in process.communicate(timeout=300)[0]
    assert process.returncode == 0


def test_a_gpu_that_is_not_there_is_missed_at_once(batch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    batch.ablation(parameters={"variant": "paper", "num_images": 6})
    config = batch.root / "gpu.yml"
    config.write_text("device: cuda\nbatch: {ablations: [mini]}\n")
    code, output = batch.run("--cores", "2", "--configfile", "gpu.yml")
    assert code != 0
    assert "4 jobs ask for device = 'cuda'" in output
    assert not batch.begun()


def test_a_mistake_is_said_before_anything_runs(batch):
    batch.ablation(grid={"rib.iterations": [1], "rib.poolng": ["gap"]})
    code, output = batch.run()
    assert code != 0
    assert "mini.yml: the point (iterations = 1, poolng = 'gap'): rib.poolng: " in output
    batch.ablation()
    for given, said in (("num_images=5", "not num_images"), ("batch={shard: 2}", "'shards'?")):
        code, output = batch.run("--cores", "2", "--config", given)
        assert code != 0
        assert said in output
    assert not batch.begun()
