"""What must hold for the built book; `make test` builds it first."""

import importlib
import inspect
import pkgutil
import re
from copy import copy
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

import meta_lib

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
TITLES = {
    "book/": "Learning to Learn: an interactive book on meta-learning",
    "zh/book/": "学会学习：一本关于元学习的交互式教材",
}
WITHOUT_PAGE = ("checks", "commands", "figures", "moving", "options")
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html"))
# The library's pages are English in both editions, and looked at once.
PAGES = [page for page in PAGES if not re.match("_|zh/(_|book/library/)", page)]
ENGLISH = [page for page in PAGES if not page.startswith("zh/")]

pytestmark = [
    pytest.mark.skipif(
        not (HTML / ".built").exists(), reason="THE BOOK HAS NOT BEEN BUILT: run `make book` first"
    ),
    pytest.mark.xdist_group("book"),  # each page is parsed once
]


@cache
def soup(page):
    """Parse a page once."""
    return BeautifulSoup((HTML / page).read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page):
    """Collect what a link may point to within a page."""
    return {tag[key] for key in ("id", "name") for tag in soup(page).find_all(attrs={key: True})}


@pytest.fixture(params=PAGES)
def page(request):
    """Go through the pages by their paths."""
    return request.param


def report(faults, what):
    """Fail with one line for each fault."""
    assert not faults, f"{what}:\n" + "\n".join(f"  {fault}" for fault in faults)


def asked_for(page):
    """List the addresses that a browser asks for by itself when it shows the page."""
    for tag in soup(page).find_all(src=True):
        yield tag["src"]
    for tag in soup(page).find_all(["img", "source"], srcset=True):
        yield from (part.split()[0] for part in tag["srcset"].split(","))
    for tag in soup(page).find_all("link", href=True):
        if {"stylesheet", "preload", "modulepreload", "icon", "manifest"} & set(tag["rel"]):
            yield tag["href"]
    for tag in soup(page).find_all(["object", "use", "image"]):
        yield from (tag[key] for key in ("data", "href", "xlink:href") if tag.has_attr(key))
    styles = [tag.get_text() for tag in soup(page).find_all("style")]
    styles += [tag["style"] for tag in soup(page).find_all(style=True)]
    for style in styles:
        yield from re.findall(r"url\(\s*['\"]?([^'\")]+)", style)
        yield from re.findall(r"@import\s+['\"]([^'\"]+)", style)


def missing(page, address):
    """Say what is wrong with an address within the book, or nothing."""
    parts = urlsplit(address)
    target = page
    if parts.path:
        target = (HTML / page).parent.joinpath(unquote(parts.path)).resolve()
        if not target.is_file():
            return "no such file"
        if target.suffix != ".html":
            return None
        target = target.relative_to(HTML.resolve()).as_posix()
    if parts.fragment and unquote(parts.fragment) not in anchors(target):
        return "no such place on the page"
    return None


def test_every_entry_of_the_contents_has_its_page():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = re.findall(r"(?:file|root)': '([^']+)'", str(contents))
    assert len(entries) > 1
    report([entry for entry in entries if f"{entry}.html" not in PAGES], "entries without a page")


def test_the_book_opens_at_its_first_page():
    assert "book/intro.html" in (HTML / "index.html").read_text(encoding="utf-8")


def test_titles():
    untitled = [
        page
        for folder, title in TITLES.items()
        for page in PAGES
        if page.startswith(folder) and not soup(page).title.get_text().strip().endswith(title)
    ]
    report(untitled, f"pages whose title does not end as in {TITLES}")


