"""The tools that run, store and build the book, on books and packages made up for it."""

import functools
import http.server
import tarfile
import threading
from pathlib import Path

import chapters
import mathjax
import nbformat
import pytest
import repository
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

# Chapters ---------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path) -> chapters.Book:
    """A book of two short chapters and a page that is no notebook."""
    (tmp_path / "book").mkdir()
    (tmp_path / "ribnb").mkdir()
    (tmp_path / "ribnb" / "losses.py").write_text("margin = 600\n")
    (tmp_path / "book" / "index.md").write_text("# Welcome\n")
    (tmp_path / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nparts:\n- chapters:\n  - file: first\n  - file: second\n"
    )
    parameters = {"tags": ["parameters"]}
    for name, default in (("first", "iterations: int = 10"), ("second", "margin: float = 600.0")):
        cells = [new_markdown_cell(f"# {name}"), new_code_cell(default, metadata=parameters)]
        nbformat.write(
            new_notebook(cells=cells, metadata=kernel()), tmp_path / f"book/{name}.ipynb"
        )
    return chapters.Book(tmp_path)


def kernel() -> dict:
    return {"kernelspec": dict(chapters.KERNEL)}


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


@pytest.fixture
def executor() -> Executor:
    return Executor()


def edit_cell(book: chapters.Book, chapter: str, **changes) -> None:
    notebook = nbformat.read(book.notebook(chapter), as_version=4)
    notebook.cells[1].update(changes)
    nbformat.write(notebook, book.notebook(chapter))


def test_a_second_run_executes_nothing(book, executor, capsys):
    chapters.run(book, {}, executor)
    assert executor.executed == [("first", {}), ("second", {})]
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 2
    assert "first: up to date\nsecond: up to date\n" in capsys.readouterr().out


def test_the_book_is_laid_out_with_the_executed_chapters(book, executor):
    chapters.run(book, {}, executor)
    assert (book.laid_out / "index.md").exists()
    laid_out = nbformat.read(book.laid_out / "first.ipynb", as_version=4)
    assert laid_out.cells[1].outputs[0].text == "ab"
    assert nbformat.read(book.notebook("first"), as_version=4).cells[1].outputs == []


def test_an_edited_cell_runs_its_chapter_again(book, executor):
    chapters.run(book, {}, executor)
    edit_cell(book, "second", source="margin: float = 100.0")
    chapters.run(book, {}, executor)
    assert [name for name, _ in executor.executed[2:]] == ["second"]


def test_edited_cell_metadata_runs_its_chapter_again(book, executor):
    chapters.run(book, {}, executor)
    edit_cell(book, "first", metadata={"tags": ["parameters"], "mystnb": {"image": {"alt": "x"}}})
    chapters.run(book, {}, executor)
    assert [name for name, _ in executor.executed[2:]] == ["first"]


def test_new_outputs_alone_run_nothing(book, executor):
    chapters.run(book, {}, executor)
    edit_cell(book, "first", execution_count=7, outputs=[new_output("stream", text="x")])
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 2


@pytest.mark.parametrize("file", ["losses.py", "new.py", "data/strokes.py"])
def test_edited_module_code_runs_every_chapter_again(book, executor, capsys, file):
    chapters.run(book, {}, executor)
    path = book.root / "ribnb" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("margin = 100\n")
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 4
    assert "first: executing (module code)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "file", ["results/1/result.json", "results/image_scores.npz", "settings/a.yml"]
)
def test_new_results_run_the_chapters_that_read_them_again(book, executor, capsys, file):
    edit_cell(book, "second", source='results: str = ""')
    chapters.run(book, {}, executor)
    path = book.source / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff")
    chapters.run(book, {}, executor)
    assert [name for name, _ in executor.executed[2:]] == ["second"]
    assert "second: executing (results)" in capsys.readouterr().out


def test_results_elsewhere_run_the_chapters_that_read_them_again(book, executor, tmp_path):
    edit_cell(book, "first", source='results: str = ""')
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "run").mkdir(parents=True)
    for _ in range(2):
        chapters.run(book, {"results": str(elsewhere)}, executor)
    assert len(executor.executed) == 2
    (elsewhere / "run" / "result.json").write_text("{}")
    chapters.run(book, {"results": str(elsewhere)}, executor)
    assert executor.executed[2:] == [("first", {"results": str(elsewhere)})]


