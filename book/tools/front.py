"""What the front page says of the whole book, how a chapter opens, and what the head of a page has.

    python book/tools/front.py    # writes the answer into README

As an extension of Sphinx (see _config.yml) it gives the front page the answer in three lines,
computed from the results beside it, and a card for each chapter with the first picture of its
page; every chapter its main figure (the cell's tag is main-figure) below its point, and one line in
place of its folded set-up; every page a description and a picture for those who link to it.
"""

import html
import re
from dataclasses import replace
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.addnodes import pending_xref

from ribnb.book import CHAPTERS, book_ablations
from ribnb.evidence import Board, board_claims, in_words
from ribnb.evidence.scoreboard import TOYS

ROOT = Path(__file__).resolve().parents[2]
IN_README = re.compile(r"(?<=<!-- answer -->\n).*(?=\n<!-- /answer -->)", re.DOTALL)
SET_UP = (
    '<details class="set-up"><summary>Set-up: installation, parameters, imports</summary>',
    "</details>",
)
PICTURE, STILL, CARDS = "growing.gif", "_static/growing.png", "<!-- cards -->"


def answer(results: Path) -> list[str]:
    """The answer in three lines of Markdown: digits, drawn scenes, photographs."""
    published, found = book_ablations(results)
    board = Board(published, CHAPTERS)
    _, photos = book_ablations(published, "ablations_photographs")
    claims, asked = board_claims(board, found, photos), "RIB against the CAM"
    digits, scenes, photographs = (
        [claim for claim in claims if claim.asked.endswith(end)]
        for end in (", MNIST", asked, f"{asked} on photographs")
    )
    losses = [
        replace(claim, asked="its loss minus the usual one, each at its best rate")
        for claim in claims
        if claim.asked.endswith("each at its best rate on photographs")
    ]
    return [
        _digits(board, digits),
        _differences("drawn scenes", scenes),
        _differences("photographs of VOC 2012's five animals", photographs, losses),
    ]


def _digits(board, claims):
    toy, rib = (board.run(each, TOYS["MNIST"]) for each in ("toy_bottleneck", "rib_loss"))
    if not (toy and rib):
        return "**On digits: no result yet.**"
    holds = all(claim.paper.startswith(claim.verdict) for claim in claims)
    hgr = {
        name: [f"{100 * each:.0f} %" for each in result["metrics"][name]["non_discriminative"]]
        for result, name in ((toy, "hgr"), (rib, "rib"), (rib, "bce"))
    }
    return (
        f"**On digits: {'it holds' if holds else 'not all of it holds'}.** Of a small shape's "
        f"pixels, {hgr['hgr'][-2]} still matter to the last layer but one and {hgr['hgr'][-1]} to "
        f"the last. After {len(hgr['rib']) - 1} steps of the paper's loss {hgr['rib'][-1]} do, "
        f"after as many of the usual loss {hgr['bce'][-1]} "
        f"(HGR, means over {len(toy['seed'])} nets, MNIST)."
    )


def _differences(where, claims, others=()):
    """RIB held against the CAM, at every second stage: the others are the same before a CRF."""
    if not claims:
        return f"**On {where}: no result yet.**"
    stages = [in_words(replace(claim, asked=claim.asked.split(":")[0])) for claim in claims[::2]]
    stages += map(in_words, others)
    return f"**On {where}**, RIB minus the CAM, points of mIoU: {'; '.join(stages)}."


def in_readme(text: str) -> str:
    """README with the answer that the book's results give today."""
    lines = "\n".join(f"- {line}" for line in answer(ROOT / "book" / "results"))
    return IN_README.sub(lambda _: lines, text)


# The extension ----------------------------------------------------------------------------------


def setup(app):
    app.connect("config-inited", _give_answer)
    app.connect("doctree-read", _open_chapter)
    app.connect("html-page-context", _fill_page)
    app.connect("build-finished", _draw_still)
    return {"parallel_read_safe": True}


def _give_answer(app, config):
    lines = answer(Path(app.srcdir) / "results")
    config.myst_substitutions = {"answer": "\n".join(f"- {line}" for line in lines)}


