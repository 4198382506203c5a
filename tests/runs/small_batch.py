"""A batch of a made-up chapter that takes a moment, with the project's own Snakefile."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from small_results import put, put_scores

ROOT = Path(__file__).resolve().parents[2]
# Takes a result that was made up before, without torch, which takes seconds to load; before that
# it tells a file beside the batch that it began, and waits or fails where a file there says so.
BODY = """
import os, shutil, time
from pathlib import Path

folder, iterations = Path(output_dir), rib["iterations"]
signals = folder.parents[2] / "signals"
with open(signals / "begun", "a") as file:
    file.write(f"{iterations}\\n")
while (signals / f"wait_{iterations}").exists():
    time.sleep(0.05)
assert not (signals / f"fail_{iterations}").exists(), f"told to fail at {iterations}"
assert (variant, num_images, seed) == ("paper", 6, 3)
made = folder.parents[2] / "made" / str(iterations)
shutil.copy(made / "image_scores.npz", folder)
os.replace(shutil.copy(made / "result.json", folder / ".result"), folder / "result.json")
with open(signals / "ended", "a") as file:
    file.write(f"{iterations}\\n")
"""
PARAMETERS = """
variant: str = ""
num_images: int = 0
rib: dict = {}
seed: int = 0
output_dir: str = ""
"""
ABLATION = {
    "name": "mini",
    "chapter": "voc_rib",
    "parameters": {"variant": "paper", "num_images": 6},
    "grid": {"rib.iterations": [1, 2, 3]},
    "seeds": [3],
}


class SmallBatch:
    """The folder, and what one does there."""

    def __init__(self, root: Path) -> None:
        self.root, self.started = root, []
        for name in ("book/settings/ablations", "signals"):
            (root / name).mkdir(parents=True)
        shutil.copy(ROOT / "Snakefile", root)
        shutil.copytree(ROOT / "profiles", root / "profiles")
        cells = [
            nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(BODY, metadata={"tags": ["result"]}),
            nbformat.v4.new_code_cell("raise SystemError('a batch ends with the result')"),
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, root / "book" / "voc_rib.ipynb")
        for iterations in (1, 2, 3, 7):
            made, metrics = root / "made" / str(iterations), {"seed_miou": 40.0 + iterations}
            put_scores(put(made, metrics=metrics).parent, 40 + iterations)
        self.ablation()

    def ablation(self, **changes) -> None:
        """Write the ablation anew."""
        path = self.root / "book" / "settings" / "ablations" / "mini.yml"
        path.write_text(yaml.safe_dump({**ABLATION, **changes}))

    def start(self, *options: str) -> subprocess.Popen:
        """Snakemake at work; in a process group of its own."""
        command = [sys.executable, "-m", "snakemake", *(options or ("--cores", "2"))]
        process = subprocess.Popen(
            command,
            cwd=self.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *options: str) -> tuple[int, str]:
        """(exit code, what it printed)."""
        process = self.start(*options)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def signal(self, name: str) -> Path:
        """A file that tells the chapter something once it is there."""
        return self.root / "signals" / name

    def told(self, what: str) -> list[int]:
        """K of the chapters that have ``"begun"`` or ``"ended"``, in order."""
        path = self.signal(what)
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def results(self) -> list[Path]:
        return sorted(self.root.glob("runs/*/*/result.json"))


@pytest.fixture(name="batch")
def small_batch(tmp_path):
    """See ``SmallBatch``."""
    pytest.importorskip("snakemake", reason="the batch needs Snakemake, and so Python 3.11")
    small = SmallBatch(tmp_path)
    yield small
    for file in small.signal("").glob("wait_*"):
        file.unlink()
    for process in small.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