def test_another_torch_runs_every_chapter_again(book, executor, monkeypatch):
    chapters.run(book, {}, executor)
    monkeypatch.setattr(chapters, "version", lambda package: "99.0")
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 4


def test_settings_go_to_the_chapters_that_have_them_all(book, executor):
    chapters.run(book, {}, executor)
    chapters.run(book, {"iterations": 3}, executor)
    assert executor.executed[2:] == [("first", {"iterations": 3})]
    chapters.run(book, {"iterations": 3}, executor)
    assert len(executor.executed) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"results": "nowhere"}, "results = '.*nowhere' is no folder"),
        ({"results": 3}, "results = 3: it must be a valid string"),
        ({"iterations": -1}, "iterations = -1"),
    ],
)
def test_values_are_refused_before_any_chapter_runs(executor, settings, message):
    with pytest.raises(SystemExit, match=message):
        chapters.run(chapters.Book(), settings, executor)
    assert executor.executed == []


def test_settings_that_no_chapter_has_all_of_are_refused(book, executor):
    with pytest.raises(SystemExit, match="No chapter has all of these parameters: iterations, ma"):
        chapters.run(book, {"iterations": 3, "margin": 1.0}, executor)
    assert executor.executed == []


def test_a_chapters_section_is_for_it_alone(book, executor):
    chapters.run(book, {"iterations": 3, "chapters": {"first": {"iterations": 5}}}, executor)
    assert dict(executor.executed) == {"first": {"iterations": 5}, "second": {}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chapters": {"firts": {"iterations": 3}}}, "'firts'; did you mean 'first'"),
        ({"chapters": {"second": {"iterations": 3}}}, "second has no parameter 'iterations'"),
        ({"chapters": {"first": {"iteratons": 3}}}, "did you mean 'iterations'"),
    ],
)
def test_a_section_that_no_chapter_can_take_is_refused(book, executor, settings, message):
    with pytest.raises(SystemExit, match=message):
        chapters.run(book, settings, executor)
    assert executor.executed == []


def test_an_unknown_setting_is_refused_with_the_nearest_name(book, executor):
    with pytest.raises(SystemExit, match=r"'iteratons'; did you mean 'iterations'"):
        chapters.run(book, {"iteratons": 3}, executor)
    assert executor.executed == []


def test_settings_that_are_no_mapping_are_refused(tmp_path):
    (tmp_path / "settings.yml").write_text("- iterations\n")
    with pytest.raises(SystemExit, match="must be a mapping"):
        chapters.read_settings(tmp_path / "settings.yml")
    with pytest.raises(SystemExit, match=r"no file of parameters .*absent\.yml"):
        chapters.read_settings(tmp_path / "absent.yml")


def test_a_failing_chapter_is_named_and_counts_as_not_run(book, executor):
    def fails(path, output, parameters):
        executor(path, output, parameters)
        raise ValueError("R_ND did not fall")

    with pytest.raises(SystemExit, match=r"(?s)first failed.*R_ND did not fall.*first\.partial"):
        chapters.run(book, {}, fails)
    assert (book.executed / "first.partial.ipynb").exists()
    chapters.run(book, {}, executor)
    assert [name for name, _ in executor.executed] == ["first", "first", "second"]


def test_storing_leaves_nothing_to_run_and_nothing_of_the_run(book, executor):
    chapters.store(book, executor)
    stored = book.notebook("first").read_bytes()
    notebook = nbformat.reads(stored.decode(), as_version=4)
    assert notebook.cells[1].outputs == [new_output("stream", name="stdout", text="ab")]
    assert b"papermill" not in stored and stored.endswith(b"}\n")
    chapters.run(book, {}, executor)
    assert len(executor.executed) == 2
    chapters.store(book, executor)
    assert book.notebook("first").read_bytes() == stored


# Repository -------------------------------------------------------------------------------

OLD, NEW = "https://github.com/ribnb/ribnb", "https://github.com/reader/my-book"


