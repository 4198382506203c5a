"""Print the built pages as one PDF, by Chromium.

The articles of all pages go into one document, in the order of the table of contents, so that its
outline, page numbers and links go through the whole book. Folded code is left out.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from bs4 import BeautifulSoup
from playwright.sync_api import Browser, sync_playwright

from chapters import Book

LEFT_OUT = "details.hide, .set-up .cell_input, script, button, .headerlink, .prev-next-area"
FOOT = '<p style="width:100%;font-size:8px;text-align:center"><span class="pageNumber"></span></p>'
MARGIN = {"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}


def one_page(html: Path, names: Iterable[str]) -> str:
    """The articles of these pages as one, with links between them that stay inside."""
    names = [*names]
    whole = BeautifulSoup((html / f"{names[0]}.html").read_text(encoding="utf-8"), "html.parser")
    whole.html["data-theme"] = "light"
    whole.body.clear()
    for name in names:
        text = (html / f"{name}.html").read_text(encoding="utf-8")
        article = BeautifulSoup(text, "html.parser").select_one("article.bd-article")
        for tag in article.select(LEFT_OUT):
            tag.decompose()
        for folded in article.select("details"):  # text: a table, what few need
            folded["open"] = ""
        article["id"] = ""
        for tag in article.select("[id]"):
            tag["id"] = f"{name}:{tag['id']}"
        for link in article.select("a[href]"):
            page, _, target = link["href"].partition("#")
            page = page.removesuffix(".html") or name
            if page in names:
                link["href"] = f"#{page}:{target}"
        whole.body.append(article)
    return str(whole).replace("_images/growing.gif", "_static/growing.png")


def write_pdf(browser: Browser, html: Path, names: Iterable[str], output: Path) -> None:
    """Print these pages into one file."""
    page = html / "whole_book.html"  # beside the others, where their pictures are found
    page.write_text(one_page(html, names), encoding="utf-8")
    tab = browser.new_page()
    tab.goto(page.as_uri(), timeout=120_000)
    tab.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
    shown = {"display_header_footer": True, "header_template": "<p></p>", "footer_template": FOOT}
    tab.pdf(path=output, format="A4", margin=MARGIN, outline=True, tagged=True, **shown)
    tab.close()
    page.unlink()


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    built, output = Book().root / "_build" / "html", Book().root / "_build" / "ribnb.pdf"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        write_pdf(browser, built, Book().pages(), output)
    print(f"Open {os.path.relpath(output)}.")


if __name__ == "__main__":
    main()
