"""The moving figures on the pages of the built book, in a browser that reaches nothing else."""

import gzip
import re
from pathlib import Path

import pytest
from browser import served, watched
from test_built_book import soup

HTML = Path(__file__).parents[1] / "_build" / "html"
MARK = 'class="moving-output'
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("book/**/*.html")
    if MARK in path.read_text(encoding="utf-8")
)
HEAVIEST = 300_000
# What a page asks of MathJax, when it is not there.
READY = "MathJax.startup = {promise: Promise.resolve()}"
RESET = re.compile("^(Reset|重置)$")  # in both languages

pytestmark = pytest.mark.skipif(
    not (HTML / ".built").exists(), reason="THE BOOK HAS NOT BEEN BUILT: run `make book` first"
)


@pytest.fixture(scope="module")
def address():
    with served(HTML) as here:
        yield here


@pytest.fixture(
    scope="module",
    params=[pytest.param(page, marks=pytest.mark.xdist_group(page)) for page in PAGES],
)
def page(request):
    """Go through the pages that have a moving figure."""
    return request.param


@pytest.fixture(scope="module")
def tab(browser, address, page):
    """Open a page once for all that its figures are asked."""
    tab = watched(browser, width=1200)
    opened(tab, address, page)
    yield tab
    tab.context.close()


@pytest.fixture
def figures(tab):
    """Set a page's figures back to their start, unfold them, and see that nothing goes wrong."""
    found = tab.locator(".moving-figure").all()
    for figure in found:
        figure.get_by_role("button", name=RESET).press("Enter")
        figure.evaluate("at => at.querySelectorAll('details').forEach((one) => (one.open = true))")
    yield found
    assert not tab.faults


def opened(tab, address, page):
    """Open a page without its formulas, which take most of the time, and return its figures."""
    tab.route("**/mathjax/**", lambda asked: asked.fulfill(body=READY))
    tab.goto(f"{address}/{page}")
    tab.wait_for_selector("html[data-moving=ready]")
    return tab.locator(".moving-figure").all()


def looks(figure):
    """Return what a figure shows: its drawing and its read-out."""
    return figure.evaluate(
        "(at) => [at.querySelector('.moving-stage').innerHTML,"
        " at.querySelector('.moving-readout').textContent,"
        " ...Array.from(at.querySelectorAll('canvas'), (one) => one.toDataURL())].join()"
    )


def moved(tab, figure, act):
    """Say whether the figure looks different after `act`, within two seconds."""
    before = looks(figure)
    act()
    for _ in range(40):
        tab.wait_for_timeout(50)
        if looks(figure) != before:
            return True
    return False


def test_there_are_figures():
    assert len(PAGES) >= 10


def test_every_control_answers_to_the_keyboard(tab, figures, page):
    for figure in figures:
        for slider in figure.locator("input[type=range]:visible").all():
            name = slider.get_attribute("name")
            slider.focus()
            value = slider.input_value()
            ways = ("ArrowRight", "ArrowLeft", "Home", "End")
            if value == slider.get_attribute("max"):
                ways = ways[::-1]
            assert any(moved(tab, figure, lambda w=way: tab.keyboard.press(w)) for way in ways), (
                f"{page}: the slider {name}"
            )
            slider.fill(value)
        for box in figure.locator("input[type=checkbox]:visible").all():
            box.focus()
            assert moved(tab, figure, lambda: tab.keyboard.press("Space")), page
            tab.keyboard.press("Space")
        for menu in figure.locator("select:visible").all():
            menu.focus()
            down = moved(tab, figure, lambda: tab.keyboard.press("ArrowDown"))
            assert down or moved(tab, figure, lambda: tab.keyboard.press("ArrowUp")), page
        figure.get_by_role("button", name=RESET).press("Enter")
        for handle in figure.locator(".handle").all()[:6]:
            handle.focus()
            keys = ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown")
            assert any(moved(tab, figure, lambda k=key: tab.keyboard.press(k)) for key in keys), (
                f"{page}: {handle.get_attribute('aria-label')}"
            )


def test_every_slider_answers_to_the_mouse(tab, figures, page):
    for figure in figures:
        for slider in figure.locator("input[type=range]:visible").all():
            size = slider.bounding_box()

            def at(share, slider=slider, size=size):
                slider.click(position={"x": share * size["width"], "y": size["height"] / 2})

            assert moved(tab, figure, lambda: at(0.85)) or moved(tab, figure, lambda: at(0.15)), (
                f"{page}: {slider.get_attribute('name')}"
            )


def test_the_ends_of_every_slider_are_sound(tab, figures, page):
    for figure in figures:
        for slider in figure.locator("input[type=range]:visible").all():
            for key in ("Home", "End"):
                slider.focus()
                tab.keyboard.press(key)
                tab.wait_for_timeout(60)
                said = figure.locator(".moving-readout").text_content()
                assert said and not re.search(r"NaN|undefined|\[object", said), f"{page}: {said}"


def test_every_control_has_a_name(figures, page):
    for figure in figures:
        for one in figure.locator("input, select").all():
            key = one.get_attribute("id")
            named = one.get_attribute("aria-label") or figure.locator(f"label[for='{key}']").count()
            assert named, f"{page}: {one.evaluate('(at) => at.outerHTML')}"
        for one in figure.locator("button, .handle, [tabindex='0']").all():
            assert one.text_content().strip() or one.get_attribute("aria-label"), page


def test_nothing_sticks_out(browser, address, figures, page):
    narrow = watched(browser, width=360)
    opened(narrow, address, page)
    narrow.wait_for_timeout(300)
    for one in (*figures, *narrow.locator(".moving-figure").all()):
        assert one.evaluate("(at) => at.scrollWidth - at.clientWidth") <= 1, page
    narrow.context.close()


def test_without_javascript_each_figure_is_a_described_picture(page):
    for output in soup(page).select(".moving-output"):
        (picture,) = output.find_all("img")
        assert len(picture["alt"]) > 40, page


def test_what_figures_bring_along_is_light(page):
    """At most 300 KB compressed of scripts and data."""
    stored = soup(page).select(".moving-output > script[type='application/json']")
    assert stored
    assert sum(len(gzip.compress(one.get_text().encode())) for one in stored) <= HEAVIEST
