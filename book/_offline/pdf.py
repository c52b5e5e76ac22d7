"""Print the built book as one PDF.

The pages of `_toc.yml` are put one after another into one document, with the links between them
turned into links within it, and a browser prints that: first to see on which page everything lies,
then with these numbers in the contents and in the index, until they move nothing any more.

What moves on a page is a still picture in print: the scripts stay behind. What is folded is open.
The library's pages are left out, and so a link to them is only its words.
"""

import argparse
import json
import os
import re
import shutil
import sys
from html import escape
from io import BytesIO
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

ROOT = Path(__file__).parents[2]
LEFT_OUT = "book/library"
INDEX = "book/term-index"  # its links say on which page they lead, like those of the contents

READY = """async () => {
    await MathJax.startup.promise;
    await Promise.all(Array.from(document.images, (image) => image.decode()));
    await document.fonts.ready;
}"""
NUMBER = """(pages) => {
    for (const place of document.querySelectorAll("[data-page-of]"))
        place.textContent = pages[place.dataset.pageOf];
}"""
MOST_PRINTS = 4
PRINT = {"prefer_css_page_size": True, "print_background": True}
STYLE = """
@page { size: A4; margin: 22mm 18mm; }
@page { @bottom-center { content: counter(page); font: 9pt sans-serif; } }
@page :first { @bottom-center { content: none; } }
body { display: block; }
.cover { padding-top: 75mm; text-align: center; }
.cover .title { font-size: 36pt; }
.inside, section[style^="page:"] { break-before: page; }
.inside h2 { font-size: 1rem; margin: 1rem 0 0.2rem; }
.inside ul { list-style: none; padding: 0; margin: 0; }
.inside li { display: flex; justify-content: space-between; }
section [data-page-of]::before { content: " "; }
"""


def parts(contents: Path) -> list[tuple[str, list[str]]]:
    """List the parts of the book, each with its pages; the preface is a part without a name."""
    toc = yaml.safe_load(contents.read_text(encoding="utf-8"))
    listed = [("", [toc["root"]])]
    for part in toc["parts"]:
        pages = [chapter["file"] for chapter in part["chapters"]]
        listed.append((part["caption"], [page for page in pages if page != LEFT_OUT]))
    return listed


def section(html: Path, page: str, pages: list[str], root: str, words: dict) -> Tag:
    """Return what a page says, as a section of the one document.

    Its places have the page's name in front, so that no two are alike; `root` leads from the
    document to the built book.
    """
    soup = BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    for tag in article.select("script, a.headerlink"):
        tag.decompose()
    for rubric in article.find_all("p", class_="rubric", string=words["in_library"]):
        for tag in [rubric, *rubric.find_next_siblings("p")]:
            tag.decompose()
    for tag in article.find_all("details"):
        tag["open"] = ""
    for tag in article.find_all(src=True):
        tag["src"] = join(root, normpath(join(dirname(page), tag["src"])))
    for tag in article.find_all(id=True):
        tag["id"] = f"{page}:{tag['id']}"
    for tag in article.find_all("a", href=True):
        if not re.match(r"[a-z]+:", tag["href"]):
            within(tag, page, pages)
    if page == INDEX:
        for tag in article.select("a[href^='#']"):
            attrs = {"data-page-of": tag["href"][1:]}
            tag.insert_after(soup.new_tag("span", attrs=attrs, string="000"))
    article.name, article["id"] = "section", page
    article["style"] = f"page: {name_of(page)}"
    return article


def within(link, page: str, pages: list[str]) -> None:
    """Turn a link to a page into one to a place in the document, or into mere words."""
    address = urlsplit(link["href"])
    to = page
    if address.path:
        to = normpath(join(dirname(page), unquote(address.path))).removesuffix(".html")
    if to in pages:
        link["href"] = "#" + (f"{to}:{unquote(address.fragment)}" if address.fragment else to)
    else:
        link.unwrap()


def name_of(page: str) -> str:
    """Return a page's name in the style sheet."""
    return re.sub(r"\W", "-", page)


