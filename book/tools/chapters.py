"""Run the chapters of the book on this machine, or store them with new outputs.

    python book/tools/chapters.py run [--settings FILE]
    python book/tools/chapters.py store [CHAPTER ...]

`run` executes what has not yet run here with the present notebook, module code, settings,
Python and torch, into _build/executed, and lays the book with these outputs out in
_build/source. A settings file is YAML, parameter: value, for the chapters that have all of these
parameters; the others run with their defaults. What stands below a chapter's name is for it alone.
`store` executes every chapter, or those that are named, with its defaults and puts the outputs
into book/ itself. As many chapters run at a time as there are cores, up to four, and share the
cores.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import nbformat
import yaml

from kept import tidied, without_traces, write
from ribnb.book.chapters import CHAPTERS
from ribnb.core.parameters import flat, merged, nested
from ribnb.core.settings import (
    SECTIONS,
    SettingsError,
    for_chapter,
    read_settings_file,
    refuse_unknown,
)

Execute = Callable[[Path, Path, Mapping], object]

RESULTS = "results"  # the parameter of a chapter that reads the results of others
PATHS = (  # parameters that name a file or a folder
    "data_root", "classifier", "output_dir", "maps_run", "masks", "data.saliency",
    "net.classifier", "net.irn_rib", "net.irn_cam",
    RESULTS,
)  # fmt: skip

NOT_COPIED = shutil.ignore_patterns("tools", ".ipynb_checkpoints", "__pycache__")


@dataclass(frozen=True)
class Book:
    """The folders of one book."""

    root: Path = Path(__file__).resolve().parents[2]

    @property
    def source(self) -> Path:
        return self.root / "book"

    @property
    def results(self) -> Path:
        return self.source / "results"

    @property
    def settings(self) -> Path:
        return self.source / "settings"

    @property
    def executed(self) -> Path:
        return self.root / "_build" / "executed"

    @property
    def laid_out(self) -> Path:
        return self.root / "_build" / "source"

    def pages(self) -> list[str]:
        """The table of contents in its order, names without a suffix."""
        toc = yaml.safe_load((self.source / "_toc.yml").read_text(encoding="utf-8"))
        return [name.removesuffix(".ipynb") for name in _files(toc)]

    def chapters(self) -> list[str]:
        """The pages that are notebooks."""
        return [name for name in self.pages() if self.notebook(name).exists()]

    def notebook(self, chapter: str) -> Path:
        return self.source / f"{chapter}.ipynb"

    def output(self, chapter: str) -> Path:
        return self.executed / f"{chapter}.ipynb"

    def key_file(self, chapter: str) -> Path:
        return self.executed / f"{chapter}.json"


def _files(entry) -> Iterator[str]:
    """All `file` and `root` values of a table of contents."""
    if isinstance(entry, dict):
        for name, value in entry.items():
            if name in ("root", "file"):
                yield value
            else:
                yield from _files(value)
    elif isinstance(entry, list):
        for value in entry:
            yield from _files(value)


# When is a chapter up to date? -----------------------------------------------------------


def key(book: Book, chapter: str, parameters: Mapping) -> dict:
    """Everything that an executed chapter depends on, in a form that JSON keeps."""
    cells = nbformat.read(book.notebook(chapter), as_version=4).cells
    read = {}
    if _reads_results(cells):
        folders = Path(parameters.get(RESULTS) or book.results), book.settings
        read = {"results": _digest(_files_in(*folders))}
    return {
        **read,
        "notebook": _digest(
            json.dumps([cell.cell_type, cell.source, without_traces(cell.metadata)])
            for cell in cells
        ),
        "module code": _digest(
            f"{path.relative_to(book.root).as_posix()}\n{_content(path)}"
            for path in sorted((book.root / "ribnb").rglob("*.*"))
            if path.suffix in (".py", ".safetensors", ".npz")  # nets that come along count as code
        ),
        "settings": dict(parameters),
        "Python": platform.python_version(),
        "torch": version("torch"),
    }


def _digest(texts: Iterator[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _content(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _reads_results(cells: list) -> bool:
    given = (one.source for one in cells if "parameters" in one.metadata.get("tags", []))
    return any(re.search(rf"^{RESULTS}\b", source, re.MULTILINE) for source in given)


def _files_in(*folders: Path) -> Iterator[str]:
    """The results and settings below some folders, a text a file; maps are not read."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".yml" or path.name in ("result.json", "image_scores.npz"):
                yield f"{path.relative_to(folder).as_posix()}\n{_content(path)}"


