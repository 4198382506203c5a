"""The chapters as they are stored: executed as a whole, and fit for every reader's machine."""

import re

import nbformat
import pytest
from chapters import Book, tidied
from conftest import ROOT

BOOK = Book()
CHAPTERS = BOOK.chapters()

MAX_BYTES = 1_000_000
MAX_CELLS = 60
MAX_LINES = 30
MAX_PARAMETERS = 40
WITHOUT_PARAMETERS = {"running"}  # a page that counts and measures

# Folders of one machine or person, and addresses in one process's memory.
MACHINE = re.compile(
    r"/(?:home|root|tmp|mnt|work|Users)/|C:\\+Users|\bat 0x[0-9a-f]+|" + re.escape(str(ROOT))
)


def read(chapter: str) -> nbformat.NotebookNode:
    return nbformat.read(BOOK.notebook(chapter), as_version=4)


def code_cells(chapter: str) -> list:
    return [cell for cell in read(chapter).cells if cell.cell_type == "code"]


def outputs(chapter: str) -> list:
    return [output for cell in code_cells(chapter) for output in cell.outputs]


def texts(output) -> str:
    """All that a reader may see of an output, less pictures."""
    data = output.get("data", {})
    shown = [v for mime, v in data.items() if not mime.startswith("image/")]
    # In an animation, only what stands around its pictures.
    shown = [re.sub(r"data:image/[^\"']+", "", str(value)) for value in shown]
    return "\n".join([*shown, output.get("text", "")])


def test_the_book_has_chapters():
    assert {"toy_bottleneck", "rib_loss"} <= set(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_is_valid_and_small(chapter):
    nbformat.validate(read(chapter))
    assert BOOK.notebook(chapter).stat().st_size < MAX_BYTES
    assert len(read(chapter).cells) <= MAX_CELLS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_was_executed_once_from_top_to_bottom(chapter):
    """A cell without a count would be run, but not compared, by nbval."""
    counts = [cell.execution_count for cell in code_cells(chapter)]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_holds_no_errors_and_no_warnings(chapter):
    for output in outputs(chapter):
        assert output.output_type != "error", output.evalue
        assert output.get("name") != "stderr", output.text
        assert "Warning:" not in texts(output)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_holds_no_widgets_and_no_progress_bars(chapter):
    assert "widgets" not in read(chapter).metadata
    for output in outputs(chapter):
        assert not [mime for mime in output.get("data", {}) if "widget" in mime]
        assert "\r" not in output.get("text", "")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_names_nothing_of_a_machine(chapter):
    for cell in read(chapter).cells:
        seen = [cell.source, *(texts(output) for output in cell.get("outputs", []))]
        assert MACHINE.findall("\n".join(seen)) == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_is_stored_in_the_one_form(chapter):
    """As `make chapters` writes it; anything else makes differences that mean nothing."""
    stored = BOOK.notebook(chapter).read_text(encoding="utf-8")
    assert stored == nbformat.writes(tidied(read(chapter))) + "\n"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_has_one_parameters_cell_with_its_defaults(chapter):
    tags = [tag for cell in read(chapter).cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == (chapter not in WITHOUT_PARAMETERS)
    assert "injected-parameters" not in tags


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_picture_has_alt_text(chapter):
    for cell in code_cells(chapter):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 5, f"a picture without alt text, drawn by\n{cell.source}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_code_cells_are_short(chapter):
    for cell in code_cells(chapter):
        listed = "parameters" in cell.metadata.get("tags", [])  # a line each, nothing to follow
        most = MAX_PARAMETERS if listed else MAX_LINES
        assert len(cell.source.splitlines()) <= most, cell.source
