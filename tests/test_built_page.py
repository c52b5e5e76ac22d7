"""What the book's own script makes of a page: folded code, solutions, numbers, links to figures."""

import re

import pytest
from browser import complete, served, watched
from test_built_book import HTML

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
PAGE = "book/1-background/limits-of-machine-learning.html"
FOLDED = ".tag_hide-input details.hide"


@pytest.fixture(scope="module")
def tab(browser):
    """Open one chapter for all that is asked of it."""
    page = watched(browser, 1300, reduced_motion="reduce")
    with served(HTML) as where:
        page.goto(f"{where}/{PAGE}")
        complete(page)
        yield page
        page.context.close()
    assert not page.faults


def test_one_switch_opens_and_folds_all_code(tab):
    count, switch = tab.locator(FOLDED).count(), tab.locator(".all-code")
    assert count and tab.locator(f"{FOLDED}[open]").count() == 0
    assert "lines" in tab.locator(FOLDED).first.locator("summary").inner_text()
    switch.press("Enter")
    assert tab.locator(f"{FOLDED}[open]").count() == count
    assert switch.text_content() == "Fold all code"
    switch.press("Enter")
    assert tab.locator(f"{FOLDED}[open]").count() == 0


def test_a_solution_is_one_fold_with_its_explanation(tab):
    solutions = tab.locator(".tag_solution details.hide")
    assert solutions.count() == tab.locator(".cell.tag_exercise").count() >= 4
    for number, solution in enumerate(solutions.all(), 1):
        assert f"Show the solution to exercise {number}" in solution.locator("summary").inner_text()
        assert solution.locator("p:not(summary p)").count(), "the explanation is elsewhere"
    assert not tab.get_by_text("explained", exact=False).locator("visible=true").count()


def test_numbers_stand_at_the_right(tab):
    cell = tab.locator("td.number").first
    assert cell.evaluate("at => getComputedStyle(at).textAlign") == "right"
    assert "±" in cell.text_content() and "\u00a0" in cell.text_content()


def test_pictures_are_numbered_and_say_what_they_show(tab):
    captions = tab.locator(".picture-caption").all_inner_texts()
    assert len(captions) == tab.locator(".cell_output img[alt]").count() >= 3
    assert captions[0].startswith("Figure 1.2 Three rows of handwritten digits")
    number = "at => getComputedStyle(at, '::before').content"
    assert tab.locator(".moving-hint").first.evaluate(number) == '"Figure 1.1"'


def test_in_chinese_the_scripts_speak_chinese(browser):
    page = watched(browser, 1300, reduced_motion="reduce")
    with served(HTML) as where:
        page.goto(f"{where}/zh/{PAGE}")
        complete(page)
        assert page.locator(".all-code").text_content() == "显示所有代码"
        assert re.search(r"显示代码，\d+ 行", page.locator(FOLDED).first.inner_text())
        solutions = page.locator(".tag_solution details.hide")
        assert "显示练习 1 的解答" in solutions.first.locator("summary").inner_text()
        assert all(one.locator("p:not(summary p)").count() for one in solutions.all())
        captions = page.locator(".picture-caption").all_inner_texts()
        assert captions[0].startswith("图 1.2 ") and captions[0].endswith("。")
        assert page.locator(".question-said").first.text_content().startswith("选一项")
        assert page.locator(".moving button").last.text_content() == "重置"
        assert not page.faults
    page.context.close()


def test_code_in_a_row_is_one_fold_beneath_what_it_shows(tab):
    cell = tab.locator(".moving-output").locator("xpath=ancestor::div[contains(@class, 'cell ')]")
    fold = cell.locator("xpath=*[last()]")
    assert fold.evaluate("at => at.matches('details.hide')")
    assert fold.locator("pre").count() >= 3 and "38 lines" in fold.locator("summary").inner_text()


def test_the_figure_is_seen_on_the_first_screen(tab):
    top, height = tab.evaluate(
        """() => {
            const { top, height } = document.querySelector(".moving-stage").getBoundingClientRect();
            return [top + scrollY, height];
        }"""
    )
    assert top + height / 2 < 900


def test_a_link_sets_the_figure(tab):
    tab.locator("a.sets-figure", has_text="with a hundred").click()
    tab.wait_for_function(
        "document.querySelector('.moving-readout').textContent.includes('100 labels per class')"
    )
    assert tab.evaluate("document.querySelector('.moving-stage').getBoundingClientRect().top") > 0


def test_prose_has_lines_of_65_to_75_letters(tab):
    letters = tab.evaluate(
        """() => {
            const range = document.createRange(), found = [];
            for (const p of document.querySelectorAll(".bd-article section > p")) {
                range.selectNodeContents(p);
                const lines = Math.round(range.getBoundingClientRect().height
                    / parseFloat(getComputedStyle(p).lineHeight));
                if (lines >= 4) found.push(p.textContent.length / (lines - 0.5));
            }
            return found.sort((a, b) => a - b)[Math.floor(found.length / 2)];
        }"""
    )
    assert 60 <= letters <= 82
