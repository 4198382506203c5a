"""Running a chapter with other parameters, through papermill."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ribnb.core.progress import VARIABLE
from ribnb.core.settings import nested, refuse_unknown

BOOK = Path("book")
WHOLE = "0/1"  # the shard that is all images


def find_chapter(chapter: str) -> Path:
    """A chapter's notebook: its path, or its name where there is a folder ``book``.

    Raises:
        FileNotFoundError: no such chapter; names those there are.
    """
    path = Path(chapter)
    if not path.suffix and not path.is_file():
        path = BOOK / f"{chapter}.ipynb"
    if not path.is_file():
        names = ", ".join(sorted(one.stem for one in BOOK.glob("*.ipynb")))
        known = f"; there are: {names}" if names and not Path(chapter).suffix else ""
        raise FileNotFoundError(f"no chapter at {path}{known}")
    return path


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
        raise FileNotFoundError(f"no chapter at {path}")
    parameters = nested(parameters or {})
    refuse_unknown(parameters, papermill.inspect_notebook(str(path)), path.name)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write to '{output.parent}': {error.strerror}") from error
    notebook: Any = str(path)
    if parameters.get("shard", WHOLE) != WHOLE:
        notebook = _until(path, "maps")
    elif result_only:
        notebook = _until(path, "result")
    with _progress_on_terminal():
        papermill.execute_notebook(
            notebook, str(output), parameters=parameters, progress_bar=False, log_output=False
        )
    return output


def _until(path: Path, tag: str) -> Any:
    """The chapter without what follows the cell with this tag.

    Raises:
        ValueError: it has no such cell.
    """
    import nbformat  # comes with papermill

    notebook = nbformat.read(path, as_version=4)
    for index, cell in enumerate(notebook.cells):
        if tag in cell.metadata.get("tags", []):
            notebook.cells = notebook.cells[: index + 1]
            return notebook
    raise ValueError(f"{path.name} has no cell tagged {tag!r}, with which this run would end")


@contextmanager
def _progress_on_terminal() -> Iterator[None]:
    """Bars of a kernel that is started here go to this terminal, if it is one; never elsewhere.

    The kernel inherits the environment. What it prints goes into the notebook, so it writes its
    bars to a file, and a thread passes them on.
    """
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        file, done = Path(folder) / "progress", threading.Event()
        file.touch()
        show = before != "off" and sys.stderr.isatty()
        os.environ[VARIABLE] = str(file) if show else "off"
        thread = threading.Thread(target=_pass_on, args=(file, done), daemon=True)
        if show:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if show:
                thread.join()
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def _pass_on(path: Path, done: threading.Event) -> None:
    with open(path, encoding="utf-8", newline="") as file:
        ended = False
        while not ended:
            ended = done.wait(0.2)  # what wipes the last bar is passed on as well
            sys.stderr.write(file.read())
            sys.stderr.flush()