def test_the_buttons_open_the_page_at_the_books_address(page):
    """Each notebook's page leads to itself in Colab and in Binder, and all pages to the source."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = config["repository"]["url"]
    repository = address.removeprefix("https://github.com/")
    notebook = (ROOT / page).with_suffix(".ipynb")
    links = {tag["href"] for tag in soup(page).select(".article-header-buttons a[href]")}
    if notebook.exists():
        name = notebook.relative_to(ROOT).as_posix()
        colab = f"https://colab.research.google.com/github/{repository}/blob/main/{name}"
        binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/{name}"
        assert {colab, binder, address} <= links


def test_nothing_comes_from_another_host(page):
    foreign = [address for address in asked_for(page) if re.match(r"(?:https?:)?//", address)]
    report(foreign, f"{page} asks other hosts for")


def test_style_sheets_ask_no_other_host():
    faults = [
        f"{sheet.relative_to(HTML)}: {address}"
        for sheet in HTML.rglob("*.css")
        for address in re.findall(
            r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)",
            sheet.read_text(encoding="utf-8"),
        )
    ]
    report(faults, "style sheets that ask other hosts")


def test_what_the_page_asks_for_is_there(page):
    faults = [
        f"{address}: {missing(page, address)}"
        for address in asked_for(page)
        if not re.match(r"(?:[a-z]+:|//)", address) and missing(page, address.split("#")[0])
    ]
    report(faults, f"{page} asks for what the book does not have")


def test_links_lead_somewhere(page):
    faults = [
        f"{tag['href']}: {missing(page, tag['href'])}"
        for tag in soup(page).find_all("a", href=True)
        if tag["href"] not in ("", "#")
        and not re.match(r"[a-z]+:|//", tag["href"])
        and missing(page, tag["href"])
    ]
    report(faults, f"{page} has links that lead nowhere")


def test_formulas_are_set_by_the_books_own_mathjax():
    with_formulas = [page for page in PAGES if soup(page).find(class_="math")]
    assert with_formulas, "no page has a formula"
    for page in with_formulas:
        scripts = [tag["src"] for tag in soup(page).find_all("script", src=re.compile("mathjax"))]
        assert len(scripts) == 1, f"{page} loads {scripts}"
        assert missing(page, scripts[0]) is None, f"{page}: {scripts[0]} is not in the book"
    assert list(HTML.glob("_static/mathjax/output/chtml/fonts/**/*.woff")), "MathJax has no fonts"


def test_pictures_have_alt_text(page):
    faults = [
        str(tag)[:120]
        for tag in soup(page).find_all("img")
        if not tag.get("alt", "").strip() and tag.get("role") != "presentation"
    ]
    report(faults, f"{page} has pictures without alt text")


def test_shows_no_error(page):
    faults = [
        tag.get_text(" ", strip=True)[:200]
        for tag in soup(page).find_all(class_=["system-message", "problematic", "traceback"])
    ]
    faults += [
        block.get_text()[-200:]
        for block in soup(page).select(".cell_output")
        if "Traceback (most recent call last)" in block.get_text()
    ]
    report(faults, f"{page} shows an error")


def test_every_reference_is_listed():
    """Every entry of the bibliography file is listed on its page."""
    keys = re.findall(
        r"^@\w+\{\s*([^,\s]+)", (ROOT / "book/references.bib").read_text(encoding="utf-8"), re.M
    )
    listed = soup("book/bibliography.html").select("div.citation, dl.citation dt")
    assert len(listed) == len(keys), f"{len(keys)} references, {len(listed)} on the page"


def test_every_term_and_cited_work_is_in_the_index():
    """Terms lead to sections of chapters, and works that a chapter cites stand by their names."""
    page = soup("book/term-index.html")
    items = {item.find("strong").get_text(): item for item in page.select("article li")}
    terms = re.findall(r"^### (.+)$", (ROOT / "book/glossary.md").read_text(encoding="utf-8"), re.M)
    assert set(terms) <= set(items)
    faults = [name for name, item in items.items() if not item.select('a[href*=".html#"]')]
    report(faults, "entries of the index without a section")
    snell = items["Snell, Swersky & Zemel (2017)"].get_text()
    assert "Siamese networks" in snell and "What meta-learning offers" in snell


@cache
def library():
    """Collect the public functions and classes of the library: name to page and object."""
    found = {}
    for module in pkgutil.walk_packages(meta_lib.__path__, "meta_lib."):
        part, *_ = parts = module.name.split(".")[1:]
        if not set(parts) & set(WITHOUT_PAGE) and "._" not in module.name:
            for name, entry in vars(importlib.import_module(module.name)).items():
                kind = inspect.isfunction(entry) or inspect.isclass(entry)
                if kind and entry.__module__ == module.name and not name.startswith("_"):
                    found[f"{module.name}.{name}"] = f"book/library/meta_lib.{part}.html", entry
    return found


@pytest.fixture(params=library())
def entry(request):
    """Go through the library's functions and classes: name, heading and text on its page."""
    page, _ = library()[request.param]
    heading = soup(page).find(id=request.param)
    assert heading, f"{request.param} is not on {page}"
    return request.param, heading, heading.find_next_sibling("dd")


def test_an_entry_says_what_its_docstring_says(entry):
    """No word and no sign of a docstring is lost, or taken for markup."""
    name, _, text = entry
    _, described = library()[name]
    text = copy(text)
    for tag in text.find_all("a", class_="external"):
        tag.string = tag["href"]  # the theme abbreviates some

    def signs(words):
        return re.sub("[\\s`'\"‘’“”]", "", words)

    assert signs(inspect.getdoc(described)) in signs(text.get_text())
    if described.__init__.__doc__ and "__init__" in vars(described):
        assert signs(inspect.getdoc(described.__init__)) in signs(text.get_text())


def test_an_entry_leads_to_its_source(entry):
    _, heading, _ = entry
    assert heading.find("a", href=re.compile(r"_modules/meta_lib/.*#"))


def test_an_entry_leads_to_its_chapter_and_back(entry):
    name, _, text = entry
    explained = next(
        part for part in text.find_all("p") if part.get_text().startswith("Explained in: ")
    )
    chapters = [tag["href"].split("#")[0].removeprefix("../") for tag in explained.find_all("a")]
    assert chapters
    page, _ = library()[name]
    for chapter in chapters:
        address = f"{page.removeprefix('book/')}#{name}"
        back = [tag for tag in soup(f"book/{chapter}").select("article a[href]")]
        assert any(tag["href"].endswith(address) for tag in back), f"{chapter} does not link {name}"


def test_a_table_is_a_table(page):
    """A table that a cell makes as Markdown would else stand there as one paragraph of bars."""
    faults = [tag.get_text()[:60] for tag in soup(page).select("article p") if re.search(
        r"\|\s*[-–—]+\s*\|", tag.get_text())]  # fmt: skip
    report(faults, f"{page} shows a table's marks")


def test_names_in_code_lead_to_the_library(page):
    """What a code cell calls as `module.name(…)` is a link, somewhere on the page."""
    code = "\n".join(cell.get_text() for cell in soup(page).select(".cell_input pre"))
    called = [name for name in library() if f" {'.'.join(name.split('.')[-2:])}(" in code]
    linked = [tag["href"].split("#")[-1] for tag in soup(page).select(".cell_input pre a[href]")]
    report(sorted(set(called) - set(linked)), f"{page} calls without a link")
