"""The book without a server and without a network: as a zip, from the file system, and in print."""

import fcntl
import re
import subprocess
import sys
import zipfile
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import CHROMIUM, served
from pypdf import PdfReader
from test_built_book import HTML, PAGES, ROOT, asked_for, report, soup
from test_built_figures import PAGES as WITH_FIGURES
from test_built_figures import moved, opened

pytestmark = [
    pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first"),
    pytest.mark.xdist_group("offline"),  # one zip for all, and one PDF
]


def made(target, ending):
    """Make what `make site` will publish, if it is not there yet; one process at a time."""
    with (HTML.parent / f".{target}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "--silent", target], cwd=ROOT, check=True)
    return HTML.parent / f"learning-to-learn.{ending}"


def run(what, *arguments):
    """Run one of the scripts, as the Makefile does."""
    script = ROOT / "book/_offline" / f"{what}.py"
    subprocess.run([sys.executable, script, *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Unpack the zip somewhere, in a folder with a space in its name."""
    place = tmp_path_factory.mktemp("a place")
    with zipfile.ZipFile(made("offline", "zip")) as archive:
        archive.extractall(place)
    return place / "learning-to-learn"


def test_the_same_pages_make_the_same_zip(tmp_path):
    again = tmp_path / "learning-to-learn.zip"
    run("archive", HTML, again)
    assert again.read_bytes() == made("offline", "zip").read_bytes()


def test_the_zip_has_all_that_its_pages_ask_for_and_link(folder):
    faults = []
    for page in PAGES:
        links = [tag["href"] for tag in soup(page).find_all("a", href=True)]
        for address in {*asked_for(page), *links}:
            path = unquote(urlsplit(address).path)
            if path and not re.match(r"[a-z]+:|//", address):
                if not (folder / page).parent.joinpath(path).is_file():
                    faults.append(f"{page}: {address}")
    report(faults, "not in the zip")


@pytest.fixture(params=["a server", "a folder"])
def address(request):
    """Read the book from a server, and unpacked from the zip."""
    if request.param == "a folder":
        yield request.getfixturevalue("folder").as_uri()
    else:
        with served(HTML) as here:
            yield here


def test_search(tab, address):
    """From the search box of a chapter, by keyboard, to results that lead to the word."""
    results = found(tab, f"{address}/{WITH_FIGURES[0]}", "prototype")
    assert len(results) > 5
    assert any("Siamese networks" in result.text_content() for result in results)
    for result in results:
        page = result.evaluate("(at) => at.pathname").split("/html/")[-1]
        assert any(page.endswith(known) for known in PAGES), page
    results[0].click()
    tab.locator("article").wait_for()
    assert "prototyp" in tab.locator("article").text_content().lower()


def test_search_in_chinese_finds_words_without_spaces(tab, address):
    results = found(tab, f"{address}/zh/{WITH_FIGURES[0]}", "孪生网络的对比损失")
    titles = [result.text_content() for result in results]
    assert any("相似度与对比损失" in title for title in titles), titles
    assert not found(tab, f"{address}/zh/{WITH_FIGURES[0]}", "蒸汽机车")


def found(tab, page, words):
    """Search from a page's box, and return the links to what is found."""
    tab.goto(page)
    tab.keyboard.press("Control+k")
    tab.keyboard.type(words)
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=*")
    end = re.compile("Search Results|搜索结果")
    tab.locator("#search-results > h2").filter(has_text=end).wait_for(state="attached")
    return tab.locator("ul.search li a").all()


def test_opens_from_the_file_system(tab, folder):
    """`index.html` leads to the first page, formulas are set, and each link and switch works."""
    tab.goto((folder / "index.html").as_uri())
    tab.wait_for_url("**/book/intro.html")
    tab.get_by_role("link", name="7. MAML").first.click()
    tab.wait_for_url("**/maml.html")
    tab.evaluate("MathJax.startup.promise")
    assert tab.locator("mjx-container").count() > 10
    fonts = tab.evaluate("async () => Array.from(await document.fonts.ready, (f) => f.status)")
    assert "loaded" in fonts and "error" not in fonts
    seen = set()
    for _ in range(3):
        tab.locator(".theme-switch-button").first.click()
        seen.add(tab.locator("html").get_attribute("data-theme"))
    assert seen == {"light", "dark"}


@pytest.mark.parametrize("page", WITH_FIGURES)
def test_figures_move_from_the_file_system(tab, folder, page):
    for figure in opened(tab, folder.as_uri(), page):
        slider = figure.locator("input[type=range]:visible").first
        slider.focus()
        ends = ("Home", "End")
        assert any(moved(tab, figure, lambda k=key: tab.keyboard.press(k)) for key in ends)


@pytest.fixture(scope="module", params=["", "zh"], ids=["English", "Chinese"])
def edition(request):
    """Print the book in each language; return its folder in the built book, and the PDF."""
    if CHROMIUM is None:
        pytest.skip("NO CHROMIUM: the PDF was NOT tested. Install it, or set CHROMIUM=")
    made("pdf", "pdf")
    name = "-".join(filter(None, ["learning-to-learn", request.param]))
    return request.param, PdfReader(HTML.parent / f"{name}.pdf")


@pytest.fixture(scope="module")
def pdf(edition):
    """Return the PDF alone."""
    return edition[1]


@pytest.mark.xdist_group("pdf")
def test_the_pdf_is_the_whole_book_in_order(edition):
    folder, pdf = edition
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    files = [file for file in [toc["root"], *files] if file != "book/library"]
    headings = [
        soup(f"{folder}/{file}.html".lstrip("/")).select_one("article h1") for file in files
    ]
    titles = [re.sub(r"#$", "", heading.get_text()) for heading in headings]
    chapters = [entry for entry in pdf.outline if not isinstance(entry, list)][1:]
    assert [entry.title for entry in chapters] == titles
    contents = normalize("NFKC", pdf.pages[1].extract_text())  # ligatures are two letters
    for entry in chapters:
        number = pdf.get_destination_page_number(entry)
        text = " ".join(normalize("NFKC", pdf.pages[number].extract_text()).split())
        assert entry.title in text
        assert re.search(rf"{re.escape(entry.title)}\s*{number + 1}\n", contents + "\n")
    # The head of each page names its chapter.
    number = pdf.get_destination_page_number(chapters[1]) + 1
    assert titles[1] in normalize("NFKC", pdf.pages[number].extract_text())


@pytest.mark.xdist_group("pdf")
def test_the_pdf_has_no_empty_page(pdf):
    """On each page is more than its head and its number."""
    shown = [len(re.findall(rb"T[jJ]\b", page.get_contents().get_data())) for page in pdf.pages]
    report([number for number, words in enumerate(shown, 1) if words < 5], "empty pages")


@pytest.mark.xdist_group("pdf")
def test_links_of_the_pdf_lead_to_its_places_or_to_the_web(pdf):
    places, faults = pdf.named_destinations, []
    for number, page in enumerate(pdf.pages, 1):
        for link in page.get("/Annots", []):
            link = link.get_object()
            address = link.get("/A", {}).get("/URI", "")
            if link.get("/Dest") not in places and not re.match(r"https?://(?!localhost)", address):
                faults.append(f"page {number}: {link}")
    report(faults, "links of the PDF")


@pytest.mark.xdist_group("pdf")
def test_what_is_folded_or_moves_on_the_pages_is_in_the_pdf(edition):
    """Seen in the first chapter: its solutions, and the picture of its moving figure."""
    folder, pdf = edition
    first, second = [entry for entry in pdf.outline if not isinstance(entry, list)][2:4]
    numbers = map(pdf.get_destination_page_number, (first, second))
    pages = [pdf.pages[number] for number in range(*numbers)]
    text = "\n".join(page.extract_text() for page in pages)
    page = soup(f"{folder}/{WITH_FIGURES[0]}".lstrip("/"))
    titles = [details.get_text() for details in page.select("details.hide")]
    solutions = sum("# @title Solution to exercise" in title for title in titles)
    assert text.count("# @title Solution to exercise") == solutions > 0
    assert not re.search(r"Show the solution|Hide the solution", text)
    pictures = sum(len(page.images) for page in pages)
    assert pictures == len(page.select("article img")) > len(page.select(".moving-output")) > 0


def test_the_site_links_zip_and_pdf_on_every_page(tmp_path):
    files = [tmp_path / name for name in ("book.zip", "book.pdf", "book-zh.pdf")]
    for file in files:
        file.write_bytes(b"")
    run("site", HTML, *files, tmp_path / "site")
    for page in PAGES:
        text = (tmp_path / "site" / page).read_text(encoding="utf-8")
        links = re.findall(r'href="((?:\.\./)*downloads/[^"]*)"', text)
        if not page.endswith("index.html"):
            assert len(links) == 2, page
            assert ("book-zh.pdf" in links[1]) == page.startswith("zh/")
        for link in links:
            assert (tmp_path / "site" / page).parent.joinpath(link).is_file(), page
