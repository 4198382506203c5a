"""The batch on a cluster: what Snakemake's plugin asks of Slurm, whose commands stand in here."""

import os

import pytest
from small_batch import small_batch  # noqa: F401

pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs Snakemake's Slurm plugin")
COMMANDS = {  # each job is run when it is submitted, and has ended then
    "sbatch": """
echo "$*" | tr '\\n' ' ' >> "$0.asked"; echo >> "$0.asked"
for wrapped; do :; done
SLURM_JOB_ID=$$ sh -c "${wrapped#--wrap=}" >&2 && state=COMPLETED || state=FAILED
echo "$$|$state" >> "$0.jobs"
echo $$
""",
    "scontrol": "echo MinJobAge = 300 sec",
    "squeue": 'cat "$(dirname "$0")/sbatch.jobs"',
    "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
}
# As the page `running` has it where nothing keeps accounts of jobs.
SNAKEMAKE = [
    *("--executor", "slurm", "--jobs", "4", "--slurm-status-command", "squeue"),
    *("--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1"),
    *("--default-resources", "slurm_partition=test", "runtime=10", "mem_mb=1500"),
]


def test_jobs_ask_the_queue_for_a_gpu_and_a_failed_one_fails_alone(batch, tmp_path, monkeypatch):
    batch.ablation(grid={"rib.iterations": [1, 2]})
    batch.signal("fail_2").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # to where jobs are submitted, there is one
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    code, output = batch.run(*SNAKEMAKE)
    asked = (folder / "sbatch.asked").read_text().splitlines()
    assert code != 0
    assert len(asked) == 2 and all("--gpus=1" in words for words in asked), output
    assert batch.told("ended") == [1] and len(batch.results()) == 1, output
    assert "not done: mini: iterations = 2, seed 3" in output
    assert "told to fail at 2" in output
