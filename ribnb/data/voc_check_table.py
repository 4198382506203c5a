"""The report of a check as text."""

from __future__ import annotations

from ribnb.data.voc_check import CheckReport, Row

_SHOWN = 5
_HEAD = ("", "there", "expected", "missing", "unreadable", "wrong size", "")


def check_table(report: CheckReport) -> str:
    """The table, the first faults of each row, and what follows from them."""
    kind = "scenes" if report.scenes else "PASCAL VOC 2012"
    how = "names and headers only" if report.quick else "every file read to its end"
    rows = [*report.folders, *report.lists]
    lines = [f"{report.folder}: {kind}, {how}", "", *_table(rows)]
    for row in rows:
        if row.faults:
            lines += ["", f"{row.name}: {_plural(len(row.faults), 'fault')}"]
            lines += [f"  {fault}" for fault in row.faults[:_SHOWN]]
            if len(row.faults) > _SHOWN:
                lines.append(f"  and {len(row.faults) - _SHOWN:,} more")
    return "\n".join([*lines, "", _conclusion(report)])


def _table(rows: list[Row]) -> list[str]:
    table = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in (0, len(cells) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.there, row.expected, row.missing, row.unreadable, row.wrong_size)
    return row.name, *("-" if number is None else f"{number:,}" for number in numbers), row.state


def _conclusion(report: CheckReport) -> str:
    if report.unfit:
        return f"Not fit for use: {', '.join(report.unfit)}. {_advice(report)}"
    fit = [row.name for row in report.lists if row.there]
    if not fit:
        return f"There is no list of images in {report.folder / 'ImageSets' / 'Segmentation'}"
    text = f"All that {', '.join(fit)} need is there."
    if report.quick:
        text = text[:-1] + ", as far as names and headers tell."
    others = [row.name for row in [*report.folders, *report.lists] if row.state != "ok"]
    return f"{text} Not as in the official data: {', '.join(others)}." if others else text


def _advice(report: CheckReport) -> str:
    if report.scenes:
        return "Remove the files named and run make_scenes.py again with the same settings"
    return "Replace the files named; get_voc.py makes lists, labels and masks that are missing"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