def document(html: Path, settings: dict, contents: list[tuple[str, list[str]]], root: str) -> str:
    """Put the whole book into one document."""
    pages = [page for _, listed in contents for page in listed]
    language, words = (settings["sphinx"]["config"][key] for key in ("language", "words"))
    sections = {page: section(html, page, pages, root, words) for page in pages}
    titles = {page: " ".join(each.h1.get_text().split()) for page, each in sections.items()}
    title, subtitle = re.split(": |：", settings["title"], maxsplit=1)
    quoted = {page: json.dumps(title, ensure_ascii=False) for page, title in titles.items()}
    heads = "".join(
        f"@page {name_of(page)} {{ @top-right {{ "
        f"content: {quoted[page]}; font: italic 8pt sans-serif; }} }}\n"
        for page in pages
    )
    lists = "".join(
        f"<h2>{escape(caption)}</h2>" * bool(caption)
        + "<ul>"
        + "".join(
            f'<li><a href="#{page}">{escape(titles[page])}</a>'
            f'<span data-page-of="{page}">000</span>'
            for page in listed
        )
        + "</ul>"
        for caption, listed in contents
    )
    return f"""<!doctype html>
<html lang="{language.replace("_", "-")}" data-theme="light" data-mode="light">
<head>
<meta charset="utf-8">
<title>{escape(settings["title"])}</title>
{loaded(html, pages[0], root)}
<style>{STYLE}{heads}</style>
</head>
<body>
<header class="cover"><p class="title">{escape(title)}</p><p>{escape(subtitle)}</p>
<p>{escape(settings["author"])}, {settings["copyright"]}</p>
{settings["html"]["extra_footer"]}</header>
<nav class="inside"><h1>{words["contents"]}</h1>{lists}</nav>
{"".join(map(str, sections.values()))}
</body></html>"""


def loaded(html: Path, page: str, root: str) -> str:
    """Return the style sheets and MathJax as a page loads them, and no other script."""
    soup = BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    tags = soup.select("link[rel=stylesheet], script")
    wanted = [tag for tag in tags if tag.name == "link" or "window.MathJax" in tag.text]
    wanted += soup.select("script[src*=mathjax]")
    for tag in wanted:
        for key in {"href", "src"} & set(tag.attrs):
            tag[key] = join(root, normpath(join(dirname(page), tag[key])))
    return "\n".join(map(str, wanted))


def page_numbers(printed: bytes) -> dict[str, int]:
    """Return the page on which each place of a PDF lies."""
    reader = PdfReader(BytesIO(printed))
    return {
        name.removeprefix("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def make(html: Path, sources: Path, target: Path, chromium: str) -> None:
    """Write the PDF whole, or not at all."""
    settings = yaml.safe_load((sources / "_config.yml").read_text(encoding="utf-8"))
    target.parent.mkdir(parents=True, exist_ok=True)
    source, unfinished = target.with_suffix(".html"), target.with_suffix(".part")
    root = os.path.relpath(html, target.parent)
    source.write_text(document(html, settings, parts(sources / "_toc.yml"), root), encoding="utf-8")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            tab = browser.new_page()
            tab.goto(source.resolve().as_uri())
            tab.evaluate(READY)
            numbers: dict[str, int] = {}
            for _ in range(MOST_PRINTS):
                printed = tab.pdf(**PRINT, outline=True, tagged=True)
                before, numbers = numbers, page_numbers(printed)
                if numbers == before:
                    break
                tab.evaluate(NUMBER, numbers)
            unfinished.write_bytes(printed)
        finally:
            browser.close()
            source.unlink()
    os.replace(unfinished, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("html", type=Path, help="the folder of the built book")
    parser.add_argument("target", type=Path, help="the PDF to write")
    parser.add_argument("--sources", type=Path, default=ROOT, help="where _config.yml stands")
    given = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("The PDF is printed by Chromium. Install it, or say where it is: CHROMIUM=...")
    make(given.html, given.sources, given.target, chromium)
    size = given.target.stat().st_size / 1e6
    print(f"{given.target}: {len(PdfReader(given.target).pages)} pages, {size:.1f} MB")
