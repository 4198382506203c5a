"""A share of the work: every n-th image from the i-th."""

from __future__ import annotations


def parse_shard(text: str) -> tuple[int, int]:
    """``"0/4"`` as (0, 4).

    Raises:
        ValueError: other than two whole numbers i/n with 0 <= i < n.
    """
    parts = text.split("/")
    if len(parts) == 2 and all(part.isdecimal() for part in parts):
        index, count = map(int, parts)
        if index < count:
            return index, count
    raise ValueError(f"shard = {text!r}: it must be i/n with 0 <= i < n, such as 0/4")
