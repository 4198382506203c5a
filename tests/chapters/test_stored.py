"""The chapters as they are stored: executed as a whole, and fit for every reader's machine."""

import ast
import re

import nbformat
import pytest
import yaml
from chapters import Book
from conftest import ROOT
from kept import tidied
from split_runs import code_cells

from ribnb.book.chapters import CHAPTERS as SETTINGS

BOOK = Book()
CHAPTERS = pytest.mark.parametrize("chapter", BOOK.chapters())

MAX_BYTES = 1_000_000
MAX_CELLS = 43
MAX_LINES = 30
MAX_PARAMETERS = 15
MAX_ROOMS = 5

# Folders of one machine or person, and addresses in one process's memory.
MACHINE = re.compile(
    r"/(?:home|root|tmp|mnt|work|Users)/|C:\\+Users|\bat 0x[0-9a-f]+|" + re.escape(str(ROOT))
)


def read(chapter: str) -> nbformat.NotebookNode:
    return nbformat.read(BOOK.notebook(chapter), as_version=4)


def tagged(chapter: str, tag: str) -> list:
    return [cell for cell in read(chapter).cells if tag in cell.metadata.get("tags", [])]


def texts(output) -> str:
    """All that a reader may see of an output, less pictures."""
    data = output.get("data", {})
    shown = [v for mime, v in data.items() if not mime.startswith("image/")]
    # In an animation, only what stands around its pictures.
    shown = [re.sub(r"data:image/[^\"']+", "", str(value)) for value in shown]
    return "\n".join([*shown, output.get("text", "")])


@CHAPTERS
def test_is_valid_and_small(chapter):
    nbformat.validate(read(chapter))
    assert BOOK.notebook(chapter).stat().st_size < MAX_BYTES
    assert len(read(chapter).cells) <= MAX_CELLS
    for cell in code_cells(BOOK.notebook(chapter)):
        assert len(cell.source.splitlines()) <= MAX_LINES, cell.source


@CHAPTERS
def test_imports_from_few_rooms(chapter):
    """Both as in `from ribnb.scores import ...` and as in `from ribnb import figures`."""
    rooms = set()
    for cell in code_cells(BOOK.notebook(chapter)):
        rooms |= {*re.findall(r"^(?:from|import) ribnb\.(\w+)", cell.source, re.MULTILINE)}
        for names in re.findall(r"^from ribnb import (.+)", cell.source, re.MULTILINE):
            rooms |= {name for name in names.split(", ") if (ROOT / "ribnb" / name).is_dir()}
    assert len(rooms) <= MAX_ROOMS, sorted(rooms)


@CHAPTERS
def test_was_executed_once_from_top_to_bottom(chapter):
    """A cell without a count would be run, but not compared, by nbval."""
    counts = [cell.execution_count for cell in code_cells(BOOK.notebook(chapter))]
    assert counts == list(range(1, len(counts) + 1))


@CHAPTERS
def test_holds_no_errors_warnings_widgets_or_progress_bars(chapter):
    assert "widgets" not in read(chapter).metadata
    for cell in code_cells(BOOK.notebook(chapter)):
        for output in cell.outputs:
            assert output.output_type != "error", output.evalue
            assert output.get("name") != "stderr", output.text
            assert "Warning:" not in texts(output)
            assert not [mime for mime in output.get("data", {}) if "widget" in mime]
            assert "\r" not in output.get("text", "")


@CHAPTERS
def test_names_nothing_of_a_machine(chapter):
    for cell in read(chapter).cells:
        seen = [cell.source, *(texts(output) for output in cell.get("outputs", []))]
        assert MACHINE.findall("\n".join(seen)) == []


@CHAPTERS
def test_is_stored_in_the_one_form(chapter):
    """As `make chapters` writes it; anything else makes differences that mean nothing."""
    stored = BOOK.notebook(chapter).read_text(encoding="utf-8")
    assert stored == nbformat.writes(tidied(read(chapter))) + "\n"


@CHAPTERS
def test_every_picture_has_alt_text(chapter):
    for cell in code_cells(BOOK.notebook(chapter)):
        shown = [mime for output in cell.outputs for mime in output.get("data", {})]
        if any(mime.startswith("image/") for mime in shown):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 5, f"a picture without alt text, drawn by\n{cell.source}"


@CHAPTERS
def test_the_first_cell_installs_the_package_from_the_address_of_the_project(chapter):
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    first = code_cells(BOOK.notebook(chapter))[0].source
    assert re.search(rf'"ribnb(\[crf\])? @ git\+{re.escape(address)}"', first)
    assert first.count("http") == 1


@CHAPTERS
def test_the_parameters_are_the_settings_with_their_defaults(chapter):
    """A group is a dictionary of changes, empty. Each has a comment, which papermill shows."""
    assert not tagged(chapter, "injected-parameters")
    cells = tagged(chapter, "parameters")
    if chapter not in SETTINGS:
        assert not cells
        return
    (source,) = (cell.source for cell in cells)
    assert all("  # " in line for line in source.splitlines())
    in_cell = {
        node.target.id: (ast.unparse(node.annotation), ast.literal_eval(node.value))
        for node in ast.parse(source).body
    }
    assert len(in_cell) == len(source.splitlines()) <= MAX_PARAMETERS
    expected = {}
    for name, field in SETTINGS[chapter].model_fields.items():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        expected[name] = type(default).__name__, default
    assert in_cell == expected
