"""Files of the book that chapters read: its results and settings.

In the repository they lie in ``book``; a package that was installed without it brings copies.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def book_folder(name: str) -> Path:
    """The folder ``"results"`` or ``"settings"`` of the book.

    Raises:
        FileNotFoundError: it is neither in a repository around the package nor in the package.
    """
    for folder in (PACKAGE.parent / "book" / name, PACKAGE / "book" / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"this installation of ribnb has no book/{name}; install it anew with pip, or run in a "
        "clone of the repository"
    )
