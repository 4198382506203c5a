"""The batch on a cluster: a real Slurm of one node."""

import pytest
from small_batch import small_batch  # noqa: F401
from small_slurm import SNAKEMAKE, one_node

pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs Snakemake's Slurm plugin")


def test_jobs_go_through_the_queue_and_a_failed_one_fails_alone(batch, tmp_path):
    batch.ablation(grid={"rib.iterations": [1, 2, 3]})
    batch.signal("fail_2").touch()
    with one_node(tmp_path / "slurm"):
        code, output = batch.run(*SNAKEMAKE)  # once: it looks after its jobs every 40 s
    assert code != 0
    assert output.count("submitted with SLURM jobid") == 3, output
    assert len(batch.results()) == 2
    assert "not done: mini: iterations = 2, seed 3" in output
    failed = next(batch.root.glob("runs/*/*/voc_rib.unfinished.ipynb")).parent
    assert "told to fail at 2" in (failed / "log.txt").read_text()
