"""Nothing on a chapter's page is cut or must be scrolled sideways on a screen of 1,300 pixels."""

import pytest
from browser import complete, served, watched
from test_built_book import HTML, PAGES, ROOT, report

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
CHAPTERS = [
    page for page in PAGES if (ROOT / page.removeprefix("zh/")).with_suffix(".ipynb").exists()
]
# What is folded is opened first. A formula's label and what is read aloud do not count.
CUT = """() => {
    for (const details of document.querySelectorAll(".bd-article details")) details.open = true;
    // A row of printed columns that goes on in the next line is no row any more; a sentence may.
    const broken = (pre) => pre.matches(".output.stream pre, .output.text_plain pre")
        && pre.textContent.split("\\n").some((line) => /\\S {2,}\\S/.test(line)
            && 0.6 * parseFloat(getComputedStyle(pre).fontSize) * line.length > pre.clientWidth);
    const boxes = ".bd-article pre, .bd-article mjx-container[display=true], .cell_output, "
        + ".bd-article .output, .bd-article .pst-scrollable-table-container, .bd-article table";
    return Array.from(document.querySelectorAll(boxes))
        .filter((box) => broken(box) || (box.scrollWidth > box.clientWidth + 1
            && !box.querySelector("pre, .pst-scrollable-table-container")))
        .map((box) => {
            const heading = box.closest("section")?.querySelector("h1, h2, h3, h4");
            const text = (box.getAttribute("aria-label") ?? box.textContent).trim().split("\\n")
                .reduce((one, other) => (other.length > one.length ? other : one), "");
            return `${box.scrollWidth - box.clientWidth} px of "${text.slice(0, 90)}", in `
                + `"${heading?.firstChild.nextSibling?.textContent ?? heading?.textContent}"`;
        });
}"""


@pytest.fixture(scope="module")
def tab(browser):
    """Open a tab that has the width for all pages."""
    page = watched(browser, 1300, reduced_motion="reduce")
    with served(HTML) as where:
        page.where = where
        yield page
        page.context.close()


@pytest.mark.parametrize("page", CHAPTERS)
def test_nothing_is_cut(tab, page):
    tab.goto(f"{tab.where}/{page}")
    complete(tab)
    report(tab.evaluate(CUT), f"{page} cuts")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1300
