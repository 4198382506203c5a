"""Run one job of a batch in its folder: ``python -m ribnb.runs.run_job FOLDER``.

What the chapter prints goes to ``log.txt`` there, the executed notebook beside it. To the
terminal go one line at the end and, of a job that failed, where to look.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from ribnb.core.file_locks import hold
from ribnb.core.files import whole_file
from ribnb.runs.batch_progress import progress_line
from ribnb.runs.gpu_pool import VISIBLE, one_gpu, visible_gpus
from ribnb.runs.jobs import DATA, LOG, MERGE, PARAMETERS, done_file, read_job

BOOK = Path("book")


def run_job(folder: Path) -> None:
    """Run the job whose folder this is; it goes on where an earlier call was stopped.

    Raises:
        RuntimeError: it failed; says why and where to look.
    """
    import yaml  # comes with papermill

    job = read_job(folder)
    given = yaml.safe_load((folder / PARAMETERS).read_text(encoding="utf-8"))
    if job["kind"] == DATA:
        _make_data(folder, given["command"])
    elif job["kind"] == MERGE:
        from ribnb.runs.merging import merge_runs

        merge_runs([folder.parent / name for name in job["needs"]], folder)
    else:
        with _gpu(str(given.get("device", "auto"))):
            _run_chapter(job["kind"], folder, given)


def _run_chapter(chapter: str, folder: Path, given: dict[str, Any]) -> None:
    from papermill import PapermillExecutionError

    from ribnb.runs.execution import execute_chapter

    unfinished = folder / f"{chapter}.unfinished.ipynb"
    try:
        done = execute_chapter(BOOK / f"{chapter}.ipynb", unfinished, given, result_only=True)
    except PapermillExecutionError as error:
        raise RuntimeError(
            f"{error.ename}: {error.evalue}\nas far as it came: {unfinished}"
        ) from error
    os.replace(done, folder / f"{chapter}.ipynb")


def _make_data(folder: Path, command: str) -> None:
    """Run the command; a `python` in it is the one that runs this."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path})
    with whole_file(folder / done_file(DATA)) as temporary:
        temporary.write_text(json.dumps({"command": command}) + "\n", encoding="utf-8")


def _gpu(device: str):
    """A GPU for this job alone, where there is one and none is named."""
    if device not in ("auto", "cuda"):
        return nullcontext()
    names = visible_gpus()
    if not names:
        return nullcontext()
    stack = ExitStack()
    os.environ[VISIBLE] = stack.enter_context(one_gpu(names))
    return stack


def main(words: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m ribnb.runs.run_job", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the job, below the batch's")
    folder = parser.parse_args(words).folder
    terminal = os.fdopen(os.dup(2), "w")
    with open(folder / LOG, "a", encoding="utf-8") as log:
        for stream in (1, 2):  # of the kernel's process too, which inherits them
            os.dup2(log.fileno(), stream)
    start, what = time.perf_counter(), read_job(folder)["label"]
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}", flush=True)
    try:
        # A call that was killed may have left this very job at work.
        with hold(folder / "lock"):
            if not (folder / done_file(read_job(folder)["kind"])).is_file():
                run_job(folder)
    except Exception as error:
        print(error, flush=True)
        print(f"FAILED {what}: {error}\nlog: {folder / LOG}", file=terminal)
        return 1
    seconds = time.perf_counter() - start
    print(f"{what}: {seconds:.0f} s. {progress_line(folder.parent)}", file=terminal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
