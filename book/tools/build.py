"""Build the pages from notebooks that hold their outputs; nothing is executed.

python book/tools/build.py                    # from book/, as it is stored
python book/tools/build.py _build/source      # from the chapters as run on this machine
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mathjax

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "results"


def build(source: Path, output: Path) -> Path:
    """Build `source` into `output/_build/html`, every warning an error; returns that folder."""
    html = output / "_build" / "html"
    # A page may show numbers and figures of another one, and an incremental build would
    # keep the old ones. A fresh build takes seconds.
    shutil.rmtree(html, ignore_errors=True)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source, "--all", "-q"]
    command += ["--config", ROOT / "_config.yml", "--path-output", output]
    command += ["-W", "-n", "--keep-going"]
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"The book in {source} did not build without warnings; they stand above.")
    mathjax.unpack(mathjax.package(), html / mathjax.TARGET)
    if (source / RESULTS).is_dir():  # pages link to the files that their numbers come from
        nets = shutil.ignore_patterns("*.safetensors")
        shutil.copytree(source / RESULTS, html / RESULTS, ignore=nets)
    for packed in (html / RESULTS).rglob("*.html.gz"):  # a report is megabytes, mostly its scripts
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return html


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, default=ROOT / "book")
    parser.add_argument("--output", type=Path, default=ROOT, help="gets _build/html (here)")
    arguments = parser.parse_args()
    html = build(arguments.source.resolve(), arguments.output.resolve())
    print(f"Open {os.path.relpath(html / 'index.html')} in a browser.")


if __name__ == "__main__":
    main()
