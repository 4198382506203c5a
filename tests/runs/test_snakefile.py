"""Snakemake runs what is missing or changed, fails job by job, and goes on after any stop."""

import json
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


def test_runs_what_is_missing_or_changed_or_broken_and_nothing_else(batch):
    code, output = batch.run()
    assert code == 0, output
    assert sorted(batch.begun()) == [1, 2, 3]
    for path in batch.results():  # time stamps alone are no reason
        os.utime(path.parent / "parameters.yml")
    os.utime(batch.root / "book" / "voc_rib.ipynb")
    before = {path: path.read_text() for path in batch.results()}
    code, output = batch.run()
    assert (code, len(batch.begun())) == (0, 3), output
    code, output = batch.run("--report", "report.html")
    assert code == 0, output
    assert "mini: iterations = 2, seed 3" in (batch.root / "report.html").read_text()

    batch.ablation(grid={"rib.iterations": [2, 7]})
    half, edited, *_ = batch.results()
    half.write_text(half.read_text()[:100])
    edited.write_text(edited.read_text().replace('"seed_miou": 4', '"seed_miou": 9'))
    code, output = batch.run()
    assert code == 0, output
    batch.ablation()
    code, more = batch.run()
    assert code == 0, more
    assert len(batch.begun()) == 3 + 3 and batch.begun()[3:].count(7) == 1
    for path in (half, edited):
        assert f"{path.relative_to(batch.root)}" in output + more
    for path, text in before.items():
        assert read_result(path)["metrics"] == json.loads(text)["metrics"]


def test_a_job_that_fails_fails_alone_and_is_tried_again(batch):
    batch.signal("fail_2").touch()
    code, output = batch.run()
    assert code != 0
    assert len(batch.results()) == 2
    assert "not done: mini: iterations = 2, seed 3" in output
    assert "told to fail at 2" in output
    log = next(batch.root.glob("runs/*/*/voc_rib.unfinished.ipynb")).with_name("log.txt")
    assert str(log.relative_to(batch.root)) in output
    assert "told to fail at 2" in log.read_text()
    batch.signal("fail_2").unlink()
    code, output = batch.run()
    assert (code, len(batch.results())) == (0, 3), output
    assert sorted(batch.begun()) == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("how", "whom"),
    [(signal.SIGKILL, "all"), (signal.SIGINT, "all"), (signal.SIGKILL, "Snakemake alone")],
)
def test_a_call_that_was_killed_is_gone_on_with(batch, how, whom):
    """Jobs that outlive a Snakemake that was killed are waited for, not run beside."""
    batch.ablation(grid={"rib.iterations": [1, 3]})
    batch.signal("wait_3").touch()
    process = batch.start("--cores", "2")
    wait_for(lambda: len(batch.begun()) == 2 and len(batch.results()) == 1)
    os.killpg(process.pid, how) if whom == "all" else os.kill(process.pid, how)
    process.wait(timeout=120)
    [done] = batch.results()
    when = done.stat().st_mtime_ns
    again = batch.start()
    batch.signal("wait_3").unlink()
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert done.stat().st_mtime_ns == when, "a result that was there was made again"
    found = sorted(read_result(path)["metrics"]["seed_miou"] for path in batch.results())
    assert found == [41, 43]
    assert sorted(batch.signal("ended").read_text().split()) == ["1", "3"]


def test_as_many_jobs_at_a_time_as_cores_allow_and_one_call(batch):
    for number in (1, 2, 3):
        batch.signal(f"wait_{number}").touch()
    process = batch.start("--cores", "2")
    wait_for(lambda: len(batch.begun()) == 2)
    code, output = batch.run()  # long enough for a third to begin
    assert code != 0
    assert "another call is running the jobs of runs/ablations" in output
    assert len(batch.begun()) == 2
    for number in (1, 2, 3):
        batch.signal(f"wait_{number}").unlink()
    assert "4 of 4 steps (100%) done" in process.communicate(timeout=300)[0]
    assert process.returncode == 0


def test_what_is_wrong_is_said_before_anything_runs(batch):
    import torch

    batch.ablation(grid={"rib.iterations": [1], "rib.poolng": ["gap"]})
    code, output = batch.run()
    assert code != 0
    assert "mini.yml: the point (iterations = 1, poolng = 'gap'): rib.poolng: " in output
    batch.ablation()
    (batch.root / "gpu.yml").write_text("device: cuda\nbatch: {ablations: [mini]}\n")
    wrong = [(["--config", "batch={shard: 2}"], "'shards'?")]
    if not torch.cuda.is_available():
        wrong.append((["--configfile", "gpu.yml"], "3 jobs ask for device = 'cuda'"))
    for words, said in wrong:
        code, output = batch.run("--cores", "2", *words)
        assert code != 0
        assert said in output
    assert not batch.begun()
