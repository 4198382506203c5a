"""The built book as a reader meets it, in a browser."""

import json
import re
from urllib.parse import unquote

import pytest
import yaml
from bs4 import BeautifulSoup
from chapters import Book
from conftest import ROOT, Reader

from ribnb.book.chapters import CHAPTERS as TAUGHT  # with exercises and figures

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
        assert result["digest"][:12] in link.locator("xpath=ancestor::tr").inner_text()


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
