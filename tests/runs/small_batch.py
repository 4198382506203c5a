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

ROOT = Path(__file__).resolve().parents[2]
# Writes a whole result; before that it tells a file beside the batch that it began, and waits,
# fails or sleeps where a file there says so.
BODY = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, TESTS)
from small_results import put, put_scores

folder, iterations = Path(output_dir), rib["iterations"]
signals = folder.parents[2] / "signals"
with open(signals / "begun", "a") as file:
    file.write(f"{iterations}\\n")
while (signals / f"wait_{iterations}").exists():
    time.sleep(0.05)
assert not (signals / f"fail_{iterations}").exists(), f"told to fail at {iterations}"
put_scores(folder, 40 + iterations)
own = {"num_images": num_images, "seed": seed, "device": device}
put(folder, metrics={"seed_miou": 40.0 + iterations}, variant=variant, **own, **rib)
with open(signals / "ended", "a") as file:
    file.write(f"{iterations}\\n")
"""
PARAMETERS = """
variant: str = "paper"
num_images: int = 6
rib: dict = {}
seed: int = 3
device: str = "cpu"
output_dir: str = ""
"""
ABLATION = {
    "name": "mini",
    "chapter": "voc_rib",
    "parameters": {"variant": "paper", "num_images": 6},
    "grid": {"rib.iterations": [1, 2, 3]},
    "seeds": [3],
}


def _heed_ctrl_c() -> None:
    """What a shell starts in the background ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
            nbformat.v4.new_code_cell(
                f"TESTS = {str(ROOT / 'tests')!r}" + BODY, metadata={"tags": ["result"]}
            ),
            nbformat.v4.new_code_cell("raise SystemError('a batch ends with the result')"),
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, root / "book" / "voc_rib.ipynb")
        self.ablation()

    def ablation(self, **changes) -> None:
        """Write the ablation anew."""
        path = self.root / "book" / "settings" / "ablations" / "mini.yml"
        path.write_text(yaml.safe_dump({**ABLATION, **changes}))

    def start(self, *options: str, output=subprocess.PIPE) -> subprocess.Popen:
        """Snakemake at work; in a process group of its own."""
        command = [sys.executable, "-m", "snakemake", *(options or ("--cores", "2"))]
        process = subprocess.Popen(
            command, cwd=self.root, text=True, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "RIBNB_PROGRESS": "off"},
            preexec_fn=_heed_ctrl_c,
        )  # fmt: skip
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

    def begun(self) -> list[int]:
        """K of the chapters that began, in order."""
        path = self.signal("begun")
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line) for line in lines]

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
