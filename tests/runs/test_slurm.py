"""The batch on a cluster: a real Slurm of one node on this machine, from Debian's packages.

Jobs do not inherit where the configuration lies, so it must be at its usual place: this starts
only where there is none yet, and takes it away again.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_batch import small_batch  # noqa: F401

pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs Snakemake's Slurm plugin")
ROOT = Path(__file__).resolve().parents[2]
CONFIG, GPUS = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf")
PARTITION = "test"
# What Snakemake needs to know where nothing keeps accounts of jobs.
SNAKEMAKE = [
    *("--executor", "slurm", "--jobs", "4", "--slurm-status-command", "squeue"),
    *("--slurm-no-account", "--slurm-init-seconds-before-status-checks", "3"),
    *("--default-resources", f"slurm_partition={PARTITION}", "runtime=10", "mem_mb=1500"),
]


@contextmanager
def one_node(folder: Path):
    """Start the daemons, wait until the node takes jobs, stop them at the end.

    Skips the test where Slurm cannot be installed or configured.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can start a Slurm")
    if CONFIG.exists():
        pytest.skip(f"this machine has a Slurm of its own ({CONFIG})")
    script = ROOT / "book" / "tools" / "system.sh"
    done = subprocess.run(["sh", script, "slurm"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Slurm cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    for name in ("ctl", "d"):
        (folder / name).mkdir(parents=True)
    CONFIG.write_text(_config(folder))
    GPUS.write_text("Name=gpu File=/dev/zero\n")
    started = []
    try:
        _start_munge()
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", _host()]):
            with open(folder / f"{command[0]}.out", "w") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
        _wait_until_idle()
        yield
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        CONFIG.unlink()
        GPUS.unlink()


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _config(folder: Path) -> str:
    host, cores = _host(), os.cpu_count()
    return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/ctl
SlurmdSpoolDir={folder}/d
SlurmctldPidFile={folder}/ctl.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctl.log
SlurmdLogFile={folder}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=8000 Gres=gpu:1 State=UNKNOWN
PartitionName={PARTITION} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _start_munge() -> None:
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    if not Path("/etc/munge/munge.key").exists():
        subprocess.run(["mungekey", "--create"], check=True)
        shutil.chown("/etc/munge/munge.key", "munge", "munge")
    subprocess.run(["su", "munge", "-s", "/bin/sh", "-c", "munged --force"], check=True)


def _wait_until_idle() -> None:
    for _ in range(60):
        said = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout
        if said.strip() == "idle":
            return
        time.sleep(0.5)
    pytest.fail(f"the node takes no jobs: {said}")


def test_jobs_ask_the_queue_for_a_gpu_and_a_failed_one_fails_alone(batch, tmp_path, monkeypatch):
    batch.ablation(grid={"rib.iterations": [1, 2]})
    batch.signal("fail_2").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # to where jobs are submitted, there is one
    with one_node(tmp_path / "slurm"):
        code, output = batch.run(*SNAKEMAKE)
        asked = subprocess.run(["scontrol", "show", "jobs"], capture_output=True, text=True).stdout
    assert code != 0
    assert len(re.findall("TresPerJob=gres[:/]gpu:1", asked)) == 2, asked
    assert output.count("submitted with SLURM jobid") == 2, output
    assert batch.told("ended") == [1]
    assert len(batch.results()) == 1
    assert "not done: mini: iterations = 2, seed 3" in output
    failed = next(batch.root.glob("runs/*/*/voc_rib.unfinished.ipynb")).parent
    assert "told to fail at 2" in (failed / "log.txt").read_text()
