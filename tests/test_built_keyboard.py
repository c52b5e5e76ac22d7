"""A chapter of the built book, by keyboard alone."""

import pytest
from browser import complete, served
from test_built_book import HTML

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
CHAPTER = "book/1-background/limits-of-machine-learning.html"

# What has the focus: whether it lies in the window, whether one sees that it has the focus (its
# outline or shadow, or that of the sign within it, may take a moment), whether it had it before.
STOP = r"""async () => {
    const at = document.activeElement;
    if (at === document.body) return null;
    const marked = (one) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
        return (outlineStyle !== "none" && parseFloat(outlineWidth) > 0)
            || /rgb\(|rgba\(.*, 0?\.[0-9]+\)/.test(boxShadow);
    };
    const near = (one) => {
        const box = one.getBoundingClientRect();
        return box.bottom > 0 && box.top < innerHeight && box.width > 0 && box.height > 0;
    };
    const seen = () => [at, ...at.children].some((one) => near(one) && marked(one));
    for (let frame = 0; frame < 60 && !seen(); frame += 1)
        await new Promise(requestAnimationFrame);
    const again = at.dataset.visited === "yes";
    at.dataset.visited = "yes";
    return { what: at.outerHTML.slice(0, 120), seen: seen(), again };
}"""


@pytest.fixture
def chapter(tab):
    """Open the chapter."""
    with served(HTML) as address:
        tab.set_viewport_size({"width": 1200, "height": 900})
        tab.goto(f"{address}/{CHAPTER}")
        complete(tab)
        yield tab


def tab_to(page, selector):
    """Press Tab until the focus is on what the selector means."""
    for _ in range(500):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return page.locator(":focus")
    raise AssertionError(f"Tab does not reach {selector}")


def test_tab_goes_through_the_whole_chapter_and_is_always_seen(chapter):
    stops = []
    for _ in range(1000):
        chapter.keyboard.press("Tab")
        stop = chapter.evaluate(STOP)
        if stop is None or stop["again"]:
            break
        assert stop["seen"], stop
        stops.append(stop["what"])
    links = chapter.locator("article a[href]:visible").count()
    assert len(stops) > links, "Tab turned back before the end"
    assert not any("mjx-container" in stop for stop in stops)


def test_the_first_stop_leads_past_the_side_bar(chapter):
    chapter.keyboard.press("Tab")
    assert chapter.locator(":focus").text_content().strip() == "Skip to main content"
    chapter.keyboard.press("Enter")
    chapter.keyboard.press("Tab")
    assert chapter.evaluate("document.activeElement.closest('main') !== null")


def test_search_opens_and_closes(chapter):
    tab_to(chapter, ".search-button__button")
    chapter.keyboard.press("Enter")
    chapter.wait_for_function("document.activeElement.matches('dialog input[type=search]')")
    chapter.keyboard.press("Escape")
    chapter.wait_for_function("!document.querySelector('#pst-search-dialog').open")


def test_the_side_bar_leads_to_another_chapter(chapter):
    link = tab_to(chapter, ".bd-sidebar-primary a[href*='maml.html']")
    assert "MAML" in link.text_content()
    chapter.keyboard.press("Enter")
    chapter.wait_for_url("**/maml.html")


def test_a_slider_changes_what_the_figure_says(chapter):
    tab_to(chapter, ".moving-figure input[type=range]")
    said = chapter.locator(".moving-readout").first
    before = said.text_content()
    chapter.keyboard.press("ArrowRight")
    chapter.keyboard.press("ArrowRight")
    chapter.wait_for_timeout(300)
    assert said.text_content() != before


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_solution_unfolds_and_folds(chapter, key):
    tab_to(chapter, "details.hide > summary")
    for is_open in (True, False):
        chapter.keyboard.press(key)
        assert chapter.evaluate("document.activeElement.parentElement.open") is is_open
