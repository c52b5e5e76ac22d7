"""Each page of the built book, opened: light and dark, wide and narrow.

axe-core finds nothing, the console says nothing, and nothing is asked of another host.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import served, watched
from test_built_book import HTML, PAGES, report

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
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
    look.faults.clear()
    look.goto(f"{address}/{page}")
    found = Axe().run(look).response["violations"]
    report([f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in found], "axe finds")
    report(look.faults, "while the page was open")