@pytest.fixture
def project(tmp_path) -> Path:
    """A project that states its address wherever a project may."""
    colab = "https://colab.research.google.com/github/ribnb/ribnb/blob/main/book/first.ipynb"
    (tmp_path / "_config.yml").write_text(f"repository:\n  url: {OLD}\n  branch: main\n")
    (tmp_path / "README.md").write_text(f"[open]({colab}), or git clone {OLD}.git. See {OLD}.\n")
    (tmp_path / "pyproject.toml").write_text(f'Repository = "{OLD}"\n')
    (tmp_path / "book").mkdir()
    cells = [new_code_cell(f"%pip install git+{OLD}\nprint('é')")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "first.ipynb")
    return tmp_path


def contents(project: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_change_of_address_reaches_every_place_and_can_be_undone(project, capsys):
    before = contents(project)
    repository.main([NEW], project)
    for path, text in contents(project).items():
        assert b"ribnb/ribnb" not in text, path
        assert text == before[path].replace(b"ribnb/ribnb", b"reader/my-book")
    repository.main([OLD], project)
    assert contents(project) == before


def test_other_projects_with_a_similar_name_stay(project):
    (project / "README.md").write_text(f"{OLD}-data {OLD}.github.io/x {OLD}/issues\n")
    repository.change(project, NEW)
    text = (project / "README.md").read_text()
    assert text == f"{OLD}-data {OLD}.github.io/x {NEW}/issues\n"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("README.md", "https://colab.research.google.com/github/someone/ribnb/blob/main/x.ipynb"),
        ("README.md", "git clone https://github.com/ribnb/other.git"),
        ("pyproject.toml", 'Repository = "https://github.com/ribnb/other"'),
        ("book/first.ipynb", "pip install git+https://github.com/ribnb/ribnb2"),
    ],
)
def test_an_address_that_disagrees_is_found(project, file, text):
    repository.main([], project)
    (project / file).write_text(f"first line\n{text}\n")
    with pytest.raises(SystemExit, match=f"{file}:2: "):
        repository.main([], project)


@pytest.mark.parametrize(
    "url", ["github.com/a/b", "https://github.com/a", "http://github.com/a/b", "a b"]
)
def test_what_is_no_address_is_refused(project, capsys, url):
    before = contents(project)
    with pytest.raises(SystemExit):
        repository.main([url], project)
    assert "is not of the form https://HOST/ORG/REPO" in capsys.readouterr().err
    assert contents(project) == before


def test_this_project_states_one_address():
    assert list(repository.disagreements(repository.ROOT)) == []


# MathJax ----------------------------------------------------------------------------------


@pytest.fixture
def tarball(tmp_path) -> Path:
    """A package with what the pages use of MathJax, and something that they do not."""
    served, inside = tmp_path / "served", tmp_path / "made" / "package" / "es5"
    for name in ("tex-mml-chtml.js", "input/tex/extensions/ams.js", "mml-svg.js"):
        path = inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    served.mkdir()
    with tarfile.open(served / "mathjax.tgz", "w:gz") as archive:
        archive.add(inside.parent, "package")
    return served / "mathjax.tgz"


@pytest.fixture
def registry(tarball):
    """The package's address on a server of this machine."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tarball.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{tarball.name}"
        server.shutdown()


def no_npm(folder: Path) -> None:
    raise OSError("npm is not on the PATH")


def by_url(url: str):
    def fetch(folder: Path) -> None:
        mathjax.fetch_by_url(folder, url)

    return fetch


def test_the_package_is_fetched_once_and_only_its_parts_unpacked(tmp_path, tarball, registry):
    expected = mathjax.integrity(tarball)
    file = mathjax.package(tmp_path / "vendor", (no_npm, by_url(registry)), expected)
    assert mathjax.package(tmp_path / "vendor", (), expected) == file
    mathjax.unpack(file, tmp_path / "html")
    unpacked = {p.relative_to(tmp_path / "html").as_posix() for p in contents(tmp_path / "html")}
    assert unpacked == {"tex-mml-chtml.js", "input/tex/extensions/ams.js"}


def test_a_package_that_is_not_mathjax_is_refused(tmp_path, registry):
    with pytest.raises(SystemExit, match="SHA-512"):
        mathjax.package(tmp_path / "vendor", (by_url(registry),))
    assert list((tmp_path / "vendor").iterdir()) == []


def test_without_npm_and_network_it_is_said_what_to_do(tmp_path, registry):
    with pytest.raises(SystemExit, match=r"(?s)npm is not on the PATH.*404.*by hand"):
        mathjax.package(tmp_path / "vendor", (no_npm, by_url(registry + ".absent")))
