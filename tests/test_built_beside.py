"""Formulas and their code on the pages: side by side where it is wide, in the same colours."""

import pytest
from browser import complete, served, watched
from test_built_book import HTML, PAGES, ROOT, report

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
CHAPTERS = [
    page
    for page in PAGES
    if page.startswith(("book/3-algorithms", "book/4-formulas"))
    and (ROOT / page).with_suffix(".ipynb").exists()
]
# Of each pair: is the code at the formula's right and within the panel, how much is cut of the two,
# and of each term its colour and ground, wherever it stands in the formula and in the code.
PAIRS = """() => Array.from(document.querySelectorAll(".beside"), (pair) => {
    const ground = (at) => {
        const colour = getComputedStyle(at).backgroundColor;
        return colour.startsWith("rgba(0, 0, 0, 0") ? ground(at.parentElement) : colour;
    };
    const formula = pair.querySelector(".math"), pre = pair.querySelector("pre");
    const [left, right] = [formula, pre].map((at) => at.getBoundingClientRect());
    const cut = [formula, pre].map((at) => at.scrollWidth - at.clientWidth);
    const terms = [1, 2, 3, 4, 5].map((n) => [formula, pre].map((at) =>
        Array.from(at.querySelectorAll(`mjx-math .term-${n}, span.term-${n}`))
            .map((term) => [getComputedStyle(term).color, ground(term)])));
    const inside = right.right <= pair.getBoundingClientRect().right;
    return { beside: right.left >= left.right && right.top < left.bottom, inside, cut, terms };
})"""


def luminance(colour):
    """Return the relative luminance of "rgb(…)", as WCAG 2 defines it."""
    channels = [int(part) / 255 for part in colour.strip("rgb()").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module", params=["light", "dark"])
def tab(request, browser):
    """Open a wide tab for all pages, light and dark."""
    page = watched(browser, 1300, reduced_motion="reduce", color_scheme=request.param)
    with served(HTML) as where:
        page.where = where
        yield page
        page.context.close()


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_formula_stands_beside_its_code(tab, page):
    tab.set_viewport_size({"width": 1300, "height": 900})
    tab.goto(f"{tab.where}/{page}")
    complete(tab)
    pairs = tab.evaluate(PAIRS)
    assert pairs, "the chapter has no pair"
    faults = []
    for number, pair in enumerate(pairs, 1):
        if not pair["beside"] or max(pair["cut"]) > 0:
            faults.append(f"pair {number} does not fit: {pair['cut']}")
        for term, (formula, code) in enumerate(pair["terms"], 1):
            if bool(formula) != bool(code) or len({colour for colour, _ in formula + code}) > 1:
                faults.append(f"pair {number}, term {term}: {formula[:1]}, {code[:1]}")
            if any(contrast(*colours) < 4.5 for colours in formula + code):
                faults.append(f"pair {number}, term {term} is pale: {formula[:1]}, {code[:1]}")
    report(faults, page)
    for width in (360, 390):
        tab.set_viewport_size({"width": width, "height": 844})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        narrow = tab.evaluate(PAIRS)
        assert not any(pair["beside"] for pair in narrow)
        assert all(pair["cut"][0] <= 0 for pair in narrow), "a formula is cut on a phone"
        assert all(pair["inside"] for pair in narrow), "code that cannot be scrolled"
    assert not tab.faults


def test_a_term_lights_up_with_its_twin(tab):
    tab.set_viewport_size({"width": 1300, "height": 900})
    tab.goto(f"{tab.where}/book/3-algorithms/maml.html")
    complete(tab)
    pair = tab.locator(".beside").first
    twin = pair.locator("mjx-math .term-2").first
    ground = "at => getComputedStyle(at).backgroundColor"
    dark = twin.evaluate(ground)
    pair.locator("pre .term-2").first.hover()
    assert twin.evaluate(ground) != dark
    assert pair.locator("mjx-math .term-1").first.evaluate(ground) == dark
