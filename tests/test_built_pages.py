"""Each page of the built book, opened: light and dark, wide and narrow.

axe-core finds nothing, the console says nothing, and nothing is asked of another host. A page is
light: at most 1.2 MB compressed, pictures included, which are not larger than they are shown on a
screen with two pixels for one.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import SHARPEST, complete, served, watched, weight
from test_built_book import HTML, PAGES, report

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
HEAVIEST = 1_200_000
# Twice, and a quarter more, as the column of this width narrows pictures that wider ones do not.
SHARP = 2.5
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1200, 360)]


@pytest.fixture(scope="module")
def address():
    """Serve the book."""
    with served(HTML) as where:
        yield where


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}", scope="module")
def look(request, browser):
    """Open a tab with the scheme and the width, for all pages."""
    scheme, width = request.param
    page = watched(browser, width, color_scheme=scheme, reduced_motion="reduce")
    yield page
    page.context.close()


@pytest.mark.parametrize("page", [page for page in PAGES if page != "index.html"])
def test_a_page_is_sound(look, address, page):
    """`index.html` is left out: it is no page, and only leads on to the first one."""
    look.goto("about:blank")  # what the page before still asks for is not this one's
    look.faults.clear()
    look.asked.clear()
    look.goto(f"{address}/{page}")
    complete(look)
    report(look.faults, "while the page opened")  # axe itself asks for what is not there
    if look.viewport_size["width"] > 1000:  # a narrow page is sent the same
        assert weight(look, HTML) <= HEAVIEST
        assert look.evaluate(SHARPEST) <= SHARP
    found = Axe().run(look).response["violations"]
    report([f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in found], "axe finds")