def changes(book: Book, chapter: str, wanted: Mapping) -> list[str]:
    """Why a chapter must run: the parts of its key that changed; empty if up to date."""
    try:
        present = json.loads(book.key_file(chapter).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        present = None
    if present is None or not book.output(chapter).exists():
        return ["not yet run"]
    return [part for part in wanted if present.get(part) != wanted[part]]


# Settings --------------------------------------------------------------------------------


def share_out(book: Book, settings: Mapping) -> dict[str, dict]:
    """The settings for each chapter that has them all, else none.

    Refused are names that no chapter has, settings that no chapter has all of, and a chapter's
    own section beside names that it does not have.

    Raises:
        SettingsError: says which.
    """
    known = {chapter: _parameters(book.notebook(chapter)) for chapter in book.chapters()}
    everything = sorted(set().union(*known.values()))
    kinds = {chapter: CHAPTERS.get(chapter) for chapter in known}
    shares = {}
    for chapter, names in known.items():
        wanted = for_chapter(settings, chapter, kinds)
        refuse_unknown(wanted, everything, "the book")
        if chapter in (settings.get(SECTIONS) or {}):
            refuse_unknown(wanted, sorted(names), chapter)
        shares[chapter] = _with_whole_paths(wanted) if wanted.keys() <= names else {}
        if shares[chapter] and chapter in CHAPTERS:
            CHAPTERS[chapter].from_mapping(shares[chapter])  # refused before anything runs
    if settings and not any(shares.values()):
        raise SettingsError(f"No chapter has all of these parameters: {', '.join(settings)}.")
    return shares


def _with_whole_paths(settings: Mapping) -> dict:
    """Chapters run in an empty folder, so a relative path must be told from where it counts."""
    given = flat(settings)
    paths = {name: given[name] for name in PATHS if isinstance(given.get(name) or 0, str)}
    return merged(
        settings, nested({name: str(Path(path).resolve()) for name, path in paths.items()})
    )


def _parameters(notebook: Path) -> set[str]:
    from papermill import inspect_notebook  # slow, and often not needed

    return set(inspect_notebook(str(notebook)))


# Executing -------------------------------------------------------------------------------


def execute(book: Book, chapter: str, parameters: Mapping, by: Execute, why: str) -> None:
    """Execute one chapter into the folder of executed ones, whole or not at all."""
    print(f"{chapter}: executing ({why})", flush=True)
    start = time.monotonic()
    wanted = key(book, chapter, parameters)
    output, unfinished = book.output(chapter), book.executed / f"{chapter}.partial.ipynb"
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.unlink(missing_ok=True)
    try:
        with _empty_folder():
            by(book.notebook(chapter), unfinished, parameters)
    except Exception as error:  # whatever went wrong, say in which chapter
        lies = f"\nAs far as it came, it lies in {os.path.relpath(unfinished)}."
        sys.exit(f"{chapter} failed.\n{error}{lies if unfinished.exists() else ''}")
    write(tidied(nbformat.read(unfinished, as_version=4)), unfinished)
    # The key comes last: a run that is killed in between counts as not run.
    book.key_file(chapter).unlink(missing_ok=True)
    unfinished.replace(output)
    book.key_file(chapter).write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    print(f"{chapter}: executed in {time.monotonic() - start:.0f} s", flush=True)


def execute_all(calls: list[Callable[[], object]], jobs: int) -> None:
    """Call them, several at a time if ``jobs`` says so; the first that fails ends all."""
    if jobs == 1:
        for call in calls:
            call()
        return
    os.environ.setdefault("OMP_NUM_THREADS", str((os.cpu_count() or 1) // jobs))
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        try:
            for future in [pool.submit(call) for call in calls]:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    """Work in an empty folder, so that a chapter finds nothing of the repository beside it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _execute_chapter(path: Path, output: Path, parameters: Mapping) -> None:
    from ribnb.runs.execution import execute_chapter  # slow, and often not needed

    execute_chapter(path, output, parameters)


# Commands --------------------------------------------------------------------------------


def lay_out(book: Book) -> None:
    """The book's folder again, with the executed chapters in place of the stored ones."""
    shutil.rmtree(book.laid_out, ignore_errors=True)
    shutil.copytree(book.source, book.laid_out, ignore=NOT_COPIED)
    for chapter in book.chapters():
        shutil.copyfile(book.output(chapter), book.laid_out / f"{chapter}.ipynb")


def run(book: Book, settings: Mapping, by: Execute = _execute_chapter, jobs: int = 1) -> None:
    """Execute the chapters that are not up to date, and lay out the book with them."""
    shares, calls = share_out(book, settings) if settings else {}, []
    for chapter in book.chapters():
        parameters = shares.get(chapter, {})
        if reasons := changes(book, chapter, key(book, chapter, parameters)):
            calls.append(partial(execute, book, chapter, parameters, by, ", ".join(reasons)))
        else:
            print(f"{chapter}: up to date")
    execute_all(calls, jobs)
    lay_out(book)


def store(
    book: Book, by: Execute = _execute_chapter, jobs: int = 1, names: Iterable[str] = ()
) -> None:
    """Execute these chapters, or all, with defaults and keep the outputs in the book's folder."""
    chapters = [*names] or book.chapters()
    if unknown := {*chapters} - {*book.chapters()}:
        sys.exit(f"the book has no {min(unknown)!r}; its chapters: {', '.join(book.chapters())}")
    execute_all([partial(execute, book, one, {}, by, "to be stored") for one in chapters], jobs)
    for chapter in chapters:
        shutil.copyfile(book.output(chapter), book.notebook(chapter))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="execute what has not yet run on this machine")
    running.add_argument("--settings", type=Path, help="YAML file: parameter names and values")
    storing = commands.add_parser("store", help="execute with defaults; outputs go into book/")
    storing.add_argument("names", nargs="*", metavar="CHAPTER", help="which; all if none is named")
    arguments, jobs = parser.parse_args(), min(os.cpu_count() or 1, 4)
    if arguments.command == "store":
        return store(Book(), jobs=jobs, names=arguments.names)
    try:
        settings = read_settings_file(arguments.settings) if arguments.settings else {}
        run(Book(), settings, jobs=jobs)
    except (FileNotFoundError, SettingsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
