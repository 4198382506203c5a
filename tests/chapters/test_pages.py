"""The built book as a reader meets it, in a browser."""

import json
import re
from urllib.parse import unquote

import front
import pdf
import pytest
import yaml
from bs4 import BeautifulSoup
from chapters import Book
from conftest import ROOT, Reader

from ribnb.book.chapters import CHAPTERS as TAUGHT  # with exercises and figures
from ribnb.evidence import Claim
from ribnb.evidence.differences import Difference

BOOK = Book()
PAGES = BOOK.pages()
CHAPTERS = BOOK.chapters()

# The text of a page less code, where a dollar or a brace is what it is.
PROSE = """() => {
    const page = document.querySelector("article") || document.body;  // the search has none
    const article = page.cloneNode(true);
    article.querySelectorAll("pre, code, script, style").forEach(e => e.remove());
    return article.textContent;
}"""

# TeX between its delimiters, and a MyST role such as {numref}`x`, that stayed as they were typed.
NOT_RENDERED = re.compile(r"\\[(\[].{,30}|\$\$.{,30}|\$[^$\d\s][^$\n]*\$|\{[\w:-]+\}`.{,30}")

# Elements that stick out of the window and cannot be scrolled to within the page.
STICKING_OUT = """() => {
    const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX)
                               || scrolls(e.parentElement));
    return [...document.querySelectorAll("article *")]
        .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)
        .filter(e => !e.closest("mjx-assistive-mml") && !scrolls(e.parentElement))
        .map(e => e.outerHTML.slice(0, 120));
}"""

# What a player shows at the moment.
FRAME = """player => [...player.querySelectorAll("img, svg, canvas")]
    .filter(e => !e.closest("button") && e.checkVisibility())
    .map(e => e.src || (e.toDataURL ? e.toDataURL() : e.innerHTML)).join()"""


@pytest.mark.parametrize("name", [*PAGES, "search", "genindex"])
def test_a_page_opens_without_errors_and_its_formulas_images_and_links_work(reader, html, name):
    tab = reader.open(name)
    tab.wait_for_load_state("networkidle")
    assert reader.problems == [], "an error, or a request to others"
    raw = tab.locator("article .math").filter(has_not=tab.locator("mjx-container"))
    assert raw.all_text_contents() == []
    assert tab.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert NOT_RENDERED.findall(tab.evaluate(PROSE)) == []
    for image in tab.locator("article img").all():
        shown = image.evaluate("e => e.decode().then(() => e.naturalWidth, () => 0)")
        source, alt = (image.get_attribute("src") or "")[:80], image.get_attribute("alt") or ""
        assert shown, f"{source} does not load"
        assert len(alt) > 5 and not alt.endswith((".png", ".svg")), f"{source}: alt is {alt!r}"
    for number in tab.locator("article .std-numref").all_text_contents():
        assert re.search(r"\d", number), f"a reference without a number: {number!r}"
    links = tab.locator("article a[href]")
    for link in links.evaluate_all("links => links.map(link => link.getAttribute('href'))"):
        path, _, target = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        file = html / unquote(path.partition("?")[0] or f"{name}.html")
        assert file.is_file(), f"{link} leads nowhere"
        if target and file.suffix == ".html":
            text = file.read_text(encoding="utf-8")
            assert f'id="{unquote(target)}"' in text, f"{link} leads nowhere"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_reads_from_disk_and_fits_a_phone(browser, html, name):
    """As someone opens it who double-clicks the file: no server at all."""
    tab = browser.new_page(viewport={"width": 360, "height": 740})
    phone = Reader(tab, html.as_uri())
    phone.open(name)
    assert phone.problems == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(STICKING_OUT) == []
    tab.close()


def test_the_sidebar_leads_to_every_page(reader):
    links = reader.open(PAGES[0]).locator(".bd-sidebar-primary nav a")
    found = [link.get_attribute("href") for link in links.all()]
    assert found == ["#", *(f"{name}.html" for name in PAGES[1:])]
    links.last.click()
    reader.tab.wait_for_url(f"**/{PAGES[-1]}.html")
    assert reader.problems == []


def test_search_finds_the_bottleneck(reader):
    tab = reader.open(PAGES[0])
    tab.keyboard.press("Control+k")
    tab.keyboard.type("bottleneck")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=bottleneck*")
    found = tab.locator('#search-results li a[href*="toy_bottleneck"]')
    found.first.wait_for(timeout=10_000)
    found.first.click()
    tab.wait_for_url("**/toy_bottleneck.html*")
    assert reader.problems == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_downloads_and_opens_on_colab(html, name):
    page = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    org_and_repo = repository["url"].removeprefix("https://github.com/")
    links = page.select('.article-header-buttons a[href*="colab"]')
    assert [link["href"] for link in links] == [
        f"https://colab.research.google.com/github/{org_and_repo}/blob/{repository['branch']}"
        f"/{repository['path_to_book']}/{name}.ipynb"
    ]
    link = page.select_one("a.btn-download-source-button")["href"]
    assert link.endswith(f"{name}.ipynb")
    assert json.loads((html / link).read_text()) == json.loads(BOOK.notebook(name).read_text())


