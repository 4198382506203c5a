"""What a batch is made of: locks, GPUs that are shared out, progress, pages, parts of chapters."""

import json
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from small_results import made_up, put, put_scores

from ribnb.core.file_locks import hold
from ribnb.runs import gpu_pool
from ribnb.runs.batch import read_batch
from ribnb.runs.batch_check import set_broken_aside, wants_gpu
from ribnb.runs.batch_progress import begin, progress_line, summary
from ribnb.runs.execution import execute_chapter
from ribnb.runs.jobs import Job, read_job
from ribnb.scores.image_scores import FILE

HOLD = "import sys, time; from ribnb.core.file_locks import hold\nwith hold(sys.argv[1]):\n print(1, flush=True); time.sleep(60)"  # noqa: E501


@pytest.fixture
def holder(tmp_path):
    """Another process that holds ``tmp_path / "lock"``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def job(**given):
    return Job("voc_rib", {"seed": 3, "num_images": 4, **given})


# Locks and GPUs ---------------------------------------------------------------------------


def test_a_lock_is_had_by_one_and_given_back_by_one_that_is_killed(holder, tmp_path):
    with hold(tmp_path / "lock", wait=False) as held:
        assert not held
    holder.send_signal(signal.SIGKILL)
    with hold(tmp_path / "lock") as held:
        assert held
        with hold(tmp_path / "lock", wait=False) as again:
            assert not again
    with hold(tmp_path / "lock", wait=False) as held:
        assert held


def test_each_job_gets_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_pool.tempfile, "gettempdir", lambda: str(tmp_path))
    with gpu_pool.one_gpu(["0", "GPU-5/1"]) as first, gpu_pool.one_gpu(["0", "GPU-5/1"]) as second:
        assert (first, second) == ("0", "GPU-5/1")
    with gpu_pool.one_gpu(["0"]) as name:
        assert name == "0"


def test_a_job_waits_until_a_gpu_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_pool.tempfile, "gettempdir", lambda: str(tmp_path))
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            first.close()

    monkeypatch.setattr(gpu_pool.time, "sleep", sleep)
    first = gpu_pool.one_gpu(["0"])
    first.__enter__()
    first.close = lambda: first.__exit__(None, None, None)
    with gpu_pool.one_gpu(["0"], poll_s=0.5) as name:
        assert (name, waits) == ("0", [0.5, 0.5, 0.5])


def test_visible_gpus_are_those_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-ab")
    assert gpu_pool.visible_gpus() == ["2", "GPU-ab"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_pool.visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpu_pool, "DRIVERS", ("/dev/null",))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert gpu_pool.visible_gpus() == ["0", "1", "2"]
    monkeypatch.setattr(gpu_pool, "DRIVERS", ("/no/driver",))
    assert (gpu_pool.visible_gpus() == []) == (sys.platform == "linux")


def test_jobs_on_a_gpu_are_counted(monkeypatch):
    monkeypatch.setattr("ribnb.runs.batch_check._has_cuda", lambda: True)
    devices = {"cuda": True, "cuda:1": True, "auto": True, "cpu": False}
    assert {device: wants_gpu(job(device=device)) for device in devices} == devices
    assert wants_gpu(job())
    assert not wants_gpu(Job("data", {"command": "true"}))
    monkeypatch.setattr("ribnb.runs.batch_check._has_cuda", lambda: False)
    assert not wants_gpu(job())


# Progress and pages -----------------------------------------------------------------------


@pytest.fixture
def jobs(tmp_path):
    """Three jobs of a batch that has begun, one of them done before."""
    jobs = {one.name: one for one in (job(iterations=k) for k in (1, 2, 3))}
    first = next(iter(jobs.values()))
    put(tmp_path / first.name, made_up(iterations=1, num_images=4))
    begin(tmp_path, jobs, {name: f"K = {k}" for k, name in enumerate(jobs, 1)})
    return jobs


def test_the_time_left_is_that_of_the_jobs_of_this_call(jobs, tmp_path):
    assert progress_line(tmp_path) == "1 of 3 done"
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "began": time.time() - 600}))
    put(tmp_path / [*jobs][1], made_up(iterations=2, num_images=4))
    assert progress_line(tmp_path) == "2 of 3 done, about 10 min left"
    put(tmp_path / [*jobs][2], made_up(iterations=3, num_images=4))
    assert progress_line(tmp_path) == "3 of 3 done"


def test_what_is_not_done_is_named_with_where_to_look(jobs, tmp_path):
    assert "not done:" not in summary(tmp_path, jobs)  # none of them was begun
    second = tmp_path / [*jobs][1]
    (second / "log.txt").write_text("oh")
    (second / "voc_rib.unfinished.ipynb").write_text("{}")
    said = summary(tmp_path, jobs)
    for part in ("not done: K = 2", f"{second}/log.txt", f"{second}/voc_rib.unfinished.ipynb"):
        assert part in said
    assert "1 of 3 jobs are done" in said


def test_a_jobs_folder_has_all_to_run_it(jobs, tmp_path):
    name, one = next(iter(jobs.items()))
    assert read_job(tmp_path / name) == {"kind": "voc_rib", "label": "K = 1", "needs": []}
    assert f"output_dir: {tmp_path / name}" in (tmp_path / name / "parameters.yml").read_text()
    before = (tmp_path / name / "parameters.yml").stat().st_mtime_ns
    one.write(tmp_path, "K = 1")
    assert (tmp_path / name / "parameters.yml").stat().st_mtime_ns == before


def test_broken_results_are_set_aside(tmp_path):
    (tmp_path / "mini.yml").write_text(
        "name: mini\nchapter: voc_rib\nparameters: {num_images: 4}\n"
        "grid: {iterations: [1, 2, 3, 4, 5]}\nseeds: [3]\n"
    )
    (tmp_path / "s.yml").write_text(
        f"batch: {{ablations: [{tmp_path}/mini.yml], folder: {tmp_path}/runs}}\n"
    )
    batch = read_batch(tmp_path / "s.yml")
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


def test_only_what_leads_to_the_result_is_run(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("number: int = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(number)", metadata={"tags": ["result"]}),
        nbformat.v4.new_code_cell("raise SystemError"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "chapter.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    done = execute_chapter(path, tmp_path / "out.ipynb", {"number": 7}, result_only=True)
    run = nbformat.read(done, 4).cells
    assert [cell.outputs[0].text for cell in run if cell.outputs] == ["7\n"]
    assert len(run) == 3  # with the cell that papermill adds
    for cell in cells:
        cell.metadata = {}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.raises(ValueError, match=r"chapter\.ipynb has no cell tagged 'result'"):
        execute_chapter(path, tmp_path / "out.ipynb", result_only=True)


def test_data_are_made_once_and_a_failure_is_kept_in_the_log(tmp_path):
    good = Job("data", {"command": f"echo made; echo x >> {tmp_path}/count"})
    bad = Job("data", {"command": "echo oh dear; exit 3"})
    begin(tmp_path, {one.name: one for one in (good, bad)}, {})

    def run(one):
        command = [sys.executable, "-m", "ribnb.runs.run_job", str(tmp_path / one.name)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for _ in range(2):
        assert run(good).returncode == 0
    assert (tmp_path / "count").read_text() == "x\n"
    assert "made" in (tmp_path / good.name / "log.txt").read_text()
    failed = run(bad)
    assert failed.returncode == 1
    assert failed.stderr.startswith("FAILED")
    assert str(tmp_path / bad.name / "log.txt") in failed.stderr
    log = (tmp_path / bad.name / "log.txt").read_text()
    assert "oh dear" in log
    assert "exit status 3" in log
    assert not (tmp_path / bad.done).exists()
