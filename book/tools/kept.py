"""Notebooks as the book keeps them: the same, whatever machine, moment or tool ran them."""

from collections.abc import Mapping
from pathlib import Path

import nbformat

# The same in every stored notebook, whatever machine it ran on.
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}
# What tools leave in the metadata of notebooks and cells when they run them.
TRACES = ("papermill", "execution", "widgets")


def without_traces(metadata: Mapping) -> dict:
    """Metadata as an author wrote it: no traces of a run, no empty tags."""
    return {k: v for k, v in metadata.items() if k not in TRACES and (k, v) != ("tags", [])}


def tidied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook without what depends on the machine, the moment or the tool that ran it."""
    kept = without_traces(notebook.metadata)
    notebook.metadata = nbformat.from_dict(kept | {"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(without_traces(cell.metadata))
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)
    return notebook


def _merged(outputs: list) -> list:
    """Outputs with neighbouring prints as one: where they are cut is chance."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
