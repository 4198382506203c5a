"""Progress bars for a person; none where outputs are stored."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tqdm import tqdm

VARIABLE = "RIBNB_PROGRESS"


def progress(steps: Iterable | None, label: str, total: int | None = None, done: int = 0) -> tqdm:
    """``steps`` with a bar that vanishes at its end; without steps one to move by hand.

    The ``done`` of ``total`` steps, which an earlier run made, do not count for the time left.

    The environment variable RIBNB_PROGRESS says where: nowhere with ``off``, because a bar's
    carriage returns would stay in a notebook's stored output; into a file with its path, for who
    started this process to show.
    """
    where = os.environ.get(VARIABLE, "")
    options = {"desc": label, "total": total, "initial": done, "leave": False}
    if os.path.isabs(where):
        options["file"] = open(where, "a", encoding="utf-8")  # noqa: SIM115, as long as the bar
    return tqdm(steps, **options, disable=where == "off")
