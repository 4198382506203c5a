"""The scoreboard's tables for a notebook: HTML that reads in light and dark, and plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from ribnb.evidence.reported import Reported, reported, rerun
from ribnb.evidence.scoreboard import Board, Cell, Result
from ribnb.evidence.scoreboard_claims import FAILS, HOLDS, MIXED, UNTESTED, Claim
from ribnb.evidence.scoreboard_stages import STAGES, Row
from ribnb.runs.results import book_folder

SIGNS = {HOLDS: "✓", FAILS: "✗", MIXED: "±", UNTESTED: "?"}
COLUMNS = ("began with", "reported", "re-run by others", "ours on VOC", "ours on scenes")
PLAIN = "–"
# The pages' own colours where there are any; a notebook's otherwise. The last rule takes away the
# pale slab that the pages' theme puts behind outputs in the dark.
STYLE = """<style>
.ribnb-board {border-collapse: collapse; width: 100%; font-size: .85rem; margin: 0;
  color: var(--pst-color-text-base, inherit); background: none;}
.ribnb-board th, .ribnb-board td {text-align: left !important; vertical-align: top;
  padding: .3rem .5rem; border: 0; border-bottom: 1px solid var(--pst-color-border, #8888);
  white-space: normal; background: none; color: inherit; font-weight: 400;}
.ribnb-board thead th {font-weight: 600; border-bottom-width: 2px;}
.ribnb-board tr.ribnb-stage th {padding-top: .9rem;}
.ribnb-board b {font-weight: 600;}
.ribnb-board small {display: block; font-size: .76rem; opacity: .85;}
.ribnb-board .ribnb-none {opacity: .65;}
.ribnb-board .ribnb-number {font-weight: 600; white-space: nowrap;}
.ribnb-board .ribnb-status {font-weight: 600; white-space: nowrap;}
.ribnb-board td:nth-child(4) {white-space: nowrap;}
.ribnb-board pre, .ribnb-notes pre {margin: .2rem 0 0; padding: .2rem .4rem;
  font-size: .72rem; border: 0;
  white-space: pre-wrap !important; overflow-wrap: anywhere; color: inherit;
  background: var(--pst-color-surface, #8882);}
.ribnb-notes {border-left: .25rem solid #d55e00; padding: .2rem .8rem;
  color: var(--pst-color-text-base, inherit);}
.ribnb-notes.ribnb-well {border-left-color: #009e73;}
html[data-theme="dark"] .bd-content div.cell_output .text_html:has(.ribnb-board, .ribnb-notes)
  {background: none !important; color: inherit;}
</style>"""


@dataclass(frozen=True, repr=False)
class Shown:
    """What a notebook shows: a table on pages, text elsewhere."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return STYLE + self.html

    def __repr__(self) -> str:
        return self.text


def address(board: Board, result: Result) -> str:
    """Where a result lies, seen from the page: the book's results are beside the pages."""
    inside = Path(result["path"]).relative_to(board.folder).as_posix()
    try:
        ours = board.folder.resolve() == book_folder("results").resolve()
    except FileNotFoundError:
        ours = False
    return f"results/{inside}" if ours else (board.folder / inside).as_posix()


def origin(result: Result) -> str:
    """Commit, device, date, images and seed of a result, in words."""
    commit = (result.get("git_commit") or "unknown")[:7]
    commit += "+" if (result.get("git_commit") or "").endswith("+") else ""
    seed = result["seed"]
    several = isinstance(seed, list) and len(seed) > 1
    seeds = (
        f"{len(seed)} seeds" if several else f"seed {seed[0] if isinstance(seed, list) else seed}"
    )
    return (
        f"{seeds}, {result['images']} images, commit {commit}, "
        f"{result['device']}, {str(result['date'])[:10]}"
    )


def scores(board: Board) -> Shown:
    """The table over all stages."""
    lines, rows = [], []
    for stage in STAGES:
        how = f"post-processing: {stage.post_processing}"
        if stage.threshold:
            how += f"; background threshold: {stage.threshold}"
        tables = dict.fromkeys(one.where for row in stage.rows if (one := reported(row.key)))
        apart = " ".join([*(f"Reported: {one}." for one in tables), stage.apart])
        lines.append(
            f'<tr class="ribnb-stage"><th colspan="{len(COLUMNS)}" scope="colgroup">'
            f"<b>{escape(stage.name)}, {escape(stage.split)}</b> ({escape(how)})"
            f"<small>{escape(apart)}</small></th></tr>"
        )
        for row in stage.rows:
            cells = [_theirs(reported(row.key)), _theirs(rerun(row.key)), *_ours(board, row)]
            lines.append(
                f'<tr><th scope="row">{escape(row.maps)}</th>'
                + "".join(f"<td>{html}</td>" for html, _ in cells)
                + "</tr>"
            )
            rows.append([f"{stage.name}, {stage.split}", stage.post_processing, row.maps])
            rows[-1] += [text for _, text in cells]
    table = pd.DataFrame(rows, columns=["stage", "post-processing", *COLUMNS])
    return Shown(_table(COLUMNS, lines), table.to_string(index=False))


def claim_list(board: Board, found: Sequence[Claim]) -> Shown:
    """The claims with status, evidence and chapter."""
    lines, text = [], []
    for one in found:
        evidence = "<br>".join(_evidence(board, *each) for each in one.evidence)
        if one.todo:
            evidence += f"<pre>{escape(one.todo)}</pre>"
        lines.append(
            f"<tr><td class='ribnb-status'>{SIGNS[one.status]} {one.status}</td>"
            f"<td>{_symbols(one.text)}<small>chapter: "
            f'<a href="{one.chapter}.html">{one.chapter}</a></small></td><td>{evidence}</td></tr>'
        )
        text += [f"{one.status}: {one.text}", *(f"    {words}" for words, _ in one.evidence)]
        text += [f"    to make it: {each}" for each in one.todo.splitlines()]
    return Shown(_table(("", "claim", "evidence"), lines), "\n".join(text))


def notes(board: Board) -> Shown:
    """What is left out, missing or not counted, why, and the commands that mend it."""
    parts: list[tuple[str, Iterable[tuple[str, str]]]] = [
        ("Left out", board.published.problems.items()),
        ("Missing", board.missing().items()),
        ("Not counted as VOC", board.not_voc.items()),
    ]
    html, text = [], []
    for title, items in parts:
        for name, why in items:
            name, why = (one.replace(f"{board.folder}/", "") for one in (name, why))
            if title == "Missing":
                html.append(f"<li>{title}: {escape(name)}<pre>{escape(why)}</pre></li>")
                text.append(f"{title}: {name}\n    {why}")
            else:
                html.append(f"<li>{title}: {escape(name)} {escape(why)}.</li>")
                text.append(f"{title}: {name} {why}.")
    if not html:
        said = "Nothing is missing, stale, broken or edited among the results of this page."
        return Shown(f'<div class="ribnb-notes ribnb-well">{said}</div>', said)
    if board.missing():
        last = "ribnb publish runs/scoreboard book/results/scoreboard"
        html.append(f"<li>After such runs:<pre>{last}</pre></li>")
        text.append(f"After such runs:\n    {last}")
    return Shown(f'<div class="ribnb-notes"><ul>{"".join(html)}</ul></div>', "\n".join(text))


def origins(board: Board) -> Shown:
    """Where each result behind the table comes from."""
    lines, text = [], []
    for one in board.used():
        link = _link(board, one, Path(address(board, one)).parent.as_posix())
        lines.append(f"<tr><td>{link}</td><td>{escape(origin(one))}</td>")
        lines[-1] += f"<td><code>{one['digest'][:12]}</code></td></tr>"
        text.append(f"{address(board, one)}: {origin(one)}, digest {one['digest'][:12]}")
    return Shown(_table(("result", "made from", "digest"), lines), "\n".join(text))


def _table(columns: Sequence[str], lines: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in columns)
    body = "\n".join(lines)
    return (
        f'<table class="ribnb-board"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
    )


def _theirs(one: Reported | None) -> tuple[str, str]:
    """A cell of what others reported, as HTML and as text."""
    if one is None:
        return f'<span class="ribnb-none">{PLAIN}</span>', PLAIN
    where = f'<a href="{escape(one.link)}">{escape(one.where)}</a>' if one.link else one.sure
    note = f"; {escape(one.note)}" if one.note else ""
    number = f'<span class="ribnb-number">{one.value}</span>'
    return f"{number}<small>{where}{note}</small>", f"{one.value}"


def _ours(board: Board, row: Row) -> list[tuple[str, str]]:
    """The two cells of ours."""
    on_voc, on_scenes = board.voc(row), board.scenes(row)
    found = [_own(board, on_voc or [Cell()]) if on_voc is not None else None]
    found.append(_own(board, [on_scenes]) if on_scenes is not None else None)
    return [one or (f'<span class="ribnb-none">{PLAIN}</span>', PLAIN) for one in found]


def _own(board: Board, cells: Sequence[Cell]) -> tuple[str, str]:
    html = []
    for cell in cells:
        if not cell.values:
            html.append(f'<span class="ribnb-none">{escape(str(cell))}</span>')
            continue
        links = ", ".join(_link(board, one, str(one["settings"]["seed"])) for one in cell.sources)
        html.append(
            f'<span class="ribnb-number">{escape(str(cell))}</span><small>seeds {links}</small>'
        )
    return "<br>".join(html), "; ".join(map(str, cells))


def _evidence(board: Board, words: str, source: Result | None) -> str:
    """A line of evidence; what stands before the colon links to its result."""
    name, colon, rest = words.partition(":")
    if source is None or not colon:
        return _symbols(words)
    return _link(board, source, name) + _symbols(colon + rest)


def _symbols(text: str) -> str:
    """Text as HTML, with L_RIB, R_ND, G_5 and the like set as symbols."""
    return re.sub(r"\b([LGR])_(\w+)", r"\1<sub>\2</sub>", escape(text))


def _link(board: Board, result: Result, words: str) -> str:
    title = f' title="{escape(origin(result))}"' if "device" in result else ""
    return f'<a href="{escape(address(board, result))}"{title}>{escape(words)}</a>'
