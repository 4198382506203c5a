"""Runs of the chapters on a whole split, for their tests."""

import contextlib
import io
import json
import os
from pathlib import Path
from unittest import mock

import matplotlib
import nbformat
import torch
from chapters import Book
from small_results import in_groups

from ribnb.core.files import read_maps


def run_chapter(chapter: str, folder: Path | None, to_its_end: bool = False, **parameters) -> dict:
    """Run a chapter's cells in this process, which takes seconds less than a kernel.

    Without ``to_its_end`` the exercises after the result are left out. The result is given, with
    what the chapter prints as ``"printed"``. Parameters of a group may stand beside the others.
    """
    given = {"output_dir": str(folder or ""), **in_groups(chapter, parameters)}
    injected = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    namespace = {"__name__": "__main__", "In": [injected]}
    threads, printed = torch.get_num_threads(), io.StringIO()
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    try:
        quiet = mock.patch.dict(os.environ, {"RIBNB_PROGRESS": "off"})
        with quiet, contextlib.redirect_stdout(printed):
            for cell in nbformat.read(Book().notebook(chapter), as_version=4).cells:
                if cell.cell_type == "code" and "%pip" not in cell.source:
                    exec(compile(cell.source, chapter, "exec"), namespace)
                if "parameters" in cell.metadata.get("tags", []):
                    exec(injected, namespace)
                if "= finish(" in cell.source and not to_its_end:
                    break
                if "maps" in cell.metadata.get("tags", []) and "shard" in parameters:
                    break  # as a shard's run ends
    finally:
        torch.set_num_threads(threads)
        matplotlib.use(backend)
    return namespace.get("result", {}) | {"printed": printed.getvalue()}


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def arrays_of(folder: Path) -> dict:
    """Every map file below a folder -> type, shape and bytes of each of its arrays."""
    return {
        str(path.relative_to(folder)): tuple(
            (one.dtype.str, one.shape, one.tobytes()) for one in read_maps(path)
        )
        for path in sorted(folder.rglob("maps/*.npz"))
    }


def without_time(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if name != "seconds_per_image"}
