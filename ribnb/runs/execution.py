"""Running a chapter with other parameters, through papermill."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from ribnb.core.parameters import as_text, nested
from ribnb.core.runner import PROGRESS, WHOLE, all_ended, parse_shard
from ribnb.core.settings import refuse_unknown
from ribnb.runs.results import RESULT

BOOK = Path("book")


class ChapterFailed(RuntimeError):
    """A chapter of which a cell failed; says why, and where the notebook is as far as it came."""


def execute_chapter(
    path: str | Path,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    result_only: bool = False,
) -> Path:
    """Run a chapter with the given parameters and keep the executed notebook.

    Args:
        path: the chapter's notebook.
        output: where the executed notebook goes; it is written while the chapter runs, so after
            a failure it shows how far it came.
        parameters: values for names of the chapter's parameters cell.
        result_only: end with the cell tagged ``result``, which writes ``result.json``: no claims,
            which are made for the chapter's own parameters, and no exercises.

    With a ``shard`` such as ``0/4`` among the parameters it ends with the cell tagged ``maps``: a
    shard makes its share of the files, and a run without one finds them and makes the result.

    Returns:
        ``output``.

    Raises:
        FileNotFoundError: no such chapter.
        OSError: the output's folder cannot be made.
        SettingsError: a name that the chapter does not know; the message has the nearest one.
        papermill.PapermillExecutionError: a cell failed, for example because the chapter
            refused a value.
    """
    import papermill  # takes a second, and few callers need it

    path, output = Path(path), Path(output)
    if not path.is_file():
        raise FileNotFoundError(f"no chapter at {path}; names count in the repository's folder")
    parameters = nested(parameters or {})
    known = papermill.inspect_notebook(str(path))
    refuse_unknown(parameters, known, path.name)
    for name, value in parameters.items():
        if known[name]["inferred_type_name"] == "str":
            parameters[name] = as_text(value)
    output.parent.mkdir(parents=True, exist_ok=True)
    shard = parameters.get("shard", WHOLE) != WHOLE
    notebook = _until(path, "maps" if shard else "result") if shard or result_only else str(path)
    _bars_on_terminal()
    papermill.execute_notebook(
        notebook, str(output), parameters=parameters, progress_bar=False, log_output=False
    )
    return output


def run_chapter(
    path: Path, executed: Path, parameters: Mapping[str, Any], result_only: bool = False
) -> Path:
    """``execute_chapter``, but a cell that fails is a ``ChapterFailed``, and overwrites nothing.

    Until it has ended well the executed notebook is called ``NAME.unfinished.ipynb``. Those of
    shards, which share a folder, are called ``NAME_shard_0_of_4``.
    """
    from papermill import PapermillExecutionError

    shard = str(parameters.get("shard", WHOLE))
    if shard != WHOLE:
        executed = executed.with_stem(f"{executed.stem}_shard_{shard.replace('/', '_of_')}")
    unfinished = executed.with_name(f"{executed.stem}.unfinished.ipynb")
    try:
        os.replace(execute_chapter(path, unfinished, parameters, result_only), executed)
    except PapermillExecutionError as error:
        raise ChapterFailed(
            f"{path.name} failed: {error.ename}: {error.evalue}\nas far as it came: {unfinished}"
        ) from error
    return executed


def run_shard(path: Path, executed: Path, parameters: Mapping[str, Any]) -> Iterator[Path]:
    """``run_chapter``; the shard that ends last also runs it for all images, and so scores them."""
    done = run_chapter(path, executed, parameters)
    yield done
    shard, folder = parameters.get("shard", WHOLE), parameters.get("output_dir")
    if shard == WHOLE or not folder or not all_ended(folder, parse_shard(shard)[1]):
        return
    result = Path(folder) / RESULT
    with FileLock(Path(folder) / "lock"):  # two may end at the same moment
        if not result.is_file() or result.stat().st_mtime < done.stat().st_mtime:
            yield run_chapter(path, executed, {**parameters, "shard": WHOLE})


def warned(executed: Path) -> list[str]:
    """What the cells of an executed notebook warned of, which only its page shows."""
    import nbformat

    cells = nbformat.read(executed, as_version=4).cells
    texts = [each.get("text", "") for cell in cells for each in cell.get("outputs", ())]
    said = [text.partition("UserWarning: ")[2].rstrip() for text in texts]
    return [text.rpartition("\n")[0] for text in said if text]  # without the line of code


def _until(path: Path, tag: str) -> Any:
    """The chapter without what follows the cell with this tag; ValueError if it has none."""
    import nbformat  # comes with papermill

    notebook = nbformat.read(path, as_version=4)
    for index, cell in enumerate(notebook.cells):
        if tag in cell.metadata.get("tags", []):
            notebook.cells = notebook.cells[: index + 1]
            return notebook
    raise ValueError(f"{path.name} has no cell tagged {tag!r}, with which this run would end")


def _bars_on_terminal() -> None:
    """Bars of kernels that are started here go to this terminal, if it is one, unless the
    environment says otherwise; never into the notebook."""
    try:
        terminal = os.ttyname(sys.stderr.fileno())
    except (AttributeError, OSError):  # Windows; none
        terminal = "off"
    os.environ.setdefault(PROGRESS, terminal)
