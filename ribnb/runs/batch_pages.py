"""Pages to browse a batch: its runs with their results, logs and executed notebooks.

python -m ribnb.runs.batch_pages runs/ablations      # then open runs/ablations/index.html
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Sequence
from pathlib import Path

from ribnb.core.progress import progress
from ribnb.core.whole_files import whole_file
from ribnb.runs.jobs import JOB, LOG, NOT_A_CHAPTER, done_file, read_job
from ribnb.runs.result_files import RESULT, ResultError, read_result

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.failed { color: #c33; font-weight: 600; }
"""
SHOWN = ("seed_miou", "cam_seed_miou", "val_miou", "map")  # metrics worth a column


def write_pages(folder: str | Path) -> Path:
    """Write ``index.html`` below a batch's folder, and a page for every executed notebook.

    Notebooks that have a newer page are not converted again.

    Raises:
        FileNotFoundError: the folder holds no job.
    """
    folder = Path(folder)
    jobs = sorted(path.parent for path in folder.glob(f"*/{JOB}"))
    if not jobs:
        raise FileNotFoundError(f"there is no job below {folder}; run a batch first")
    rows = [_row(job) for job in progress(jobs, "pages")]
    shown = [name for name in SHOWN if any(name in row["metrics"] for row in rows)]
    rows.sort(key=lambda row: row["label"])
    head = "".join(f"<th>{name}</th>" for name in ("run", "state", *shown, "seconds", "look at"))
    body = "\n".join(_cells(row, shown) for row in rows)
    done = sum(row["state"] == "done" for row in rows)
    text = (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{folder.name}"
        f"</title><style>{STYLE}</style></head>\n<body><h1>{html.escape(folder.name)}</h1>\n"
        f"<p>{done} of {len(rows)} runs are done.</p>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></body></html>\n"
    )
    with whole_file(folder / "index.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / "index.html"


def _row(job: Path) -> dict:
    """What the page says of a job."""
    what = read_job(job)
    row = {"label": what["label"], "state": "", "metrics": {}, "seconds": None, "links": []}
    if (job / done_file(what["kind"])).is_file():
        row["state"] = "done"
        if done_file(what["kind"]) == RESULT:
            try:
                result = read_result(job / RESULT)
                row |= {"metrics": result["metrics"], "seconds": result.get("seconds")}
            except ResultError as error:
                row["state"] = error.reason
    elif (job / LOG).is_file():
        row["state"] = "not done"
    for name in (f"{what['kind']}.ipynb", f"{what['kind']}.unfinished.ipynb"):
        if what["kind"] not in NOT_A_CHAPTER and (job / name).is_file():
            row["links"].append((_page(job / name), "notebook"))
    names = ((RESULT, "result"), ("parameters.yml", "parameters"), (LOG, "log"))
    row["links"] += [(job / name, word) for name, word in names if (job / name).is_file()]
    return row


def _page(notebook: Path) -> Path:
    """The notebook as a page beside it."""
    page = notebook.with_suffix(".html")
    if page.is_file() and page.stat().st_mtime_ns >= notebook.stat().st_mtime_ns:
        return page
    from nbconvert import HTMLExporter  # takes a second

    text, _ = HTMLExporter(mathjax_url="", require_js_url="").from_filename(str(notebook))
    with whole_file(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def _cells(row: dict, shown: Sequence[str]) -> str:
    state = "" if row["state"] == "done" else " class='failed'"
    cells = [
        f"<td>{html.escape(row['label'])}</td>",
        f"<td{state}>{html.escape(row['state'])}</td>",
    ]
    numbers = [row["metrics"].get(name) for name in shown] + [row["seconds"]]
    for number in numbers:
        text = f"{number:.1f}" if isinstance(number, int | float) else ""
        cells.append(f"<td class='number'>{text}</td>")
    links = [
        f"<a href='{path.parent.name}/{html.escape(path.name)}'>{word}</a>"
        for path, word in row["links"]
    ]
    return f"<tr>{''.join(cells)}<td>{' '.join(links)}</td></tr>"


def main(words: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.batch_pages", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("folder", help="a batch's, such as runs/ablations")
    try:
        print(write_pages(parser.parse_args(words).folder))
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
