"""The tools that run, store and build the book, on books and packages made up for it."""

import tarfile
from pathlib import Path

import chapters
import mathjax
import nbformat
import pytest
import repository
from broken_server import serving
from conftest import contents
from kept import KERNEL
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ribnb.core.settings import SettingsError

# Chapters ---------------------------------------------------------------------------------

TOC = "format: jb-book\nroot: index\nparts:\n- chapters:\n  - file: first\n  - file: second\n"


@pytest.fixture
def book(tmp_path) -> chapters.Book:
    """A book of two short chapters and a page that is no notebook."""
    (tmp_path / "book").mkdir()
    (tmp_path / "ribnb").mkdir()
    (tmp_path / "ribnb" / "losses.py").write_text("margin = 600\n")
    (tmp_path / "book" / "index.md").write_text("# Welcome\n")
    (tmp_path / "book" / "_toc.yml").write_text(TOC)
    parameters = {"tags": ["parameters"]}
    second = 'margin: float = 600.0\nresults: str = ""'
    for name, default in (("first", "iterations: int = 10"), ("second", second)):
        cells = [new_markdown_cell(f"# {name}"), new_code_cell(default, metadata=parameters)]
        notebook = new_notebook(cells=cells, metadata={"kernelspec": dict(KERNEL)})
        nbformat.write(notebook, tmp_path / f"book/{name}.ipynb")
    return chapters.Book(tmp_path)


class Executor:
    """Stands in for papermill: writes an output into each code cell, and remembers."""

    def __init__(self):
        self.executed = []

    def __call__(self, path: Path, output: Path, parameters: dict) -> None:
        assert list(Path.cwd().iterdir()) == []
        self.executed.append((path.stem, dict(parameters)))
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata["papermill"] = {"start_time": "now"}
        for cell in notebook.cells:
            cell.metadata["papermill"] = {"duration": 1.0}
            if cell.cell_type == "code":
                printed = [new_output("stream", name="stdout", text=text) for text in "ab"]
                cell.outputs, cell.execution_count = printed, 1
        nbformat.write(notebook, output)


class Fails(Executor):
    """Stands in for a chapter that breaks off."""

    def __call__(self, path: Path, output: Path, parameters: dict) -> None:
        super().__call__(path, output, parameters)
        raise ValueError("R_ND did not fall")


@pytest.fixture
def executor() -> Executor:
    return Executor()


def edit_cell(book: chapters.Book, chapter: str, **changes) -> None:
    notebook = nbformat.read(book.notebook(chapter), as_version=4)
    notebook.cells[1].update(changes)
    nbformat.write(notebook, book.notebook(chapter))


def edit_file(book: chapters.Book, name: str) -> None:
    path = book.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff" if path.suffix != ".py" else b"margin = 100\n")


def test_a_second_run_executes_nothing_and_the_book_is_laid_out(book, executor, capsys):
    chapters.run(book, {}, executor)
    assert executor.executed == [("first", {}), ("second", {})]
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 2
    assert "first: up to date\nsecond: up to date\n" in capsys.readouterr().out
    assert (book.laid_out / "index.md").exists()
    laid_out = nbformat.read(book.laid_out / "first.ipynb", as_version=4)
    assert laid_out.cells[1].outputs[0].text == "ab"
    assert nbformat.read(book.notebook("first"), as_version=4).cells[1].outputs == []


ALT = {"tags": ["parameters"], "mystnb": {"image": {"alt": "x"}}}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda book: edit_cell(book, "second", source="margin: float = 100.0"), ["second"]),
        (lambda book: edit_cell(book, "first", metadata=ALT), ["first"]),
        (lambda book: edit_cell(book, "first", execution_count=7), []),
        (lambda book: edit_file(book, "ribnb/losses.py"), ["first", "second"]),
        (lambda book: edit_file(book, "book/results/1/result.json"), ["second"]),
        (lambda book: edit_file(book, "book/settings/a.yml"), ["second"]),
    ],
)
def test_a_change_runs_the_chapters_again_that_depend_on_it(
    book, executor, change, again, monkeypatch
):
    chapters.run(book, {}, executor)
    change(book)
    chapters.run(book, {}, executor)
    assert [name for name, _ in executor.executed[2:]] == again
    monkeypatch.setattr(chapters, "version", lambda package: "99.0")
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 4 + len(again), "another torch changes every chapter"


def test_settings_go_to_the_chapters_that_have_them_all(book, executor):
    chapters.run(book, {}, executor)
    for _ in range(2):
        chapters.run(book, {"iterations": 3}, executor)
        assert executor.executed[2:] == [("first", {"iterations": 3})]
    chapters.run(book, {"iterations": 3, "chapters": {"first": {"iterations": 5}}}, executor)
    assert executor.executed[3:] == [("first", {"iterations": 5})]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 3, "margin": 1.0}, "No chapter has all of these parameters: iterations, m"),
        ({"chapters": {"firts": {"iterations": 3}}}, "'firts'; did you mean 'first'"),
    ],
)
def test_settings_that_no_chapter_can_take_are_refused(book, executor, settings, message):
    with pytest.raises(SettingsError, match=message):
        chapters.run(book, settings, executor)
    assert executor.executed == []


def test_a_failing_chapter_is_named_and_counts_as_not_run(book, executor):
    with pytest.raises(SystemExit, match=r"(?s)first failed.*R_ND did not fall.*first\.partial"):
        chapters.run(book, {}, Fails())
    assert (book.executed / "first.partial.ipynb").exists()
    chapters.run(book, {}, executor)
    assert [name for name, _ in executor.executed] == ["first", "second"]


