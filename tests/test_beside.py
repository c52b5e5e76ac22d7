"""A formula and its code, side by side: what the book makes of a notebook, and what it refuses."""

import json
import re
from urllib.parse import quote

import beside
import nbformat
import pytest
from test_notebooks import CHAPTERS, ROOT

FORMULA = r"""Then one step is

$$\theta' = \theta - \alpha\, \nabla L(\theta) \quad \text{, } \alpha > 0$$"""
CODE = 'new = theta - alpha * slopes  # alpha: the rate\nprint("alpha", alpha.alpha, new)'
TERMS = [[r"\alpha", "alpha"], [r"\nabla L(\theta)", "slopes"], [[r"\theta"], ["theta", "new"]]]


def cells(terms=TERMS, formula=FORMULA):
    """Return the two cells of a pair."""
    return [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [formula]},
        {"cell_type": "code", "id": "b", "metadata": {"terms": terms}, "source": [CODE]},
    ]


def test_a_pair_stands_in_one_box():
    words, code, end = beside.paired(cells())
    text, box = words["source"].split("\n\n<div", 1)
    assert text == "Then one step is" and code["source"] == [CODE] and end["source"] == "</div>"
    assert box.startswith(' class="beside" data-code="%5B%5B%22alpha%22%5D%2C')
    assert box.endswith("$$\n") and r"\text{, }" in box


def test_each_term_of_the_formula_has_its_class():
    found = beside.coloured(
        r"\theta' = \theta - \alpha\,\nabla L( \theta )", [["\\nabla L(\\theta)"], [r"\theta"]]
    )
    assert found == (
        r"\class{term term-2}{\theta}' = \class{term term-2}{\theta}"
        r" - \alpha\,\class{term term-1}{\nabla L( \theta )}"
    )


def test_names_words_and_commands_are_not_terms():
    assert r"\tan" in beside.coloured(r"\tan t", [["t"]])
    assert r"\text{at}" in beside.coloured(r"t \text{at}", [["t"]])
    found = beside.places("i = dim.i + sin(i)  # i\n'i'", [["i"]])
    assert sorted(found) == [0, 16]


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ([[r"\beta", "alpha"]], r"the formula has no '\\\\beta'"),
        ([[r"\alpha", "beta"]], "the code has no 'beta'"),
        ([[r"\alpha", ["alpha", "rate"]]], "the code has no 'rate'"),
        ([[r"\nabla L(\theta)", "slopes"], ["L", "new"]], "the formula has no 'L'"),
        (6 * [[r"\alpha", "alpha"]], "5 have a colour"),
    ],
)
def test_what_is_not_there_is_refused(terms, says):
    with pytest.raises(ValueError, match=says):
        beside.paired(cells(terms))


def test_code_without_a_formula_before_it_is_refused():
    for pair in (cells()[1:], cells(formula=f"{FORMULA} More words.")):
        with pytest.raises(ValueError, match="ends with a formula"):
            beside.paired(pair)


def test_the_code_of_a_finished_page_is_coloured():
    page = (
        f'<div class="beside" data-code="{quote(json.dumps([["a < b"], ["b"]]))}">\n<p></p><pre>'
        '<span></span><span class="n">a</span> <span class="o">&lt;</span> <a><span>b</span></a>\n'
        "<span>b</span></pre></div><pre>b</pre>"
    )
    found = beside.with_colours(page)
    assert 'class="beside">' in found and found.endswith("<pre>b</pre>")
    assert '<span class="o"><span class="term term-1">&lt;</span></span>' in found
    assert '\n<span><span class="term term-2">b</span></span></pre>' in found
    assert re.sub("<[^>]*>", "", found) == re.sub("<[^>]*>", "", page)
    assert beside.with_colours(found) == found


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_pairs_of_a_chapter_can_be_made(name):
    beside.paired(nbformat.read(ROOT / name, as_version=4).cells)
