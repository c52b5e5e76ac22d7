"""Each page of the built book, opened: light and dark, wide and narrow.

axe-core finds nothing, the console says nothing, and nothing is asked of another host. A page is
light: at most 1.2 MB compressed, pictures included, which are not larger than they are shown on a
screen with two pixels for one.

The library's pages are made from one template, and so are those of its source: of each, one is
looked at in all ways, and the library's others in one.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import SHARPEST, complete, served, watched, weight
from test_built_book import HTML, PAGES, report

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
HEAVIEST = 1_200_000
# Twice, and a quarter more, as the column of this width narrows pictures that wider ones do not.
SHARP = 2.5
WIDE, NARROW = 1200, 360
LIBRARY = [page for page in PAGES if page.startswith("book/library/")]
SOURCE = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("_modules/meta_lib/*.html"))
# `index.html` is no page, and only leads on to the first one.
ALONE = [page for page in PAGES if page not in (*LIBRARY, "index.html", "zh/index.html")]
# axe looks at every element: of the thousands of coloured words in code, one of each kind stays,
# not folded and not one sign long, since those it does not judge.
THIN = """() => {
    const seen = new Set();
    for (const word of document.querySelectorAll(".highlight span[class]")) {
        const kind = `${word.className} in ${word.closest("[class*=cell_]")?.className}`;
        const judged = word.checkVisibility() && word.textContent.trim().length > 1;
        if (!judged || seen.has(kind)) word.replaceWith(...word.childNodes);
        else seen.add(kind);
    }
}"""
# In the dark only the colours are others.
COLOURS = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def address():
    """Serve the book."""
    with served(HTML) as where:
        yield where


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"], scope="module")
def look(request, browser):
    """Open a tab of one width, for all pages."""
    page = watched(browser, request.param, reduced_motion="reduce")
    yield page
    page.context.close()


def check(look, address, page):
    """Open a page and look at it in the light."""
    look.emulate_media(color_scheme="light")
    look.goto("about:blank")  # what the page before still asks for is not this one's
    look.faults.clear()
    look.asked.clear()
    look.goto(f"{address}/{page}")
    complete(look)
    report(look.faults, "while the page opened")  # axe itself asks for what is not there
    if look.viewport_size["width"] == WIDE:  # a narrow page is sent the same
        assert weight(look, HTML) <= HEAVIEST
        assert look.evaluate(SHARPEST) <= SHARP
    look.evaluate(THIN)
    accessible(look)


def accessible(look, **options):
    """Let axe-core look at the page as it stands."""
    found = Axe().run(look, **options).response["violations"]
    report([f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in found], "axe finds")


@pytest.mark.parametrize("page", [*ALONE, *LIBRARY[:1], *SOURCE[:1]])
def test_a_page_is_sound(look, address, page):
    check(look, address, page)
    look.emulate_media(color_scheme="dark")
    look.wait_for_selector("html[data-theme=dark]")
    accessible(look, options=COLOURS)


@pytest.mark.parametrize("look", [WIDE], ids=["wide"], indirect=True)
@pytest.mark.parametrize("page", LIBRARY[1:])
def test_a_page_of_the_library_is_sound(look, address, page):
    check(look, address, page)