def test_several_at_a_time_are_as_one_by_one(book):
    with pytest.raises(SystemExit, match=r"(?s)first failed.*R_ND did not fall.*first\.partial"):
        chapters.run(book, {}, Fails(), jobs=2)
    chapters.run(book, {}, Executor(), jobs=2)
    for name in ("first", "second"):
        assert chapters.changes(book, name, chapters.key(book, name, {})) == []
        assert (book.laid_out / f"{name}.ipynb").read_bytes() == book.output(name).read_bytes()


def test_storing_leaves_nothing_to_run_and_nothing_of_the_run(book, executor):
    chapters.store(book, executor)
    stored = book.notebook("first").read_bytes()
    notebook = nbformat.reads(stored.decode(), as_version=4)
    assert notebook.cells[1].outputs == [new_output("stream", name="stdout", text="ab")]
    assert b"papermill" not in stored and stored.endswith(b"}\n")
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 2
    chapters.store(book, executor, names=["first"])
    assert len(executor.executed) == 3
    assert book.notebook("first").read_bytes() == stored
    with pytest.raises(SystemExit, match="the book has no 'third'; its chapters: first, second"):
        chapters.store(book, executor, names=["third"])


# Repository -------------------------------------------------------------------------------

OLD, NEW = "https://github.com/ribnb/ribnb", "https://github.com/reader/my-book"
PAGES = "html:\n  baseurl: https://ribnb.github.io/ribnb/ # published\n"


@pytest.fixture
def project(tmp_path) -> Path:
    """A project that states its address wherever a project may."""
    colab = "https://colab.research.google.com/github/ribnb/ribnb/blob/main/book/first.ipynb"
    (tmp_path / "_config.yml").write_text(f"repository:\n  url: {OLD}\n{PAGES}")
    (tmp_path / "README.md").write_text(f"[open]({colab}), or git clone {OLD}.git. See {OLD}.\n")
    (tmp_path / "pyproject.toml").write_text(f'Repository = "{OLD}"\n')
    (tmp_path / "book").mkdir()
    cells = [new_code_cell(f"%pip install git+{OLD}\nprint('é')")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "first.ipynb")
    return tmp_path


def test_a_change_of_address_reaches_every_place_and_can_be_undone(project):
    before = contents(project)
    repository.main([NEW], project)
    for path, text in contents(project).items():
        assert b"ribnb/ribnb" not in text, path
        expected = before[path].replace(b"ribnb.github.io/ribnb", b"reader.github.io/my-book")
        assert text == expected.replace(b"ribnb/ribnb", b"reader/my-book")
    repository.main([OLD], project)
    assert contents(project) == before
    similar = f"{OLD}-data {OLD}.github.io/x {{}}/issues\n"  # others of a similar name stay
    (project / "README.md").write_text(similar.format(OLD))
    repository.change(project, NEW)
    assert (project / "README.md").read_text() == similar.format(NEW)


def test_an_address_that_disagrees_is_found(project):
    repository.main([], project)
    (project / "pyproject.toml").write_text('\nRepository = "https://github.com/ribnb/other"\n')
    with pytest.raises(SystemExit, match=r"pyproject\.toml:2: "):
        repository.main([], project)
    (project / "pyproject.toml").write_text(PAGES.replace("/ribnb/", "/other/"))
    with pytest.raises(SystemExit, match=r"pyproject\.toml:2: baseurl"):
        repository.main([], project)
    (project / "pyproject.toml").unlink()
    colab = "https://colab.research.google.com/github/someone/ribnb/blob/main/x.ipynb"
    (project / "README.md").write_text(f"first line\n{colab}\n")
    with pytest.raises(SystemExit, match=r"README\.md:2: "):
        repository.main([], project)


def test_this_project_states_one_address():
    assert list(repository.disagreements(repository.ROOT)) == []


# MathJax ----------------------------------------------------------------------------------


@pytest.fixture
def registry(tmp_path):
    """A server of a package with what the pages use of MathJax, and something they do not."""
    inside = tmp_path / "made" / "package" / "es5"
    for name in ("tex-mml-chtml.js", "input/tex/extensions/ams.js", "mml-svg.js"):
        path = inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    with tarfile.open(tmp_path / "mathjax.tgz", "w:gz") as archive:
        archive.add(inside.parent, "package")
    with serving(content=(tmp_path / "mathjax.tgz").read_bytes()) as server:
        yield server


@pytest.fixture
def ways(registry):
    """To fetch it: the first does not work."""

    def no_npm(folder: Path) -> None:
        raise OSError("npm is not on the PATH")

    return no_npm, lambda folder: mathjax.fetch_by_url(folder, registry.url)


def test_the_package_is_fetched_once_and_only_its_parts_unpacked(tmp_path, ways):
    expected, vendor = mathjax.integrity(tmp_path / "mathjax.tgz"), tmp_path / "vendor"
    file = mathjax.package(vendor, ways, expected)
    assert mathjax.package(vendor, (), expected) == file
    mathjax.unpack(file, tmp_path / "html")
    assert contents(tmp_path / "html").keys() == {"tex-mml-chtml.js", "input/tex/extensions/ams.js"}


def test_a_package_that_is_not_mathjax_or_not_there_is_refused(tmp_path, registry, ways):
    vendor = tmp_path / "vendor"
    with pytest.raises(SystemExit, match="SHA-512"):
        mathjax.package(vendor, ways)
    assert list(vendor.iterdir()) == []
    registry.content = None
    with pytest.raises(SystemExit, match=r"(?s)npm is not on the PATH.*404.*by hand"):
        mathjax.package(vendor, ways)
