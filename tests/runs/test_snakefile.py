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


def scores(batch) -> list[float]:
    return sorted(read_result(path)["metrics"]["seed_miou"] for path in batch.results())


SPACED = ("--cores", "2", "--config", "batch={folder: runs/two words}")


def test_runs_what_failed_or_is_missing_or_changed_or_broken_and_nothing_else(batch):
    batch.signal("fail_2").touch()
    code, output = batch.run(*SPACED)
    assert code != 0
    assert scores(batch) == [41, 43], "a job that fails fails alone"
    assert "not done: mini: iterations = 2, seed 3" in output
    assert "told to fail at 2" in output
    log = next(batch.root.glob("runs/*/*/voc_rib.unfinished.ipynb")).with_name("log.txt")
    assert str(log.relative_to(batch.root)) in output
    assert "told to fail at 2" in log.read_text()

    batch.signal("fail_2").unlink()
    batch.ablation(grid={"rib.iterations": [1, 2, 3, 7]})
    edited = next(path for path in batch.results() if '"seed_miou": 41' in path.read_text())
    edited.write_text(edited.read_text().replace('"seed_miou": 41', '"seed_miou": 91'))
    for path in batch.results():  # time stamps alone are no reason
        os.utime(path.parent / "parameters.yml")
    os.utime(batch.root / "book" / "voc_rib.ipynb")
    code, output = batch.run(*SPACED)
    assert (code, scores(batch)) == (0, [41, 42, 43, 47]), output
    assert f"{edited.relative_to(batch.root)}" in output
    assert sorted(batch.told("begun")[3:]) == [1, 2, 7]

    code, output = batch.run(*SPACED, "--report", "report.html")
    assert code == 0, output
    assert "mini: iterations = 2, seed 3" in (batch.root / "report.html").read_text()


def test_a_call_that_was_killed_is_gone_on_with_and_is_alone_until_then(batch):
    """Jobs that outlive a Snakemake that was killed are waited for, not run beside."""
    waits = [batch.signal(f"wait_{number}") for number in (1, 2, 3)]
    for path in waits:
        path.touch()
    process = batch.start("--cores", "2")
    wait_for(lambda: len(batch.told("begun")) == 2)
    code, output = batch.run()  # long enough for a third to begin
    assert code != 0
    assert "another call is running the jobs of runs/ablations" in output
    assert len(batch.told("begun")) == 2, "more jobs at a time than cores allow"

    first, _ = batch.told("begun")
    batch.signal(f"wait_{first}").unlink()
    wait_for(lambda: len(batch.told("begun")) == 3 and batch.told("ended") == [first])
    [done] = batch.results()
    when = done.stat().st_mtime_ns
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process = batch.start("--cores", "2")
    wait_for(lambda: len(batch.told("begun")) == 5)
    os.kill(process.pid, signal.SIGKILL)  # Snakemake alone
    process.wait()

    def logs() -> list[str]:
        paths = sorted(batch.root.glob("runs/*/*/log.txt"))
        return [path.read_text() for path in paths if path.parent != done.parent]

    before = logs()  # each call begins them anew
    process = batch.start("--cores", "2")
    wait_for(lambda: len(now := logs()) == 2 and not {"", *before} & {*now})
    for path in waits:
        path.unlink(missing_ok=True)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert len(batch.told("begun")) == 5, "a job was run beside one that was still at work"
    assert done.stat().st_mtime_ns == when, "a result that was there was made again"
    assert scores(batch) == [41, 42, 43]
    assert sorted(batch.told("ended")) == [1, 2, 3]


def test_what_is_wrong_is_said_before_anything_runs(batch):
    code, output = batch.run("--cores", "2", "--config", "batch={shard: 2}")
    assert code != 0
    assert "'shards'?" in output
    assert not batch.told("begun")
