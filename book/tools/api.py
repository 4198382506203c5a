"""For Sphinx, which makes the page api: a class of settings is shown as its fields."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the package beside this book

from ribnb.core.settings import Settings


def setup(app):
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", fields)
    app.connect("autodoc-skip-member", skipped)
    return {"parallel_read_safe": True}


def signature(app, what, name, thing, *_):
    """pydantic's own has every limit in it."""
    return ("(**values)", None) if _is_settings(thing) else None


def fields(app, what, name, thing, options, lines):
    """Each with its default and its meaning, as the settings in force are shown in a chapter."""
    if _is_settings(thing):
        lines.append("")
        for field, info in thing.model_fields.items():
            lines.append(f":param {field}: {info.description} (default: ``{info.default!r}``)")
        lines.append("")


def skipped(app, what, name, *_):
    return True if name.startswith("model_") else None


def _is_settings(thing):
    return isinstance(thing, type) and issubclass(thing, Settings)