def test_the_scoreboard_links_to_its_results(reader):
    """Each to the file whose digest stands in its row."""
    tab = reader.open("scoreboard")
    links = tab.locator('article td a[href^="results/"][href$="/result.json"]')
    assert links.count() >= 6  # masks and networks of three nets
    for link in links.all():
        result = tab.request.get(f"{reader.site}/{link.get_attribute('href')}").json()
        assert result["digest"][:12] in link.locator("xpath=ancestor::tr").text_content()


@pytest.mark.parametrize("name", TAUGHT)
def test_figures_have_captions_solutions_open_on_a_click_and_animations_move(reader, name):
    tab = reader.open(name)
    captions = tab.locator("article figure figcaption").all_text_contents()
    assert len(captions) == tab.locator("article figure").count() > 0
    for caption in captions:
        assert re.match(r"Fig\. \d+\.\d+ \w", caption.strip()), caption
    solutions = tab.locator("article .solution.dropdown")
    assert solutions.count() > 0
    for solution in solutions.all():
        content = solution.locator(".section, [id^=solution-content]").first
        assert not content.is_visible()
        solution.locator("button.toggle-button").click()
        content.wait_for(state="visible")
    for player in tab.locator("article .ribnb-player").all():
        slider, play = player.locator("input[type=range]"), player.locator("button")
        slider.press("Home")
        first = player.evaluate(FRAME)
        assert first
        slider.press("End")
        assert player.evaluate(FRAME) != first, "the slider moves nothing"
        slider.press("Home")
        assert player.evaluate(FRAME) == first
        play.first.click()
        handle = player.element_handle()
        tab.wait_for_function(f"([p, first]) => ({FRAME})(p) !== first", arg=[handle, first])


def test_some_chapter_has_an_animation(html):
    assert any("ribnb-player" in (html / f"{n}.html").read_text(encoding="utf-8") for n in TAUGHT)


# The front page ---------------------------------------------------------------------------


def test_the_first_screen_has_readmes_answer_and_a_picture_that_stops(reader):
    reader.tab.clock.install()
    tab = reader.open("index")
    answer = tab.locator("article ul:not(.question ul)").first
    box, readme = answer.bounding_box(), (ROOT / "README.md").read_text(encoding="utf-8")
    assert box["y"] + box["height"] < 900
    lines = front.IN_README.search(readme)[0].replace("**", "").split("\n")
    shown = [f"- {each}".replace("’", "'") for each in answer.locator("li").all_inner_texts()]
    assert shown == lines
    assert front.in_readme(readme) == readme, "python book/tools/front.py writes the new answer"
    picture, button = tab.locator("img.growing"), tab.locator("#growing")
    tab.clock.fast_forward(7000)
    assert "growing.png" in picture.get_attribute("src"), "it moves once"
    for source in ("growing.gif?", "growing.png"):
        button.click()
        assert source in picture.get_attribute("src")
    tab.emulate_media(reduced_motion="reduce")
    tab.reload()
    assert "growing.png" in picture.get_attribute("src")
    assert reader.problems == []


def test_the_front_page_has_a_card_for_each_chapter(html):
    page = BeautifulSoup((html / "index.html").read_text(encoding="utf-8"), "html.parser")
    cards = page.select(".chapters a")
    assert [card["href"] for card in cards] == [f"{name}.html" for name in CHAPTERS]
    in_sidebar = page.select(".bd-sidebar-primary nav li a")[1 : len(cards) + 1]
    for card, link in zip(cards, in_sidebar, strict=True):
        number, title = link.get_text(strip=True).split(". ", 1)
        assert card.strong.get_text() == f"{number} {title}"
        assert len(card.span.get_text()) > 30 and (card.img or "running" in card["href"])


def test_the_answer_says_what_holds_where():
    def claim(stage, *nets):
        difference = Difference(sum(nets) / 3, min(nets), max(nets), nets, 3)
        return Claim(f"{stage}: RIB against the CAM on photographs", "higher", difference)

    seeds, crf = claim("seeds", 1.0, 2.0, 3.0), claim("CRF", 9.0, 9.0, 9.0)
    line = front._differences("photographs", [seeds, crf, claim("masks", -1.0, 2.0, 2.0)])
    assert "seeds: **higher**, +2.00 [+1.00, +3.00] (by net +1.00, +2.00, +3.00); masks" in line
    assert line.endswith("masks: **undecided**, +1.00 [-1.00, +2.00] (by net -1.00, +2.00, +2.00).")


def test_each_page_has_a_description_and_a_picture_for_who_links_to_it(html):
    base = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["baseurl"]
    described = set()
    for name in PAGES:
        page = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        described.add(page.select_one("meta[name=description]")["content"])
        picture = page.select_one("meta[property='og:image']")["content"]
        assert (html / picture.removeprefix(base)).is_file()
    assert len(described) == len(PAGES)


def test_the_pdf_has_an_outline_pages_and_no_folded_code(browser, html, tmp_path):
    names = ["scoreboard", "glossary"]
    page = BeautifulSoup(pdf.one_page(html, names), "html.parser")
    assert page.select("details:not([open]), details.hide, button") == []
    assert "find_spec" not in page.get_text()
    assert page.select('a[href^="#glossary:term-"]') and page.select('[id="glossary:term-seed"]')
    pdf.write_pdf(browser, html, names, tmp_path / "book.pdf")
    printed = (tmp_path / "book.pdf").read_bytes()
    assert b"/Outlines" in printed and b"(Glossary)" in printed
    assert not (html / "whole_book.html").exists()
