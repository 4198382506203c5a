"""Progress bars for a person; none where outputs are stored."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tqdm import tqdm

VARIABLE = "RIBNB_PROGRESS"


def progress(steps: Iterable, label: str) -> Iterable:
    """``steps`` with a bar that vanishes at its end.

    With the environment variable RIBNB_PROGRESS=off there is none, because a bar's carriage
    returns would stay in a notebook's stored output.
    """
    return tqdm(steps, desc=label, leave=False, disable=os.environ.get(VARIABLE) == "off")
