"""The batch on a cluster: Snakemake's Slurm plugin, with commands that stand in for Slurm's."""

import os

import pytest
from small_batch import small_batch  # noqa: F401

pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs Snakemake's Slurm plugin")
COMMANDS = {  # a queue of files, each with the state of a job; it is run at once, inherits nothing
    "sbatch": """
for word; do case $word in --wrap=*) job=${word#--wrap=};; esac; done
echo "$*" >> "$QUEUE.asked"
state=COMPLETED
env -i HOME="$HOME" PATH="$PATH" SLURM_JOB_ID=$$ CUDA_VISIBLE_DEVICES=0 sh -c "$job" > \\
    "$QUEUE.log" 2>&1 || state=FAILED
echo $state > "$QUEUE/$$"
echo $$
""",
    "scontrol": 'echo "MinJobAge = 300 sec"',  # so long squeue tells of a job that has ended
    "squeue": 'cd "$QUEUE" && for id in *; do echo "$id|$(cat "$id")"; done',
    "srun": 'while case $1 in -*) ;; *) false;; esac; do shift; done\nexec "$@"',
}
# What Snakemake needs to know where nothing keeps accounts of jobs.
SNAKEMAKE = [
    *("--executor", "slurm", "--jobs", "4", "--slurm-status-command", "squeue"),
    *("--slurm-no-account", "--slurm-init-seconds-before-status-checks", "3"),
    *("--default-resources", "slurm_partition=test", "runtime=10", "mem_mb=1500"),
]


def test_jobs_ask_the_queue_for_a_gpu_and_a_failed_one_fails_alone(batch, tmp_path, monkeypatch):
    queue, folder = tmp_path / "queue", tmp_path / "commands"
    queue.mkdir(), folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("QUEUE", str(queue))
    batch.ablation(grid={"rib.iterations": [1, 2]})
    batch.signal("fail_2").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # to where jobs are submitted, there is one
    code, output = batch.run(*SNAKEMAKE)
    assert code != 0
    assert output.count("submitted with SLURM jobid") == 2, output
    asked = (tmp_path / "queue.asked").read_text()
    assert asked.count("-p test -t 10 --mem 1500") == asked.count("--gpus=1") == 2, asked
    assert batch.told("ended") == [1]
    assert len(batch.results()) == 1
    assert "not done: mini: iterations = 2, seed 3" in output
    failed = next(batch.root.glob("runs/*/*/voc_rib.unfinished.ipynb")).parent
    assert "told to fail at 2" in (failed / "log.txt").read_text()
