"""Each page of the built book, as axe-core sees it: light and dark, wide and narrow."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import served
from test_built_book import HTML, PAGES

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
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("page", [page for page in PAGES if page != "index.html"])
def test_axe_finds_nothing(look, address, page):
    """`index.html` is left out: it is no page, and only leads on to the first one."""
    look.goto(f"{address}/{page}")
    found = Axe().run(look).response["violations"]
    said = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in found]
    assert not said, "\n".join(said)
