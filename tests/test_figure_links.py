"""Links in the prose that set a figure: what the book makes of them, and what they do in a page."""

import json
import re

import figure_links as links
import nbformat
import pytest
from browser import show_figure, show_figures
from test_notebooks import CHAPTERS, ROOT

from meta_lib.moving.meta_update import MetaUpdate

FIGURES = [{"state": {"name": "limits", "start": {"labels": 10, "amount": 0.3, "kind": "turn"}}}]


def test_a_link_names_what_it_sets():
    made = links.linked("So [one *label*](#figure-limits?labels=1&kind=thin) it is.", FIGURES)
    assert made.startswith('So <a class="sets-figure" href="?limits.labels=1&amp;limits.kind=%22')
    assert 'data-figure="limits"' in made and made.endswith(">one *label*</a> it is.")
    sets = re.search('data-sets="([^"]+)"', made)[1].replace("&quot;", '"')
    assert json.loads(sets) == {"labels": 1, "kind": "thin"}


def test_other_links_stay():
    text = "[a section](#figure-it-out) and [a file](limits.ipynb?labels=1)"
    assert links.linked(text, FIGURES) == text


@pytest.mark.parametrize(
    ("values", "says"),
    [("labels=few", "cannot be"), ("colour=1", "no 'colour'"), ("kind=3", "cannot be")],
)
def test_a_link_that_cannot_work_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        links.settings("limits", values, FIGURES)
    with pytest.raises(ValueError, match="no figure 'race'"):
        links.settings("race", "step=1", FIGURES)


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_links_of_a_chapter_can_be_made(name):
    path = ROOT / name
    beside = path.with_name(path.stem + links.ENDING)
    figures = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert "(#figure-" not in links.linked(cell.source, figures)


def test_a_click_sets_the_one_meant_where_a_figure_stands_twice(tab):
    names = ("meta_update", "meta_update-beta")
    first, second = show_figures(tab, [MetaUpdate(name=name) for name in names]).all()
    stored = [{"state": {"name": name, "start": {"alpha": 0.2}}} for name in names]
    link = links.linked("[see](#figure-meta_update-beta?alpha=0.5)", stored)
    tab.evaluate("link => document.body.insertAdjacentHTML('beforeend', link)", link)
    tab.get_by_text("see").click()
    of = "at => at.model.get('alpha')"
    tab.wait_for_timeout(500)
    assert (first.evaluate(of), second.evaluate(of)) == (MetaUpdate().alpha, 0.5)
    assert "meta_update-beta.alpha=0.5" in tab.url


def test_a_click_sets_the_figure_and_the_figure_says_so(tab):
    figure = show_figure(tab, MetaUpdate())
    before = figure.locator(".moving-readout").text_content()
    tab.evaluate(
        """() => document.body.insertAdjacentHTML("beforeend", `<p style="margin-top: 2000px"><a
            data-figure="meta_update" data-sets='{"alpha": 0.5, "steps": 3}' href="?x">see</a>`)"""
    )
    tab.get_by_text("see").click()
    tab.wait_for_function(
        "was => document.querySelector('.moving-readout').textContent !== was", arg=before
    )
    assert figure.evaluate("at => [at.model.get('alpha'), at.model.get('steps')]") == [0.5, 3]
    assert figure.locator("input[name=steps]").get_attribute("aria-valuetext") == "inner steps = 3"
    tab.wait_for_function("scrollY < 1000")  # the drawing is in view
    tab.wait_for_function("document.querySelector('.moving-heard').textContent.includes('φ')")