def _open_chapter(app, doctree):
    """The main figure below the point of a chapter, and its set-up as one folded part."""
    cells = [*doctree.findall(lambda node: _has(node, "cell"))]
    if not cells:
        return
    section, setting_up = cells[0].parent, []
    for node in section[section.index(cells[0]) :]:
        if not (_has(node, "cell") and _has(node, "tag_hide-input")):
            break
        node["hide_mode"] = None  # folded with the others, not once more
        setting_up.append(node)
    if setting_up:
        place, (opening, closing) = section.index(setting_up[0]), SET_UP
        section[place : place + len(setting_up)] = [
            nodes.raw("", opening, format="html"),
            *setting_up,
            nodes.raw("", closing, format="html"),
        ]
    for cell in cells:
        if _has(cell, "tag_main-figure"):
            point = next(section.findall(nodes.admonition))
            section.insert(section.index(point) + 1, _again(cell, app.env.docname))


def _has(node, name):
    return isinstance(node, nodes.Element) and name in node["classes"]


def _again(cell, page):
    """A cell's picture once more, with its number and the first sentence of its caption."""
    figure = next(cell.findall(nodes.figure))
    picture, caption = (next(figure.findall(kind)) for kind in (nodes.image, nodes.caption))
    (name,) = figure["names"]
    number = pending_xref("", nodes.inline("", name), refdomain="std", reftype="numref")
    number.update_all_atts({"reftarget": name, "refdoc": page, "refexplicit": False})
    words = nodes.paragraph("", "", number, nodes.Text(", below: "))
    for part in caption.deepcopy().children:
        first, stop, _ = part.astext().partition(". ")
        if isinstance(part, nodes.Text) and stop:
            words += nodes.Text(f"{first}.")
            break
        words += part
    shape = _shape(cell.document.settings.env, picture)
    return nodes.container("", picture.deepcopy(), words, classes=["main-figure", *shape])


def _shape(env, picture):
    """The class of a tall picture, of which a small place shows the first rows."""
    with Image.open(Path(env.srcdir) / picture["uri"]) as drawn:
        return ["tall"] if drawn.height > 1.2 * drawn.width else []


def _fill_page(app, page, template, context, doctree):
    """The description in a page's head; on the front page the cards, and another title."""
    if doctree is None:  # the search and the index of words
        return
    sentence = _first_sentence(app.env.get_doctree(page))
    for name, value in {
        "description": sentence,
        "og:title": app.env.titles[page].astext(),
        "og:description": sentence,
        "og:image": app.config.html_baseurl + STILL,
        "twitter:card": "summary_large_image",
    }.items():
        text = html.escape(value)
        context["metatags"] += f'\n<meta name="{name}" property="{name}" content="{text}" />'
    if page == app.config.root_doc:
        context["title"] = "An executable book"
        context["body"] = context["body"].replace(CARDS, _cards(app.env))


def _cards(env):
    """Each part of the table of contents with a card for each of its chapters."""
    groups = []
    for part in env.external_site_map.root.subtrees:
        cards = [_card(env, name) for name in map(str, part.items) if env.toc_secnumbers.get(name)]
        if cards:
            title = f"<h3>{html.escape(part.caption)}</h3>"
            groups.append(f'{title}<div class="chapters">{"".join(cards)}</div>')
    return "".join(groups)


def _card(env, name):
    doctree, picture = env.get_doctree(name), ""
    (number,), title = env.toc_secnumbers[name][""], html.escape(env.titles[name].astext())
    for image in doctree.findall(nodes.image):
        if found := env.images.get(image["uri"]):
            source = f'src="_images/{found[1]}" alt="{html.escape(image.get("alt", ""))}"'
            shape = " ".join(["dark-light", *_shape(env, image)])
            picture = f'<img class="{shape}" {source}>'
            break
    words = html.escape(_first_sentence(doctree))
    link = f'<a href="{name}.html">{picture}<strong>{number} {title}</strong>'
    return f"{link} <span>{words}</span></a>"


def _first_sentence(doctree):
    """Of what stands below a page's title, up to a colon that comes late; less citations."""
    first = next(doctree.findall(nodes.paragraph)).deepcopy()
    for reference in [*first.findall(lambda node: isinstance(node, nodes.Element))]:
        if reference.get("refdomain") == "cite":
            reference.parent.remove(reference)
    text = " ".join(first.astext().split()).replace(" ,", ",").replace("\\", "")
    return re.match(r".+?(?:[.?](?=\s|$)|(?<=.{40}):(?= )|$)", text)[0].removesuffix(":")


def _draw_still(app, exception):
    """The last frame of the moving picture: for readers without motion, paper, and links."""
    if exception is None:
        with Image.open(Path(app.srcdir) / PICTURE) as picture:
            picture.seek(picture.n_frames - 1)
            picture.convert("RGB").save(Path(app.outdir) / STILL)


if __name__ == "__main__":
    README = ROOT / "README.md"
    README.write_text(in_readme(README.read_text(encoding="utf-8")), encoding="utf-8")
